"""Where people meet the assistant beside channels: its pane, the home tab, a shortcut, and buttons below an answer."""
