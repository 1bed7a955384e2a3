"""What an operator does with the journal; see `ports.operations`.

Lanes are locked before events, as settling does it, and in the same order.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, and_, delete, exists, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import MalformedBodyError, SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import EventState, Turn, TurnState
from slack_mcp.ports.announcements import WORK_CHANNEL
from slack_mcp.ports.operations import ASKED_AGAIN, DISCARDED, Ending, EventFilter, KeptEvent, PutBack
from slack_mcp.protocol.events import EventCallback
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.protocol.shadow import parse_answered
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.journal import MAX_DETAIL_CHARS, MS, PAYLOAD
from slack_mcp.store.schema import UNFINISHED, events, lanes, turns
from slack_mcp.store.turns import SqlTurnStore

# Numbers are drawn when a batch is journalled, and dated a moment later; batches of several pods overlap.
ORDER_SLACK_MS: Final = 60_000

_COLUMNS: Final = [events.c[name] for name in KeptEvent.__dataclass_fields__]
_UNFINISHED: Final = (EventState.RECEIVED, EventState.WAITING)


class SqlJournalOperations:
    """`ports.operations.JournalOperations`.

    Args:
        clock: the time of SQLite's journal; PostgreSQL has its own.
    """

    def __init__(self, database: Database, sealer: Sealer, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._clock = clock
        self._turns = SqlTurnStore(database, sealer, clock=clock)

    async def now_ms(self) -> int:
        """Return the database's time, by which events are dated."""
        async with self._database.reading() as database:
            return await self._read_now(database)

    async def list_events(
        self, chosen: EventFilter, *, limit: int, after_id: int | None = None, before_id: int | None = None
    ) -> Sequence[KeptEvent]:
        """Return up to `limit` events: the first ones behind `after_id`, oldest first, or else the newest first."""
        statement = select(*_COLUMNS).where(*_list_conditions(chosen)).limit(limit)
        if after_id is not None:
            statement = statement.where(events.c.id > after_id)
        if before_id is not None:
            statement = statement.where(events.c.id < before_id)
        async with self._database.reading() as database:
            # Times have no index, and numbers grow with them: where the range begins is found by halving.
            if chosen.since_ms is not None:
                first = await _find_first(database, chosen.since_ms - ORDER_SLACK_MS)
                statement = statement.where(events.c.id >= first)
            if chosen.until_ms is not None:
                behind = await _find_first(database, chosen.until_ms + ORDER_SLACK_MS)
                statement = statement.where(events.c.id < behind)
            statement = statement.order_by(events.c.id if after_id is not None else events.c.id.desc())
            rows = (await database.execute(statement)).mappings().all()
        return [_read_event(row) for row in rows]

    async def load_turns(self, events: Sequence[KeptEvent]) -> Mapping[int, Turn]:
        """Return the turns of the messages that the events are about, by the events' numbers."""
        places: dict[ConnectionId, dict[int, tuple[ChannelId, Ts]]] = {}
        payloads = await self._load_payloads(events)
        sealers = await self._keys.of_all((), [(event.connection_id, payload) for event, payload in payloads])
        for event, payload in payloads:
            place = _find_place(sealers[event.connection_id], event, payload)
            if place is not None:
                places.setdefault(event.connection_id, {})[event.id] = place
        found: dict[int, Turn] = {}
        for connection_id, by_id in places.items():
            of_place = {
                (turn.channel_id, turn.message_ts): turn
                for turn in await self._turns.load_turns(connection_id, list(by_id.values()))
            }
            found |= {number: of_place[place] for number, place in by_id.items() if place in of_place}
        return found

    async def load_payload(self, connection_id: ConnectionId, number: int) -> bytes | None:
        """Return the event with a number as it was delivered, None when there is none; raises SealingError."""
        statement = select(events.c.payload).where(events.c.connection_id == connection_id, events.c.id == number)
        async with self._database.reading() as database:
            payload = (await database.execute(statement)).scalar_one_or_none()
        if payload is None:
            return None
        return (await self._keys.of(connection_id, payload)).open_bytes(PAYLOAD, payload)

    async def put_back(self, events: Sequence[PutBack]) -> frozenset[int]:
        """Put finished events back into their lanes, in one transaction, and wake the pods."""
        async with self._database.transaction() as database:
            now_ms = await self._read_now(database)
            await self._open_lanes(database, [each.event for each in events], now_ms)
            done = set()
            for each in sorted(events, key=_lock_order):
                if await _put_event_back(database, each.event, now_ms):
                    done.add(each.event.id)
                    if each.turn is not None:
                        await _reopen_turn(database, each.turn, now_ms)
            if self._database.dialect == "postgresql":
                await database.execute(text("SELECT pg_notify(:channel, '')"), {"channel": WORK_CHANNEL})
        return frozenset(done)

    async def discard(self, events: Sequence[KeptEvent], *, detail: str | None) -> Mapping[int, Ending]:
        """End events as skipped, in one transaction; what came after them in their lanes may go on."""
        endings: dict[int, Ending] = {}
        said = None if detail is None else clean(detail)[:MAX_DETAIL_CHARS]
        async with self._database.transaction() as database:
            now_ms = await self._read_now(database)
            held = await _lock_lanes(database, events)
            for event in sorted(events, key=lambda each: (each.connection_id, each.event_id)):
                is_unfinished = event.state in _UNFINISHED
                if is_unfinished and held.get((event.connection_id, event.lane)):
                    endings[event.id] = Ending.IN_WORK
                elif await _end_event(database, event, now_ms, detail=said):
                    endings[event.id] = Ending.DISCARDED
                    if is_unfinished:
                        await _move_lane_on(database, event, now_ms)
                else:
                    endings[event.id] = Ending.CHANGED
            if self._database.dialect == "postgresql":
                await database.execute(text("SELECT pg_notify(:channel, '')"), {"channel": WORK_CHANNEL})
        return endings

    async def _open_lanes(self, database: AsyncConnection, events: Sequence[KeptEvent], now_ms: int) -> None:
        """Open the events' lanes, or lock the rows of those that are open: nobody closes them over what comes next."""
        for connection_id, lane in sorted({(each.connection_id, each.lane) for each in events}):
            statement = (
                self._database.insert(lanes)
                .values(connection_id=connection_id, lane=lane, ready_at_ms=now_ms)
                .on_conflict_do_update(
                    index_elements=["connection_id", "lane"], set_={"ready_at_ms": lanes.c.ready_at_ms}
                )
            )
            await database.execute(statement)

    async def _read_now(self, database: AsyncConnection) -> int:
        """Return the time that the journal's rows are dated by."""
        if self._database.dialect == "sqlite":
            return int(self._clock.now_s() * MS)
        seconds = func.extract("epoch", func.clock_timestamp())
        return int((await database.execute(select(seconds * MS))).scalar_one())

    async def _load_payloads(self, chosen: Sequence[KeptEvent]) -> Sequence[tuple[KeptEvent, bytes]]:
        statement = select(events.c.id, events.c.payload).where(events.c.id.in_([each.id for each in chosen]))
        async with self._database.reading() as database:
            payloads = {row.id: row.payload for row in await database.execute(statement)}
        return [(each, payloads[each.id]) for each in chosen if each.id in payloads]


def _find_place(sealer: ConnectionSealer, event: KeptEvent, payload: bytes) -> tuple[ChannelId, Ts] | None:
    """Return the message that an event is about; what nobody can open or read is about none."""
    try:
        envelope = parse_answered(event.event_type, sealer.open_bytes(PAYLOAD, payload))
    except (SealingError, MalformedBodyError):
        return None
    if not isinstance(envelope, EventCallback) or envelope.channel_id is None or envelope.ts is None:
        return None
    return envelope.channel_id, envelope.ts


def _list_conditions(chosen: EventFilter) -> Iterator[Any]:
    if chosen.connection_id is not None:
        yield events.c.connection_id == chosen.connection_id
    for column, values in (
        (events.c.event_id, chosen.event_ids),
        (events.c.state, chosen.states),
        (events.c.reason, chosen.reasons),
        (events.c.event_type, chosen.event_types),
    ):
        if values:
            yield column.in_(values)
    if chosen.states and not set(chosen.states) & set(_UNFINISHED):
        yield events.c.finished_at_ms.is_not(None)  # as the partial index has it
    if chosen.since_ms is not None:
        yield events.c.received_at_ms >= chosen.since_ms
    if chosen.until_ms is not None:
        yield events.c.received_at_ms < chosen.until_ms


async def _find_first(database: AsyncConnection, at_ms: int) -> int:
    """Return a number that no event has which was received at this time or later and is much smaller than it."""
    low, high = (await database.execute(select(func.min(events.c.id), func.max(events.c.id)))).one()
    if low is None:
        return 0
    high += 1
    while low < high:
        middle = (low + high) // 2
        statement = (
            select(events.c.id, events.c.received_at_ms).where(events.c.id >= middle).order_by(events.c.id).limit(1)
        )
        row = (await database.execute(statement)).one_or_none()
        if row is None or row.received_at_ms >= at_ms:
            high = middle
        else:
            low = row.id + 1
    return int(low)


def _read_event(row: Mapping[Any, Any]) -> KeptEvent:
    return KeptEvent(**{**row, "state": EventState(row["state"])})


def _lock_order(each: PutBack) -> tuple[str, str]:
    return each.event.connection_id, each.event.event_id


async def _put_event_back(database: AsyncConnection, event: KeptEvent, now_ms: int) -> bool:
    """Have a finished event worked on again, if it is as it was read."""
    statement = (
        update(events)
        .where(*_is_as_read(event))
        .values(
            state=EventState.RECEIVED,
            attempts=0,
            reason=None,
            detail=None,
            next_attempt_at_ms=None,
            finished_at_ms=None,
            replayed_at_ms=now_ms,
        )
    )
    return bool((await database.execute(statement)).rowcount)


async def _end_event(database: AsyncConnection, event: KeptEvent, now_ms: int, *, detail: str | None) -> bool:
    statement = (
        update(events)
        .where(*_is_as_read(event))
        .values(
            state=EventState.SKIPPED,
            reason=DISCARDED,
            detail=detail,
            next_attempt_at_ms=None,
            finished_at_ms=now_ms,
        )
    )
    return bool((await database.execute(statement)).rowcount)


def _is_as_read(event: KeptEvent) -> tuple[Any, ...]:
    return (
        events.c.id == event.id,
        events.c.event_time == event.event_time,
        events.c.connection_id == event.connection_id,
        events.c.state == event.state,
        events.c.finished_at_ms.is_not_distinct_from(event.finished_at_ms),
    )


async def _reopen_turn(database: AsyncConnection, turn: Turn, now_ms: int) -> None:
    """Take the turn back to where it has no answer: what shows the old one will show the next."""
    step = {"at_ms": now_ms, "step": ASKED_AGAIN}
    statement = (
        update(turns)
        .where(
            turns.c.connection_id == turn.connection_id,
            turns.c.channel_id == turn.channel_id,
            turns.c.message_ts == turn.message_ts,
            turns.c.event_id == turn.event_id,
            turns.c.state == turn.state,
        )
        .values(
            state=TurnState.STARTED if turn.answer_ts is None else TurnState.PLACED,
            answer=None,
            notice=None,
            opening=None,
            stop_requested_at_ms=None,
            trace=json.dumps([*turn.trace, step]),
            updated_at_ms=now_ms,
        )
    )
    await database.execute(statement)


async def _lock_lanes(
    database: AsyncConnection, chosen: Sequence[KeptEvent]
) -> Mapping[tuple[ConnectionId, str], bool]:
    """Lock the lanes' rows and return which of them somebody works on."""
    keys = sorted({(each.connection_id, each.lane) for each in chosen if each.state in _UNFINISHED})
    if not keys:
        return {}
    statement: Select[tuple[str, str, str | None]] = (
        select(lanes.c.connection_id, lanes.c.lane, lanes.c.holder)
        .where(tuple_(lanes.c.connection_id, lanes.c.lane).in_(keys))
        .order_by(lanes.c.connection_id, lanes.c.lane)
        .with_for_update()
    )
    rows = (await database.execute(statement)).all()
    return {(ConnectionId(row.connection_id), row.lane): row.holder is not None for row in rows}


async def _move_lane_on(database: AsyncConnection, event: KeptEvent, now_ms: int) -> None:
    """Let the lane's next event come at its time; close a lane without one."""
    is_lane = and_(lanes.c.connection_id == event.connection_id, lanes.c.lane == event.lane)
    is_left = and_(
        events.c.connection_id == event.connection_id,
        events.c.lane == event.lane,
        text(UNFINISHED),
    )
    following = select(events.c.next_attempt_at_ms).where(is_left).order_by(events.c.id).limit(1).scalar_subquery()
    await database.execute(delete(lanes).where(is_lane, ~exists(select(events.c.id).where(is_left))))
    await database.execute(update(lanes).where(is_lane).values(ready_at_ms=func.coalesce(following, now_ms)))
