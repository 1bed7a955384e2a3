"""Messages pinned to a channel."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from slack_mcp.core.errors import SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, MessageTs
from slack_mcp.tools.listing import ListArguments, ListResult, Position, fit
from slack_mcp.tools.message_items import MessageItem, describe_messages, find_names
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

_WRITES: Final = Needs(bot=("pins:write",))


class PinArguments(Arguments):
    """Which message."""

    channel: ChannelText
    timestamp: MessageTs


class ChangedResult(Result):
    """Whether anything is different now."""

    changed: bool


class ListPinsArguments(ListArguments):
    """Of which channel."""

    channel: ChannelText


class PinItem(MessageItem):
    """A pinned message."""

    pinned_by: str | None = None
    pinned_by_name: str | None = None
    pinned_at: int | None = Field(default=None, description="Unix seconds.")

    def _render_marks(self) -> str:
        who = self.pinned_by_name or self.pinned_by
        return f"{super()._render_marks()} (pinned by {who})" if who else super()._render_marks()


class ListPinsResult(ListResult):
    """Pinned messages."""

    ITEMS: ClassVar[str] = "pins"

    pins: Sequence[PinItem]


async def _pin(call: Call, arguments: PinArguments) -> ChangedResult:
    return await _change(call, "pins.add", arguments, already="already_pinned")


async def _unpin(call: Call, arguments: PinArguments) -> ChangedResult:
    return await _change(call, "pins.remove", arguments, already="no_pin")


async def _change(call: Call, method: str, arguments: PinArguments, *, already: str) -> ChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    try:
        await call.bot.write(method, channel=channel_id, timestamp=arguments.timestamp)
    except SlackRefusedError as error:
        if not is_refusal(error, already):
            raise
        return ChangedResult(changed=False)
    return ChangedResult(changed=True)


async def _list_pins(call: Call, arguments: ListPinsArguments) -> ListPinsResult:
    position = Position.parse(arguments.cursor)
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.read("pins.list", channel=channel_id)  # all of them, at most 100
    entries = _get_entries(answer)
    page = fit(
        await _describe(call, entries[position.skip : position.skip + arguments.limit]),
        arguments,
    )
    read = position.skip + len(page)
    return ListPinsResult(pins=page, next_cursor=Position(skip=read).render() if read < len(entries) else None)


async def _describe(call: Call, entries: Sequence[Mapping[str, Any]]) -> Sequence[PinItem]:
    items = await describe_messages(call, [each["message"] for each in entries])
    names, _ = await find_names(call, users=[str(each.get("created_by") or "") for each in entries])
    return [
        PinItem(
            **item.model_dump(),
            pinned_by=entry.get("created_by"),
            pinned_by_name=names.get(entry.get("created_by") or ""),
            pinned_at=entry.get("created"),
        )
        for item, entry in zip(items, entries, strict=True)
    ]


def _get_entries(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the pinned messages; a file that was pinned by itself, which Slack did until 2021, is left out."""
    listed = answer.get("items")
    return [
        each
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and isinstance(each.get("message"), Mapping)
    ]


TOOLS: Final = (
    Tool(
        name="SLACK_PIN_MESSAGE",
        title="Pin a message",
        description="Pins a message to its channel.",
        arguments=PinArguments,
        result=ChangedResult,
        run=_pin,
        access=Access.WRITE,
        needs=_WRITES,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_UNPIN_MESSAGE",
        title="Unpin a message",
        description="Takes a pin off a message, whoever pinned it.",
        arguments=PinArguments,
        result=ChangedResult,
        run=_unpin,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_LIST_PINS",
        title="List pinned messages",
        description="Returns the messages pinned to a channel.",
        arguments=ListPinsArguments,
        result=ListPinsResult,
        run=_list_pins,
        needs=Needs(bot=("pins:read",)),
    ),
)
