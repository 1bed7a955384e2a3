"""A journal for those who operate it, importable from everywhere below tests/."""

from collections.abc import Mapping, Sequence

from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Delivery, EventState, Turn
from slack_mcp.ports.operations import Ending, EventFilter, KeptEvent, PutBack

NOW_MS = 1_700_000_000_000


def make_event(
    number: int = 1,
    *,
    state: EventState = EventState.DEAD,
    reason: str | None = None,
    connection: str = "conn_1",
    replayed_at_ms: int | None = None,
) -> KeptEvent:
    return KeptEvent(
        id=number,
        connection_id=ConnectionId(connection),
        event_id=EventId(f"Ev{number}"),
        event_time=1_800_000_000,
        event_type="message",
        lane="C1:1",
        state=state,
        reason=reason,
        attempts=0,
        received_at_ms=NOW_MS,
        next_attempt_at_ms=None,
        finished_at_ms=NOW_MS,
        replayed_at_ms=replayed_at_ms,
    )


class FakeOperations:
    """Keeps events in a list, and what was done with them; what is put back is not found again."""

    def __init__(self, events: Sequence[KeptEvent], turns: Mapping[int, Turn] | None = None) -> None:
        self.events = list(events)
        self.turns = turns or {}
        self.put: list[PutBack] = []
        self.refuses: set[int] = set()
        self.said: list[str | None] = []
        self.asked: list[EventFilter] = []
        self.payload: bytes | None = b"{}"

    async def now_ms(self) -> int:
        return NOW_MS

    async def list_events(
        self, chosen: EventFilter, *, limit: int, after_id: int | None = None, before_id: int | None = None
    ) -> Sequence[KeptEvent]:
        self.asked.append(chosen)
        done = {each.event.id for each in self.put}
        found = [each for each in self.events if each.id not in done]
        if after_id is not None:
            return [each for each in found if each.id > after_id][:limit]
        return [each for each in found[::-1] if before_id is None or each.id < before_id][:limit]

    async def load_turns(self, events: Sequence[KeptEvent]) -> Mapping[int, Turn]:
        return self.turns

    async def load_payload(self, connection_id: ConnectionId, number: int) -> bytes | None:
        return self.payload

    async def put_back(self, events: Sequence[PutBack]) -> frozenset[int]:
        put = [each for each in events if each.event.id not in self.refuses]
        self.put += put
        return frozenset(each.event.id for each in put)

    async def discard(self, events: Sequence[KeptEvent], *, detail: str | None) -> Mapping[int, Ending]:
        self.said.append(detail)
        return {each.id: Ending.IN_WORK if each.id in self.refuses else Ending.DISCARDED for each in events}


class FakeDeliveries:
    """Takes each event once."""

    def __init__(self) -> None:
        self.taken: dict[str, Delivery] = {}
        self.woken = 0

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        new = [each.event_id not in self.taken for each in deliveries]
        self.taken |= {each.event_id: each for each in deliveries}
        return new

    async def notify_work(self) -> None:
        self.woken += 1
