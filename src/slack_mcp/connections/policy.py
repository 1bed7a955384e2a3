"""What a policy names, checked before it is saved: tools that exist, and Slack's ids in place of names."""

import difflib
from collections.abc import Collection

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import ToolPolicy


def check_tool_names(policy: ToolPolicy, known: Collection[str]) -> None:
    """Return when every tool that the policy names exists: a misspelt denial would deny nothing.

    Raises:
        InvalidInputError: names those that do not, and what was probably meant.
    """
    unknown = [name for name in (*policy.allowed_tools, *policy.denied_tools) if name not in known]
    if unknown:
        raise InvalidInputError(" ".join(["Nothing was saved.", *(_render(name, known) for name in unknown)]))


def _render(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"There is no tool {name!r}{f'; {close[0]} may be meant' if close else ''}."


def is_channel_id(text: str) -> bool:
    """Tell whether a text can be a channel's id, such as C0123456789."""
    return text[:1] in {"C", "G", "D"} and text.isalnum() and text.isascii() and text.isupper()


def is_user_id(text: str) -> bool:
    """Tell whether a text can be a person's id, such as U0123456789; in an organization it may begin with W.

    Source: https://docs.slack.dev/reference/objects/user-object.
    """
    return text[:1] in {"U", "W"} and text.isalnum() and text.isascii() and text.isupper()
