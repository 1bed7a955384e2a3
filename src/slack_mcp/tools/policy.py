"""What a connection's policy lets its tools do. Whatever it does not allow is refused."""

from typing import Any

from slack_mcp.core.errors import ForbiddenError
from slack_mcp.core.model import Access, ToolPolicy


def find_refusal(policy: ToolPolicy, *, tool: str, access: Access) -> ForbiddenError | None:
    """Return why the policy forbids the tool, None when it does not."""
    if policy.is_read_only and access is not Access.READ:
        return ForbiddenError(f"{tool} writes, and this connection is read-only.")
    if tool in policy.denied_tools or (policy.allowed_tools and tool not in policy.allowed_tools):
        return ForbiddenError(f"{tool} is not among the tools that this connection's policy allows.")
    return None


def check_write(policy: ToolPolicy, arguments: dict[str, Any]) -> None:
    """Return when the policy lets a Web API call with these arguments write where it wants to.

    With a list of allowed channels, a write that belongs to no channel (a user group, a file that is deleted) is
    refused too: nobody could tell where it would show.

    Raises:
        ForbiddenError: it does not.
    """
    channels = [each for name in ("channel", "channel_id") if (each := arguments.get(name))]
    channels += arguments.get("channel_ids") or ()
    if policy.write_channels and not channels:
        raise ForbiddenError(
            "This connection's policy does not let tools write to anything that is not in one of its allowed channels."
        )
    # Those that the members of a user group are put into.
    channels += filter(None, (arguments.get("channels") or "").split(","))
    for channel in channels:
        is_allowed = not policy.write_channels or channel in policy.write_channels
        if not is_allowed or channel in policy.denied_write_channels:
            raise ForbiddenError(f"This connection's policy does not let tools write to the channel {channel}.")
