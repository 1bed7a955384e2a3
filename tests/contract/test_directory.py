"""Two directories on one PostgreSQL, each with its listener: what one saves, the other sees."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg
import pytest
from ears import DEAF, LISTENING, Ears
from postgres import Postgres, make_url
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import open_database

pytestmark = pytest.mark.anyio

CONN, TEAM = ConnectionId("conn_1"), TeamId("T1")
SEALER = Sealer(KeyRing.generate("k1"))


class DirectoryEars(Ears):
    """Tells the directory first and the test afterwards, as a pod does."""

    def __init__(self, directory: CachedDirectory) -> None:
        super().__init__()
        self._directory = directory

    def on_change(self, change: ConnectionChange) -> None:
        self._directory.invalidate(change.connection_id, change.version)
        super().on_change(change)

    def on_listening(self, is_listening: bool) -> None:
        self._directory.set_listening(is_listening)
        super().on_listening(is_listening)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    store: SqlConnectionStore
    directory: CachedDirectory
    ears: Ears


@asynccontextmanager
async def run_pod(url: str, *, heartbeat_s: float = 60.0) -> AsyncIterator[Pod]:
    async with open_database(make_url(url)) as database:
        clock = SteppingClock()  # stands still: nothing becomes stale by age
        store = SqlConnectionStore(database, SEALER, clock=clock)
        directory = CachedDirectory(store=store, clock=clock, ttl_s=30, max_entries=100, is_listening=False)
        ears = DirectoryEars(directory)
        async with ears.listen(make_url(url).dsn, heartbeat_s=heartbeat_s):
            assert await ears.hear() == LISTENING
            yield Pod(store=store, directory=directory, ears=ears)


async def list_listeners(admin: asyncpg.Connection, url: str) -> set[int]:
    """Return the server's processes that listeners are connected to."""
    rows = await admin.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'slack-mcp listener' AND datname = $1",
        url.partition("?")[0].rpartition("/")[2],
    )
    return {row["pid"] for row in rows}


async def count_loads(directory: CachedDirectory) -> int:
    before = directory.get_stats().loads
    await directory.load(CONN)
    return directory.get_stats().loads - before


async def test_change_of_one_pod_is_seen_by_the_other(postgres_url: str) -> None:
    async with run_pod(postgres_url) as a, run_pod(postgres_url) as b:
        with pytest.raises(ConnectionNotFoundError):
            await b.directory.load(CONN)
        assert await b.directory.load_of_team(TEAM, None) == []
        saved = await a.store.save_connection(make_connection(CONN))
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=1)
        assert await b.directory.load(CONN) == saved
        assert await count_loads(b.directory) == 0

        moved = await a.store.save_connection(replace(saved, team_id=TeamId("T2")))
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=2)
        assert await b.directory.load(CONN) == moved
        assert await b.directory.load_of_team(TEAM, None) == []
        assert await b.directory.load_of_team(TeamId("T2"), None) == [moved]

        await a.store.remove_connection(CONN)
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=None)
        with pytest.raises(ConnectionNotFoundError):
            await b.directory.load(CONN)


async def test_pod_whose_listener_is_lost_believes_nothing_cached_until_it_listens_again(
    postgres: Postgres, postgres_url: str
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'slack-mcp listener' AND datname = $1"
    )
    admin = await asyncpg.connect(postgres.get_url("postgres"), timeout=5)
    try:
        async with run_pod(postgres_url) as a, run_pod(postgres_url) as b:
            await a.store.save_connection(make_connection(CONN))
            assert isinstance(await b.ears.hear(), ConnectionChange)
            await b.directory.load(CONN)
            assert await count_loads(b.directory) == 0

            # No new connection is let in, so that the listeners stay away; those of the pools go on.
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await admin.execute(kill, name)
            assert await b.ears.hear() == DEAF
            for version in (2, 3):
                await a.store.save_connection(make_connection(CONN))
                assert (await b.directory.load(CONN)).version == version
            assert await count_loads(b.directory) == 1

            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            assert await b.ears.hear() == LISTENING
            assert await count_loads(b.directory) == 1
            assert await count_loads(b.directory) == 0
            await a.store.save_connection(make_connection(CONN))
            assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=4)
            assert (await b.directory.load(CONN)).version == 4
    finally:
        await admin.close()


async def test_change_missed_by_a_listener_that_died_without_a_word_is_seen_when_it_is_found_out(
    postgres: Postgres, postgres_url: str
) -> None:
    admin = await asyncpg.connect(postgres.get_url("postgres"), timeout=5)
    try:
        async with run_pod(postgres_url) as a:
            others = await list_listeners(admin, postgres_url)
            async with run_pod(postgres_url, heartbeat_s=0.5) as b:
                await a.store.save_connection(make_connection(CONN))
                assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=1)
                await b.directory.load(CONN)
                (pid,) = await list_listeners(admin, postgres_url) - others
                os.kill(pid, signal.SIGSTOP)
                try:
                    await a.store.save_connection(make_connection(CONN))
                    assert await b.ears.hear() == DEAF
                    assert await b.ears.hear() == LISTENING
                    assert (await b.directory.load(CONN)).version == 2
                    assert await count_loads(b.directory) == 0
                finally:
                    os.kill(pid, signal.SIGCONT)
    finally:
        await admin.close()
