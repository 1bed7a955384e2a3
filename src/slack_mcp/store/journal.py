"""What the two journals share: how deliveries become rows and rows become events again.

The journal is one table of events and one of lanes. A lane has a row for as long as it has unfinished events; the row
is what is claimed: its `holder` works on it until `lease_until_ms`, under a `fence` that grows with every claim.
Whoever writes for a lane locks its row first, so that an event appended at that moment is either seen or opens the lane
anew.
All times are the database's own.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Claim, Delivery, EventState, JournalledEvent, Outcome, Settlement
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.sealing import ConnectionSealer, seal_all_bytes
from slack_mcp.store.data_keys import DataKeys

PAYLOAD: Final = "payload"
MS: Final = 1000
MAX_DETAIL_CHARS: Final = 1000


def to_ms(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return int(seconds * MS)


async def seal_payloads(keys: DataKeys, deliveries: Sequence[Delivery]) -> list[bytes]:
    """Return the deliveries' bodies as they are stored."""
    sealers = await keys.of_all({each.connection_id for each in deliveries})
    return seal_all_bytes(PAYLOAD, [(sealers[each.connection_id], each.payload) for each in deliveries])


def mark_new(deliveries: Sequence[Delivery], inserted: Iterable[Sequence[Any]]) -> list[bool]:
    """Return for each delivery whether it is new; of one event that came twice in the batch, only the first is.

    Args:
        deliveries: the batch.
        inserted: (connection_id, event_id, event_time) of the rows that the database did not have yet.
    """
    new = {(row[0], row[1], row[2]) for row in inserted}
    result = []
    for delivery in deliveries:
        key = (delivery.connection_id, delivery.event_id, delivery.event_time)
        result.append(key in new)
        new.discard(key)
    return result


def open_event(
    sealer: ConnectionSealer, row: Any, *, connection_id: ConnectionId, lane: str, redone: bool
) -> JournalledEvent:
    """Return the event of a row with its columns.

    One that does not open must not keep back the others that were claimed with it.
    """
    payload, unreadable = b"", None
    try:
        payload = sealer.open_bytes(PAYLOAD, row["payload"])
    except SealingError as error:
        unreadable = error
    return JournalledEvent(
        id=row["id"],
        connection_id=connection_id,
        event_id=EventId(row["event_id"]),
        event_time=row["event_time"],
        lane=lane,
        event_type=row["event_type"],
        payload=payload,
        attempts=row["attempts"],
        received_at_ms=row["received_at_ms"],
        redone=redone or row["attempts"] > 0 or row["replayed_at_ms"] is not None,
        unreadable=unreadable,
        replayed_at_ms=row["replayed_at_ms"],
    )


async def collect_claims(keys: DataKeys, rows: Sequence[Any]) -> list[Claim]:
    """Return claims from rows of lane and event columns, the rows of one lane together and in order.

    A lane that was claimed before and still has its row was not finished: its first events may have been worked on.
    """
    sealers = await keys.of_all((), [(row["connection_id"], row["payload"]) for row in rows])
    events: dict[int, list[JournalledEvent]] = {}
    lanes: dict[int, Any] = {}
    for row in rows:
        lane_id = row["lane_id"]
        lanes.setdefault(lane_id, row)
        found = events.setdefault(lane_id, [])
        if row["id"] is not None:
            found.append(
                open_event(
                    sealers[row["connection_id"]],
                    row,
                    connection_id=ConnectionId(row["connection_id"]),
                    lane=row["lane"],
                    redone=row["fence"] > 1,
                )
            )
    return [
        Claim(
            lane_id=lane_id,
            fence=row["fence"],
            connection_id=ConnectionId(row["connection_id"]),
            lane=row["lane"],
            takeovers=row["takeovers"],
            events=tuple(events[lane_id]),
        )
        for lane_id, row in lanes.items()
    ]


def has_lane_twice(settlements: Sequence[Settlement]) -> bool:
    """Tell whether a lane is settled twice, as when it is handed back with its last outcome still on the way."""
    return len({each.claim.lane_id for each in settlements}) < len(settlements)


def render_detail(outcome: Outcome) -> str | None:
    """Return an outcome's detail as any database takes it; it may quote a server that is not ours."""
    return None if outcome.detail is None else clean(outcome.detail)[:MAX_DETAIL_CHARS]


def get_wait_ms(settlement: Settlement) -> int | None:
    """Return how long the lane has to rest: its last outcome is a WAITING one, or None."""
    if not settlement.outcomes:
        return None
    outcome = settlement.outcomes[-1][1]
    return to_ms(outcome.retry_after_s) if outcome.state is EventState.WAITING else None


async def collect_next(
    keys: DataKeys, settlements: Sequence[Settlement], held: frozenset[int], rows: Sequence[Any]
) -> list[tuple[JournalledEvent, ...] | None]:
    """Return what `Journal.settle` returns.

    Args:
        keys: of the connections whose payloads are opened.
        settlements: what was settled.
        held: the lanes that were still this pod's.
        rows: (lane_id and event columns) of the events that come next.
    """
    claims = {each.claim.lane_id: each.claim for each in settlements}
    sealers = await keys.of_all((), [(claims[row["lane_id"]].connection_id, row["payload"]) for row in rows])
    following: dict[int, list[JournalledEvent]] = {}
    for row in rows:
        claim = claims[row["lane_id"]]
        event = open_event(
            sealers[claim.connection_id], row, connection_id=claim.connection_id, lane=claim.lane, redone=False
        )
        following.setdefault(claim.lane_id, []).append(event)
    return [
        tuple(following.get(each.claim.lane_id, ())) if each.claim.lane_id in held else None for each in settlements
    ]
