"""Messages that Slack sends later."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.protocol.message_text import name_ids
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, Moment, ThreadTs, parse_moment, render_time
from slack_mcp.tools.listing import Item, ListArguments, ListResult, fetch_page
from slack_mcp.tools.message_items import find_names, indent
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.posting import (
    AllowBroadcast,
    Blocks,
    PostText,
    ReplyBroadcast,
    UnfurlLinks,
    UnfurlMedia,
    check_mentions,
    check_reply_broadcast,
)
from slack_mcp.tools.tool import Arguments, Result, Tool

# https://docs.slack.dev/reference/methods/chat.scheduleMessage
MAX_AHEAD_S: Final = 120 * 86_400
_MAX_POST_AT: Final = 99_999_999_999
_WRITES: Final = Needs(bot=("chat:write",))


class ScheduleArguments(Arguments):
    """What to send where and when."""

    channel: ChannelText
    text: PostText
    post_at: int = Field(ge=1, le=_MAX_POST_AT, description="When, unix seconds; at most 120 days ahead.")
    thread_ts: ThreadTs | None = None
    reply_broadcast: ReplyBroadcast = False
    blocks: Blocks | None = None
    unfurl_links: UnfurlLinks = False
    unfurl_media: UnfurlMedia = False
    allow_broadcast: AllowBroadcast = False


class ScheduledResult(Result):
    """What was scheduled."""

    scheduled_message_id: str
    channel: str
    post_at: int


class ListScheduledArguments(ListArguments):
    """Which scheduled messages."""

    channel: ChannelText | None = None
    oldest: Moment | None = Field(default=None, description="Only those due after this.")
    latest: Moment | None = Field(default=None, description="Only those due before this.")


class ScheduledItem(Item):
    """A message that is not sent yet."""

    id: str = Field(description="The scheduled_message_id.")
    channel: str
    channel_name: str | None = None
    post_at: int
    text: str

    def render_line(self) -> str:
        """Return it as Markdown."""
        where = f"#{self.channel_name} ({self.channel})" if self.channel_name else self.channel
        return f"- {self.id} at {self.post_at} {render_time(str(self.post_at))} in {where}: {indent(self.text)}"


class ListScheduledResult(ListResult):
    """Scheduled messages."""

    ITEMS: ClassVar[str] = "scheduled_messages"

    scheduled_messages: Sequence[ScheduledItem]


class DeleteScheduledArguments(Arguments):
    """Which scheduled message to take back."""

    channel: ChannelText
    scheduled_message_id: str = Field(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9]+$")


class DeletedResult(Result):
    """Which it was."""

    channel: str
    scheduled_message_id: str


async def _schedule(call: Call, arguments: ScheduleArguments) -> ScheduledResult:
    check_mentions(arguments.text, arguments.blocks, allow_broadcast=arguments.allow_broadcast)
    check_reply_broadcast(arguments.thread_ts, is_broadcast=arguments.reply_broadcast)
    now_s = int(call.services.clock.now_s())
    if not now_s < arguments.post_at <= now_s + MAX_AHEAD_S:
        raise InvalidInputError(f"post_at: give a time after now, which is {now_s}, and at most 120 days ahead.")
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.write(
        "chat.scheduleMessage",
        channel=channel_id,
        text=arguments.text,
        post_at=arguments.post_at,
        thread_ts=arguments.thread_ts,
        blocks=arguments.blocks,
        reply_broadcast=arguments.reply_broadcast or None,
        unfurl_links=arguments.unfurl_links,
        unfurl_media=arguments.unfurl_media,
        link_names=False,
    )
    call.targets.append(answer["scheduled_message_id"])
    return ScheduledResult(
        scheduled_message_id=answer["scheduled_message_id"], channel=channel_id, post_at=arguments.post_at
    )


async def _list_scheduled(call: Call, arguments: ListScheduledArguments) -> ListScheduledResult:
    channel_id = None if arguments.channel is None else await call.resolve_channel(arguments.channel)
    now_s = call.services.clock.now_s()

    async def describe(entries: Sequence[Mapping[str, Any]]) -> Sequence[ScheduledItem]:
        texts = [str(each.get("text") or "") for each in entries]
        users, channels = await find_names(
            call, texts, channels=[str(each.get("channel_id") or "") for each in entries]
        )
        return [
            ScheduledItem(
                id=str(entry["id"]),
                channel=entry["channel_id"],
                channel_name=channels.get(entry["channel_id"]),
                post_at=entry["post_at"],
                text=name_ids(text, users, channels),
            )
            for entry, text in zip(entries, texts, strict=True)
        ]

    items, next_cursor = await fetch_page(
        call.bot,
        "chat.scheduledMessages.list",
        arguments,
        key="scheduled_messages",
        make=describe,
        channel=channel_id,
        oldest=parse_moment("oldest", arguments.oldest, now_s=now_s),
        latest=parse_moment("latest", arguments.latest, now_s=now_s),
    )
    return ListScheduledResult(scheduled_messages=items, next_cursor=next_cursor)


async def _delete_scheduled(call: Call, arguments: DeleteScheduledArguments) -> DeletedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    await call.bot.write(
        "chat.deleteScheduledMessage", channel=channel_id, scheduled_message_id=arguments.scheduled_message_id
    )
    call.targets.append(arguments.scheduled_message_id)
    return DeletedResult(channel=channel_id, scheduled_message_id=arguments.scheduled_message_id)


TOOLS: Final = (
    Tool(
        name="SLACK_SCHEDULE_MESSAGE",
        title="Schedule a message",
        description="Schedules a message. To change it, take it back with SLACK_DELETE_SCHEDULED_MESSAGE first.",
        arguments=ScheduleArguments,
        result=ScheduledResult,
        run=_schedule,
        access=Access.WRITE,
        needs=_WRITES,
    ),
    Tool(
        name="SLACK_LIST_SCHEDULED_MESSAGES",
        title="List scheduled messages",
        description="Returns the messages that the bot has scheduled and that are not sent yet.",
        arguments=ListScheduledArguments,
        result=ListScheduledResult,
        run=_list_scheduled,
    ),
    Tool(
        name="SLACK_DELETE_SCHEDULED_MESSAGE",
        title="Take a scheduled message back",
        description="Deletes a message that is scheduled and not sent yet.",
        arguments=DeleteScheduledArguments,
        result=DeletedResult,
        run=_delete_scheduled,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
)
