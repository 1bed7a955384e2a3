"""Two directories on one PostgreSQL, with Valkey and without: what one saves, the other sees."""

import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

import asyncpg
import pytest
from directory_pods import DirectoryPod, run_directory_pod
from ears import DEAF, LISTENING
from postgres import Postgres
from store_samples import make_connection

from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import ConnectionChange

pytestmark = pytest.mark.anyio

CONN, TEAM = ConnectionId("conn_1"), TeamId("T1")

OpenPod = Callable[..., AbstractAsyncContextManager[DirectoryPod]]


@pytest.fixture(params=["without Valkey", "with Valkey"])
def run_pod(request: pytest.FixtureRequest, postgres_url: str) -> OpenPod:
    valkey_url = None if request.param == "without Valkey" else request.getfixturevalue("valkey_server").url
    return partial(run_directory_pod, postgres_url, valkey_url=valkey_url)


async def list_listeners(admin: asyncpg.Connection, url: str) -> set[int]:
    """Return the server's processes that listeners are connected to."""
    rows = await admin.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'slack-mcp listener' AND datname = $1",
        url.partition("?")[0].rpartition("/")[2],
    )
    return {row["pid"] for row in rows}


async def count_misses(directory: CachedDirectory) -> int:
    before = directory.get_stats().misses
    await directory.load(CONN)
    return directory.get_stats().misses - before


async def test_change_of_one_pod_is_seen_by_the_other(run_pod: OpenPod) -> None:
    async with run_pod() as a, run_pod() as b:
        with pytest.raises(ConnectionNotFoundError):
            await b.directory.load(CONN)
        assert await b.directory.load_of_team(TEAM, None) == []
        saved = await a.store.save_connection(make_connection(CONN))
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=1)
        assert await b.directory.load(CONN) == saved
        assert await count_misses(b.directory) == 0

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
    postgres: Postgres, postgres_url: str, run_pod: OpenPod
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'slack-mcp listener' AND datname = $1"
    )
    admin = await asyncpg.connect(postgres.get_url("postgres"), timeout=5)
    try:
        async with run_pod() as a, run_pod() as b:
            await a.store.save_connection(make_connection(CONN))
            assert isinstance(await b.ears.hear(), ConnectionChange)
            await b.directory.load(CONN)
            assert await count_misses(b.directory) == 0

            # No new connection is let in, so that the listeners stay away; those of the pools go on.
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await admin.execute(kill, name)
            assert await b.ears.hear() == DEAF
            for version in (2, 3):
                await a.store.save_connection(make_connection(CONN))
                assert (await b.directory.load(CONN)).version == version
            assert await count_misses(b.directory) == 1

            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            assert await b.ears.hear() == LISTENING
            assert await count_misses(b.directory) == 1
            assert await count_misses(b.directory) == 0
            await a.store.save_connection(make_connection(CONN))
            assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=4)
            assert (await b.directory.load(CONN)).version == 4
    finally:
        await admin.close()


async def test_change_missed_by_a_listener_that_died_without_a_word_is_seen_when_it_is_found_out(
    postgres: Postgres, postgres_url: str, run_pod: OpenPod
) -> None:
    admin = await asyncpg.connect(postgres.get_url("postgres"), timeout=5)
    try:
        async with run_pod() as a:
            others = await list_listeners(admin, postgres_url)
            async with run_pod(heartbeat_s=0.5) as b:
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
                    assert await count_misses(b.directory) == 0
                finally:
                    os.kill(pid, signal.SIGCONT)
    finally:
        await admin.close()
