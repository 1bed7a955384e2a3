"""The statements that every turn needs several times, each for all turns that need it at one moment.

They take the driver's own connection: see `Database.driver`. Whoever asks has sealed what is to be stored.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Claim
from slack_mcp.store.database import Database
from slack_mcp.store.rounds import Rounds

Row = Mapping[str, Any]
"""Columns of `slack_turns` by name."""

KEY: Final = {"connection_id": "text", "channel_id": "text", "message_ts": "text"}
_ASKED: Final = {
    "thread_ts": "text",
    "event_id": "text",
    "user_id": "text",
    "question": "text",
    "created_at_ms": "int8",
}
PROGRESS: Final = {
    "state": "text",
    "answer_ts": "text",
    "answer": "text",
    "notice": "text",
    "parts": "text",
    "settled": "boolean",
    "opening": "text",
    "trace": "text",
    "updated_at_ms": "int8",
}
_BEGUN: Final = {**KEY, **_ASKED, **PROGRESS}
_STANDING: Final = (*_BEGUN, "stop_requested_at_ms")
# A row may be deleted between the look and the next, but hardly twice.
_ATTEMPTS: Final = 3


def _unnest(columns: Mapping[str, str]) -> str:
    """Return an array of each column as a table."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), 1))
    return f"unnest({arrays}) AS a({', '.join(columns)})"


# Sorted, so that pods that begin the same turns never wait for each other in a circle.
_BEGIN: Final = f"""
INSERT INTO slack_turns ({", ".join(_BEGUN)})
SELECT * FROM {_unnest(_BEGUN)} ORDER BY connection_id, channel_id, message_ts
ON CONFLICT (connection_id, channel_id, message_ts) DO NOTHING
RETURNING connection_id, channel_id, message_ts, event_id
"""
_FIND: Final = f"""
SELECT {", ".join(_STANDING)} FROM slack_turns JOIN {_unnest(KEY)} USING (connection_id, channel_id, message_ts)
"""

_LOOK: Final = """
SELECT number FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
  AS a(connection_id, channel_id, message_ts, number)
WHERE EXISTS (
  SELECT FROM slack_turns
  WHERE connection_id = a.connection_id AND channel_id = a.channel_id AND message_ts = a.message_ts
)
"""
_LOOK_INTO_THREADS: Final = _LOOK.replace("message_ts", "thread_ts")

# The lanes' rows are locked with the same statement: nobody can take one over between the look and the write.
_SAVED: Final = {**KEY, **PROGRESS, "lane_id": "int8", "fence": "int8"}
_SAVE: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM {_unnest(_SAVED)}
), held AS MATERIALIZED (
  SELECT l.lane_id FROM slack_lanes l JOIN asked a
    ON a.lane_id = l.lane_id AND a.fence = l.fence AND a.connection_id = l.connection_id
  WHERE l.holder IS NOT NULL ORDER BY l.connection_id, l.lane FOR SHARE OF l
)
UPDATE slack_turns t SET {", ".join(f"{name} = a.{name}" for name in PROGRESS)}
FROM asked a JOIN held h ON h.lane_id = a.lane_id
WHERE t.connection_id = a.connection_id AND t.channel_id = a.channel_id AND t.message_ts = a.message_ts
RETURNING t.connection_id, t.channel_id, t.message_ts
"""

_SQLITE_BEGIN: Final = f"""
INSERT INTO slack_turns ({", ".join(_BEGUN)}) VALUES ({", ".join("?" * len(_BEGUN))})
ON CONFLICT (connection_id, channel_id, message_ts) DO NOTHING
"""
_SQLITE_FIND: Final = f"""
SELECT {", ".join(_STANDING)} FROM slack_turns WHERE connection_id = ? AND channel_id = ? AND message_ts = ?
"""
_SQLITE_LOOK: Final = """
SELECT 1 FROM slack_turns WHERE connection_id = ? AND channel_id = ? AND message_ts = ? LIMIT 1
"""
_SQLITE_LOOK_INTO_THREAD: Final = _SQLITE_LOOK.replace("message_ts", "thread_ts")
_SQLITE_SAVE: Final = f"""
UPDATE slack_turns SET {", ".join(f"{name} = :{name}" for name in PROGRESS)}
WHERE connection_id = :connection_id AND channel_id = :channel_id AND message_ts = :message_ts AND EXISTS (
  SELECT 1 FROM slack_lanes
  WHERE lane_id = :lane_id AND connection_id = :connection_id AND fence = :fence AND holder IS NOT NULL
)
"""


class TurnKey(NamedTuple):
    """Which message it is the turn of; of a thread, which one is its root."""

    connection_id: ConnectionId
    channel_id: ChannelId
    message_ts: Ts


class _Save(NamedTuple):
    """How far a turn has come, and under which claim that is written."""

    key: TurnKey
    progress: Row
    claim: Claim


class TurnRounds:
    """Looks for turns, begins them and stores their progress, each for all who want it at one moment.

    Raises, from every method, StoreUnavailableError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin: Rounds[Row, Row | None] = Rounds(self._begin_all, get_key=_get_key)
        self._look: Rounds[TurnKey, bool] = Rounds(partial(self._look_for_all, _LOOK, _SQLITE_LOOK))
        self._look_into_thread: Rounds[TurnKey, bool] = Rounds(
            partial(self._look_for_all, _LOOK_INTO_THREADS, _SQLITE_LOOK_INTO_THREAD)
        )
        self._save: Rounds[_Save, bool] = Rounds(self._save_all, get_key=lambda item: item.key)

    async def begin(self, row: Row) -> Row | None:
        """Insert the turn unless the message has one already; returns the one that stood there, None for a new one.

        Args:
            row: every column but `stop_requested_at_ms`.
        """
        return await self._begin.join(row)

    async def save(self, key: TurnKey, progress: Row, claim: Claim) -> bool:
        """Write the columns of `PROGRESS` under the claim; False when it is lost, and nothing was written."""
        return await self._save.join(_Save(key, progress, claim))

    async def has(self, key: TurnKey) -> bool:
        """Tell whether there is such a turn."""
        return await self._look.join(key)

    async def has_in_thread(self, key: TurnKey) -> bool:
        """Tell whether there is a turn in the thread whose root the key names."""
        return await self._look_into_thread.join(key)

    async def _begin_all(self, rows: Sequence[Row]) -> Sequence[Row | None]:
        if self._database.dialect == "sqlite":
            return await self._database.run_in_sqlite(
                lambda connection: [_begin_on_sqlite(connection, each) for each in rows]
            )
        begun: set[TurnKey] = set()
        standing: dict[TurnKey, Row] = {}
        left = rows
        async with self._database.driver() as driver:
            for _ in range(_ATTEMPTS):
                begun.update(map(_get_key, await driver.fetch(_BEGIN, *_render_arrays(_BEGUN, left))))
                left = [row for row in left if _get_key(row) not in begun]
                if left:
                    found = await driver.fetch(_FIND, *_render_arrays(KEY, left))
                    standing.update((_get_key(row), row) for row in found)
                    left = [row for row in left if _get_key(row) not in standing]
                if not left:
                    return [standing.get(_get_key(row)) for row in rows]
        raise StoreUnavailableError("A turn is deleted as fast as it is begun.")

    async def _look_for_all(self, statement: str, on_sqlite: str, keys: Sequence[TurnKey]) -> Sequence[bool]:
        if self._database.dialect == "sqlite":
            return await self._database.run_in_sqlite(
                lambda connection: [connection.execute(on_sqlite, key).fetchone() is not None for key in keys]
            )
        async with self._database.driver() as driver:
            found = {row["number"] for row in await driver.fetch(statement, *map(list, zip(*keys, strict=True)))}
        return [number in found for number in range(1, len(keys) + 1)]

    async def _save_all(self, items: Sequence[_Save]) -> Sequence[bool]:
        if self._database.dialect == "sqlite":
            return await self._database.run_in_sqlite(
                lambda connection: [connection.execute(_SQLITE_SAVE, _render_save(each)).rowcount > 0 for each in items]
            )
        async with self._database.driver() as driver:
            written = await driver.fetch(_SAVE, *_render_arrays(_SAVED, [_render_save(each) for each in items]))
        keys = set(map(_get_key, written))
        return [each.key in keys for each in items]


def _get_key(row: Row) -> TurnKey:
    return TurnKey(row["connection_id"], row["channel_id"], row["message_ts"])


def _render_save(save: _Save) -> Row:
    return {**save.key._asdict(), **save.progress, "lane_id": save.claim.lane_id, "fence": save.claim.fence}


def _render_arrays(columns: Iterable[str], rows: Sequence[Row]) -> list[list[Any]]:
    """Return the values of each column, as `_unnest` takes them."""
    return [[row[name] for row in rows] for name in columns]


def _begin_on_sqlite(connection: sqlite3.Connection, row: Row) -> Row | None:
    if connection.execute(_SQLITE_BEGIN, [row[name] for name in _BEGUN]).rowcount:
        return None
    found = connection.execute(_SQLITE_FIND, _get_key(row)).fetchone()
    return dict(zip(_STANDING, found, strict=True))
