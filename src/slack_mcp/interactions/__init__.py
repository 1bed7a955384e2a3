"""Slash commands, and questions to people: asked, answered by a click or a form, expired."""
