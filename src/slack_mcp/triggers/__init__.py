"""Slack's events told to whoever subscribed: Mesh's automations, and receivers over HTTPS."""
