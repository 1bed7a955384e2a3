"""Slack's Web API with one connection's token."""
