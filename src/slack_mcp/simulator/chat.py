"""chat.*, reactions.* and assistant.threads.*: what the bot writes.

Rules and error codes: https://docs.slack.dev/reference/methods/chat.postMessage, chat.update and their neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.model import Channel, Json, Message, SlackRefusalError
from slack_mcp.simulator.render import render_message
from slack_mcp.simulator.workspace import Workspace

LONGEST_TEXT = 40_000
LONGEST_UPDATE = 4_000
MOST_BLOCKS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of an `ok: true` answer without the `ok`, and the events that the call caused."""

    body: Json = field(default_factory=dict)
    envelopes: list[Json] = field(default_factory=list)


Method = Callable[[Workspace, Args], Answer]


def post_message(workspace: Workspace, args: Args) -> Answer:
    """chat.postMessage."""
    channel = _joined_channel(workspace, args)
    text, blocks = _content(args)
    posted = workspace.post(
        channel,
        text[:LONGEST_TEXT],
        thread_ts=args.optional("thread_ts"),
        is_broadcast=args.flag("reply_broadcast"),
        blocks=blocks,
        metadata=_metadata(args),
    )
    message = posted.message
    body: Json = {
        "channel": channel.channel_id,
        "ts": message.ts,
        "message": render_message(message, workspace.install, with_metadata=True),
    }
    if len(text) > LONGEST_TEXT:
        body |= {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}
    return Answer(body=body, envelopes=posted.envelopes)


def update(workspace: Workspace, args: Args) -> Answer:
    """chat.update: own messages only, at most 4 000 characters."""
    message = _own_message(workspace, args, "cant_update_message")
    text, blocks = _content(args)
    if len(text) > LONGEST_UPDATE:
        raise SlackRefusalError("msg_too_long")
    posted = workspace.update(message, text, blocks=blocks, metadata=_metadata(args))
    body = {
        "channel": message.channel_id,
        "ts": message.ts,
        "text": text,
        "message": render_message(message, workspace.install, with_metadata=True),
    }
    return Answer(body=body, envelopes=posted.envelopes)


def delete(workspace: Workspace, args: Args) -> Answer:
    """chat.delete: own messages only."""
    posted = workspace.delete(_own_message(workspace, args, "cant_delete_message"))
    return Answer(body={"channel": posted.message.channel_id, "ts": posted.message.ts}, envelopes=posted.envelopes)


def post_ephemeral(workspace: Workspace, args: Args) -> Answer:
    """chat.postEphemeral: shown to one member of the channel, listed by no method."""
    channel = _joined_channel(workspace, args)
    user_id = args.required("user")
    if user_id not in channel.members:
        raise SlackRefusalError("user_not_in_channel")
    text, _ = _content(args)
    note = workspace.whisper(channel, user_id, text, args.optional("thread_ts"))
    return Answer(body={"message_ts": note.ts})


def add_reaction(workspace: Workspace, args: Args) -> Answer:
    """reactions.add."""
    users = _reaction_users(workspace, args)
    if workspace.install.bot_user_id in users:
        raise SlackRefusalError("already_reacted")
    users.append(workspace.install.bot_user_id)
    return Answer()


def remove_reaction(workspace: Workspace, args: Args) -> Answer:
    """reactions.remove."""
    users = _reaction_users(workspace, args)
    if workspace.install.bot_user_id not in users:
        raise SlackRefusalError("no_reaction")
    users.remove(workspace.install.bot_user_id)
    return Answer()


def set_status(workspace: Workspace, args: Args) -> Answer:
    """assistant.threads.setStatus."""
    channel = workspace.find_channel(args.required("channel_id", "channel_not_found"))
    workspace.set_status(channel, args.required("thread_ts"), args.text("status"))
    return Answer()


def _joined_channel(workspace: Workspace, args: Args) -> Channel:
    wanted = args.required("channel", "channel_not_found")
    # A user's id stands for the direct message with that user.
    channel = workspace.open_im(wanted) if wanted in workspace.users else workspace.find_channel(wanted)
    if workspace.install.bot_user_id not in channel.members:
        raise SlackRefusalError("not_in_channel")
    return channel


def _own_message(workspace: Workspace, args: Args, refusal: str) -> Message:
    channel = workspace.find_channel(args.required("channel", "channel_not_found"))
    message = channel.messages.get(args.text("ts"))
    if message is None:
        raise SlackRefusalError("message_not_found")
    if message.bot_id != workspace.install.bot_id:
        raise SlackRefusalError(refusal)
    return message


def _reaction_users(workspace: Workspace, args: Args) -> list[str]:
    channel = workspace.find_channel(args.required("channel", "channel_not_found"))
    message = channel.messages.get(args.required("timestamp", "bad_timestamp"))
    if message is None:
        raise SlackRefusalError("message_not_found")
    return message.reactions.setdefault(args.required("name", "invalid_name"), [])


def _content(args: Args) -> tuple[str, list[Json] | None]:
    text = args.text("text") or args.text("markdown_text")
    blocks: list[Json] | None = args.nested("blocks", list, "invalid_blocks_format")
    if not text and not blocks and not args.optional("attachments"):
        raise SlackRefusalError("no_text")
    if blocks is not None and len(blocks) > MOST_BLOCKS:
        raise SlackRefusalError("invalid_blocks")
    return text, blocks


def _metadata(args: Args) -> Json | None:
    metadata: Json | None = args.nested("metadata", dict, "invalid_metadata_format")
    if metadata and not (
        isinstance(metadata.get("event_type"), str) and isinstance(metadata.get("event_payload"), dict)
    ):
        raise SlackRefusalError("invalid_metadata_format")
    return metadata


CHAT_METHODS: dict[str, tuple[Method, str]] = {
    "chat.postMessage": (post_message, "chat:write"),
    "chat.update": (update, "chat:write"),
    "chat.delete": (delete, "chat:write"),
    "chat.postEphemeral": (post_ephemeral, "chat:write"),
    "reactions.add": (add_reaction, "reactions:write"),
    "reactions.remove": (remove_reaction, "reactions:write"),
    "assistant.threads.setStatus": (set_status, "chat:write"),
}
"""Each method with the scope it needs."""
