"""Token buckets in the database, shared by all pods.

What is taken is taken under the lock of the bucket's row and by one clock, the database's own, so that however many
pods take at the same moment, none gets what another has. On SQLite, which has one process, the clock is the process's.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.announcements import BUDGET_CHANNEL, render_block
from slack_mcp.ports.budget import BucketBlock, Lease, LeaseRequest
from slack_mcp.store.database import Database
from slack_mcp.store.rounds import Rounds

_MS: Final = 1000
# A row may be deleted between its making and its use, but hardly twice.
_ATTEMPTS: Final = 3

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

# The clock is read once for each row, after its lock is had: time that passed while waiting for the lock counts once.
# Rows are locked in one order everywhere, so that pods never wait for each other in a circle.
_LEASE: Final = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::float8[], $4::float8[], $5::int[], $6::int[], $7::float8[])
    AS a(connection_id, bucket, capacity, per_s, wanted, spare, kept)
), locked AS MATERIALIZED (
  SELECT a.*, b.tokens, b.updated_at_ms, b.blocked_until_ms
  FROM slack_buckets b JOIN asked a ON a.connection_id = b.connection_id AND a.bucket = b.bucket
  ORDER BY b.connection_id, b.bucket FOR UPDATE OF b
), timed AS MATERIALIZED (
  SELECT *, {_NOW} AS now_ms FROM locked
), filled AS MATERIALIZED (
  SELECT *, greatest(0, blocked_until_ms - now_ms) AS blocked_ms,
    least(capacity, tokens + greatest(0, now_ms - updated_at_ms) * per_s / {_MS}) AS available
  FROM timed
), served AS MATERIALIZED (
  SELECT *, CASE WHEN blocked_ms > 0 THEN 0 ELSE least(wanted, floor(available / $8::float8)) END AS first FROM filled
), granted AS MATERIALIZED (
  SELECT *, first + CASE WHEN blocked_ms > 0 THEN 0
    ELSE least(spare, greatest(0, floor((available - kept) / $8::float8) - first)) END AS units
  FROM served
)
UPDATE slack_buckets b SET tokens = g.available - g.units * $8::float8, updated_at_ms = g.now_ms
FROM granted g WHERE b.connection_id = g.connection_id AND b.bucket = g.bucket
RETURNING b.connection_id, b.bucket, g.units::int AS units, b.tokens, g.blocked_ms
"""

_MAKE: Final = f"""
INSERT INTO slack_buckets (connection_id, bucket, tokens, updated_at_ms, blocked_until_ms)
SELECT connection_id, bucket, capacity, {_NOW}, 0
FROM unnest($1::text[], $2::text[], $3::float8[]) AS a(connection_id, bucket, capacity)
ORDER BY connection_id, bucket
ON CONFLICT (connection_id, bucket) DO NOTHING
"""

# What Slack says is over is empty: what comes back while nobody may have it is enough to begin with.
_BLOCK: Final = f"""
WITH blocked AS (
  INSERT INTO slack_buckets AS b (connection_id, bucket, tokens, updated_at_ms, blocked_until_ms)
  VALUES ($1, $2, 0, {_NOW}, {_NOW} + $3)
  ON CONFLICT (connection_id, bucket) DO UPDATE SET tokens = 0, updated_at_ms = {_NOW},
    blocked_until_ms = greatest(b.blocked_until_ms, excluded.blocked_until_ms)
)
SELECT pg_notify($4, $5)
"""

_EMPTY: Final = f"""
INSERT INTO slack_buckets AS b (connection_id, bucket, tokens, updated_at_ms, blocked_until_ms)
SELECT connection_id, bucket, 0, {_NOW}, 0
FROM unnest($1::text[], $2::text[]) AS a(connection_id, bucket)
ORDER BY connection_id, bucket
ON CONFLICT (connection_id, bucket) DO UPDATE SET tokens = 0, updated_at_ms = {_NOW}
"""

# What somebody uses at the moment is not idle, and is looked at again when its lock is had.
_DELETE_IDLE: Final = f"""
WITH idle AS MATERIALIZED (
  SELECT connection_id, bucket FROM slack_buckets
  WHERE updated_at_ms < (SELECT {_NOW} - $1::bigint) AND blocked_until_ms < (SELECT {_NOW})
  ORDER BY connection_id, bucket LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM slack_buckets b USING idle i WHERE b.connection_id = i.connection_id AND b.bucket = i.bucket
RETURNING 1
"""

_SQLITE_FIND: Final = """
SELECT tokens, updated_at_ms, blocked_until_ms FROM slack_buckets WHERE connection_id = ? AND bucket = ?
"""
_SQLITE_PUT: Final = """
INSERT INTO slack_buckets (connection_id, bucket, tokens, updated_at_ms, blocked_until_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (connection_id, bucket) DO UPDATE SET tokens = excluded.tokens, updated_at_ms = excluded.updated_at_ms,
  blocked_until_ms = max(blocked_until_ms, excluded.blocked_until_ms)
"""
_SQLITE_DELETE_IDLE: Final = """
DELETE FROM slack_buckets WHERE rowid IN (
  SELECT rowid FROM slack_buckets WHERE updated_at_ms < ? AND blocked_until_ms < ? LIMIT ?
)
"""


def share_out(available: float, request: LeaseRequest, *, unit: float = 1.0) -> int:
    """Return how many units of a bucket with so many tokens a request gets; `_LEASE` counts the same way.

    Args:
        available: tokens in the bucket.
        request: what is wanted, in units.
        unit: tokens of one unit.
    """
    first = min(request.wanted, int(available // unit))
    return first + min(request.spare, max(0, int((available - request.kept) // unit) - first))


class SqlBuckets:
    """`ports.budget.LastingBuckets`.

    Args:
        database: has the buckets.
        clock: its wall time counts on SQLite.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # `_LEASE` knows a bucket once.
        self._takes: Rounds[LeaseRequest, Lease] = Rounds(
            self.lease, get_key=lambda each: (each.connection_id, each.bucket)
        )

    async def take(
        self, connection_id: ConnectionId, bucket: str, *, capacity: float, per_s: float, cost: float = 1.0
    ) -> float:
        """Take `cost` tokens and return 0.0, or take nothing and return the seconds until there are that many."""
        request = LeaseRequest(connection_id=connection_id, bucket=bucket, capacity=capacity, per_s=per_s, wanted=1)
        lease = (await self._lease([request], unit=cost))[0] if cost != 1 else await self._takes.join(request)
        if lease.granted:
            return 0.0
        # Whoever waits that long and no longer should not come a rounding too early.
        return max(lease.blocked_s, (cost - lease.left) / per_s, 1 / _MS)

    async def lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Lease]:
        """Take what can be had for each request; the answers have the order of the requests."""
        return await self._lease(requests, unit=1.0)

    async def block(self, connection_id: ConnectionId, bucket: str, *, for_s: float) -> None:
        """Empty the bucket, let nobody have anything of it for `for_s` seconds, and tell all pods."""
        for_ms = int(for_s * _MS)
        if self._database.dialect == "postgresql":
            news = render_block(BucketBlock(connection_id=connection_id, bucket=bucket, for_s=for_s))
            async with self._database.driver() as driver:
                await driver.execute(_BLOCK, connection_id, bucket, for_ms, BUDGET_CHANNEL, news)
            return
        now_ms = self._now_ms()
        values = (connection_id, bucket, 0.0, now_ms, now_ms + for_ms)
        await self._database.run_in_sqlite(lambda connection: connection.execute(_SQLITE_PUT, values))

    async def empty(self, keys: Sequence[tuple[ConnectionId, str]]) -> None:
        """Let these buckets have no tokens now, whether they were used before or not."""
        if self._database.dialect == "postgresql":
            async with self._database.driver() as driver:
                await driver.execute(_EMPTY, [each[0] for each in keys], [each[1] for each in keys])
            return
        now_ms = self._now_ms()
        await self._database.run_in_sqlite(
            lambda connection: [connection.execute(_SQLITE_PUT, (*key, 0.0, now_ms, 0)) for key in keys]
        )

    async def delete_idle(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` buckets that nobody has used for `before_s` seconds; returns how many there were."""
        before_ms = int(before_s * _MS)
        if self._database.dialect == "postgresql":
            async with self._database.driver() as driver:
                return len(await driver.fetch(_DELETE_IDLE, before_ms, limit))
        now_ms = self._now_ms()
        values = (now_ms - before_ms, now_ms, limit)
        return await self._database.run_in_sqlite(
            lambda connection: connection.execute(_SQLITE_DELETE_IDLE, values).rowcount
        )

    async def _lease(self, requests: Sequence[LeaseRequest], *, unit: float) -> Sequence[Lease]:
        if self._database.dialect == "postgresql":
            return await self._lease_on_postgresql(requests, unit=unit)
        now_ms = self._now_ms()
        return await self._database.run_in_sqlite(
            lambda connection: [_lease_on_sqlite(connection, each, now_ms, unit) for each in requests]
        )

    async def _lease_on_postgresql(self, requests: Sequence[LeaseRequest], *, unit: float) -> Sequence[Lease]:
        """Return the leases; a bucket that nobody has used yet has no row, and is made first."""
        found: dict[tuple[str, str], Lease] = {}
        missing = requests
        async with self._database.driver() as driver:
            for _ in range(_ATTEMPTS):
                columns = _render_columns(missing)
                for row in await driver.fetch(_LEASE, *columns, unit):
                    found[row["connection_id"], row["bucket"]] = Lease(
                        granted=row["units"], left=row["tokens"], blocked_s=row["blocked_ms"] / _MS
                    )
                missing = [each for each in requests if (each.connection_id, each.bucket) not in found]
                if not missing:
                    return [found[each.connection_id, each.bucket] for each in requests]
                await driver.execute(_MAKE, *_render_columns(missing)[:3])
        raise StoreUnavailableError("A bucket is deleted as fast as it is made.")

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)


def _render_columns(requests: Sequence[LeaseRequest]) -> tuple[list[Any], ...]:
    """Return the first parameters of `_LEASE`, the first three of which are those of `_MAKE`."""
    return (
        [each.connection_id for each in requests],
        [each.bucket for each in requests],
        [each.capacity for each in requests],
        [each.per_s for each in requests],
        [each.wanted for each in requests],
        [each.spare for each in requests],
        [each.kept for each in requests],
    )


def _lease_on_sqlite(connection: sqlite3.Connection, request: LeaseRequest, now_ms: int, unit: float) -> Lease:
    key = (request.connection_id, request.bucket)
    found = connection.execute(_SQLITE_FIND, key).fetchone()
    tokens, updated_at_ms, blocked_until_ms = (request.capacity, now_ms, 0) if found is None else found
    available = min(request.capacity, tokens + max(0, now_ms - updated_at_ms) * request.per_s / _MS)
    blocked_ms = max(0, blocked_until_ms - now_ms)
    units = 0 if blocked_ms else share_out(available, request, unit=unit)
    left = available - units * unit
    connection.execute(_SQLITE_PUT, (*key, left, now_ms, blocked_until_ms))
    return Lease(granted=units, left=left, blocked_s=blocked_ms / _MS)
