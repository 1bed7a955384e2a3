"""What is taken out of a bucket is nobody else's, on every database and in Valkey."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from database_kinds import choose_database
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from stepping_clock import SteppingClock
from valkey_pods import age_buckets, open_valkey_at

from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import Buckets, LeaseRequest
from slack_mcp.store.buckets import SqlBuckets, share_out
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.schema import buckets as table
from slack_mcp.store.url import DatabaseUrl
from slack_mcp.valkey.buckets import ValkeyBuckets

pytestmark = pytest.mark.anyio

ONE, OTHER = ConnectionId("conn_1"), ConnectionId("conn_2")
ASK = "ask:user:U1"
# So slowly that nothing comes back while a test runs.
SLOW = 1e-6
# So long that a new bucket is full all the same where a server begins with empty ones.
LONG_S = 1e9


def open_buckets(database: Database) -> SqlBuckets:
    return SqlBuckets(database, clock=SteppingClock())


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where buckets are, as two pods have it; `let_pass` lets all of them become older by some seconds."""

    pods: Sequence[Buckets]
    let_pass: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["sqlite_file", "sqlite_memory", "postgresql", "valkey"])
def place_url(request: pytest.FixtureRequest, tmp_path: Path) -> str | DatabaseUrl:
    """Each kind of place: where a Valkey is, or a database."""
    if request.param == "valkey":
        return str(request.getfixturevalue("valkey_server").url)
    return choose_database(request.param, request, tmp_path)


@pytest.fixture
async def place(place_url: str | DatabaseUrl, anyio_backend: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        if isinstance(place_url, str):
            valkeys = [await stack.enter_async_context(open_valkey_at(place_url)) for _ in range(2)]
            await age_buckets(valkeys[0], LONG_S)
            yield Place(
                pods=[ValkeyBuckets(each) for each in valkeys],
                let_pass=lambda seconds: age_buckets(valkeys[0], seconds),
            )
            return
        databases = [await stack.enter_async_context(open_database(place_url))]
        await Migrations(place_url, database=databases[0]).up()
        # The same data as another pod has it: through a pool of its own, where there can be one.
        is_alone = place_url.dialect == "sqlite" and place_url.sqlite_path is None
        databases.append(databases[0] if is_alone else await stack.enter_async_context(open_database(place_url)))
        yield Place(
            pods=[open_buckets(each) for each in databases], let_pass=lambda seconds: let_pass(databases[0], seconds)
        )


def ask(bucket: str = ASK, *, connection_id: ConnectionId = ONE, **changes: float) -> LeaseRequest:
    values: dict[str, float] = {"capacity": 8.0, "per_s": SLOW, "wanted": 1}
    return LeaseRequest(connection_id=connection_id, bucket=bucket, **values | changes)  # type: ignore[arg-type]


async def let_pass(database: Database, seconds: float) -> None:
    """Let every bucket become older; the database's own clock cannot be moved."""
    by_ms = int(1000 * seconds)
    async with database.transaction() as connection:
        await connection.execute(
            update(table).values(
                updated_at_ms=table.c.updated_at_ms - by_ms, blocked_until_ms=table.c.blocked_until_ms - by_ms
            )
        )


async def test_a_new_bucket_is_full_and_says_how_long_it_takes_once_it_is_empty(place: Place) -> None:
    buckets = place.pods[0]
    for _ in range(3):
        assert await buckets.take(ONE, ASK, capacity=3, per_s=0.01) == 0.0
    assert await buckets.take(ONE, ASK, capacity=3, per_s=0.01) == pytest.approx(100, abs=1)


async def test_nothing_is_taken_by_who_does_not_get_all(place: Place) -> None:
    buckets = place.pods[0]
    assert await buckets.take(ONE, ASK, capacity=3, per_s=0.01, cost=2) == 0.0
    assert await buckets.take(ONE, ASK, capacity=3, per_s=0.01, cost=2) == pytest.approx(100, abs=1)
    assert await buckets.take(ONE, ASK, capacity=3, per_s=0.01, cost=1) == 0.0


async def test_tokens_come_back_with_time_and_never_more_than_there_is_room_for(place: Place) -> None:
    buckets = place.pods[0]
    await buckets.lease([ask(wanted=8)])
    await place.let_pass(30)
    assert (await buckets.lease([ask(wanted=8, per_s=0.1)]))[0].granted == 3
    await place.let_pass(3600)
    assert (await buckets.lease([ask(wanted=100, per_s=0.1)]))[0].granted == 8


async def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing(place: Place) -> None:
    buckets = place.pods[0]
    await buckets.lease([ask(wanted=5)])
    await place.let_pass(-3600)
    lease = (await buckets.lease([ask(wanted=1, per_s=0.1)]))[0]
    assert (lease.granted, round(lease.left)) == (1, 2)
    await place.let_pass(20)
    assert (await buckets.lease([ask(wanted=8, per_s=0.1)]))[0].granted == 4


async def test_buckets_and_connections_do_not_meet(place: Place) -> None:
    buckets = place.pods[0]
    assert (await buckets.lease([ask(wanted=8)]))[0].granted == 8
    for request in (ask(connection_id=OTHER, wanted=8), ask("ask:user:U2", wanted=8)):
        assert (await buckets.lease([request]))[0].granted == 8
    await buckets.block(ONE, ASK, for_s=60)
    assert await buckets.take(OTHER, ASK, capacity=9, per_s=1000) < 1


async def test_many_buckets_are_asked_for_in_one_go_and_answered_in_order(place: Place) -> None:
    buckets = place.pods[0]
    await buckets.lease([ask("b", wanted=6)])
    requests = [ask("c", wanted=1), ask("b", wanted=4), ask("a", wanted=3, connection_id=OTHER), ask("a", wanted=9)]
    assert [each.granted for each in await buckets.lease(requests)] == [1, 2, 3, 8]
    assert [round(each.left) for each in await buckets.lease([ask("a", wanted=0), ask("c", wanted=0)])] == [0, 7]


async def test_what_is_spare_is_given_only_of_what_need_not_be_kept(place: Place) -> None:
    buckets = place.pods[0]
    assert (await buckets.lease([ask(wanted=1, spare=9, kept=4)]))[0].granted == 4
    assert (await buckets.lease([ask(wanted=1, spare=9, kept=4)]))[0].granted == 1
    assert (await buckets.lease([ask(wanted=0, spare=1, kept=0)]))[0].granted == 1


async def test_however_many_take_at_once_there_is_no_more_than_there_was(place: Place) -> None:
    pods = place.pods
    taken: list[float] = []

    async def take(pod: Buckets) -> None:
        taken.append(await pod.take(ONE, ASK, capacity=7, per_s=SLOW))

    async def lease(pod: Buckets) -> None:
        await pod.lease([ask("a"), ask("b")])
        await pod.lease([ask("b"), ask("a")])

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(take, pods[number % 2])
                tasks.start_soon(lease, pods[number % 2])
    assert sum(wait_s == 0.0 for wait_s in taken) == 7
    assert [round(each.left) for each in await pods[0].lease([ask("a", wanted=0), ask("b", wanted=0)])] == [0, 0]


async def test_who_takes_of_many_buckets_at_once_gets_of_his_own(place: Place) -> None:
    buckets = place.pods[0]
    waits_s: dict[tuple[str, int], list[float]] = {}

    async def take(connection_id: ConnectionId, number: int) -> None:
        wait_s = await buckets.take(connection_id, f"b{number}", capacity=number + 1, per_s=SLOW)
        waits_s.setdefault((connection_id, number), []).append(wait_s)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                for number in range(4):
                    for connection_id in (ONE, OTHER):
                        tasks.start_soon(take, connection_id, number)
    given = {key: each.count(0.0) for key, each in waits_s.items()}
    assert given == {(connection_id, number): number + 1 for connection_id in (ONE, OTHER) for number in range(4)}


async def test_of_two_who_wait_for_the_same_bucket_the_second_sees_what_the_first_took(
    database: Database, other_database: Database
) -> None:
    pods = [open_buckets(database), open_buckets(other_database)]
    await pods[0].lease([ask(wanted=7)])
    leases: list[int] = []

    async def lease(pod: SqlBuckets) -> None:
        leases.extend(each.granted for each in await pod.lease([ask()]))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, database.transaction() as connection:
            # Whoever takes of the bucket now has begun to, and waits for this to end.
            await connection.execute(update(table).values(updated_at_ms=table.c.updated_at_ms))
            for pod in pods:
                tasks.start_soon(lease, pod)
            await anyio.wait_all_tasks_blocked()
            while database.dialect == "postgresql" and await count_waiting(connection) < len(pods):
                await anyio.lowlevel.checkpoint()
    assert sorted(leases) == [0, 1]


async def count_waiting(connection: AsyncConnection) -> int:
    """Return how many statements wait for a lock."""
    return int((await connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))).scalar_one())


async def test_of_a_blocked_bucket_nobody_gets_anything_until_it_is_over(place: Place) -> None:
    buckets, of_other_pod = place.pods
    await buckets.take(ONE, ASK, capacity=8, per_s=0.5)
    await buckets.block(ONE, ASK, for_s=60)
    await buckets.block(ONE, ASK, for_s=30)
    lease = (await of_other_pod.lease([ask(per_s=0.5)]))[0]
    assert lease.granted == 0
    assert lease.blocked_s == pytest.approx(60, abs=2)
    assert await of_other_pod.take(ONE, ASK, capacity=8, per_s=1000) == pytest.approx(60, abs=2)
    await place.let_pass(62)
    assert await of_other_pod.take(ONE, ASK, capacity=8, per_s=0.5) == 0.0


async def test_a_bucket_is_empty_when_it_is_blocked_whether_it_was_used_or_not(place: Place) -> None:
    buckets = place.pods[0]
    await buckets.lease([ask("used")])
    for bucket in ("used", "new"):
        await buckets.block(ONE, bucket, for_s=1)
    await place.let_pass(10)
    leases = await buckets.lease([ask(bucket, wanted=8, per_s=0.25) for bucket in ("used", "new")])
    assert [each.granted for each in leases] == [2, 2]


async def test_idle_buckets_are_deleted_a_few_at_a_time_and_no_others(database: Database) -> None:
    buckets = open_buckets(database)
    await buckets.lease([ask("a"), ask("b"), ask("c")])
    await buckets.block(ONE, "blocked", for_s=7200)
    await let_pass(database, 3600)
    await buckets.lease([ask("c"), ask("fresh")])
    assert await buckets.delete_idle(before_s=1800, limit=1) == 1
    assert await buckets.delete_idle(before_s=1800, limit=9) == 1
    assert await buckets.delete_idle(before_s=1800, limit=9) == 0
    async with database.reading() as connection:
        assert set((await connection.execute(select(table.c.bucket))).scalars()) == {"blocked", "c", "fresh"}


@given(
    available=st.floats(0, 1000),
    wanted=st.integers(0, 2000),
    spare=st.integers(0, 2000),
    kept=st.floats(0, 1000),
)
def test_a_share_is_never_more_than_there_is_or_was_wanted(
    available: float, wanted: int, spare: int, kept: float
) -> None:
    request = ask(wanted=wanted, spare=spare, kept=kept)
    share = share_out(available, request)
    assert 0 <= share <= min(available, wanted + spare)
    assert share >= min(wanted, int(available)), "what is kept is kept from the spare tokens alone"
    if share > wanted:
        assert available - share >= kept - 1e-9
    else:
        assert share == min(wanted, int(available))


async def test_all_share_out_alike(place: Place) -> None:
    buckets = place.pods[0]
    for number in range(60):
        request = ask(
            f"b{number}", capacity=float(number % 13), wanted=number % 4, spare=number % 7, kept=float(number % 5)
        )
        expected = share_out(request.capacity, request)
        lease = (await buckets.lease([request]))[0]
        assert lease.granted == expected
        assert lease.left == pytest.approx(request.capacity - expected)
