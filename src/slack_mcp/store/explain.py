"""What became of a message: the journal, the lane and the turn, put together. Slow, and for one look at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, or_, select

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import MalformedBodyError, SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import EventState, Turn
from slack_mcp.ports.explain import ExplainedEvent, LaneStanding
from slack_mcp.protocol.events import EventCallback
from slack_mcp.protocol.shadow import parse_answered
from slack_mcp.sealing import Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.journal import PAYLOAD
from slack_mcp.store.schema import events, lanes, turns
from slack_mcp.store.turns import SqlTurnStore

MAX_EVENTS = 200


class SqlExplainer:
    """`ports.explain.Explainer`."""

    def __init__(self, database: Database, sealer: Sealer, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._turns = SqlTurnStore(database, sealer, clock=clock)

    async def explain_event(self, event_id: EventId) -> Sequence[ExplainedEvent]:
        """Return the events with this id."""
        return await self._explain(events.c.event_id == event_id)

    async def explain_message(self, channel_id: ChannelId, ts: Ts, thread_ts: Ts | None) -> Sequence[ExplainedEvent]:
        """Return the events about a message, or about the question that it answers."""
        found = await self._explain(events.c.lane == f"{channel_id}:{thread_ts or ts}")
        about = [each for each in found if each.message_ts == ts]
        if about:
            return about
        return [
            each
            for turn in await self._find_turns(channel_id, ts)
            for each in await self._explain(
                (events.c.connection_id == turn.connection_id) & (events.c.event_id == turn.event_id)
            )
        ]

    async def _explain(self, condition: ColumnElement[bool]) -> Sequence[ExplainedEvent]:
        statement = select(events).where(condition).order_by(events.c.id).limit(MAX_EVENTS)
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).mappings().all()
        return [await self._explain_row(row) for row in rows]

    async def _explain_row(self, row: Mapping[Any, Any]) -> ExplainedEvent:
        connection_id = ConnectionId(row["connection_id"])
        event = await self._read_event(connection_id, row["event_type"], row["payload"])
        return ExplainedEvent(
            id=row["id"],
            connection_id=connection_id,
            event_id=EventId(row["event_id"]),
            event_type=row["event_type"],
            lane=row["lane"],
            state=EventState(row["state"]),
            reason=row["reason"],
            detail=row["detail"],
            attempts=row["attempts"],
            retry_num=row["retry_num"],
            retry_reason=row["retry_reason"],
            received_by=row["received_by"],
            received_at_ms=row["received_at_ms"],
            next_attempt_at_ms=row["next_attempt_at_ms"],
            finished_at_ms=row["finished_at_ms"],
            message_ts=None if event is None else event.ts,
            standing=await self._load_standing(connection_id, row["lane"]),
            turn=await self._load_turn(connection_id, event),
            replayed_at_ms=row["replayed_at_ms"],
        )

    async def _read_event(self, connection_id: ConnectionId, event_type: str, payload: bytes) -> EventCallback | None:
        """Return the event of a payload; what nobody can open or read has none."""
        sealer = await self._keys.of(connection_id, payload)
        try:
            envelope = parse_answered(event_type, sealer.open_bytes(PAYLOAD, payload))
        except (SealingError, MalformedBodyError):
            return None
        return envelope if isinstance(envelope, EventCallback) else None

    async def _load_standing(self, connection_id: ConnectionId, lane: str) -> LaneStanding | None:
        statement = select(lanes).where(lanes.c.connection_id == connection_id, lanes.c.lane == lane)
        async with self._database.reading() as database:
            row = (await database.execute(statement)).mappings().one_or_none()
        if row is None:
            return None
        return LaneStanding(
            holder=row["holder"],
            fence=row["fence"],
            takeovers=row["takeovers"],
            ready_at_ms=row["ready_at_ms"],
            lease_until_ms=row["lease_until_ms"],
        )

    async def _load_turn(self, connection_id: ConnectionId, event: EventCallback | None) -> Turn | None:
        if event is None or event.channel_id is None or event.ts is None:
            return None
        return await self._turns.load_turn(connection_id, event.channel_id, event.ts)

    async def _find_turns(self, channel_id: ChannelId, ts: Ts) -> Sequence[Turn]:
        """Return the turns, of any connection, one of whose messages this is."""
        statement = (
            select(turns.c.connection_id, turns.c.message_ts)
            .where(
                turns.c.channel_id == channel_id,
                or_(turns.c.answer_ts == ts, turns.c.parts.contains(ts, autoescape=True)),
            )
            .limit(MAX_EVENTS)
        )
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).all()
        found = [await self._turns.load_turn(ConnectionId(row[0]), channel_id, Ts(row[1])) for row in rows]
        return [turn for turn in found if turn is not None]
