"""Reading messages: of a channel, of a thread, one by its link; and the link to one."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel, Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.protocol.permalinks import parse_permalink
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import TS_PATTERN, ChannelText, MessageTs, Moment, ThreadTs, parse_moment, render_now
from slack_mcp.tools.listing import ListArguments, ListResult, Position, fit
from slack_mcp.tools.message_items import MessageItem, describe_messages, find_names
from slack_mcp.tools.needs import CHANNELS_HISTORY, Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

_READS: Final = Needs(bot=(CHANNELS_HISTORY,))
_TS: Final = re.compile(TS_PATTERN)


class HistoryArguments(ListArguments):
    """Which messages of a channel."""

    channel: ChannelText
    limit: int = Field(default=50, ge=1, le=200, description="Most messages to return.")
    oldest: Moment | None = Field(default=None, description="Only messages after this.")
    latest: Moment | None = Field(default=None, description="Only messages before this.")


class RepliesArguments(ListArguments):
    """Which replies of a thread."""

    channel: ChannelText
    thread_ts: ThreadTs
    limit: int = Field(default=50, ge=1, le=200, description="Most messages to return.")


class MessagesResult(ListResult):
    """Messages."""

    ITEMS: ClassVar[str] = "messages"

    messages: Sequence[MessageItem]


class MessageArguments(Arguments):
    """Which message."""

    link: str | None = Field(default=None, max_length=500, description="Its link; instead of channel and ts.")
    channel: ChannelText | None = None
    ts: MessageTs | None = None
    thread_ts: ThreadTs | None = None


class MessageResult(Result):
    """A message."""

    channel: str
    channel_name: str | None = None
    message: MessageItem

    def render_text(self, _arguments: BaseModel) -> str:
        """Return it as Markdown."""
        where = f"#{self.channel_name} ({self.channel})" if self.channel_name else self.channel
        return f"{where}\n{self.message.render_line()}"


class PermalinkArguments(Arguments):
    """Which message."""

    channel: ChannelText
    ts: MessageTs


class PermalinkResult(Result):
    """A link."""

    permalink: str


async def _get_history(call: Call, arguments: HistoryArguments) -> MessagesResult:
    channel_id = await call.resolve_channel(arguments.channel)
    now_s = call.services.clock.now_s()
    oldest = parse_moment("oldest", arguments.oldest, now_s=now_s)
    # The cursor is the ts of the last message shown: what is written meanwhile moves nothing.
    latest = _parse_cursor(arguments) or parse_moment("latest", arguments.latest, now_s=now_s)
    if oldest is not None and latest is None:
        latest = render_now(now_s)
    answer = await call.bot.read(
        "conversations.history",
        channel=channel_id,
        oldest=oldest,
        latest=latest,
        limit=arguments.limit,
    )
    return await _make_page(call, arguments, _get_messages(answer), has_more=answer.get("has_more") is True)


async def _get_replies(call: Call, arguments: RepliesArguments) -> MessagesResult:
    channel_id = await call.resolve_channel(arguments.channel)
    after = _parse_cursor(arguments)
    # The thread's first message heads every page, older than `oldest` or not, and may count as one of `limit`.
    answer = await call.bot.read(
        "conversations.replies",
        channel=channel_id,
        ts=arguments.thread_ts,
        oldest=after,
        limit=arguments.limit + 1,
    )
    messages = [each for each in _get_messages(answer) if after is None or each["ts"] > after]
    return await _make_page(call, arguments, messages, has_more=answer.get("has_more") is True)


async def _make_page(
    call: Call, arguments: ListArguments, messages: Sequence[Mapping[str, Any]], *, has_more: bool
) -> MessagesResult:
    """Return the page that the arguments allow, with a cursor when it does not show the last message."""
    page = messages[: arguments.limit]
    items = fit(await describe_messages(call, page), arguments)
    is_cut = len(items) < len(messages)
    return MessagesResult(
        messages=items, next_cursor=Position(items[-1].ts).render() if items and (is_cut or has_more) else None
    )


async def _get_message(call: Call, arguments: MessageArguments) -> MessageResult:
    channel, ts, thread_ts = _read_place(arguments)
    channel_id = await call.resolve_channel(channel)
    is_reply = thread_ts is not None and thread_ts != ts
    try:
        # `ts` may be a message of a thread, which is then returned by itself.
        answer = await call.bot.read(
            "conversations.replies",
            channel=channel_id,
            ts=thread_ts if is_reply else ts,
            oldest=ts,
            latest=ts,
            inclusive=True,
            limit=2,
        )
    except SlackRefusedError as error:
        if not is_refusal(error, "thread_not_found"):
            raise
        raise SlackRefusedError(error.method, "message_not_found") from None
    found = [each for each in _get_messages(answer) if each["ts"] == ts]
    if not found:
        raise SlackRefusedError("conversations.replies", "message_not_found")
    (item,) = await describe_messages(call, found[:1])
    _, names = await find_names(call, channels=[channel_id])
    return MessageResult(channel=channel_id, channel_name=names.get(channel_id), message=item)


async def _get_permalink(call: Call, arguments: PermalinkArguments) -> PermalinkResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.read("chat.getPermalink", channel=channel_id, message_ts=arguments.ts)
    return PermalinkResult(permalink=answer["permalink"])


def _read_place(arguments: MessageArguments) -> tuple[str, str, str | None]:
    """Return (channel, ts, ts of the thread's first message) of the message that is meant."""
    if arguments.link is None:
        if arguments.channel is None or arguments.ts is None:
            raise InvalidInputError("Give the message's link, or its channel and ts.")
        return arguments.channel, arguments.ts, arguments.thread_ts
    if (arguments.channel, arguments.ts, arguments.thread_ts) != (None, None, None):
        raise InvalidInputError("Give either the message's link, or its channel and ts.")
    found = parse_permalink(arguments.link)
    if found is None:
        raise InvalidInputError(
            "link: this is no link to a message; one looks like https://example.slack.com/archives/C1/p1700000000000100."
        )
    return found


def _parse_cursor(arguments: ListArguments) -> str | None:
    position = Position.parse(arguments.cursor)
    if position.page is not None and not _TS.match(position.page):
        raise InvalidInputError("cursor: this is the cursor of another list.")
    return position.page


def _get_messages(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    listed = answer.get("messages")
    return [
        each
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and isinstance(each.get("ts"), str)
    ]


TOOLS: Final = (
    Tool(
        name="SLACK_GET_CHANNEL_HISTORY",
        title="Read a channel",
        description=(
            "Returns a channel's messages, newest first, without the replies in threads: SLACK_GET_THREAD_REPLIES has "
            "those of a message with a reply_count."
        ),
        arguments=HistoryArguments,
        result=MessagesResult,
        run=_get_history,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_THREAD_REPLIES",
        title="Read a thread",
        description="Returns a thread's first message and its replies, oldest first.",
        arguments=RepliesArguments,
        result=MessagesResult,
        run=_get_replies,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_MESSAGE",
        title="Read one message",
        description="Returns one message, by its link or by channel and ts; with thread_ts when it is a reply.",
        arguments=MessageArguments,
        result=MessageResult,
        run=_get_message,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_PERMALINK",
        title="Link to a message",
        description="Returns the link to a message, for people.",
        arguments=PermalinkArguments,
        result=PermalinkResult,
        run=_get_permalink,
    ),
)
