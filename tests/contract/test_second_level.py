"""What pods keep for each other in Valkey is believed only where it is as good as reading the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from directory_pods import SEALER, TTL_S, DirectoryPod, Shared, open_shared, run_directory_pod
from stepping_clock import SteppingClock
from store_samples import make_connection
from valkey import ValkeyServer

from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, ConnectionChange
from slack_mcp.ports.directory import ReadPoint
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.valkey.connections import SKEW_S

pytestmark = pytest.mark.anyio

CONN, OTHER = ConnectionId("conn_1"), ConnectionId("conn_2")


def at(transaction: int, *, server: int = 1) -> ReadPoint:
    return ReadPoint(server=server, transaction=transaction)


@dataclass
class WrittenStore:
    """A database that a test writes by hand."""

    connections: dict[ConnectionId, Connection]
    point: ReadPoint | None
    reads: int = 0

    async def read_connection(self, connection_id: ConnectionId) -> tuple[Connection | None, ReadPoint | None]:
        self.reads += 1
        connection = self.connections.get(connection_id)
        return connection, self.point if connection else None


@dataclass(frozen=True)
class Reader:
    """A pod with such a database."""

    store: WrittenStore
    clock: SteppingClock
    shared: Shared

    async def load(self, connection_id: ConnectionId = CONN) -> int | None:
        """Return the version that it loads, and let what it read be kept."""
        found = await self.shared.second.load(connection_id)
        await self.shared.flush()
        return None if found.connection is None else found.connection.version

    async def is_shared(self) -> bool:
        return (await self.shared.second.load(CONN)).is_shared


@asynccontextmanager
async def open_reader(
    server: ValkeyServer,
    *,
    version: int = 1,
    read_at: ReadPoint | None = None,
    listens_from: ReadPoint | None = None,
    sealer: Sealer = SEALER,
    max_changes: int = 100,
) -> AsyncIterator[Reader]:
    store = WrittenStore({each: make_connection(each, version=version) for each in (CONN, OTHER)}, read_at or at(10))
    clock = SteppingClock()
    async with open_shared(server.url, store=store, clock=clock, sealer=sealer, max_changes=max_changes) as shared:
        shared.second.listen_from(listens_from or at(10))
        yield Reader(store, clock, shared)


async def test_what_one_pod_has_read_another_need_not_read(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as a, open_reader(valkey_server) as b:
        loaded = (await a.shared.second.load(CONN)).connection
        await a.shared.flush()
        found = await b.shared.second.load(CONN)
        assert found.connection == loaded == make_connection(CONN)
        assert found.is_shared
        assert (a.store.reads, b.store.reads) == (1, 0)


async def test_what_was_read_before_a_pod_began_to_listen_is_not_believed_by_it(valkey_server: ValkeyServer) -> None:
    """Whatever was changed in between, nobody may have told Valkey of it: the pod that did may be dead."""
    async with (
        open_reader(valkey_server, read_at=at(10)) as early,
        open_reader(valkey_server, version=2, read_at=at(11), listens_from=at(11)) as late,
    ):
        await early.load()
        assert await late.load() == 2
        assert late.store.reads == 1
        assert await early.load() == 2, "and what it has read is there for all who listen for longer"


async def test_what_another_server_has_said_is_not_believed(valkey_server: ValkeyServer) -> None:
    async with (
        open_reader(valkey_server, read_at=at(99, server=1)) as before,
        open_reader(valkey_server, version=2, read_at=at(11, server=2), listens_from=at(11, server=2)) as after,
    ):
        await before.load()
        assert await after.load() == 2


async def test_nothing_is_believed_that_is_older_than_what_was_heard(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as a, open_reader(valkey_server, version=5) as b:
        await a.load()
        b.shared.second.distrust(CONN, 5)
        assert await b.load() == 5
        assert b.store.reads == 1
        b.shared.second.distrust(CONN, 4)  # late news
        assert await b.is_shared()


async def test_an_older_version_never_takes_the_place_of_a_newer_one(valkey_server: ValkeyServer) -> None:
    """A pod that has read slowly keeps what it has read after another one that has read later."""
    async with open_reader(valkey_server, version=4) as slow, open_reader(valkey_server, version=5) as fast:
        slow.shared.second.listen_from(None)  # so that it reads for itself
        await fast.load()
        assert await slow.load() == 4
        assert await fast.load() == 5
        assert fast.store.reads == 1


async def test_after_a_removal_nothing_is_believed_that_was_kept_before(valkey_server: ValkeyServer) -> None:
    """A connection that is made again begins with version 1: its number says nothing."""
    async with open_reader(valkey_server, version=7) as a, open_reader(valkey_server) as b:
        await a.load()
        b.shared.second.distrust(CONN, None)
        b.store.connections.clear()
        assert await b.load() is None
        b.shared.second.distrust(CONN, 1)
        b.store.connections[CONN] = make_connection(CONN, version=1)
        assert await b.load() == 1


async def test_that_there_is_none_is_not_kept(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as pod:
        pod.store.connections.clear()
        assert await pod.load() is None
        assert await pod.shared.valkey.run(lambda redis: redis.dbsize()) == 0


async def test_what_is_kept_gets_no_older_than_what_a_pod_keeps_itself(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as a, open_reader(valkey_server) as b:
        await a.load()
        (key,) = await a.shared.valkey.run(lambda redis: redis.keys("*"))
        assert 0 < await a.shared.valkey.run(lambda redis: redis.pttl(key)) <= 1000 * TTL_S
        await a.shared.valkey.run(lambda redis: redis.pexpire(key, 5000))
        assert 0 < (await b.shared.second.load(CONN)).ttl_s <= 5


async def test_what_was_heard_is_remembered_for_as_long_as_anything_older_could_be_believed(
    valkey_server: ValkeyServer,
) -> None:
    """Who can write to the server can put an old value back at any time."""
    async with open_reader(valkey_server) as pod:
        await pod.load()
        (key,) = await pod.shared.valkey.run(lambda redis: redis.keys("*"))
        old = await pod.shared.valkey.run(lambda redis: redis.get(key))
        assert old is not None
        pod.shared.second.distrust(CONN, 2)
        pod.store.connections[CONN] = make_connection(CONN, version=2)
        for _ in range(int(TTL_S + 3 * SKEW_S)):
            await pod.shared.valkey.run(lambda redis: redis.set(key, old, ex=3600))
            assert await pod.load() == 2
            pod.clock.time_s += 1


async def test_old_value_that_is_put_back_is_refused_by_its_age(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as pod:
        await pod.load()
        (key,) = await pod.shared.valkey.run(lambda redis: redis.keys("*"))
        await pod.shared.valkey.run(lambda redis: redis.expire(key, 3600))
        pod.clock.time_s += TTL_S + SKEW_S
        assert await pod.is_shared()
        pod.clock.time_s += 0.1
        assert not await pod.is_shared()


async def test_where_clocks_differ_too_much_nothing_is_believed(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as ahead, open_reader(valkey_server) as pod:
        ahead.clock.time_s += 2 * SKEW_S
        await ahead.load()
        assert not await pod.is_shared()


async def test_with_more_changes_than_can_be_remembered_nothing_is_believed_for_a_time(
    valkey_server: ValkeyServer,
) -> None:
    async with open_reader(valkey_server, max_changes=3) as pod:
        await pod.load()
        assert await pod.is_shared()
        for number in range(4):
            pod.shared.second.distrust(ConnectionId(f"other_{number}"), 2)
        assert not await pod.is_shared()
        pod.clock.time_s += TTL_S + 2 * SKEW_S
        await pod.load()
        assert await pod.is_shared()


async def test_who_does_not_listen_believes_nothing(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as pod:
        await pod.load()
        pod.shared.second.listen_from(None)
        assert not await pod.is_shared()
        pod.shared.second.listen_from(at(10))
        assert await pod.is_shared()


async def test_nothing_there_is_in_clear_text_and_nothing_opens_in_another_tenant(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as pod:
        for connection_id in (CONN, OTHER):
            await pod.load(connection_id)
        keys = await pod.shared.valkey.run(lambda redis: redis.keys("*"))
        values = {key: await pod.shared.valkey.run(lambda redis, key=key: redis.get(key)) for key in keys}  # type: ignore[misc]
        assert len(values) == 2
        assert not [value for value in values.values() if b"canary" in value or b"Be kind" in value]
        ours, theirs = sorted(keys)
        await pod.shared.valkey.run(lambda redis: redis.set(ours, values[theirs], ex=20))
        found = await pod.shared.second.load(CONN)
        assert not found.is_shared
        assert found.connection == make_connection(CONN)


async def test_same_id_under_other_keys_or_damaged_is_read_from_the_database(valkey_server: ValkeyServer) -> None:
    async with (
        open_reader(valkey_server) as ours,
        open_reader(valkey_server, version=2, sealer=Sealer(KeyRing.generate("k2"))) as theirs,
    ):
        await ours.load()
        assert await theirs.load() == 2
        (key,) = await ours.shared.valkey.run(lambda redis: redis.keys("*"))
        for damaged in (b"", b"0" * 19, b"9" * 20 + b"rubbish"):
            await ours.shared.valkey.run(lambda redis, value=damaged: redis.set(key, value, ex=20))  # type: ignore[misc]
            assert not await ours.is_shared()
            await ours.shared.flush()


async def test_what_is_not_sealed_is_not_believed(valkey_server: ValkeyServer) -> None:
    """A pod without keys would write so, and so could anybody."""
    async with (
        open_reader(valkey_server, version=9, sealer=Sealer(None)) as stranger,
        open_reader(valkey_server) as pod,
    ):
        await stranger.load()
        assert await pod.load() == 1


async def test_without_valkey_the_database_is_read(valkey_server: ValkeyServer) -> None:
    async with open_reader(valkey_server) as pod:
        await pod.load()
        valkey_server.stop()
        assert await pod.load() == 1
        assert pod.store.reads == 2


@asynccontextmanager
async def run_pods(postgres_url: str, server: ValkeyServer) -> AsyncIterator[tuple[DirectoryPod, DirectoryPod]]:
    async with (
        run_directory_pod(postgres_url, valkey_url=server.url) as a,
        run_directory_pod(postgres_url, valkey_url=server.url) as b,
    ):
        yield a, b


async def flush(pod: DirectoryPod) -> None:
    assert pod.shared is not None
    await pod.shared.flush()


async def test_a_pod_that_dies_after_its_commit_leaves_nothing_behind_that_anybody_believes(
    postgres_url: str, valkey_server: ValkeyServer
) -> None:
    async with run_pods(postgres_url, valkey_server) as (a, b):
        await a.store.save_connection(make_connection(CONN))
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=1)
        await a.directory.load(CONN)
        await flush(a)
        # The store alone: nothing here tells Valkey, as if the pod had died with its commit.
        saved = await a.store.save_connection(make_connection(CONN, system_prompt="new"))
        async with run_directory_pod(postgres_url, valkey_url=valkey_server.url) as late:
            assert await late.directory.load(CONN) == saved
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=2)
        assert await b.directory.load(CONN) == saved


async def test_pods_on_one_database_share_what_they_read(postgres_url: str, valkey_server: ValkeyServer) -> None:
    async with run_pods(postgres_url, valkey_server) as (a, b):
        saved = await a.store.save_connection(make_connection(CONN))
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=1)
        assert await a.directory.load(CONN) == saved
        await flush(a)
        assert await b.directory.load(CONN) == saved
        assert (a.directory.get_stats().loads, b.directory.get_stats().loads) == (1, 0)


async def test_what_is_asked_for_as_it_is_now_is_read_from_the_database(
    postgres_url: str, valkey_server: ValkeyServer
) -> None:
    async with run_pods(postgres_url, valkey_server) as (a, b):
        saved = await a.store.save_connection(make_connection(CONN))
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=1)
        await a.directory.load(CONN)
        await flush(a)
        assert await b.directory.reload(CONN) == saved
        assert b.directory.get_stats().loads == 1


async def test_a_removed_connection_is_gone_on_all_pods(postgres_url: str, valkey_server: ValkeyServer) -> None:
    async with run_pods(postgres_url, valkey_server) as (a, b):
        saved = await a.store.save_connection(make_connection(CONN))
        assert isinstance(await b.ears.hear(), ConnectionChange)
        assert await a.directory.load(CONN) == replace(saved)
        await flush(a)
        await a.store.remove_connection(CONN)
        assert await b.ears.hear() == ConnectionChange(connection_id=CONN, version=None)
        with pytest.raises(ConnectionNotFoundError):
            await b.directory.load(CONN)
