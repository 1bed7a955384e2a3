"""Writing messages: send, reply, edit, delete, show to one person."""

from typing import Annotated, Final, TypeAlias

from pydantic import Field

from slack_mcp.core.model import Access
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, MessageTs, ThreadTs, UserText
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.posting import (
    AllowBroadcast,
    Blocks,
    EditText,
    PostText,
    ReplyBroadcast,
    UnfurlLinks,
    UnfurlMedia,
    check_mentions,
    check_reply_broadcast,
    find_posted,
    render_request,
)
from slack_mcp.tools.tool import Arguments, Result, Tool

_WRITES: Final = Needs(bot=("chat:write",))


RequestId: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
        description="Any id: a repeat with the same one within an hour sends nothing.",
    ),
]


class SendArguments(Arguments):
    """What to send where."""

    channel: ChannelText
    text: PostText
    thread_ts: ThreadTs | None = None
    reply_broadcast: ReplyBroadcast = False
    blocks: Blocks | None = None
    unfurl_links: UnfurlLinks = False
    unfurl_media: UnfurlMedia = False
    allow_broadcast: AllowBroadcast = False
    request_id: RequestId | None = None


class ReplyArguments(Arguments):
    """What to reply to which thread."""

    channel: ChannelText
    thread_ts: ThreadTs
    text: PostText
    reply_broadcast: ReplyBroadcast = False
    blocks: Blocks | None = None
    unfurl_links: UnfurlLinks = False
    unfurl_media: UnfurlMedia = False
    allow_broadcast: AllowBroadcast = False
    request_id: RequestId | None = None


class SentResult(Result):
    """Where the message is."""

    ts: str
    channel: str
    is_duplicate: bool | None = Field(default=None, description="It had been sent before; nothing was sent now.")


class EditArguments(Arguments):
    """Which message to change to what."""

    channel: ChannelText
    ts: MessageTs
    text: EditText
    blocks: Blocks | None = None
    allow_broadcast: AllowBroadcast = False


class DeleteArguments(Arguments):
    """Which message to delete."""

    channel: ChannelText
    ts: MessageTs


class EphemeralArguments(Arguments):
    """What to show whom where."""

    channel: ChannelText
    user: UserText
    text: PostText
    thread_ts: ThreadTs | None = None
    blocks: Blocks | None = None
    allow_broadcast: AllowBroadcast = False


class ChangedResult(Result):
    """Which message it was."""

    channel: str
    ts: str


async def _send(call: Call, arguments: SendArguments | ReplyArguments) -> SentResult:
    check_mentions(arguments.text, arguments.blocks, allow_broadcast=arguments.allow_broadcast)
    check_reply_broadcast(arguments.thread_ts, is_broadcast=arguments.reply_broadcast)
    channel_id = await call.resolve_channel(arguments.channel)
    if arguments.request_id is not None:
        sent_ts = await find_posted(call, channel_id, arguments.thread_ts, arguments.request_id)
        if sent_ts is not None:
            return SentResult(ts=sent_ts, channel=channel_id, is_duplicate=True)
    answer = await call.bot.write(
        "chat.postMessage",
        channel=channel_id,
        text=arguments.text,
        thread_ts=arguments.thread_ts,
        blocks=arguments.blocks,
        reply_broadcast=arguments.reply_broadcast or None,
        metadata=render_request(arguments.request_id),
        # Slack fetches what it previews: an address that a model was talked into writing tells its owner something.
        unfurl_links=arguments.unfurl_links,
        unfurl_media=arguments.unfurl_media,
        link_names=False,
    )
    call.targets.append(answer["ts"])
    return SentResult(ts=answer["ts"], channel=answer["channel"])


async def _edit(call: Call, arguments: EditArguments) -> ChangedResult:
    check_mentions(arguments.text, arguments.blocks, allow_broadcast=arguments.allow_broadcast)
    channel_id = await call.resolve_channel(arguments.channel)
    await call.bot.write(
        "chat.update",
        channel=channel_id,
        ts=arguments.ts,
        text=arguments.text,
        blocks=arguments.blocks,
        link_names=False,
    )
    return ChangedResult(channel=channel_id, ts=arguments.ts)


async def _delete(call: Call, arguments: DeleteArguments) -> ChangedResult:
    channel_id = await call.resolve_channel(arguments.channel)
    await call.bot.write("chat.delete", channel=channel_id, ts=arguments.ts)
    return ChangedResult(channel=channel_id, ts=arguments.ts)


async def _send_ephemeral(call: Call, arguments: EphemeralArguments) -> ChangedResult:
    check_mentions(arguments.text, arguments.blocks, allow_broadcast=arguments.allow_broadcast)
    channel_id = await call.resolve_channel(arguments.channel)
    user_id = await call.resolve_user(arguments.user)
    answer = await call.bot.write(
        "chat.postEphemeral",
        channel=channel_id,
        user=user_id,
        text=arguments.text,
        thread_ts=arguments.thread_ts,
        blocks=arguments.blocks,
        link_names=False,
    )
    return ChangedResult(channel=channel_id, ts=answer["message_ts"])


TOOLS: Final = (
    Tool(
        name="SLACK_SEND_MESSAGE",
        title="Send a message",
        description="Sends a message to a channel or a person; with thread_ts into a thread.",
        arguments=SendArguments,
        result=SentResult,
        run=_send,
        access=Access.WRITE,
        needs=_WRITES,
    ),
    Tool(
        name="SLACK_REPLY_IN_THREAD",
        title="Reply in a thread",
        description="Replies to a message, in its thread.",
        arguments=ReplyArguments,
        result=SentResult,
        run=_send,
        access=Access.WRITE,
        needs=_WRITES,
    ),
    Tool(
        name="SLACK_EDIT_MESSAGE",
        title="Edit a message",
        description="Replaces the text and the blocks of a message that the bot sent; blocks not given are taken away.",
        arguments=EditArguments,
        result=ChangedResult,
        run=_edit,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_DELETE_MESSAGE",
        title="Delete a message",
        description="Deletes a message that the bot sent, for good.",
        arguments=DeleteArguments,
        result=ChangedResult,
        run=_delete,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_SEND_EPHEMERAL",
        title="Show a message to one person",
        description=(
            "Shows a message in a channel to one of its members alone. It is gone when they reload, and cannot be read "
            "back, edited or deleted: SLACK_SEND_MESSAGE to the person keeps."
        ),
        arguments=EphemeralArguments,
        result=ChangedResult,
        run=_send_ephemeral,
        access=Access.WRITE,
        needs=_WRITES,
    ),
)
