"""Who may read and change a canvas or a list.

Source: https://docs.slack.dev/reference/methods/canvases.access.set and slackLists.access.set, which are alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, UserText
from slack_mcp.tools.tool import Arguments, Result

MAX_ENTITIES: Final = 20


class ShareArguments(Arguments):
    """For whom. Slack takes people or channels in one call, not both."""

    access_level: Literal["read", "write", "owner"] = Field(description="owner goes to one person, and leaves the bot.")
    channels: list[ChannelText] | None = Field(default=None, min_length=1, max_length=MAX_ENTITIES)
    users: list[UserText] | None = Field(default=None, min_length=1, max_length=MAX_ENTITIES)


class ShareResult(Result):
    """For whom it is open now."""

    access_level: str
    channels: Sequence[str] | None = None
    users: Sequence[str] | None = None
    failed: Sequence[str] | None = Field(default=None, description="Ids for which Slack did not do it.")


async def share(call: Call, method: str, arguments: ShareArguments, **file: str) -> ShareResult:
    """Return for whom a file is open now.

    Args:
        call: the call.
        method: `canvases.access.set` or its neighbour.
        arguments: for whom, and how far.
        file: the method's own name of the file, and its id.

    Raises:
        InvalidInputError: nobody is named, or people and channels at once.
        SlackApiError: one of its classes.
    """
    if bool(arguments.channels) == bool(arguments.users):
        raise InvalidInputError("Give either channels or users.")
    if arguments.access_level == "owner" and len(arguments.users or ()) != 1:
        raise InvalidInputError("access_level: one person alone can be the owner.")
    channel_ids = [str(await call.resolve_channel(each)) for each in arguments.channels or ()]
    user_ids = [str(await call.resolve_user(each)) for each in arguments.users or ()]
    answer = await call.bot.write(
        method,
        **file,
        access_level=arguments.access_level,
        channel_ids=channel_ids or None,
        user_ids=user_ids or None,
    )
    return ShareResult(
        access_level=arguments.access_level,
        channels=channel_ids or None,
        users=user_ids or None,
        failed=_find_failed(answer) or None,
    )


def _find_failed(answer: Mapping[str, Any]) -> Sequence[str]:
    listed = [answer.get(name) for name in ("failed_to_update_channel_ids", "failed_to_update_user_ids")]
    return [each for ids in listed if isinstance(ids, list) for each in ids if isinstance(each, str)]
