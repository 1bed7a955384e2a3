"""The directory over a store that answers when the test lets it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest
import structlog
from anyio.abc import TaskGroup
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.connections.directory import UNKNOWN_TTL_S, CachedDirectory
from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    SealingError,
    SlackMcpError,
    StoreError,
    StoreUnavailableError,
)
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import CacheStats, Connection

pytestmark = pytest.mark.anyio

ONE, TWO = ConnectionId("conn_1"), ConnectionId("conn_2")
TEAM = TeamId("T1")
TTL_S = 30.0
Answer = TypeVar("Answer")


class FakeStore:
    """A table in memory. With `hold`, a reading takes what stands there, and hands it over when `release` is called."""

    def __init__(self) -> None:
        self.table: dict[ConnectionId, Connection] = {}
        self.reads: list[str] = []
        self.is_down = False
        self.broken: dict[str, SlackMcpError] = {}
        self.held: list[anyio.Event] = []
        self.is_holding = False

    def save(self, connection_id: ConnectionId, **changes: object) -> Connection:
        before = self.table.get(connection_id)
        version = before.version + 1 if before else 1
        self.table[connection_id] = make_connection(connection_id, version=version, **changes)
        return self.table[connection_id]

    async def load_connection(self, connection_id: ConnectionId) -> Connection | None:
        return await self._answer(connection_id, lambda: self.table.get(connection_id))

    async def load_connection_ids_of_team(self, team_id: TeamId) -> Sequence[tuple[ConnectionId, str | None]]:
        members = [each for each in self.table.values() if each.team_id == team_id]
        return await self._answer(team_id, lambda: [(each.connection_id, each.api_app_id) for each in members])

    async def _answer(self, name: str, read: Callable[[], Answer]) -> Answer:
        self.reads.append(name)
        is_down, answer = self.is_down, read()
        await anyio.lowlevel.checkpoint()
        if self.is_holding:
            self.held.append(anyio.Event())
            await self.held[-1].wait()
        if is_down:
            raise StoreUnavailableError("down")
        if name in self.broken:
            raise self.broken[name]
        return answer

    async def list_connections(self) -> Sequence[Connection]:
        return list(self.table.values())

    async def count_connections(self) -> tuple[int, int]:
        return len(self.table), 0

    async def save_connection(self, connection: Connection) -> Connection:
        return connection

    async def remove_connection(self, connection_id: ConnectionId) -> bool:
        return self.table.pop(connection_id, None) is not None


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def directory(store: FakeStore, clock: SteppingClock) -> CachedDirectory:
    return CachedDirectory(store=store, clock=clock, ttl_s=TTL_S, max_entries=3)


class Asked:
    """Asks in the background and keeps each answer, or the error."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self.answers: list[Any] = []

    async def ask(self, question: Callable[[], Awaitable[Any]], *, times: int = 1) -> None:
        """Return when every question waits for something."""

        async def run() -> None:
            try:
                self.answers.append(await question())
            except (StoreUnavailableError, ConnectionNotFoundError) as error:
                self.answers.append(type(error))

        for _ in range(times):
            self._tasks.start_soon(run)
        await anyio.wait_all_tasks_blocked()

    async def settle(self, store: FakeStore) -> None:
        """Let every held reading go on, and return when there is nothing more to do."""
        store.is_holding = False
        for event in store.held:
            event.set()
        await anyio.wait_all_tasks_blocked()


async def test_connection_is_read_once_until_its_time_is_over(
    directory: CachedDirectory, store: FakeStore, clock: SteppingClock
) -> None:
    store.save(ONE)
    for _ in range(3):
        assert await directory.load(ONE) == store.table[ONE]
    clock.time_s += TTL_S
    assert await directory.load(ONE) == store.table[ONE]
    assert store.reads == [ONE, ONE]


async def test_connections_are_never_mixed_up(directory: CachedDirectory, store: FakeStore) -> None:
    ids = [ConnectionId(f"conn_{number}") for number in range(20)]
    for connection_id in ids:
        store.save(connection_id)
    for connection_id in ids + ids[::-1]:
        assert (await directory.load(connection_id)).connection_id == connection_id


async def test_memory_is_bounded(directory: CachedDirectory, store: FakeStore) -> None:
    for number in range(10):
        connection_id = ConnectionId(f"conn_{number}")
        store.save(connection_id)
        await directory.load(connection_id)
    assert directory.get_stats().size == 3


async def test_unknown_connection_is_asked_for_again_after_a_second(
    directory: CachedDirectory, store: FakeStore, clock: SteppingClock
) -> None:
    for _ in range(3):
        with pytest.raises(ConnectionNotFoundError):
            await directory.load(ONE)
    assert len(store.reads) == 1
    store.save(ONE)
    clock.time_s += UNKNOWN_TTL_S
    assert await directory.load(ONE) == store.table[ONE]


async def test_new_connection_is_found_as_soon_as_it_is_announced(directory: CachedDirectory, store: FakeStore) -> None:
    with pytest.raises(ConnectionNotFoundError):
        await directory.load(ONE)
    assert await directory.load_of_team(TEAM, None) == []
    saved = store.save(ONE)
    directory.invalidate(ONE, saved.version)
    assert await directory.load(ONE) == saved
    assert await directory.load_of_team(TEAM, None) == [saved]


async def test_failure_is_not_kept(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    store.is_down = True
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            await directory.load(ONE)
        with pytest.raises(StoreUnavailableError):
            await directory.load_of_team(TEAM, None)
    store.is_down = False
    assert await directory.load(ONE) == store.table[ONE]
    assert await directory.load_of_team(TEAM, None) == [store.table[ONE]]


async def test_cached_connection_outlives_an_outage(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    await directory.load(ONE)
    store.is_down = True
    assert await directory.load(ONE) == store.table[ONE]


async def test_change_is_seen_once_it_is_announced(directory: CachedDirectory, store: FakeStore) -> None:
    old = store.save(ONE)
    await directory.load(ONE)
    new = store.save(ONE, team_name="New")
    assert await directory.load(ONE) == old
    directory.invalidate(ONE, new.version)
    assert await directory.load(ONE) == new


async def test_announcement_of_what_is_known_already_costs_nothing(
    directory: CachedDirectory, store: FakeStore
) -> None:
    store.save(ONE)
    saved = store.save(ONE)
    await directory.load(ONE)
    for version in (1, saved.version):
        directory.invalidate(ONE, version)
    assert await directory.load(ONE) == saved
    assert len(store.reads) == 1


@pytest.mark.parametrize("version", [None, 9])
async def test_announcement_concerns_one_connection(
    directory: CachedDirectory, store: FakeStore, version: int | None
) -> None:
    for connection_id in (ONE, TWO):
        store.save(connection_id)
        await directory.load(connection_id)
    directory.invalidate(ONE, version)
    await directory.load(TWO)
    assert store.reads == [ONE, TWO]
    await directory.load(ONE)
    assert store.reads == [ONE, TWO, ONE]


async def test_removed_connection_is_gone_once_it_is_announced(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    await directory.load_of_team(TEAM, None)
    del store.table[ONE]
    directory.invalidate(ONE)
    with pytest.raises(ConnectionNotFoundError):
        await directory.load(ONE)
    assert await directory.load_of_team(TEAM, None) == []


async def test_all_who_ask_at_once_share_one_reading(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load(ONE), times=50)
        assert asked.answers == []
        await asked.settle(store)
    assert asked.answers == [store.table[ONE]] * 50
    assert store.reads == [ONE]


async def test_readings_of_different_connections_do_not_wait_for_each_other(
    directory: CachedDirectory, store: FakeStore
) -> None:
    store.save(ONE)
    store.save(TWO)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load(ONE))
        store.is_holding = False
        assert await directory.load(TWO) == store.table[TWO]
        assert asked.answers == []
        await asked.settle(store)


@pytest.mark.parametrize("is_down", [True, False])
async def test_all_who_ask_at_once_share_a_failure_and_an_absence(
    directory: CachedDirectory, store: FakeStore, *, is_down: bool
) -> None:
    store.is_down = is_down
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load(ONE), times=5)
        await asked.settle(store)
    assert asked.answers == [StoreUnavailableError if is_down else ConnectionNotFoundError] * 5
    assert store.reads == [ONE]


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_waiter_that_is_cancelled_does_not_take_the_others_along(
    directory: CachedDirectory, store: FakeStore, cancelled: int
) -> None:
    store.save(ONE)
    store.is_holding = True
    scopes = [anyio.CancelScope() for _ in range(3)]
    answers: list[Connection] = []

    async def load(scope: anyio.CancelScope) -> None:
        with scope:
            answers.append(await directory.load(ONE))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(load, scope)
            await anyio.wait_all_tasks_blocked()
            scopes[cancelled].cancel()
            await anyio.wait_all_tasks_blocked()
            await Asked(tasks).settle(store)
    assert answers == [store.table[ONE]] * 2


async def test_reading_that_began_before_a_change_is_neither_kept_nor_shared(
    directory: CachedDirectory, store: FakeStore
) -> None:
    old = store.save(ONE)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        early, late = Asked(tasks), Asked(tasks)
        await early.ask(lambda: directory.load(ONE))
        new = store.save(ONE)
        directory.invalidate(ONE, new.version)
        await late.ask(lambda: directory.load(ONE))
        # The later reading ends first: the older one must not write over it.
        store.held[1].set()
        await anyio.wait_all_tasks_blocked()
        assert late.answers == [new]
        await early.settle(store)
    assert early.answers == [old]
    assert await directory.load(ONE) == new
    assert len(store.reads) == 2


async def test_clearing_reaches_readings_under_way(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load(ONE))
        await asked.ask(lambda: directory.load_of_team(TEAM, None))
        new = store.save(ONE)
        directory.clear()
        await asked.settle(store)
    assert await directory.load(ONE) == new


async def test_workspace_read_before_a_change_is_not_kept(directory: CachedDirectory, store: FakeStore) -> None:
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load_of_team(TEAM, None))
        saved = store.save(ONE)
        directory.invalidate(ONE, saved.version)
        await asked.settle(store)
    assert asked.answers == [[]]
    assert await directory.load_of_team(TEAM, None) == [saved]


async def test_reload_asks_the_database_and_refreshes_the_cache(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    await directory.load(ONE)
    new = store.save(ONE)
    assert await directory.reload(ONE) == new
    assert await directory.load(ONE) == new
    assert len(store.reads) == 2
    del store.table[ONE]
    with pytest.raises(ConnectionNotFoundError):
        await directory.reload(ONE)


async def test_reload_does_not_believe_a_reading_that_began_before_it(
    directory: CachedDirectory, store: FakeStore
) -> None:
    old = store.save(ONE)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        early, late = Asked(tasks), Asked(tasks)
        await early.ask(lambda: directory.load(ONE))
        new = store.save(ONE)
        await late.ask(lambda: directory.reload(ONE), times=10)
        await early.settle(store)
    assert early.answers == [old]
    assert late.answers == [new] * 10
    assert store.reads == [ONE, ONE]


async def test_nothing_cached_is_believed_while_changes_are_not_heard(
    directory: CachedDirectory, store: FakeStore
) -> None:
    store.save(ONE)
    await directory.load(ONE)
    await directory.load_of_team(TEAM, None)
    directory.set_listening(False)
    for _ in range(3):
        new = store.save(ONE)
        assert await directory.load(ONE) == new
        assert await directory.load_of_team(TEAM, None) == [new]
    last = store.save(ONE)
    directory.set_listening(True)
    assert await directory.load(ONE) == last
    reads = len(store.reads)
    assert await directory.load(ONE) == last
    assert len(store.reads) == reads


async def test_those_who_ask_at_once_share_a_reading_while_changes_are_not_heard(
    directory: CachedDirectory, store: FakeStore
) -> None:
    store.save(ONE)
    directory.set_listening(False)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load(ONE), times=5)
        await asked.settle(store)
    assert store.reads == [ONE]


async def test_directory_that_does_not_listen_yet_asks_the_database(store: FakeStore, clock: SteppingClock) -> None:
    directory = CachedDirectory(store=store, clock=clock, ttl_s=TTL_S, max_entries=3, is_listening=False)
    store.save(ONE)
    for _ in range(2):
        await directory.load(ONE)
    assert len(store.reads) == 2


async def test_reading_from_deaf_times_is_not_kept_when_listening_begins(
    store: FakeStore, directory: CachedDirectory
) -> None:
    directory.set_listening(False)
    store.save(ONE)
    store.is_holding = True
    async with anyio.create_task_group() as tasks:
        asked = Asked(tasks)
        await asked.ask(lambda: directory.load(ONE))
        new = store.save(ONE)
        directory.set_listening(True)
        await asked.settle(store)
    assert await directory.load(ONE) == new


@pytest.mark.parametrize(
    ("app_id", "expected"),
    [("A1", ["conn_1", "conn_3"]), ("A2", ["conn_2", "conn_3"]), (None, ["conn_1", "conn_2", "conn_3"])],
)
async def test_workspace_has_the_connections_of_the_app_and_those_that_may_be(
    directory: CachedDirectory, store: FakeStore, app_id: str | None, expected: list[str]
) -> None:
    store.save(ONE, api_app_id="A1")
    store.save(TWO, api_app_id="A2")
    store.save(ConnectionId("conn_3"), api_app_id=None)
    store.save(ConnectionId("conn_4"), team_id=TeamId("T2"))
    for _ in range(2):
        assert [each.connection_id for each in await directory.load_of_team(TEAM, app_id)] == expected
    assert store.reads.count(TEAM) == 1


@pytest.mark.parametrize("error", [SealingError("does not open"), StoreError("cannot be read")])
async def test_connection_that_cannot_be_read_does_not_stop_the_others_of_its_workspace(
    directory: CachedDirectory, store: FakeStore, error: SlackMcpError
) -> None:
    for connection_id in (ONE, TWO):
        store.save(connection_id)
    store.broken[ONE] = error
    with structlog.testing.capture_logs() as lines:
        assert await directory.load_of_team(TEAM, None) == [store.table[TWO]]
    assert [(line["event"], line["connection_id"]) for line in lines] == [("connection.unreadable", ONE)]
    store.broken[TWO] = error
    directory.clear()
    with pytest.raises(type(error)):
        await directory.load_of_team(TEAM, None)


async def test_workspace_is_not_half_known_when_the_database_is_gone(
    directory: CachedDirectory, store: FakeStore
) -> None:
    for connection_id in (ONE, TWO):
        store.save(connection_id)
    store.broken[TWO] = StoreUnavailableError("down")
    with pytest.raises(StoreUnavailableError):
        await directory.load_of_team(TEAM, None)


async def test_counters_tell_what_happened(directory: CachedDirectory, store: FakeStore) -> None:
    store.save(ONE)
    for _ in range(3):
        await directory.load(ONE)
    directory.invalidate(ONE)
    await directory.reload(ONE)
    assert directory.get_stats() == CacheStats(hits=2, misses=1, loads=2, invalidations=1, size=1)
    directory.clear()
    assert directory.get_stats().size == 0
