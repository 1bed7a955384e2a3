"""chat.*: what the app writes.

Rules and error codes: https://docs.slack.dev/reference/methods/chat.postMessage, chat.update and their neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.blocks import MOST_BLOCKS, measure_text, validate_blocks
from slack_mcp.simulator.model import Channel, Json, Message, SlackRefusalError
from slack_mcp.simulator.places import find_message, visible_channel
from slack_mcp.simulator.render import render_message, render_permalink
from slack_mcp.simulator.workspace import Workspace

LONGEST_TEXT = 40_000
LONGEST_UPDATE = 4_000
LONGEST_MARKDOWN = 12_000
LONGEST_BLOCKS = 13_200
"""Reported by clients, not documented."""
MOST_ATTACHMENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of an `ok: true` answer without the `ok`, and the events that the call caused."""

    body: Json = field(default_factory=dict)
    envelopes: list[Json] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a message is to show."""

    text: str
    blocks: list[Json] | None
    attachments: list[Json] | None


Method = Callable[[Workspace, Args], Answer]


def post_message(workspace: Workspace, args: Args) -> Answer:
    """chat.postMessage."""
    channel = written_channel(workspace, args)
    content = parse_content(args)
    posted = workspace.post(channel, content.text[:LONGEST_TEXT], **parse_options(channel, args, content))
    message = posted.message
    body: Json = {
        "channel": channel.channel_id,
        "ts": message.ts,
        "message": render_message(message, workspace.install, with_metadata=True),
    }
    if len(content.text) > LONGEST_TEXT:
        body |= {"warning": "message_truncated", "response_metadata": {"warnings": ["message_truncated"]}}
    return Answer(body=body, envelopes=posted.envelopes)


def update(workspace: Workspace, args: Args) -> Answer:
    """chat.update: own messages only, not while they stream, and at most 4 000 characters of `text`."""
    message = _own_message(workspace, args, "cant_update_message")
    if message.is_streaming:
        raise SlackRefusalError("streaming_state_conflict")
    content = parse_content(args)
    if len(args.text("text")) > LONGEST_UPDATE:
        raise SlackRefusalError("msg_too_long")
    posted = workspace.update(
        message,
        content.text,
        blocks=content.blocks,
        metadata=parse_metadata(args),
        attachments=content.attachments,
    )
    body = {
        "channel": message.channel_id,
        "ts": message.ts,
        "text": content.text,
        "message": render_message(message, workspace.install, with_metadata=True),
    }
    return Answer(body=body, envelopes=posted.envelopes)


def delete(workspace: Workspace, args: Args) -> Answer:
    """chat.delete: own messages only."""
    posted = workspace.delete(_own_message(workspace, args, "cant_delete_message"))
    return Answer(body={"channel": posted.message.channel_id, "ts": posted.message.ts}, envelopes=posted.envelopes)


def post_ephemeral(workspace: Workspace, args: Args) -> Answer:
    """chat.postEphemeral: shown to one member of the channel, listed by no method."""
    channel = written_channel(workspace, args)
    user_id = args.required("user")
    if user_id not in channel.members:
        raise SlackRefusalError("user_not_in_channel")
    content = parse_content(args)
    note = workspace.whisper(channel, user_id, content.text, args.optional("thread_ts"), blocks=content.blocks)
    return Answer(body={"message_ts": note.ts})


def get_permalink(workspace: Workspace, args: Args) -> Answer:
    """chat.getPermalink."""
    channel = visible_channel(workspace, args)
    message = find_message(channel, args.text("message_ts"))
    return Answer(
        body={"channel": channel.channel_id, "permalink": render_permalink(message, workspace.url)},
    )


def written_channel(workspace: Workspace, args: Args) -> Channel:
    """Return the channel that a message is to go to. Raises channel_not_found, not_in_channel, is_archived."""
    wanted = args.required("channel", "channel_not_found")
    if wanted in workspace.users:
        return workspace.open_im(wanted)  # a user's id stands for the direct message with that user
    channel = visible_channel(workspace, args)
    if workspace.actor.user_id not in channel.members and not workspace.actor.may("chat:write.public"):
        raise SlackRefusalError("not_in_channel")
    if channel.is_archived:
        raise SlackRefusalError("is_archived")
    return channel


def parse_content(args: Args) -> Content:
    """Return what a message is to show. Raises SlackRefusalError no_text, msg_too_long, invalid_blocks and others."""
    text, markdown = args.text("text"), args.text("markdown_text")
    blocks: list[Json] | None = args.nested("blocks", list, "invalid_blocks_format")
    attachments: list[Json] | None = args.nested("attachments", list, "invalid_attachments")
    if markdown and (text or blocks):
        raise SlackRefusalError("markdown_text_conflict")
    if len(markdown) > LONGEST_MARKDOWN:
        raise SlackRefusalError("msg_too_long")
    if not text and not markdown and not blocks and not attachments:
        raise SlackRefusalError("no_text")
    if len(attachments or ()) > MOST_ATTACHMENTS:
        raise SlackRefusalError("too_many_attachments")
    check_blocks(blocks or [])
    return Content(text=text or markdown, blocks=blocks, attachments=attachments)


def parse_options(channel: Channel, args: Args, content: Content) -> Json:
    """Return the further arguments of `Workspace.post`. Raises SlackRefusalError thread_not_found and others."""
    thread_ts = args.optional("thread_ts")
    if thread_ts is not None and thread_ts not in channel.messages and thread_ts not in channel.threads:
        raise SlackRefusalError("thread_not_found")
    return {
        "thread_ts": thread_ts,
        "is_broadcast": args.flag("reply_broadcast"),
        "blocks": content.blocks,
        "attachments": content.attachments,
        "unfurl_links": args.flag("unfurl_links") if args.optional("unfurl_links") else None,
        "unfurl_media": args.flag("unfurl_media") if args.optional("unfurl_media") else None,
        "metadata": parse_metadata(args),
    }


def check_blocks(blocks: list[Json]) -> None:
    """Raise SlackRefusalError invalid_blocks or msg_blocks_too_long for what a message cannot show."""
    errors = validate_blocks(blocks, most=MOST_BLOCKS)
    if errors:
        # Slack names the places in words there: https://docs.slack.dev/reference/methods/chat.postMessage
        messages = [f"[ERROR] {each['message']} [json-pointer:/blocks{each['pointer']}]" for each in errors]
        raise SlackRefusalError(
            "invalid_blocks", errors=[each["message"] for each in errors], response_metadata={"messages": messages}
        )
    markdown = [each for each in blocks if each.get("type") == "markdown"]
    if measure_text(blocks) > LONGEST_BLOCKS or measure_text(markdown) > LONGEST_MARKDOWN:
        raise SlackRefusalError("msg_blocks_too_long")


def parse_metadata(args: Args) -> Json | None:
    """Return a message's metadata; None without any. Raises SlackRefusalError invalid_metadata_format."""
    metadata: Json | None = args.nested("metadata", dict, "invalid_metadata_format")
    if metadata and not (
        isinstance(metadata.get("event_type"), str) and isinstance(metadata.get("event_payload"), dict)
    ):
        raise SlackRefusalError("invalid_metadata_format")
    return metadata


def _own_message(workspace: Workspace, args: Args, refusal: str) -> Message:
    message = find_message(visible_channel(workspace, args), args.text("ts"))
    if message.user_id != workspace.actor.user_id:
        raise SlackRefusalError(refusal)
    return message


CHAT_METHODS: dict[str, tuple[Method, str]] = {
    "chat.postMessage": (post_message, "chat:write"),
    "chat.update": (update, "chat:write"),
    "chat.delete": (delete, "chat:write"),
    "chat.postEphemeral": (post_ephemeral, "chat:write"),
    "chat.getPermalink": (get_permalink, ""),
}
"""Each method with the scope it needs."""
