"""Facts about the database itself, for those who look after it. Nothing is changed, and no content is read."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import anyio
import asyncpg
from sqlalchemy import and_, case, func, or_, select, text

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import EventState
from slack_mcp.sealing import looks_sealed_bytes, looks_sealed_text
from slack_mcp.store.database import Database, translate_errors
from slack_mcp.store.schema import connections, events

POOLER_ROUNDS: Final = 3
PATIENCE_S: Final = 1.5
CLEAR_SAMPLE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What answers.

    Attributes:
        round_trip_s: how long an empty question takes.
        skew_s: how far its clock is ahead of this machine's; None for SQLite, which has no other.
    """

    version: str
    round_trip_s: float
    skew_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooler:
    """What stands between this machine and PostgreSQL.

    Attributes:
        is_there: the server that answers is not the one that was connected to.
        shares: two connections were served by one of the server's: each transaction may meet another one.
    """

    is_there: bool
    shares: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearValues:
    """What is stored in the clear: connections of all, and events of the newest that were looked at."""

    connections: int
    of_connections: int
    events: int
    of_events: int


class SqlInspector:
    """Looks at a database.

    Args:
        clock: this machine's.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def load_server(self) -> Server:
        """Return what answers."""
        if self._database.dialect == "sqlite":
            question = "SELECT sqlite_version(), NULL"
        else:
            question = "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp())::float8"
        async with self._database.reading() as database:
            await database.execute(text("SELECT 1"))  # the first one also connects
            began_s, began_at_s = self._clock.monotonic_s(), self._clock.now_s()
            version, server_s = (await database.execute(text(question))).one()
            took_s = self._clock.monotonic_s() - began_s
        skew_s = None if server_s is None else server_s - (began_at_s + took_s / 2)
        return Server(version=version, round_trip_s=took_s, skew_s=skew_s)

    async def list_connection_ids(self) -> Sequence[ConnectionId]:
        """Return the ids of all connections, also of those that cannot be read."""
        statement = select(connections.c.connection_id).order_by(connections.c.connection_id)
        async with self._database.reading() as database:
            return [ConnectionId(each) for each in (await database.execute(statement)).scalars()]

    async def count_clear(self) -> ClearValues:
        """Return how much is stored in the clear."""
        tokens = select(connections.c.bot_token, connections.c.signing_secret)
        # The beginning tells, and payloads are large.
        payloads = select(func.substr(events.c.payload, 1, 16)).order_by(events.c.id.desc()).limit(CLEAR_SAMPLE)
        async with self._database.reading() as database:
            pairs = (await database.execute(tokens)).all()
            newest = (await database.execute(payloads)).scalars().all()
        return ClearValues(
            connections=sum(not (looks_sealed_text(token) and looks_sealed_text(secret)) for token, secret in pairs),
            of_connections=len(pairs),
            events=sum(not looks_sealed_bytes(bytes(payload)) for payload in newest),
            of_events=len(newest),
        )

    async def load_last_deliveries(self, connection_id: ConnectionId | None) -> Mapping[ConnectionId, int]:
        """Return when the last event of each connection that has any was journalled, in unix milliseconds."""
        statement = select(events.c.connection_id, func.max(events.c.received_at_ms)).group_by(events.c.connection_id)
        if connection_id is not None:
            statement = statement.where(events.c.connection_id == connection_id)
        async with self._database.reading() as database:
            return {ConnectionId(whose): int(at_ms) for whose, at_ms in await database.execute(statement)}

    async def load_backlog(self, connection_id: ConnectionId | None, *, dead_since_ms: int) -> Mapping[str, int]:
        """Return {"unfinished": …, "oldest_at_ms": … or 0, "dead": … since then}."""
        is_unfinished = events.c.state.in_([EventState.RECEIVED.value, EventState.WAITING.value])
        is_dead = and_(events.c.state == EventState.DEAD.value, events.c.finished_at_ms >= dead_since_ms)
        statement = select(
            func.count(case((is_unfinished, 1))),
            func.coalesce(func.min(case((is_unfinished, events.c.received_at_ms))), 0),
            func.count(case((is_dead, 1))),
        ).where(or_(is_unfinished, is_dead))
        if connection_id is not None:
            statement = statement.where(events.c.connection_id == connection_id)
        async with self._database.reading() as database:
            unfinished, oldest_at_ms, dead = (await database.execute(statement)).one()
        return {"unfinished": unfinished, "oldest_at_ms": int(oldest_at_ms), "dead": dead}

    async def load_journal_mode(self) -> str:
        """Return how SQLite keeps its transactions: `wal` is what the service sets."""
        async with self._database.reading() as database:
            return str((await database.execute(text("PRAGMA journal_mode"))).scalar_one())

    async def hear_oneself(self, dsn: str, *, timeout_s: float) -> float | None:
        """Return how long an announcement took from this database to a listener, None when it did not arrive.

        Args:
            dsn: where to LISTEN, as the pods do.
            timeout_s: longest wait.

        Raises:
            StoreUnavailableError: the database, or the address to listen on, cannot be reached.
        """
        channel = f"slack_mcp_doctor_{secrets.token_hex(8)}"
        heard = anyio.Event()
        with translate_errors():
            listener = await _connect(dsn, timeout_s=timeout_s)
            try:
                await listener.add_listener(channel, lambda *_: heard.set())
                began_s = self._clock.monotonic_s()
                async with self._database.transaction() as database:
                    await database.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})
                with anyio.move_on_after(timeout_s):
                    await heard.wait()
            finally:
                listener.terminate()
        return self._clock.monotonic_s() - began_s if heard.is_set() else None


async def find_pooler(dsn: str, *, timeout_s: float) -> Pooler:
    """Return what stands between this machine and PostgreSQL, told by which of its processes answer.

    A pooler that gives each transaction a connection of the server's gives two clients the same one when they take
    turns; PostgreSQL itself never does. And what a client is told of the server's process when it connects is the
    pooler's own invention: https://www.pgbouncer.org/features.html.

    Raises:
        StoreUnavailableError: it cannot be reached.
    """
    shares = False
    with translate_errors():
        one = await _connect(dsn, timeout_s=timeout_s)
        try:
            other = await _connect(dsn, timeout_s=timeout_s)
            try:
                told, first = one.get_server_pid(), await _load_process(one)
                for _ in range(POOLER_ROUNDS):
                    async with other.transaction():
                        theirs = await other.fetchval("SELECT pg_backend_pid()")
                        mine = await _find_process(one)
                    shares = shares or theirs == first or mine != first
            finally:
                other.terminate()
        finally:
            one.terminate()
    return Pooler(is_there=shares or told != first, shares=shares)


async def _load_process(connection: Any) -> int:
    """Return the server's process that answers; in a transaction, so that question and answer stay together."""
    async with connection.transaction():
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def _find_process(connection: Any) -> int | None:
    """Return the same, None when nothing answers in time: the only connection of a pooler is taken."""
    with anyio.move_on_after(PATIENCE_S):
        return await _load_process(connection)
    return None


async def _connect(dsn: str, *, timeout_s: float) -> Any:
    """Return a connection of one's own, which any pooler takes."""
    return await asyncpg.connect(
        dsn,
        timeout=timeout_s,
        command_timeout=timeout_s,
        statement_cache_size=0,
        server_settings={"application_name": "slack-mcp doctor"},
    )
