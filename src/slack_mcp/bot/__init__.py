"""The bot: whether a message is for it, what was said before, and the turn that answers."""
