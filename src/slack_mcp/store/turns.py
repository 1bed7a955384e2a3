"""Turns in the database: question and answer sealed, every write under the lane's fence."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Delete,
    and_,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import LeaseLostError, SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts, UserId
from slack_mcp.core.model import Claim, Turn, TurnState
from slack_mcp.ports.threads import ThreadSummary
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.schema import lanes, messages, threads, turns
from slack_mcp.store.turn_rounds import TurnKey, TurnRounds

Result = TypeVar("Result")

MAX_COUNTED: Final = 100_000
_MS: Final = 1000


class SqlTurnStore:
    """Four ports: `TurnStore` and `TurnArchive`, `ThreadMemory`, `ConversationMemory`."""

    def __init__(self, database: Database, sealer: Sealer, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._rounds = TurnRounds(database)
        self._clock = clock

    async def begin_turn(self, turn: Turn) -> Turn:
        """Insert the turn unless the message has one already; returns the one that stands."""
        now_ms = self._now_ms()
        sealer = await self._keys.of(turn.connection_id)
        standing = await self._rounds.begin(
            {
                "connection_id": turn.connection_id,
                "channel_id": turn.channel_id,
                "message_ts": turn.message_ts,
                "thread_ts": turn.thread_ts,
                "event_id": turn.event_id,
                "user_id": turn.user_id,
                "question": sealer.seal("question", turn.question),
                "created_at_ms": now_ms,
                **_render_progress(sealer, turn, now_ms),
            }
        )
        return turn if standing is None else await self._open(standing)

    async def load_turn(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> Turn | None:
        """Return the message's turn, None when it has none."""
        statement = select(turns).where(*_is_turn(connection_id, channel_id, message_ts))
        async with self._database.reading() as database:
            row = (await database.execute(statement)).mappings().one_or_none()
        return None if row is None else await self._open(row)

    async def load_turns(self, connection_id: ConnectionId, places: Sequence[tuple[ChannelId, Ts]]) -> Sequence[Turn]:
        """Return the turns of some messages, given by channel and ts."""
        statement = select(turns).where(
            turns.c.connection_id == connection_id, tuple_(turns.c.channel_id, turns.c.message_ts).in_(places)
        )
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).mappings().all()
        return [await self._open(row) for row in rows]

    async def save_turn(self, turn: Turn, claim: Claim) -> None:
        """Store how far the turn has come: everything but what was asked; raises LeaseLostError."""
        sealer = await self._keys.of(turn.connection_id)
        key = TurnKey(turn.connection_id, turn.channel_id, turn.message_ts)
        if not await self._rounds.save(key, _render_progress(sealer, turn, self._now_ms()), claim):
            raise LeaseLostError(f"Lane {claim.lane_id} belongs to another pod now, or its connection was removed.")

    async def is_stop_requested(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> bool:
        """Tell whether somebody wants no more of the answer to the message."""
        return await self._has(
            *_is_turn(connection_id, channel_id, message_ts), turns.c.stop_requested_at_ms.is_not(None)
        )

    async def request_stop(self, connection_id: ConnectionId, channel_id: ChannelId, ts: Ts) -> bool:
        """Have the answer stopped that a message shows, or that is on its way in a thread; False when there is none.

        Args:
            connection_id: whose bot answers.
            channel_id: where.
            ts: of one of the answer's messages, or of the thread's root.
        """
        statement = (
            update(turns)
            .where(
                turns.c.connection_id == connection_id,
                turns.c.channel_id == channel_id,
                turns.c.state != literal_column("'finished'"),  # as the partial index has it
                or_(turns.c.thread_ts == ts, turns.c.answer_ts == ts, turns.c.parts.contains(ts, autoescape=True)),
            )
            .values(stop_requested_at_ms=self._now_ms())
        )
        async with self._database.transaction() as database:
            return int((await database.execute(statement)).rowcount) > 0

    async def has_turn(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> bool:
        """Tell whether a turn was begun for the message."""
        return await self._rounds.has(TurnKey(connection_id, channel_id, message_ts))

    async def has_turn_in_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> bool:
        """Tell whether the bot takes part in this thread."""
        return await self._rounds.has_in_thread(TurnKey(connection_id, channel_id, thread_ts))

    async def has_notice_in_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, notice: str
    ) -> bool:
        """Tell whether the bot has already given this notice in the thread."""
        return await self._has(*_is_in_thread(connection_id, channel_id, thread_ts), turns.c.notice == notice)

    async def load_history(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, limit: int, max_age_s: float
    ) -> Sequence[Turn]:
        """Return the last answered turns, oldest first, back to the last reset or silence longer than `max_age_s`."""
        statement = (
            select(turns)
            .where(
                *_is_in_thread(connection_id, channel_id, thread_ts),
                turns.c.answer.is_not(None),
                turns.c.created_at_ms > _get_reset(connection_id, channel_id, thread_ts),
            )
            .order_by(turns.c.message_ts.desc())
            .limit(limit)
        )
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).mappings().all()
        spoken = []
        heard_ms = self._now_ms()
        for row in rows:
            if heard_ms - row["updated_at_ms"] > max_age_s * _MS:
                break
            spoken.append(row)
            heard_ms = row["created_at_ms"]
        stored = (row[name] for row in spoken for name in ("question", "answer", "opening"))
        sealer = await self._keys.of(connection_id, *stored)
        return list(pass_over_destroyed(_open, sealer, spoken))[::-1]

    async def load_answering(self, connection_id: ConnectionId) -> Sequence[Turn]:
        """Return the turns that are being answered right now, the newest first."""
        is_held = exists().where(
            lanes.c.connection_id == turns.c.connection_id,
            lanes.c.lane == turns.c.channel_id + ":" + turns.c.thread_ts,  # as protocol.events.get_lane names it
            lanes.c.holder.is_not(None),
        )
        statement = (
            select(turns)
            .where(
                turns.c.connection_id == connection_id,
                turns.c.state != literal_column("'finished'"),  # as the partial index has it
                is_held,
            )
            .order_by(turns.c.message_ts.desc())
        )
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).mappings().all()
        return [await self._open(row) for row in rows]

    async def load_summary(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts
    ) -> ThreadSummary | None:
        """Return how much is remembered of the thread, None when the bot never took part in it."""
        since_ms = _get_reset(connection_id, channel_id, thread_ts)
        is_remembered = and_(turns.c.answer.is_not(None), turns.c.created_at_ms > since_ms)
        statement = select(
            func.count().filter(is_remembered).label("turns"), func.max(turns.c.updated_at_ms).label("last")
        ).where(*_is_in_thread(connection_id, channel_id, thread_ts))
        async with self._database.reading() as database:
            row = (await database.execute(statement)).one()
        if row.last is None:
            return None
        return ThreadSummary(
            turns=row.turns,
            last_activity_ms=row.last,
            generation=await self.load_generation(connection_id, channel_id, thread_ts),
        )

    async def load_generation(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> int:
        """Return how often the thread was reset."""
        statement = select(threads.c.generation).where(*is_thread(connection_id, channel_id, thread_ts))
        async with self._database.reading() as database:
            return (await database.execute(statement)).scalar_one_or_none() or 0

    async def reset_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> None:
        """Forget what was said in the thread."""
        now_ms = self._now_ms()
        row = {"connection_id": connection_id, "channel_id": channel_id, "thread_ts": thread_ts}
        await self._forget(
            self._database.insert(threads).values(**row, generation=1, reset_at_ms=now_ms, **_forgotten(now_ms)),
            delete(messages).where(
                messages.c.connection_id == connection_id,
                messages.c.channel_id == channel_id,
                messages.c.thread_ts == thread_ts,
            ),
            now_ms,
        )

    async def reset_channel(self, connection_id: ConnectionId, channel_id: ChannelId) -> int:
        """Forget what was said in all threads of the channel; returns how many there were."""
        now_ms = self._now_ms()
        known = (
            select(
                turns.c.connection_id,
                turns.c.channel_id,
                turns.c.thread_ts,
                literal(1),
                *(literal(now_ms) for _ in range(3)),
            )
            .where(turns.c.connection_id == connection_id, turns.c.channel_id == channel_id)
            .distinct()
        )
        columns = [
            *("connection_id", "channel_id", "thread_ts", "generation"),
            *("reset_at_ms", "filled_at_ms", "updated_at_ms"),
        ]
        return await self._forget(
            self._database.insert(threads).from_select(columns, known),
            delete(messages).where(messages.c.connection_id == connection_id, messages.c.channel_id == channel_id),
            now_ms,
        )

    async def _forget(self, first: postgresql.Insert, said: Delete, now_ms: int) -> int:
        """Begin each thread's first generation, or its next where it has one; returns how many threads there were."""
        statement = first.on_conflict_do_update(
            index_elements=list(threads.primary_key),
            set_={"generation": threads.c.generation + 1, "reset_at_ms": now_ms, **_forgotten(now_ms)},
        )
        async with self._database.transaction() as database:
            await database.execute(said)
            return int((await database.execute(statement)).rowcount)

    async def count_turns(self) -> int:
        """Return how many turns are kept, of all connections; from MAX_COUNTED on nobody counts any further."""
        some = select(turns.c.connection_id).limit(MAX_COUNTED).subquery()
        async with self._database.reading() as database:
            return (await database.execute(select(func.count()).select_from(some))).scalar_one()

    async def delete_turns(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` turns that nothing has happened to for `before_s` seconds; returns how many."""
        key = tuple_(turns.c.connection_id, turns.c.channel_id, turns.c.message_ts)
        old = (
            select(turns.c.connection_id, turns.c.channel_id, turns.c.message_ts)
            .where(turns.c.updated_at_ms <= self._now_ms() - int(before_s * _MS))
            .order_by(turns.c.updated_at_ms)
            .limit(limit)
        )
        async with self._database.transaction() as database:
            return int((await database.execute(delete(turns).where(key.in_(old)))).rowcount)

    async def _has(self, *conditions: Any) -> bool:
        async with self._database.reading() as database:
            statement = select(turns.c.connection_id).where(*conditions).limit(1)
            return (await database.execute(statement)).first() is not None

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)

    async def _open(self, row: Mapping[Any, Any]) -> Turn:
        stored = (row["question"], row["answer"], row["opening"])
        return _open(await self._keys.of(ConnectionId(row["connection_id"]), *stored), row)


def _open(sealer: ConnectionSealer, row: Mapping[Any, Any]) -> Turn:
    connection_id = ConnectionId(row["connection_id"])
    answer, opening = row["answer"], row["opening"]
    parts = read_parts(row["parts"])
    return Turn(
        connection_id=connection_id,
        channel_id=ChannelId(row["channel_id"]),
        message_ts=Ts(row["message_ts"]),
        thread_ts=Ts(row["thread_ts"]),
        event_id=EventId(row["event_id"]),
        user_id=None if row["user_id"] is None else UserId(row["user_id"]),
        state=TurnState(row["state"]),
        question=sealer.open("question", row["question"]),
        answer_ts=None if row["answer_ts"] is None else Ts(row["answer_ts"]),
        answer=None if answer is None else sealer.open("answer", answer),
        notice=row["notice"],
        parts=tuple(ts for ts, _ in parts),
        digests=tuple(digest for _, digest in parts),
        is_settled=bool(row["settled"]),
        opening=None if opening is None else sealer.open("opening", opening),
        trace=tuple(json.loads(row["trace"] or "[]")),
        is_stop_requested=row["stop_requested_at_ms"] is not None,
    )


def pass_over_destroyed(
    open_one: Callable[[ConnectionSealer, Mapping[Any, Any]], Result],
    sealer: ConnectionSealer,
    rows: Iterable[Mapping[Any, Any]],
) -> Iterator[Result]:
    """Yield what opens; what was still written when the app was removed, with a key that is gone, is as if never said.

    Raises:
        SealingError: something does not open for another reason.
    """
    for row in rows:
        try:
            yield open_one(sealer, row)
        except SealingError as error:
            if not error.is_destroyed:
                raise


def _render_progress(sealer: ConnectionSealer, turn: Turn, now_ms: int) -> dict[str, Any]:
    """Return the columns that change in the course of a turn."""
    answer = turn.answer
    return {
        "state": turn.state.value,
        "answer_ts": turn.answer_ts,
        "answer": None if answer is None else sealer.seal("answer", answer),
        "notice": turn.notice,
        "parts": json.dumps(list(zip_longest(turn.parts, turn.digests, fillvalue=""))) if turn.parts else None,
        "settled": turn.is_settled,
        "opening": None if turn.opening is None else sealer.seal("opening", turn.opening),
        "trace": json.dumps(turn.trace) if turn.trace else None,
        "updated_at_ms": now_ms,
    }


def _forgotten(now_ms: int) -> dict[str, Any]:
    """Return the columns of a thread of which nothing is kept, and that is not to be filled from Slack again."""
    return {"filled_at_ms": now_ms, "summary": None, "summarized_until_ts": None, "updated_at_ms": now_ms}


def read_parts(text: str | None) -> Sequence[tuple[Ts, str]]:
    """Return (ts, digest of what it shows) of each message of an answer, as the column `parts` has them."""
    return [(Ts(ts), digest) for ts, digest in json.loads(text or "[]")]


def _get_reset(connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> ColumnElement[int]:
    """Return the unix milliseconds of the thread's last reset, 0 when there was none."""
    last = select(threads.c.reset_at_ms).where(*is_thread(connection_id, channel_id, thread_ts)).scalar_subquery()
    return func.coalesce(last, 0)


def is_thread(connection_id: ConnectionId, channel_id: ChannelId, thread_ts: str) -> tuple[Any, ...]:
    """Return the conditions that select a thread's row."""
    return (
        threads.c.connection_id == connection_id,
        threads.c.channel_id == channel_id,
        threads.c.thread_ts == thread_ts,
    )


def _is_turn(connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> tuple[Any, ...]:
    return (
        turns.c.connection_id == connection_id,
        turns.c.channel_id == channel_id,
        turns.c.message_ts == message_ts,
    )


def _is_in_thread(connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> tuple[Any, ...]:
    return (
        turns.c.connection_id == connection_id,
        turns.c.channel_id == channel_id,
        turns.c.thread_ts == thread_ts,
    )
