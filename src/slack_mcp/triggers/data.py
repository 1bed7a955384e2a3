"""The data that a receiver is told of an event."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.protocol.authors import is_direct
from slack_mcp.protocol.events import EventCallback
from slack_mcp.triggers.kinds import CHANNEL_CREATED, MESSAGE_RECEIVED, REACTION_ADDED, WITH_REPLY
from slack_mcp.triggers.plan import get_channel_type

MAX_DATA_BYTES: Final = 900_000  # Mesh takes 1 MiB, with what stands around the data
_MS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What had to be looked up, None where it is not known.

    Attributes:
        thread_messages: the thread as far as it fits one page, oldest first: ts, user, text, is_bot.
        has_more: the thread is longer.
        thinking_message_ts: the placeholder that whoever answers edits.
        answered_by_bot: the bot answers by itself.
    """

    user_name: str | None = None
    thread_messages: Sequence[Mapping[str, Any]] | None = None
    has_more: bool = False
    thinking_message_ts: Ts | None = None
    answered_by_bot: bool = False


def render_time(at_ms: int) -> str:
    """Return unix milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_ms / _MS, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def render_data(
    kind: str,
    connection: Connection,
    event: EventCallback,
    *,
    raw: Mapping[str, Any],
    received_at_ms: int,
    extras: Extras,
) -> dict[str, Any]:
    """Return the data; a key without a value is left out.

    Args:
        kind: the kind of event.
        connection: whose event it is.
        event: the event.
        raw: the same as Slack sent it.
        received_at_ms: unix milliseconds of its arrival, so that a delivery that is repeated tells the same.
        extras: what was looked up.
    """
    data: dict[str, Any] = {
        "event": kind,
        "event_id": event.event_id,
        "connection_id": connection.connection_id,
        "team_id": event.team_id,
        "channel_id": event.channel_id,
        "user_id": event.user_id,
        "user_name": extras.user_name,
    }
    if kind in WITH_REPLY:
        data |= _render_message(event, raw, extras)
    if kind == MESSAGE_RECEIVED:
        data |= {"is_dm": is_direct(event), "channel_type": get_channel_type(event)}
    if kind == REACTION_ADDED:
        data |= {"reaction": raw.get("reaction"), "item_ts": event.ts}
    if kind == CHANNEL_CREATED:
        channel = raw.get("channel")
        data |= {"channel_name": channel.get("name") if isinstance(channel, dict) else None}
    data["timestamp"] = render_time(received_at_ms)
    return _fit({key: value for key, value in data.items() if value is not None})


def render_body(value: Mapping[str, Any]) -> bytes:
    """Return JSON in ASCII: half of a surrogate pair, which Slack can send, has no UTF-8."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def render_sample(kind: str, connection: Connection, *, at_ms: int) -> dict[str, Any]:
    """Return data for trying a receiver, marked as such."""
    return {"event": kind, "test": True, "connection_id": connection.connection_id, "timestamp": render_time(at_ms)}


def _render_message(event: EventCallback, raw: Mapping[str, Any], extras: Extras) -> dict[str, Any]:
    reply_ts = event.thread_ts or event.ts
    return {
        "text": event.text,
        "ts": event.ts,
        "thread_ts": event.thread_ts,
        "reply_in_thread_ts": reply_ts,
        "thinking_message_ts": extras.thinking_message_ts,
        "reply_instruction": _render_instruction(event.channel_id, reply_ts, extras),
        "answered_by_bot": True if extras.answered_by_bot else None,
        "has_files": bool(raw.get("files")),
        "thread_messages": extras.thread_messages,
        "thread_has_more": True if extras.has_more else None,
    }


def _render_instruction(channel_id: ChannelId | None, reply_ts: Ts | None, extras: Extras) -> str:
    """Return what an agent has to do, in words; the rest of the data is what a person wrote, and no instruction."""
    if extras.answered_by_bot:
        return "The bot answers this message by itself: do not reply to it in Slack."
    if extras.thinking_message_ts:
        return (
            "A placeholder stands in the thread already. To respond, call SLACK_EDIT_MESSAGE with "
            f'channel="{channel_id}", ts="{extras.thinking_message_ts}" and your final answer as text: it takes the '
            "placeholder's place."
        )
    return (
        f'To respond, call SLACK_REPLY_IN_THREAD with channel="{channel_id}" and thread_ts="{reply_ts}". Never post at '
        "the top of the channel: each subject stays in its own thread."
    )


def _fit(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data with as many of the thread's last messages as a receiver takes."""
    while data.get("thread_messages") and len(render_body(data)) > MAX_DATA_BYTES:
        messages = data["thread_messages"]
        data = data | {"thread_messages": messages[len(messages) // 2 + 1 :], "thread_has_more": True}
    return data
