"""What the tools for files, canvases and lists have in common: how a file is named, and where it shows.

Canvases and lists are files: their ids begin with F like those of all others.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.call import Call
from slack_mcp.tools.policy import check_write

_MAX_CHARS: Final = 500
FileText: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=_MAX_CHARS, description="File: id (F…) or its Slack link.")
]
CanvasText: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=_MAX_CHARS, description="Canvas: id (F…) or its Slack link.")
]
ListText: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=_MAX_CHARS, description="List: id (F…) or its Slack link.")
]

_ID: Final = re.compile(r"F[A-Z0-9]{5,}")
# …/files/U…/F…/name, …/docs/T…/F…, …/lists/T…/F…, …/canvas/F…, files.slack.com/files-pri/T…-F…/name
_LINK: Final = re.compile(
    r"<?https://[a-z0-9.-]+\.slack\.com/(?:files|docs|lists|canvas|files-pri)/(?:[A-Z0-9]+[/-])?(F[A-Z0-9]{5,})(?![A-Z0-9])"
)
# https://docs.slack.dev/reference/objects/file-object
_PLACES: Final = ("channels", "groups", "ims")


def parse_file_id(text: str) -> str:
    """Return the id of a file that is meant by an id or a link.

    Raises:
        InvalidInputError: it is neither.
    """
    wanted = text.strip()
    if _ID.fullmatch(wanted):
        return wanted
    found = _LINK.match(wanted)
    if found is None:
        raise InvalidInputError(f"{wanted!r} is no file: give its id, such as F0123456789, or its link in Slack.")
    return found.group(1)


def find_shares(file: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """Return (channel id, the message that shows the file) for each place; None for a place without its message."""
    shares = file.get("shares")
    told = set()
    for by_channel in shares.values() if isinstance(shares, Mapping) else ():
        for channel_id, messages in by_channel.items() if isinstance(by_channel, Mapping) else ():
            for message in messages if isinstance(messages, list) else ():
                if isinstance(message, Mapping):
                    told.add(channel_id)
                    yield channel_id, message
    for name in _PLACES:
        listed = file.get(name)
        for channel_id in listed if isinstance(listed, list) else ():
            if isinstance(channel_id, str) and channel_id not in told:
                told.add(channel_id)
                yield channel_id, None


async def check_places(call: Call, file_id: str) -> None:
    """Return when the policy lets the tools change a file wherever it shows.

    A change to a file names no channel, so that a list of denied channels could not be kept without looking.

    Raises:
        ForbiddenError: it shows in a channel that tools may not write to.
        SlackApiError: Slack did not say where it shows; nothing is written then.
    """
    policy = call.connection.settings.tools
    check_write(policy, {})
    if policy.denied_write_channels:
        answer = await call.bot.read("files.info", file=file_id)
        file = answer.get("file")
        for channel_id, _ in find_shares(file if isinstance(file, Mapping) else {}):
            check_write(policy, {"channel": channel_id})
