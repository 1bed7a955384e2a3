"""chat.startStream, chat.appendStream and chat.stopStream: messages that are shown while they are written.

Rules: https://docs.slack.dev/reference/methods/chat.startStream and its neighbours, chunks:
https://docs.slack.dev/messaging/sending-and-scheduling-messages#text-streaming. What Slack does not document is what
clients report of it: the lifetime of a stream (https://github.com/slackapi/python-slack-sdk/issues/1859), the size of
its message, that it stays with the kind of content it began with, and the codes of the refusals named here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import LONGEST_MARKDOWN, Answer, Method, check_blocks, parse_metadata, written_channel
from slack_mcp.simulator.model import Channel, Json, Message, SlackRefusalError, Stream, Task
from slack_mcp.simulator.places import find_message, visible_channel
from slack_mcp.simulator.render import render_message
from slack_mcp.simulator.sessions import STATUSES, touch_session
from slack_mcp.simulator.workspace import Workspace

NOT_STREAMING: Final = "message_not_in_streaming_state"
STOPPED_BY_USER: Final = "stopped_by_user"
NOT_OWNED: Final = "message_not_owned_by_app"
BOTH_KINDS: Final = "cannot_provide_both_markdown_text_and_chunks"
OTHER_KIND: Final = "streaming_mode_mismatch"
INVALID_CHUNKS: Final = "invalid_chunks"
TASK_STATUSES: Final = frozenset({"pending", "in_progress", "complete", "error"})
LONGEST_TASK_FIELD: Final = 256
_DISPLAY_MODES = ("timeline", "plan", "dense")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What one call writes: `mode` is None when it writes nothing."""

    mode: str | None = None
    chunks: tuple[Json, ...] = ()


def start_stream(workspace: Workspace, args: Args) -> Answer:
    """chat.startStream: a new message below another one; outside of direct messages for one recipient."""
    channel = written_channel(workspace, args)
    thread_ts = args.required("thread_ts")
    if thread_ts not in channel.messages and thread_ts not in channel.threads:
        raise SlackRefusalError("thread_not_found")
    stream = _make_stream(workspace, channel, args)
    written = _parse_written(args)
    draft = Message(channel_id=channel.channel_id, ts="", user_id="", text="", stream=stream)
    _apply(workspace, draft, stream, written)
    posted = workspace.post(
        channel, draft.text, thread_ts=thread_ts, blocks=draft.blocks, tasks=draft.tasks, stream=stream
    )
    touch_session(workspace, channel.channel_id, thread_ts, "processing", recipient=stream.recipient_user_id)
    return Answer(body={"channel": channel.channel_id, "ts": posted.message.ts}, envelopes=posted.envelopes)


def append_stream(workspace: Workspace, args: Args) -> Answer:
    """chat.appendStream."""
    message, stream = _streaming_message(workspace, args)
    written = _parse_written(args)
    if written.mode is None:
        raise SlackRefusalError("no_text")
    _apply(workspace, message, stream, written)
    workspace.record(message)
    return Answer(body={"channel": message.channel_id, "ts": message.ts})


def stop_stream(workspace: Workspace, args: Args) -> Answer:
    """chat.stopStream: with the last content, and with blocks that stand below all of it."""
    message, stream = _streaming_message(workspace, args)
    written = _parse_written(args)
    blocks: list[Json] = args.nested("blocks", list, "invalid_blocks_format") or []
    check_blocks(blocks)
    metadata = parse_metadata(args)
    status = args.text("session_status", "active")
    if status not in STATUSES:
        raise SlackRefusalError("invalid_arguments")
    previous = render_message(message, workspace.install)
    _apply(workspace, message, stream, written)
    stream.state = "completed"
    if blocks:
        message.blocks = [*(message.blocks or []), *blocks]
    if metadata is not None:
        message.metadata = metadata
    touch_session(workspace, message.channel_id, message.thread_ts or message.ts, status)
    posted = workspace.change(message, previous)
    body = {
        "channel": message.channel_id,
        "ts": message.ts,
        "message": render_message(message, workspace.install, with_metadata=True),
    }
    return Answer(body=body, envelopes=posted.envelopes)


def _make_stream(workspace: Workspace, channel: Channel, args: Args) -> Stream:
    user_id, team_id = args.optional("recipient_user_id"), args.optional("recipient_team_id")
    if channel.kind != "im" and team_id is None:
        raise SlackRefusalError("missing_recipient_team_id")
    if channel.kind != "im" and user_id is None:
        raise SlackRefusalError("missing_recipient_user_id")
    if user_id is not None and user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    display_mode = args.text("task_display_mode", "timeline")
    if display_mode not in _DISPLAY_MODES:
        raise SlackRefusalError("invalid_arguments")
    now_s = workspace.now_s()
    return Stream(
        started_s=now_s,
        touched_s=now_s,
        recipient_user_id=user_id,
        recipient_team_id=team_id,
        display_mode=display_mode,
    )


def _streaming_message(workspace: Workspace, args: Args) -> tuple[Message, Stream]:
    """Return the message of a call and its stream; it must be the app's own and still be streaming."""
    message = find_message(visible_channel(workspace, args), args.required("ts", "message_not_found"))
    if message.bot_id != workspace.install.bot_id:
        raise SlackRefusalError(NOT_OWNED)
    stream = message.stream
    if stream is not None and stream.is_stopped:
        raise SlackRefusalError(STOPPED_BY_USER)
    if stream is None or not message.is_streaming:
        raise SlackRefusalError(NOT_STREAMING)
    return message, stream


def _parse_written(args: Args) -> _Written:
    """Return what a call writes. Raises SlackRefusalError for content that Slack does not take."""
    text = args.text("markdown_text")
    given: list[Json] = args.nested("chunks", list, INVALID_CHUNKS) or []
    if text and given:
        raise SlackRefusalError(BOTH_KINDS)
    chunks = [{"type": "markdown_text", "text": text}] if text else given
    for chunk in chunks:
        _check_chunk(chunk)
    mode = "markdown_text" if text else "chunks" if given else None
    return _Written(mode=mode, chunks=tuple(chunks))


def _check_chunk(chunk: object) -> None:
    check = _CHECKS.get(str(chunk.get("type"))) if isinstance(chunk, dict) else None
    if not isinstance(chunk, dict) or check is None:
        raise SlackRefusalError(INVALID_CHUNKS)
    check(chunk)


def _check_text(chunk: Json) -> None:
    if not isinstance(chunk.get("text"), str):
        raise SlackRefusalError(INVALID_CHUNKS)
    if len(chunk["text"]) > LONGEST_MARKDOWN:
        raise SlackRefusalError("msg_too_long")


def _check_more_blocks(chunk: Json) -> None:
    if not isinstance(chunk.get("blocks"), list):
        raise SlackRefusalError(INVALID_CHUNKS)
    check_blocks(chunk["blocks"])


def _check_plan(chunk: Json) -> None:
    _check_fields(chunk, "title")


def _check_task(chunk: Json) -> None:
    _check_fields(chunk, "id", "title", "status", optional=("details", "output"))
    if chunk["status"] not in TASK_STATUSES or not isinstance(chunk.get("sources") or [], list):
        raise SlackRefusalError(INVALID_CHUNKS)


def _check_fields(chunk: Json, *names: str, optional: tuple[str, ...] = ()) -> None:
    for name in (*names, *optional):
        value = chunk.get(name)
        if value is None and name in optional:
            continue
        if not isinstance(value, str) or (not value and name in names) or len(value) > LONGEST_TASK_FIELD:
            raise SlackRefusalError(INVALID_CHUNKS)


def _apply(workspace: Workspace, message: Message, stream: Stream, written: _Written) -> None:
    """Write to a streaming message: all of it or, where that is refused, nothing."""
    if None not in (stream.mode, written.mode) and stream.mode != written.mode:
        raise SlackRefusalError(OTHER_KIND)
    text = message.text + "".join(chunk["text"] for chunk in written.chunks if chunk["type"] == "markdown_text")
    if len(text.encode()) > workspace.stream_rules.most_bytes:
        raise SlackRefusalError("msg_too_long")
    blocks = [block for chunk in written.chunks if chunk["type"] == "blocks" for block in chunk["blocks"]]
    message.text = text
    if blocks:
        message.blocks = [*(message.blocks or []), *blocks]
    for chunk in written.chunks:
        if chunk["type"] == "task_update":
            message.tasks = _updated(message.tasks, chunk)
        elif chunk["type"] == "plan_update":
            stream.plan_title = chunk["title"]
    stream.mode = stream.mode or written.mode
    stream.touched_s = workspace.now_s()


def _updated(tasks: tuple[Task, ...], chunk: Json) -> tuple[Task, ...]:
    """Return the tasks after an update: title and status are replaced, details and output grow."""
    known = next((task for task in tasks if task.task_id == chunk["id"]), None)
    before = known or Task(task_id=chunk["id"], title="", status="")
    task = replace(
        before,
        title=chunk["title"],
        status=chunk["status"],
        details=before.details + (chunk.get("details") or ""),
        output=before.output + (chunk.get("output") or ""),
        sources=(*before.sources, *(chunk.get("sources") or ())),
    )
    return (*tasks, task) if known is None else tuple(task if each is known else each for each in tasks)


_CHECKS: Final[dict[str, Callable[[Json], None]]] = {
    "blocks": _check_more_blocks,
    "markdown_text": _check_text,
    "plan_update": _check_plan,
    "task_update": _check_task,
}

STREAM_METHODS: dict[str, tuple[Method, str]] = {
    "chat.appendStream": (append_stream, "chat:write"),
    "chat.startStream": (start_stream, "chat:write"),
    "chat.stopStream": (stop_stream, "chat:write"),
}
"""Each method with the scope it needs."""
