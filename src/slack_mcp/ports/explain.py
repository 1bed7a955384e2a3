"""What became of a message, for whoever looks after the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import EventState, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStanding:
    """Who works on a lane now; a lane without anything to do has none.

    Attributes:
        holder: the pod that holds it, None while it is free.
        fence: how often it was claimed.
        takeovers: how often in a row it was taken from a pod that died.
        ready_at_ms: from when on it may be claimed.
        lease_until_ms: until when it is held.
    """

    holder: str | None
    fence: int
    takeovers: int
    ready_at_ms: int
    lease_until_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedEvent:
    """One journalled event, with all that is known of what became of it. Times are unix milliseconds.

    Attributes:
        id: the journal's own number.
        retry_num, retry_reason: of the delivery that was journalled, as Slack gave them.
        received_by: the pod that journalled it, having proved its signature.
        message_ts: of the message that it is about, None where there is none or the payload does not open.
        standing: of its lane, None when nobody has anything to do there.
        turn: the answer, None when there is none.
        replayed_at_ms: when an operator put it back last.
    """

    id: int
    connection_id: ConnectionId
    event_id: EventId
    event_type: str
    lane: str
    state: EventState
    reason: str | None
    detail: str | None
    attempts: int
    retry_num: int
    retry_reason: str | None
    received_by: str
    received_at_ms: int
    next_attempt_at_ms: int | None
    finished_at_ms: int | None
    message_ts: Ts | None
    standing: LaneStanding | None
    turn: Turn | None
    replayed_at_ms: int | None = None


class Explainer(Protocol):
    """Looks it up, in the tables of all connections. Every method may raise `StoreUnavailableError`."""

    async def explain_event(self, event_id: EventId) -> Sequence[ExplainedEvent]:
        """Return the events with this id: two connections may have heard of the same one."""
        ...

    async def explain_message(self, channel_id: ChannelId, ts: Ts, thread_ts: Ts | None) -> Sequence[ExplainedEvent]:
        """Return the events about a message, oldest first; of one of the bot's, those of the question it answers.

        Args:
            channel_id: where it is.
            ts: the message's.
            thread_ts: the root of the thread that it is in, as far as known.
        """
        ...
