"""What the person of the user token has not read.

Slack has no method for it: each conversation is asked on its own, so that a call looks at a bounded number of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import anyio
from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, MissingScopeError, RateLimitedError, SlackApiError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import number, text
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, MessageTs
from slack_mcp.tools.filtered import FilteredResult
from slack_mcp.tools.listing import Item, ListArguments, Position, fit, read_page
from slack_mcp.tools.needs import CHANNELS_READ, Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_CONVERSATIONS: Final = 40
AT_ONCE: Final = 4
# As much as Slack gives an app with the strict limit; more than that is told as "or more".
MAX_COUNTED: Final = 15
_TYPES: Final = (
    ("im", "im:read"),
    ("mpim", "mpim:read"),
    ("private_channel", "groups:read"),
    ("public_channel", "channels:read"),
)


class GetUnreadsArguments(ListArguments):
    """How far to look."""

    types: str | None = Field(
        default=None,
        pattern=r"^(public_channel|private_channel|mpim|im)(,(public_channel|private_channel|mpim|im)){0,3}$",
        max_length=60,
        description="Comma-separated: public_channel, private_channel, mpim, im. By default all that the token may.",
    )
    limit: int = Field(
        default=20, ge=1, le=MAX_CONVERSATIONS, description="Conversations to look at; most have nothing unread."
    )


class UnreadItem(Item):
    """A conversation with unread messages."""

    channel: str
    name: str | None = None
    unread_count: int
    has_more: bool | None = Field(default=None, description="Whether there are more than were counted.")
    last_read: str | None = Field(default=None, description="Give it as oldest to read them.")

    def render_line(self) -> str:
        """Return it as one line."""
        more = " or more" if self.has_more else ""
        since = f", since {self.last_read}" if self.last_read and self.last_read.strip("0.") else ""
        return f"- {self.name or self.channel} ({self.channel}): {self.unread_count}{more} unread{since}"


class UnreadsResult(FilteredResult):
    """Conversations with unread messages."""

    ITEMS: ClassVar[str] = "unreads"

    unreads: Sequence[UnreadItem]
    checked: int = Field(description="Conversations that were looked at.")
    not_checked: list[str] | None = Field(default=None, description="Those that the token may not look into.")


class MarkReadArguments(Arguments):
    """Up to where it was read."""

    channel: ChannelText
    ts: MessageTs | None = Field(default=None, description="The last message read; by default the newest.")


class MarkReadResult(Result):
    """Up to where it is read now."""

    channel: str
    ts: str


async def _get_unreads(call: Call, arguments: GetUnreadsArguments) -> UnreadsResult:
    position = Position.parse(arguments.cursor)
    answer = await call.user.read(
        "users.conversations",
        types=arguments.types or _choose_types(call),
        exclude_archived=True,
        limit=arguments.limit,
        cursor=position.page,
    )
    entries, after = read_page(answer, "channels")
    checks = await _check_all(call, entries[position.skip :])
    names = await _find_names(call, entries)
    items: list[UnreadItem] = []
    ends: list[int] = []
    for number_, (entry, found) in enumerate(zip(entries[position.skip :], checks, strict=False), position.skip + 1):
        if isinstance(found, UnreadItem) and found.unread_count:
            items.append(found.model_copy(update={"name": names.get(text(entry, "id"))}))
            ends.append(number_)
    shown = fit(items, arguments)
    read = position.skip + len(checks) if len(shown) == len(items) else ends[len(shown) - 1]
    following = Position(position.page, read) if read < len(entries) else after
    looked_at = list(zip(entries[position.skip : read], checks, strict=False))
    return UnreadsResult(
        unreads=shown,
        checked=len(looked_at),
        not_checked=[text(entry, "id") for entry, found in looked_at if found is None] or None,
        next_cursor=None if following is None else following.render(),
    )


async def _check_all(call: Call, entries: Sequence[Mapping[str, Any]]) -> Sequence[UnreadItem | None]:
    """Return what is unread in each, None for those that may not be looked into; up to where Slack asked to wait.

    Raises:
        SlackApiError: the first could not be looked at, or something else is wrong with all of them.
    """
    found: dict[int, UnreadItem | None] = {}
    errors: dict[int, SlackApiError] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def check(index: int) -> None:
        async with limiter:
            if errors:
                return
            try:
                found[index] = await _check(call, text(entries[index], "id"))
            except SlackApiError as error:
                errors[index] = error

    async with anyio.create_task_group() as tasks:
        for index in range(len(entries)):
            tasks.start_soon(check, index)
    end = next((index for index in range(len(entries)) if index not in found), len(entries))
    for error in errors.values():
        if end == 0 or not isinstance(error, RateLimitedError):
            raise error
    return [found[index] for index in range(end)]


async def _check(call: Call, channel_id: str) -> UnreadItem | None:
    """Return what is unread; Slack counts for direct messages only, of a channel it says up to where it was read.

    Source: https://docs.slack.dev/reference/methods/conversations.info.
    """
    channel = (await call.user.read("conversations.info", channel=channel_id)).get("channel") or {}
    last_read = text(channel, "last_read") or None
    counted = number(channel, "unread_count_display")
    if counted is not None:
        return UnreadItem(channel=channel_id, unread_count=counted, last_read=last_read)
    if last_read is None:
        return None
    try:
        answer = await call.user.read(
            "conversations.history", channel=channel_id, oldest=last_read, limit=MAX_COUNTED, inclusive=False
        )
    except MissingScopeError:
        return None
    messages, _ = read_page(answer, "messages")
    return UnreadItem(
        channel=channel_id,
        unread_count=len(messages),
        has_more=answer.get("has_more") is True or None,
        last_read=last_read,
    )


async def _find_names(call: Call, entries: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """Return what each conversation is called, by id."""
    people = {text(each, "id"): text(each, "user") for each in entries if each.get("is_im")}
    names = await call.services.names.find_user_names(call.connection, people.values()) if people else {}
    return {text(each, "id"): f"#{text(each, 'name')}" for each in entries if text(each, "name")} | {
        channel_id: f"@{names.get(user, user)}" for channel_id, user in people.items()
    }


def _choose_types(call: Call) -> str:
    granted = call.connection.user_scopes
    types = [kind for kind, scope in _TYPES if granted is None or scope in granted]
    return ",".join(types or [kind for kind, _ in _TYPES])


async def _mark_read(call: Call, arguments: MarkReadArguments) -> MarkReadResult:
    channel_id = await call.resolve_channel(arguments.channel, as_user=True)
    ts = arguments.ts or await _fetch_newest(call, channel_id)
    await call.user.write("conversations.mark", channel=channel_id, ts=ts)
    return MarkReadResult(channel=channel_id, ts=ts)


async def _fetch_newest(call: Call, channel_id: ChannelId) -> str:
    messages, _ = read_page(await call.user.read("conversations.history", channel=channel_id, limit=1), "messages")
    ts = text(messages[0], "ts") if messages else ""
    if not ts:
        raise InvalidInputError("There is no message in the channel that could be read.")
    return ts


TOOLS: Final = (
    Tool(
        name="SLACK_GET_UNREADS",
        title="List unread conversations",
        description=(
            "Lists conversations in which the user token's person has unread messages. It looks at a few conversations "
            "per call; go on with next_cursor."
        ),
        arguments=GetUnreadsArguments,
        result=UnreadsResult,
        run=_get_unreads,
        needs=Needs(bot=None, user=(CHANNELS_READ,)),
    ),
    Tool(
        name="SLACK_MARK_READ",
        title="Mark a conversation as read",
        description="Marks a conversation as read for the user token's person.",
        arguments=MarkReadArguments,
        result=MarkReadResult,
        run=_mark_read,
        access=Access.WRITE,
        needs=Needs(bot=None, user=(("channels:write", "groups:write", "im:write", "mpim:write"),)),
        is_idempotent=True,
    ),
)
