"""The settings: one frozen table, read from the environment once, with every mistake reported together."""

from slack_mcp.settings.table import Settings

__all__ = ["Settings"]
