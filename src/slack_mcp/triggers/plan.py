"""Which triggers an event is for: each becomes an event of its own in the journal, written with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from slack_mcp.core.ids import EventId
from slack_mcp.core.model import Connection, Delivery, Trigger, TriggerKind
from slack_mcp.protocol.authors import is_direct
from slack_mcp.protocol.events import EventCallback
from slack_mcp.triggers.kinds import REACTION_ADDED, find_kind

EVENT_TYPE: Final = "trigger.delivery"
MESH: Final = "mesh"
"""Stands for the trigger's id: Mesh is one receiver, which is told once whatever its automations ask for."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is journalled for one receiver.

    Attributes:
        trigger_id: the trigger's, or `MESH`.
        type: the kind of event.
        body: the envelope as Slack sent it.
    """

    trigger_id: str
    type: str
    body: msgspec.Raw


class _Reaction(msgspec.Struct):
    reaction: Any = None


class _ReactionEnvelope(msgspec.Struct):
    event: _Reaction


_TOLD: Final = msgspec.json.Decoder(Told)
_REACTION: Final = msgspec.json.Decoder(_ReactionEnvelope)


def plan(connection: Connection, event: EventCallback, body: bytes) -> Sequence[Delivery]:
    """Return what is to be journalled beside the event, so that its receivers are told.

    Args:
        connection: whose event it is, with its triggers.
        event: the event.
        body: the envelope that it was read from.
    """
    kind = find_kind(connection, event)
    if kind is None:
        return ()
    asking = [each for each in connection.triggers if each.event_type == kind and each.refused_at_ms is None]
    if not asking:
        return ()
    values = _read_values(kind, event, body)
    receivers = dict.fromkeys(_get_receiver(each) for each in asking if _matches(each, values))
    return [
        Delivery(
            connection_id=connection.connection_id,
            event_id=EventId(f"{event.event_id}:{receiver}"),
            event_time=event.event_time,
            # In order for each channel and receiver: one that is slow or fails holds up nobody else.
            lane=f"trigger:{receiver}:{event.channel_id or '-'}",
            event_type=EVENT_TYPE,
            payload=msgspec.json.encode(Told(trigger_id=receiver, type=kind, body=msgspec.Raw(body))),
        )
        for receiver in receivers
    ]


def parse_told(payload: bytes) -> Told | None:
    """Return what was journalled, None when it is something else."""
    try:
        return _TOLD.decode(payload)
    except msgspec.MsgspecError:
        return None


def find_trigger(triggers: Iterable[Trigger], told: Told) -> Trigger | None:
    """Return the trigger that a journalled event is for, as it is now; one that is refused only where no other is."""
    found = [each for each in triggers if each.event_type == told.type and _get_receiver(each) == told.trigger_id]
    return min(found, key=lambda each: (each.refused_at_ms is not None, each.trigger_id), default=None)


def get_channel_type(event: EventCallback) -> str | None:
    """Return the kind of the event's channel, as far as Slack or the channel's id says it."""
    return "im" if is_direct(event) else event.channel_type


def _get_receiver(trigger: Trigger) -> str:
    return MESH if trigger.kind is TriggerKind.MESH else trigger.trigger_id


def _read_values(kind: str, event: EventCallback, body: bytes) -> Mapping[str, str | None]:
    """Return what can be filtered by. `is_dm` is here for automations that were made with it."""
    values = {
        "channel_id": event.channel_id,
        "user_id": event.user_id,
        "channel_type": get_channel_type(event),
        "is_dm": "true" if is_direct(event) else "false",
    }
    if kind == REACTION_ADDED:
        reaction = _REACTION.decode(body).event.reaction
        values["reaction"] = reaction if isinstance(reaction, str) else None
    return values


def _matches(trigger: Trigger, values: Mapping[str, str | None]) -> bool:
    """Tell whether the event is what the trigger asks for. Keys that only Mesh knows are left to Mesh."""
    return all(values[key] == wanted for key, wanted in trigger.filters.items() if wanted and key in values)
