"""NOTIFY and LISTEN on a real PostgreSQL: heard, lost, and heard again."""

import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import pytest
import structlog
from ears import DEAF, LISTENING, WORK, Ears
from postgres import Postgres, make_url
from sqlalchemy import text
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.core.ids import ConnectionId, PodId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.announcements import CONNECTIONS_CHANNEL, WORK_CHANNEL
from slack_mcp.sealing import Sealer
from slack_mcp.store.announcements import announce_change
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.health import SqlStoreHealth
from slack_mcp.store.open import open_journal
from slack_mcp.store.revision import load_head_revision

pytestmark = pytest.mark.anyio

CONN = ConnectionId("conn_1")
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'slack-mcp listener' AND datname = $1"
KILL = f"SELECT pg_terminate_backend(pid) FROM ({BACKENDS}) AS listeners"  # noqa: S608 - no value in it


@pytest.fixture
def dsn(postgres_url: str) -> str:
    dsn = make_url(postgres_url).dsn
    assert dsn is not None
    return dsn


@pytest.fixture
async def database(postgres_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    async with open_database(make_url(postgres_url)) as database:
        yield database


@pytest.fixture
async def admin(postgres: Postgres, anyio_backend: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to another database of the same server."""
    connection = await asyncpg.connect(postgres.get_url("postgres"), timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


def get_name(dsn: str) -> str:
    return dsn.partition("?")[0].rpartition("/")[2]


async def notify(database: Database, channel: str, payload: str) -> None:
    async with database.driver() as connection:
        await connection.execute("SELECT pg_notify($1, $2)", channel, payload)


async def test_saved_and_removed_connections_are_heard_by_another_pod(dsn: str, database: Database) -> None:
    store = SqlConnectionStore(database, Sealer(None), clock=SteppingClock())
    ears = Ears()
    async with ears.listen(dsn) as listener:
        assert await ears.hear() == LISTENING
        assert listener.listening
        await store.save_connection(make_connection(CONN))
        await store.save_connection(make_connection(CONN))
        await store.remove_connection(CONN)
        for version in (1, 2, None):
            assert await ears.hear() == ConnectionChange(connection_id=CONN, version=version)


@pytest.mark.parametrize("wrong_by_s", [-3_600.0, 0.0, 3_600.0])
async def test_how_long_a_change_was_under_way_is_told_whatever_this_pods_clock_says(
    wrong_by_s: float, dsn: str, database: Database
) -> None:
    ears = Ears()
    async with ears.listen(dsn, now_s=lambda: time.time() + wrong_by_s):
        assert await ears.hear() == LISTENING
        async with database.transaction() as connection:
            await announce_change(connection, ConnectionChange(connection_id=CONN, version=1))
            await connection.execute(text("SELECT pg_sleep(0.2)"))
        await ears.hear()
        await notify(database, WORK_CHANNEL, "")
        assert await ears.hear() == WORK
    # The change is dated when it is announced, a moment before its commit.
    assert ears.lags_s == [pytest.approx(0.2, abs=5.0)]
    assert ears.lags_s[0] > 0.1
    assert ears.ahead_s == [pytest.approx(-wrong_by_s, abs=5.0)]


async def test_a_change_that_an_older_pod_announces_without_a_time_is_heard_too(dsn: str, database: Database) -> None:
    ears = Ears()
    async with ears.listen(dsn):
        assert await ears.hear() == LISTENING
        await notify(database, CONNECTIONS_CHANNEL, '{"connection_id": "conn_1", "version": 3}')
        assert await ears.hear() == ConnectionChange(connection_id=CONN, version=3)
        await notify(database, WORK_CHANNEL, "")
        assert await ears.hear() == WORK
    assert ears.lags_s == []


async def test_change_that_is_rolled_back_is_not_heard(dsn: str, database: Database) -> None:
    ears = Ears()
    async with ears.listen(dsn):
        assert await ears.hear() == LISTENING
        async with database.transaction() as connection:
            await announce_change(connection, ConnectionChange(connection_id=CONN, version=1))
            await connection.rollback()
        await notify(database, WORK_CHANNEL, "")
        assert await ears.hear() == WORK


async def test_work_is_heard(dsn: str, database: Database) -> None:
    ears = Ears()
    async with ears.listen(dsn):
        assert await ears.hear() == LISTENING
        await open_journal(database, Sealer(None), PodId("pod-a"), clock=SteppingClock()).notify_work()
        assert await ears.hear() == WORK


async def test_longest_possible_id_can_be_announced(dsn: str, database: Database) -> None:
    long_id = ConnectionId("ü" * 255)
    ears = Ears()
    async with ears.listen(dsn):
        assert await ears.hear() == LISTENING
        async with database.transaction() as connection:
            await announce_change(connection, ConnectionChange(connection_id=long_id, version=2**62))
        assert await ears.hear() == ConnectionChange(connection_id=long_id, version=2**62)


@pytest.mark.parametrize("payload", ["", "{", "[]", "1", "{}", '{"connection_id": "conn_1"}'])
async def test_unreadable_announcement_is_logged_and_passed_over(dsn: str, database: Database, payload: str) -> None:
    ears = Ears()
    with structlog.testing.capture_logs() as lines:
        async with ears.listen(dsn):
            assert await ears.hear() == LISTENING
            await notify(database, CONNECTIONS_CHANNEL, payload)
            await notify(database, WORK_CHANNEL, "")
            assert await ears.hear() == WORK
    assert "listener.unreadable" in [line["event"] for line in lines]


async def test_lost_listener_says_so_and_listens_again(dsn: str, database: Database, admin: asyncpg.Connection) -> None:
    store = SqlConnectionStore(database, Sealer(None), clock=SteppingClock())
    ears = Ears()
    async with ears.listen(dsn) as listener:
        health = SqlStoreHealth(database, listener=listener)
        assert await ears.hear() == LISTENING
        assert health.listening
        for version in (1, 2, 3):
            await admin.execute(KILL, get_name(dsn))
            assert await ears.hear() == DEAF
            assert await ears.hear() == LISTENING
            await store.save_connection(make_connection(CONN))
            assert await ears.hear() == ConnectionChange(connection_id=CONN, version=version)
        assert ears.is_empty


async def test_server_that_refuses_is_asked_until_it_agrees(dsn: str, admin: asyncpg.Connection) -> None:
    name = get_name(dsn)
    ears = Ears()
    async with ears.listen(dsn) as listener:
        assert await ears.hear() == LISTENING
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(KILL, name)
        assert await ears.hear() == DEAF
        assert not listener.listening
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert await ears.hear() == LISTENING


async def test_server_that_becomes_read_only_announces_nothing_and_is_left(dsn: str, admin: asyncpg.Connection) -> None:
    name = get_name(dsn)
    ears = Ears()
    async with ears.listen(dsn, heartbeat_s=0.05):
        assert await ears.hear() == LISTENING
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await admin.execute(KILL, name)
        assert await ears.hear() == DEAF
        await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert await ears.hear() == LISTENING
        # In silence, as a server does that is no primary any more.
        await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            await admin.execute("SELECT pg_reload_conf()")
            assert await ears.hear() == DEAF
        finally:
            await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await admin.execute("SELECT pg_reload_conf()")
        assert await ears.hear() == LISTENING


async def test_connection_that_dies_without_a_word_is_found_out(dsn: str, admin: asyncpg.Connection) -> None:
    ears = Ears()
    async with ears.listen(dsn, heartbeat_s=0.05):
        assert await ears.hear() == LISTENING
        # The server's half goes silent: the socket stays open, and nobody answers any more.
        (pid,) = [row["pid"] for row in await admin.fetch(BACKENDS, get_name(dsn))]
        os.kill(pid, signal.SIGSTOP)
        try:
            assert await ears.hear() == DEAF
            assert await ears.hear() == LISTENING
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_listener_stops_at_once_when_it_is_cancelled(dsn: str, tmp_path: Path) -> None:
    for place in (dsn, f"postgresql://postgres@/x?host={tmp_path}"):
        ears = Ears()
        with anyio.fail_after(2):
            async with ears.listen(place):
                await anyio.wait_all_tasks_blocked()


async def test_listener_that_is_cancelled_is_deaf(dsn: str) -> None:
    told: list[bool] = []

    class Subscriber(Ears):
        def on_listening(self, is_listening: bool) -> None:
            told.append(is_listening)
            super().on_listening(is_listening)

    ears = Subscriber()
    async with ears.listen(dsn) as listener:
        assert await ears.hear() == LISTENING
    assert not listener.listening
    assert told == [True, False]


async def test_log_lines_of_a_listener_hold_no_password(dsn: str, admin: asyncpg.Connection) -> None:
    ears = Ears()
    with structlog.testing.capture_logs() as lines:
        async with ears.listen(dsn.replace("postgres@", "postgres:canary@")):
            assert await ears.hear() == LISTENING
            await admin.execute(KILL, get_name(dsn))
            assert await ears.hear() == DEAF
    assert [line["event"] for line in lines][:2] == ["listener.listening", "listener.deaf"]
    assert "canary" not in repr(lines)


async def test_store_without_a_listener_has_nothing_to_miss(database: Database) -> None:
    health = SqlStoreHealth(database, listener=None)
    assert health.listening
    assert health.dialect == "postgresql"
    condition = await health.load_condition()
    assert not condition.is_read_only
    assert condition.now_s is not None
    first = await health.load_schema_revision()
    assert first == {"current": load_head_revision(), "head": load_head_revision()}
    assert await health.load_schema_revision() == first
