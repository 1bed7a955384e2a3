"""The scopes that a bot token needs for what the service does with it.

Source: the method and event pages under https://docs.slack.dev/reference, each of which names its scopes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REQUIRED_SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "app_mentions:read": "hear when the bot is mentioned",
        "chat:write": "post and edit the answers",
        "im:history": "hear direct messages",
        "channels:history": "hear replies in threads of public channels, and find its own messages there",
        "groups:history": "the same in private channels",
        "mpim:history": "the same in group direct messages",
    }
)


def find_missing_scopes(granted: frozenset[str] | None) -> tuple[str, ...]:
    """Return the required scopes that are not granted, none when Slack did not say what is."""
    if granted is None:
        return ()
    return tuple(scope for scope in REQUIRED_SCOPES if scope not in granted)
