"""NOTIFY and LISTEN: how pods hear of each other's changes and of work that one pod cannot take alone."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import anyio
import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.model import ConnectionChange
from slack_mcp.hearing import HEARTBEAT_S, HEARTBEAT_TIMEOUT_S, Hearing, LogLines
from slack_mcp.ports.announcements import (
    CHANNELS,
    CONNECTIONS_CHANNEL,
    NAMES_CHANNEL,
    Subscribers,
    pass_on,
    render_names,
)
from slack_mcp.ports.directory import ReadPoint
from slack_mcp.ports.names import NameChange
from slack_mcp.store.database import Database
from slack_mcp.store.points import SERVER


class ReadOnlyServerError(Exception):
    """The server takes no writes, so that no announcement comes from it: after a failover another one may."""


_LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    ReadOnlyServerError,
)

# By the database's clock: whoever hears of it knows how that differs from its own.
_ANNOUNCE: Final = text(
    "SELECT pg_notify(:channel, json_build_object('connection_id', CAST(:connection_id AS text), "
    "'version', CAST(:version AS bigint), 'at_s', extract(epoch FROM clock_timestamp()))::text)"
)
_ASK_TIME: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
# Asked once LISTEN holds: what is committed by now has a lower number, and what has not is heard.
_POINT: Final = f"SELECT {SERVER} AS server, txid_snapshot_xmax(txid_current_snapshot()) AS transaction"

_log = structlog.get_logger(__name__)
_LINES: Final = LogLines(listening="listener.listening", deaf="listener.deaf", lost="listener.lost")


async def announce_change(database: AsyncConnection, change: ConnectionChange) -> None:
    """Tell every pod of a change when the transaction commits. SQLite has no other pods to tell."""
    if database.dialect.name == "postgresql":
        await database.execute(
            _ANNOUNCE,
            {
                "channel": CONNECTIONS_CHANNEL,
                "connection_id": change.connection_id,
                "version": change.version,
            },
        )


class SqlNameAnnouncer:
    """`ports.names.NameAnnouncer`.

    Args:
        database: carries the news to the other pods; SQLite has none.
        tell: tells this process; called in the event loop and must not wait.
    """

    def __init__(self, database: Database, *, tell: Callable[[NameChange], None]) -> None:
        self._database = database
        self._tell = tell

    async def announce(self, change: NameChange) -> None:
        """Tell this pod at once, and the others by NOTIFY."""
        self._tell(change)
        if self._database.dialect == "postgresql":
            async with self._database.transaction() as database:
                await database.execute(
                    text("SELECT pg_notify(:channel, :payload)"),
                    {"channel": NAMES_CHANNEL, "payload": render_names(change)},
                )


async def _check_writable(connection: Any) -> None:
    """Return when the server answers and takes writes; raises ReadOnlyServerError, and what the driver does."""
    if await connection.fetchval("SELECT current_setting('transaction_read_only')") == "on":
        raise ReadOnlyServerError


class Listener:
    """Listens on a connection of its own, and connects again for as long as it runs.

    Args:
        dsn: PostgreSQL without a pooler in between.
        connect_timeout_s: longest wait for the connection.
        heartbeat_s: time between two questions to the server whether it is still there.
        heartbeat_timeout_s: longest wait for its answer.
        now_s: this process's clock, unix seconds.
    """

    def __init__(
        self,
        dsn: str,
        *,
        subscribers: Subscribers,
        connect_timeout_s: float = 5.0,
        heartbeat_s: float = HEARTBEAT_S,
        heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._now_s = now_s
        self._ahead_s = 0.0
        self._dsn = dsn
        self._subscribers = subscribers
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_s = heartbeat_s
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._hearing = Hearing(_LINES, tell=subscribers.on_listening)

    @property
    def listening(self) -> bool:
        """Whether announcements are heard now."""
        return self._hearing.is_listening

    async def run(self) -> None:
        """Listen until cancelled."""
        await self._hearing.run(self._listen, lost=_LOST)

    async def _listen(self) -> None:
        """Listen until the connection is lost; raises what the driver does, or returns when it just closed."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._connect_timeout_s,
            command_timeout=self._heartbeat_timeout_s,
            server_settings={"application_name": "slack-mcp listener"},
        )
        closed = anyio.Event()
        connection.add_termination_listener(lambda _connection: closed.set())
        try:
            for channel in CHANNELS:
                await connection.add_listener(channel, self._hear)
            await _check_writable(connection)
            await self._ask_time(connection)
            row = await connection.fetchrow(_POINT)
            self._subscribers.on_point(ReadPoint(server=row["server"], transaction=row["transaction"]))
            self._hearing.begin()
            while not closed.is_set():
                with anyio.move_on_after(self._heartbeat_s):
                    await closed.wait()
                if not closed.is_set():
                    # A connection that died without a word is found out only by asking.
                    await _check_writable(connection)
                    await self._ask_time(connection)
        finally:
            # Closing in good order would wait for a server that may not answer.
            connection.terminate()

    async def _ask_time(self, connection: Any) -> None:
        """Ask the server something, and learn how far its clock is ahead of ours, give or take half the round trip."""
        asked_s = self._now_s()
        told_s = await connection.fetchval(_ASK_TIME)
        self._ahead_s = told_s - (asked_s + self._now_s()) / 2
        self._subscribers.on_clock(self._ahead_s)

    def _hear(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        if not pass_on(self._subscribers, channel, str(payload)):
            _log.warning("listener.unreadable")
        elif channel == CONNECTIONS_CHANNEL:
            at_s = json.loads(str(payload)).get("at_s")
            if isinstance(at_s, int | float):  # an older version's pod does not say it
                self._subscribers.on_lag(max(0.0, self._now_s() + self._ahead_s - at_s))
