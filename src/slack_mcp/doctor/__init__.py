"""The checks of a deployment: what was found, and what to do about it."""

from slack_mcp.doctor.examine import examine

__all__ = ["examine"]
