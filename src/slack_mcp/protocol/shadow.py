"""A message that is to be answered in another channel than its own, as it is journalled."""

from typing import Final

import msgspec

from slack_mcp.core.errors import MalformedBodyError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId
from slack_mcp.core.model import Delivery
from slack_mcp.protocol.events import Envelope, EventCallback, parse_envelope

SHADOW: Final = "replay.shadow"
"""The type of such an event."""


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """What is journalled.

    Attributes:
        channel_id: where the answer is to stand.
        body: the envelope of the message as Slack sent it.
    """

    channel_id: ChannelId
    body: msgspec.Raw


_SHADOW: Final = msgspec.json.Decoder(Shadow)


def make_shadow(
    connection_id: ConnectionId,
    event_id: EventId,
    *,
    event_time: int,
    lane: str,
    payload: bytes,
    channel_id: ChannelId,
) -> Delivery:
    """Return the event that has a message answered in another channel; the same two always make the same event.

    Args:
        connection_id: whose message it is.
        event_id: of the message's event.
        event_time: of it, too.
        lane: the same, so that a thread's questions keep their order.
        payload: the envelope.
        channel_id: where the answer is to stand.
    """
    return Delivery(
        connection_id=connection_id,
        event_id=EventId(f"{event_id}:shadow:{channel_id}"),
        event_time=event_time,
        lane=f"shadow:{channel_id}:{lane}",
        event_type=SHADOW,
        payload=msgspec.json.encode(Shadow(channel_id=channel_id, body=msgspec.Raw(payload))),
    )


def parse_shadow(event_type: str, payload: bytes) -> tuple[ChannelId | None, bytes]:
    """Return where a journalled event is to be answered, None for its own place, and its envelope.

    Raises:
        MalformedBodyError: it is of the type, and does not say it.
    """
    if event_type != SHADOW:
        return None, payload
    try:
        shadow = _SHADOW.decode(payload)
    except msgspec.MsgspecError:
        raise MalformedBodyError("It does not say where it is to be answered.") from None
    return shadow.channel_id, bytes(shadow.body)


def parse_answered(event_type: str, payload: bytes) -> Envelope:
    """Return a journalled event, as it would be if it had happened where it is answered; raises MalformedBodyError."""
    channel_id, body = parse_shadow(event_type, payload)
    envelope = parse_envelope(body)
    if channel_id is None or not isinstance(envelope, EventCallback):
        return envelope
    return msgspec.structs.replace(envelope, channel_id=channel_id)
