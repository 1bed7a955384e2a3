"""What an operator does with the journal: look, put back, end. Over all connections, or those that are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Delivery, EventState, Turn

ASKED_AGAIN: Final = "asked_again"
"""The step in a turn's trace at which its answer was dropped, so that another one takes its place."""

DISCARDED: Final = "discarded"
"""Why an event that an operator ended is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events. What is empty, or None, chooses all.

    Attributes:
        reasons: the words or error codes that events ended with, or wait for.
        since_ms: received at this time or later, unix milliseconds by the database's clock.
        until_ms: received before this time.
    """

    connection_id: ConnectionId | None = None
    event_ids: tuple[EventId, ...] = ()
    states: tuple[EventState, ...] = ()
    reasons: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """An event as the journal keeps it, without what it says. Times are unix milliseconds.

    Attributes:
        id: the journal's own number, which grows with the order of arrival.
        event_time: as it was delivered, unix seconds.
        reason: how it ended, or why it waits.
        replayed_at_ms: when it was put back last.
    """

    id: int
    connection_id: ConnectionId
    event_id: EventId
    event_time: int
    event_type: str
    lane: str
    state: EventState
    reason: str | None
    attempts: int
    received_at_ms: int
    next_attempt_at_ms: int | None
    finished_at_ms: int | None
    replayed_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """An event that is to be worked on again.

    Attributes:
        event: as it was read.
        turn: its turn as it was read, when it has to be reopened: without answer and notice, and with the messages that
            show them, in which the next answer will stand.
    """

    event: KeptEvent
    turn: Turn | None = None


class Ending(StrEnum):
    """What became of an event that was to be discarded."""

    DISCARDED = "discarded"
    IN_WORK = "in_work"
    CHANGED = "changed"


class Deliveries(Protocol):
    """Takes events, as `ports.store.Journal` does."""

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Write the deliveries in one transaction; True for each that is new."""
        ...

    async def notify_work(self) -> None:
        """Wake the pods."""
        ...


class JournalOperations(Protocol):
    """Every method may raise `StoreUnavailableError`."""

    async def now_ms(self) -> int:
        """Return the database's time, by which events are dated."""
        ...

    async def list_events(
        self, chosen: EventFilter, *, limit: int, after_id: int | None = None, before_id: int | None = None
    ) -> Sequence[KeptEvent]:
        """Return up to `limit` events: the first ones behind `after_id`, oldest first, or else the newest first.

        Args:
            chosen: which.
            limit: how many at most.
            after_id: only what arrived after the event with this number.
            before_id: only what arrived before the event with this number.
        """
        ...

    async def load_turns(self, events: Sequence[KeptEvent]) -> Mapping[int, Turn]:
        """Return the turns of the messages that the events are about, by the events' numbers."""
        ...

    async def load_payload(self, connection_id: ConnectionId, number: int) -> bytes | None:
        """Return the event with a number as it was delivered, None when there is none; raises SealingError."""
        ...

    async def put_back(self, events: Sequence[PutBack]) -> frozenset[int]:
        """Put finished events back into their lanes, in one transaction, and wake the pods.

        Each is worked on in the order of its arrival, with all its attempts. One that is not as it was read any more is
        left alone.

        Returns:
            The numbers of those that were put back.
        """
        ...

    async def discard(self, events: Sequence[KeptEvent], *, detail: str | None) -> Mapping[int, Ending]:
        """End events as skipped, in one transaction; what came after them in their lanes may go on.

        One in a lane that a pod holds is left alone, and so is one that is not as it was read any more.

        Args:
            events: as they were read.
            detail: what the operator says about it.
        """
        ...
