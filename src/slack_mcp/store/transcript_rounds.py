"""The statements on what was said in threads that every turn needs, each for all turns that need it at one moment.

They take the driver's own connection: see `Database.driver`. What they return is still sealed.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.store.database import Database
from slack_mcp.store.rounds import Rounds

Row = Mapping[str, Any]

_MS: Final = 1000
_US: Final = 1_000_000
_MESSAGE: Final = (
    *("connection_id", "channel_id", "message_ts", "thread_ts"),
    *("user_id", "bot_id", "content", "created_at_ms"),
)
_STATE: Final = (
    *("generation", "reset_at_ms", "filled_at_ms"),
    *("summary", "summarized_until_ts", "viewed_channel_id"),
)
_SAID: Final = ("message_ts", "thread_ts", "user_id", "bot_id", "content")
_ANSWER: Final = ("message_ts", "user_id", "question", "answer", "answer_ts", "parts", "updated_at_ms")

# Sorted, so that pods that note the same messages never wait for each other in a circle.
_ADD: Final = f"""
INSERT INTO slack_messages ({", ".join(_MESSAGE)})
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int8[])
  AS a({", ".join(_MESSAGE)}) ORDER BY connection_id, channel_id, message_ts
ON CONFLICT (connection_id, channel_id, message_ts) DO NOTHING
"""
_LOAD_STATES: Final = f"""
SELECT number, {", ".join(_STATE)}
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a(connection_id, channel_id, thread_ts, number)
JOIN slack_threads USING (connection_id, channel_id, thread_ts)
"""
# What was said before the reset and noted after it does not count either.
_LOAD_SAID: Final = f"""
SELECT number, m.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[]) WITH ORDINALITY
  AS a(connection_id, channel_id, thread_ts, before_ts, reset_ts, most, number)
CROSS JOIN LATERAL (
  SELECT {", ".join(_SAID)} FROM slack_messages
  WHERE connection_id = a.connection_id AND channel_id = a.channel_id AND thread_ts = a.thread_ts
    AND message_ts < a.before_ts AND message_ts > a.reset_ts
  ORDER BY message_ts DESC LIMIT a.most
) m ORDER BY number, message_ts
"""
_LOAD_ANSWERS: Final = f"""
SELECT number, t.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::int[]) WITH ORDINALITY
  AS a(connection_id, channel_id, thread_ts, before_ts, reset_at_ms, most, number)
CROSS JOIN LATERAL (
  SELECT {", ".join(_ANSWER)} FROM slack_turns
  WHERE connection_id = a.connection_id AND channel_id = a.channel_id AND thread_ts = a.thread_ts
    AND message_ts < a.before_ts AND created_at_ms > a.reset_at_ms
  ORDER BY message_ts DESC LIMIT a.most
) t ORDER BY number, message_ts
"""

_SQLITE_ADD: Final = f"""
INSERT INTO slack_messages ({", ".join(_MESSAGE)}) VALUES ({", ".join("?" * len(_MESSAGE))})
ON CONFLICT (connection_id, channel_id, message_ts) DO NOTHING
"""
_SQLITE_LOAD_STATE: Final = f"""
SELECT {", ".join(_STATE)} FROM slack_threads WHERE connection_id = ? AND channel_id = ? AND thread_ts = ?
"""
_SQLITE_LOAD_SAID: Final = f"""
SELECT {", ".join(_SAID)} FROM slack_messages
WHERE connection_id = ? AND channel_id = ? AND thread_ts = ? AND message_ts < ? AND message_ts > ?
ORDER BY message_ts DESC LIMIT ?
"""
_SQLITE_LOAD_ANSWERS: Final = f"""
SELECT {", ".join(_ANSWER)} FROM slack_turns
WHERE connection_id = ? AND channel_id = ? AND thread_ts = ? AND message_ts < ? AND created_at_ms > ?
ORDER BY message_ts DESC LIMIT ?
"""


class Wanted(NamedTuple):
    """A thread, up to a message in it: the last `most` messages before it, and as many turns."""

    connection_id: ConnectionId
    channel_id: ChannelId
    thread_ts: Ts
    before_ts: Ts
    most: int


class Found(NamedTuple):
    """What there is of it since it was last reset.

    Attributes:
        state: of the thread, None when nothing is kept of it as such.
        said, answers: oldest first.
    """

    state: Row | None
    said: list[Row]
    answers: list[Row]


class TranscriptRounds:
    """Notes messages and loads threads, those of one moment in one round.

    Raises, from every method, StoreUnavailableError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._add: Rounds[Row, None] = Rounds(self._add_all)
        self._load: Rounds[Wanted, Found] = Rounds(self._load_all)

    async def add(self, row: Row) -> None:
        """Insert a message, unless there is one with its ts."""
        await self._add.join(row)

    async def load(self, wanted: Wanted) -> Found:
        """Return what is kept of a thread."""
        return await self._load.join(wanted)

    async def _add_all(self, rows: Sequence[Row]) -> Sequence[None]:
        if self._database.dialect == "sqlite":
            values = [[row[name] for name in _MESSAGE] for row in rows]
            await self._database.run_in_sqlite(lambda connection: connection.executemany(_SQLITE_ADD, values))
        else:
            async with self._database.driver() as driver:
                await driver.execute(_ADD, *([row[name] for row in rows] for name in _MESSAGE))
        return [None] * len(rows)

    async def _load_all(self, wanted: Sequence[Wanted]) -> Sequence[Found]:
        if self._database.dialect == "sqlite":
            return await self._database.run_in_sqlite(
                lambda connection: [_load_on_sqlite(connection, each) for each in wanted]
            )
        async with self._database.driver() as driver:
            states = await driver.fetch(_LOAD_STATES, *([each[column] for each in wanted] for column in range(3)))
            by_number = {row["number"]: row for row in states}
            found = [Found(by_number.get(number), [], []) for number in range(1, len(wanted) + 1)]
            earlier = [each for each in zip(wanted, found, strict=True) if _has_earlier(each[0])]
            if earlier:
                where = [[each[column] for each, _ in earlier] for column in range(4)]
                resets = [_get_reset(has.state) for _, has in earlier]
                most = [each.most for each, _ in earlier]
                for row in await driver.fetch(_LOAD_SAID, *where, [*map(render_ts, resets)], most):
                    earlier[row["number"] - 1][1].said.append(row)
                for row in await driver.fetch(_LOAD_ANSWERS, *where, resets, most):
                    earlier[row["number"] - 1][1].answers.append(row)
        return found


def _load_on_sqlite(connection: sqlite3.Connection, wanted: Wanted) -> Found:
    state = next(_fetch(connection, _STATE, _SQLITE_LOAD_STATE, wanted[:3]), None)
    if not _has_earlier(wanted):
        return Found(state, [], [])
    where = wanted[:4]
    reset_at_ms = _get_reset(state)
    said = [*_fetch(connection, _SAID, _SQLITE_LOAD_SAID, (*where, render_ts(reset_at_ms), wanted.most))]
    answers = [*_fetch(connection, _ANSWER, _SQLITE_LOAD_ANSWERS, (*where, reset_at_ms, wanted.most))]
    return Found(state, said[::-1], answers[::-1])


def _fetch(
    connection: sqlite3.Connection, columns: Sequence[str], statement: str, values: Sequence[Any]
) -> Iterator[Row]:
    return (dict(zip(columns, row, strict=True)) for row in connection.execute(statement, values).fetchall())


def _has_earlier(wanted: Wanted) -> bool:
    """Tell whether there can be anything before the message: not when it is the thread's root."""
    return wanted.before_ts > wanted.thread_ts


def _get_reset(state: Row | None) -> int:
    """Return the unix milliseconds of the thread's last reset, 0 when there was none."""
    return 0 if state is None else int(state["reset_at_ms"])


def render_ts(at_ms: int) -> Ts:
    """Return unix milliseconds as Slack writes them: text order is time order, since the length is always the same."""
    seconds, ms = divmod(at_ms, _MS)
    return Ts(f"{seconds:010d}.{ms * (_US // _MS):06d}")
