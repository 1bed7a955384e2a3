"""NOTIFY and LISTEN: how pods hear of each other's changes and of work that one pod cannot take alone."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import anyio
import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.budget import BucketBlock
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.store.database import Database

BUDGET_CHANNEL: Final = "slack_mcp_budget"
CONNECTIONS_CHANNEL: Final = "slack_mcp_connections"
NAMES_CHANNEL: Final = "slack_mcp_names"
WORK_CHANNEL: Final = "slack_mcp_work"
HEARTBEAT_S: Final = 5.0
HEARTBEAT_TIMEOUT_S: Final = 3.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0


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

_log = structlog.get_logger(__name__)


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
            payload = json.dumps({"connection_id": change.connection_id, "kind": change.kind, "id": change.id})
            async with self._database.transaction() as database:
                await database.execute(
                    text("SELECT pg_notify(:channel, :payload)"), {"channel": NAMES_CHANNEL, "payload": payload}
                )


def _pass_over(_news: NameChange | BucketBlock | float) -> None:
    """Do nothing: for those who keep nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribers:
    """Who is told; each is called in the event loop and must not wait.

    Attributes:
        on_change: a connection changed, here or on another pod.
        on_work: another pod has more due than it can take.
        on_listening: True once everything from now on will be heard, False as soon as something may be missed.
        on_names: names, or all that is cached of a connection, are not to be believed any more.
        on_block: nobody gets anything of a bucket for a time.
        on_lag: how many seconds ago the change was made that `on_change` was just told of.
        on_clock: how many seconds the database's clock is ahead of this process's, each time it was asked.
    """

    on_change: Callable[[ConnectionChange], None]
    on_work: Callable[[], None]
    on_listening: Callable[[bool], None]
    on_names: Callable[[NameChange], None] = _pass_over
    on_block: Callable[[BucketBlock], None] = _pass_over
    on_lag: Callable[[float], None] = _pass_over
    on_clock: Callable[[float], None] = _pass_over


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
        self._is_listening = False

    @property
    def listening(self) -> bool:
        """Whether announcements are heard now."""
        return self._is_listening

    async def run(self) -> None:
        """Listen until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._listen()
            except _LOST as error:
                _log.warning("listener.lost", error=type(error).__name__)
            finally:
                # Also when cancelled: what is still at work while the process ends must not take silence for no change.
                if self._is_listening:
                    self._set_listening(is_listening=False)
                    pause_s = FIRST_PAUSE_S
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

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
            await connection.add_listener(CONNECTIONS_CHANNEL, self._hear_change)
            await connection.add_listener(WORK_CHANNEL, self._hear_work)
            await connection.add_listener(NAMES_CHANNEL, self._hear_names)
            await connection.add_listener(BUDGET_CHANNEL, self._hear_block)
            await _check_writable(connection)
            await self._ask_time(connection)
            self._set_listening(is_listening=True)
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

    def _set_listening(self, *, is_listening: bool) -> None:
        self._is_listening = is_listening
        _log.info("listener.listening" if is_listening else "listener.deaf")
        self._subscribers.on_listening(is_listening)

    def _hear_change(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            body = json.loads(str(payload))
            change = ConnectionChange(connection_id=ConnectionId(body["connection_id"]), version=body["version"])
            at_s = float(body["at_s"]) if "at_s" in body else None  # an older version's pod does not say it
        except (ValueError, KeyError, TypeError):
            _log.warning("listener.unreadable")  # anybody with access to the database can send one
            return
        self._subscribers.on_change(change)
        if at_s is not None:
            self._subscribers.on_lag(max(0.0, self._now_s() + self._ahead_s - at_s))

    def _hear_names(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            body = json.loads(str(payload))
            change = NameChange(
                connection_id=ConnectionId(body["connection_id"]), kind=NameKind(body["kind"]), id=body["id"]
            )
        except (ValueError, KeyError, TypeError):
            _log.warning("listener.unreadable")  # anybody with access to the database, or a newer version's kind
            return
        self._subscribers.on_names(change)

    def _hear_block(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        try:
            body = json.loads(str(payload))
            block = BucketBlock(
                connection_id=ConnectionId(body["connection_id"]), bucket=body["bucket"], for_s=float(body["for_s"])
            )
        except (ValueError, KeyError, TypeError):
            _log.warning("listener.unreadable")  # anybody with access to the database can send one
            return
        self._subscribers.on_block(block)

    def _hear_work(self, _connection: Any, _pid: int, _channel: str, _payload: object) -> None:
        self._subscribers.on_work()
