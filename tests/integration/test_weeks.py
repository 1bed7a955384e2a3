"""The journal's partitions on a real PostgreSQL: made ahead, dropped when they are over, and nothing lost by it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import asyncpg
import pytest
from postgres import make_url
from stepping_clock import SteppingClock
from structlog.testing import capture_logs

from slack_mcp.core.ids import ConnectionId, EventId, PodId
from slack_mcp.core.model import UNDATED, Delivery, EventState, Outcome, Settlement
from slack_mcp.ports.operations import EventFilter, PutBack
from slack_mcp.sealing import Sealer
from slack_mcp.store import weeks
from slack_mcp.store.backup_source import SqlBackupSource
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.journal_postgresql import PostgresqlJournal
from slack_mcp.store.operations import SqlJournalOperations
from slack_mcp.store.weeks import MAX_MOVED, WEEK_S, WEEKS_AHEAD, get_week, list_weeks, make_weeks

pytestmark = pytest.mark.anyio

POD = PodId("pod-a")
DONE = Outcome(state=EventState.DONE, reason="answered")
DEAD = Outcome(state=EventState.DEAD, reason="internal_error")
WAITING = Outcome(state=EventState.WAITING, reason="slack_unavailable", retry_after_s=0)
DAY_S = 86_400
OLD_WEEKS = 3
KEEP_S, KEEP_DEAD_S = 7.0 * DAY_S, 30.0 * DAY_S


class World:
    """A journal whose table has some weeks that are over."""

    def __init__(self, database: Database, driver: Any, now_s: int) -> None:
        self.database, self.driver, self.now_s = database, driver, now_s
        self.journal = PostgresqlJournal(database, Sealer(None), POD)
        self.over = get_week(now_s - OLD_WEEKS * WEEK_S)
        self.number = 0

    def deliver(self, event_time: int, *, event_id: str | None = None, lane: str | None = None) -> Delivery:
        self.number += 1
        return Delivery(
            connection_id=ConnectionId("conn_1"),
            event_id=EventId(event_id or f"Ev{self.number:03}"),
            event_time=event_time,
            lane=lane or f"C1:{self.number}",
            event_type="message",
            payload=b"{}",
        )

    async def end(self, outcome: Outcome, *, finished_at_s: float | None = None) -> list[str]:
        """Have all that can be claimed end, at a time; returns the events."""
        ended = []
        for claim in await self.journal.claim(
            POD, max_lanes=99, lanes_per_connection=99, lease_s=60, events_per_lane=99
        ):
            pairs = tuple((event, outcome) for event in claim.events)
            await self.journal.settle([Settlement(claim=claim, outcomes=pairs)], lease_s=60, events_per_lane=99)
            ended += [event.id for event in claim.events]
        if finished_at_s is not None:
            statement = "UPDATE slack_events SET finished_at_ms = $1 WHERE id = ANY ($2)"
            await self.driver.execute(statement, int(finished_at_s * 1000), ended)
        return [str(number) for number in ended]

    async def tend(self, *, done_s: float = KEEP_S, dead_s: float = KEEP_DEAD_S) -> int:
        return await self.journal.tend_weeks(done_before_s=done_s, dead_before_s=dead_s)

    async def drop_all(self) -> None:
        """Tend until all is dropped that can be: whatever the server itself is at may keep it for a moment."""
        dropped = 0
        with anyio.fail_after(60):
            while dropped < OLD_WEEKS - 1:
                dropped += await self.tend()

    async def find(self) -> dict[str, str]:
        """Return in which partition each event is."""
        rows = await self.driver.fetch("SELECT event_id, tableoid::regclass::text AS place FROM slack_events")
        return {row["event_id"]: row["place"] for row in rows}

    async def list_names(self) -> list[str]:
        return [week.name for week in await list_weeks(self.driver)]


@pytest.fixture
async def world(postgres_url: str, anyio_backend: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(make_url(postgres_url)))
        driver = await asyncpg.connect(postgres_url)
        stack.push_async_callback(driver.close)
        async with driver.transaction():
            await make_weeks(driver, back=OLD_WEEKS)
        yield World(database, driver, await driver.fetchval(weeks.NOW_S))


def test_a_week_begins_on_monday_and_is_named_as_calendars_do() -> None:
    # 2026-12-28 is a Monday, and the week that it begins has most of its days before the year's end.
    monday = 1_798_416_000
    assert get_week(monday) == ("slack_events_2026w53", monday, monday + WEEK_S)
    assert get_week(monday + WEEK_S - 1) == get_week(monday)
    assert get_week(monday + WEEK_S).name == "slack_events_2027w01"
    assert get_week(monday - 1).name == "slack_events_2026w52"


async def test_weeks_are_made_ahead_and_those_that_are_over_are_dropped(world: World) -> None:
    coming = [get_week(world.now_s + number * WEEK_S) for number in range(1, WEEKS_AHEAD + 1)]
    for week in coming:
        await world.driver.execute(f"DROP TABLE {week.name}")
    last = get_week(world.now_s - WEEK_S)
    # What is kept for seven days is in the last week and this one.
    await world.drop_all()
    names = [last.name, get_week(world.now_s).name, *(week.name for week in coming)]
    assert await world.list_names() == names
    assert await world.tend() == 0
    assert await world.list_names() == names
    # Events of the last week may still come, however soon they are deleted.
    assert await world.tend(done_s=1, dead_s=1) == 0
    assert await world.list_names() == names


async def test_a_made_week_is_stored_and_indexed_as_the_first_ones_are(world: World) -> None:
    coming, first = get_week(world.now_s + WEEK_S), get_week(world.now_s)
    await world.driver.execute(f"DROP TABLE {coming.name}")
    await world.tend()
    query = "SELECT relkind, reloptions, relhasindex, relnatts FROM pg_class WHERE oid = $1::text::regclass"
    assert await world.driver.fetchrow(query, coming.name) == await world.driver.fetchrow(query, first.name)
    indexes = "SELECT replace(pg_get_indexdef(indexrelid), $1, '') FROM pg_index WHERE indrelid = $1::text::regclass"
    made, had = [[row[0] for row in await world.driver.fetch(indexes, week.name)] for week in (coming, first)]
    assert sorted(each.split(" USING ")[1] for each in made) == sorted(each.split(" USING ")[1] for each in had)
    assert len(made) == 4


async def test_what_has_to_live_on_lives_on_when_its_week_is_dropped(world: World) -> None:
    over = world.over.start_s
    ends = [
        ("old", DONE, world.over.end_s),
        ("late", DONE, world.now_s - DAY_S),
        ("dead", DEAD, world.over.end_s),
        ("dead long ago", DEAD, world.now_s - 40 * DAY_S),
    ]
    for event_id, outcome, finished_at_s in ends:
        await world.journal.append([world.deliver(over, event_id=event_id)])
        await world.end(outcome, finished_at_s=finished_at_s)
    await world.journal.append([world.deliver(over + 1, event_id="first", lane="C1:1")])
    (held,) = await world.journal.claim(POD, max_lanes=9, lanes_per_connection=9, lease_s=60, events_per_lane=1)
    await world.journal.append([world.deliver(world.now_s, event_id="second", lane="C1:1")])
    assert set((await world.find()).values()) == {world.over.name, get_week(world.now_s).name}

    await world.drop_all()

    other = "slack_events_other"
    here = get_week(world.now_s).name
    assert await world.find() == {"late": other, "dead": other, "first": other, "second": here}
    # Who worked on it goes on, and the lane's order is what it was.
    (following,) = await world.journal.settle(
        [Settlement(claim=held, outcomes=((held.events[0], DONE),))], lease_s=60, events_per_lane=9
    )
    assert following is not None
    assert [event.event_id for event in following] == ["second"]
    # Its repetition still finds it.
    assert await world.journal.append([world.deliver(over, event_id="late")]) == [False]
    assert await world.journal.append([world.deliver(over, event_id="old")]) == [True]


async def test_an_operator_replays_what_lived_on(world: World) -> None:
    await world.journal.append([world.deliver(world.over.start_s, event_id="dead")])
    await world.end(DEAD, finished_at_s=world.over.end_s)
    await world.drop_all()
    operations = SqlJournalOperations(world.database, Sealer(None), clock=SteppingClock())
    (event,) = await operations.list_events(EventFilter(states=(EventState.DEAD,)), limit=9)
    assert await operations.put_back([PutBack(event=event)]) == {event.id}
    assert len(await world.end(DONE)) == 1


async def test_a_delivery_that_comes_again_in_another_week_is_the_same_event(world: World) -> None:
    # Dispatched in the last second of a week, and attempted again in the next one: the time that Slack says is one.
    last_second = get_week(world.now_s).start_s - 1
    assert await world.journal.append([world.deliver(last_second, event_id="Ev1")]) == [True]
    assert await world.journal.append([world.deliver(last_second, event_id="Ev1")]) == [False]
    assert await world.find() == {"Ev1": get_week(last_second).name}


@pytest.mark.parametrize("event_time", [UNDATED, 1, 2**62, -1, 1_000_000_000])
async def test_any_time_finds_a_place_and_makes_no_partition(world: World, event_time: int) -> None:
    before = await world.list_names()
    assert await world.journal.append([world.deliver(event_time), world.deliver(world.now_s)]) == [True, True]
    assert len(await world.end(DONE)) == 2
    assert await world.list_names() == before
    place = "slack_events_undated" if event_time <= UNDATED else "slack_events_other"
    assert set((await world.find()).values()) == {place, get_week(world.now_s).name}


async def test_what_came_before_its_week_was_made_moves_into_it(world: World) -> None:
    week, coming = get_week(world.now_s), get_week(world.now_s + WEEK_S)
    await world.driver.execute(f"DROP TABLE {week.name}")
    assert await world.journal.append([world.deliver(world.now_s), world.deliver(world.now_s)]) == [True, True]
    assert set((await world.find()).values()) == {"slack_events_other"}
    with capture_logs() as logs:
        await world.tend()
    assert {"event": "journal.week_made", "week": week.name, "log_level": "info"} in logs
    assert set((await world.find()).values()) == {week.name}
    assert {week.name, coming.name} <= set(await world.list_names())
    assert len(await world.end(DONE)) == 2


async def test_a_week_of_which_too_much_has_come_is_not_made(world: World) -> None:
    week = get_week(world.now_s)
    await world.driver.execute(f"DROP TABLE {week.name}")
    await fill(
        world,
        MAX_MOVED + 1,
        place="slack_events_other",
        event_time=world.now_s,
        state="done",
        finished_at_s=world.now_s,
    )
    await world.tend()
    assert week.name not in await world.list_names()
    await world.driver.execute("DELETE FROM slack_events_other WHERE event_id = 'Filled1'")
    await world.tend()
    assert week.name in await world.list_names()


async def test_a_week_of_which_too_much_has_to_live_on_is_deleted_in_batches(world: World) -> None:
    await fill(
        world,
        MAX_MOVED + 1,
        place=world.over.name,
        event_time=world.over.start_s,
        state="dead",
        finished_at_s=world.now_s,
    )
    await world.journal.append([world.deliver(world.over.start_s, event_id="old")])
    await world.end(DONE, finished_at_s=world.over.end_s)
    with capture_logs() as logs:
        await world.tend()
    left = {"event": "journal.week_left", "week": world.over.name, "why": "not_now", "log_level": "info"}
    assert left in logs
    assert world.over.name in await world.list_names()
    assert await world.journal.delete_finished(done_before_s=KEEP_S, dead_before_s=KEEP_DEAD_S, limit=100) == 1
    assert "old" not in await world.find()


async def test_what_will_be_dropped_with_its_week_is_not_deleted_before(world: World) -> None:
    last = get_week(world.now_s - WEEK_S)
    await world.journal.append([world.deliver(last.start_s, event_id="last"), world.deliver(UNDATED, event_id="none")])
    await world.end(DONE, finished_at_s=world.now_s - KEEP_S - 1)
    assert await world.journal.delete_finished(done_before_s=KEEP_S, dead_before_s=KEEP_DEAD_S, limit=100) == 1
    assert list(await world.find()) == ["last"]
    # What is kept for less than a week is not kept for more.
    assert await world.journal.delete_finished(done_before_s=DAY_S, dead_before_s=DAY_S, limit=100) == 1


@pytest.mark.parametrize("what", ["make", "drop"])
async def test_who_has_to_wait_for_a_lock_leaves_everything_as_it_was(
    world: World, postgres_url: str, what: str
) -> None:
    if what == "make":
        await world.driver.execute(f"DROP TABLE {get_week(world.now_s).name}")
    await world.journal.append([world.deliver(world.over.start_s), world.deliver(world.now_s)])
    places, names = await world.find(), await world.list_names()
    reader = await asyncpg.connect(postgres_url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM slack_events")
            with capture_logs() as logs:
                assert await world.tend() == 0
            assert {log["why"] for log in logs} == {"LockNotAvailableError"}
            assert (await world.find(), await world.list_names()) == (places, names)
    finally:
        await reader.close()
    await world.drop_all()
    assert sorted(await world.find()) == sorted(places)


async def test_two_pods_at_once_do_it_once(world: World, postgres_url: str) -> None:
    await world.driver.execute(f"DROP TABLE {get_week(world.now_s + WEEK_S).name}")
    await world.journal.append([world.deliver(world.over.start_s)])
    dropped: list[int] = []

    async def tend(database: Database) -> None:
        journal = PostgresqlJournal(database, Sealer(None), POD)
        dropped.append(await journal.tend_weeks(done_before_s=KEEP_S, dead_before_s=KEEP_DEAD_S))

    async with open_database(make_url(postgres_url)) as other, anyio.create_task_group() as pods:
        for database in (world.database, other):
            pods.start_soon(tend, database)
    # One passes over what the other is at, and nothing is done twice.
    assert sum(dropped) <= OLD_WEEKS - 1
    with anyio.fail_after(60):
        while len(await world.list_names()) > 2 + WEEKS_AHEAD:
            await world.tend()
    assert len(await world.list_names()) == 2 + WEEKS_AHEAD
    assert set((await world.find()).values()) == {"slack_events_other"}


async def test_events_come_and_end_while_weeks_are_dropped(world: World) -> None:
    """Nothing that was acknowledged is lost, and nothing is there twice."""
    acknowledged: list[str] = []
    stopped = anyio.Event()

    async def append() -> None:
        while not stopped.is_set():
            batch = [world.deliver(at_s) for at_s in (world.over.start_s, world.now_s, UNDATED)]
            assert await world.journal.append(batch) == [True] * 3
            acknowledged.extend(each.event_id for each in batch)

    async def work() -> None:
        while not stopped.is_set():
            await world.end(DONE)

    async with anyio.create_task_group() as pod:
        pod.start_soon(append)
        pod.start_soon(work)
        dropped = 0
        with anyio.fail_after(60):
            while dropped < OLD_WEEKS - 1 or len(acknowledged) < 100:
                dropped += await world.tend()
                await anyio.lowlevel.checkpoint()
        stopped.set()
    while await world.end(DONE):
        pass
    rows = await world.driver.fetch("SELECT event_id, state FROM slack_events")
    assert sorted(row["event_id"] for row in rows) == sorted(acknowledged)
    assert {row["state"] for row in rows} == {"done"}


async def test_who_may_not_change_tables_serves_without_weeks(world: World, postgres_url: str) -> None:
    await world.driver.execute("CREATE ROLE serving LOGIN")
    await world.driver.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO serving")
    await world.driver.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO serving")
    await world.driver.execute(f"DROP TABLE {get_week(world.now_s).name}")
    try:
        async with open_database(make_url(postgres_url.replace("postgres@", "serving@"))) as database:
            journal = PostgresqlJournal(database, Sealer(None), POD)
            assert await journal.append([world.deliver(world.now_s)]) == [True]
            with capture_logs() as logs:
                assert await journal.tend_weeks(done_before_s=KEEP_S, dead_before_s=KEEP_DEAD_S) == 0
            assert {log["why"] for log in logs} == {"InsufficientPrivilegeError"}
            assert await journal.append([world.deliver(world.now_s)]) == [True]
    finally:
        await world.driver.execute("DROP OWNED BY serving")
        await world.driver.execute("DROP ROLE serving")


async def test_a_backup_keeps_the_weeks_that_it_reads(world: World, postgres_url: str) -> None:
    url = make_url(postgres_url)
    await world.journal.append([world.deliver(world.over.start_s)])
    source = SqlBackupSource(world.database, url)
    async with source.open_snapshot() as snapshot:
        assert await world.tend() == 0
        (shape,) = [each for each in snapshot.tables if each.name == "slack_events"]
        assert [len(rows) async for rows in snapshot.read_rows(shape)] == [1]
    await world.drop_all()


async def fill(world: World, rows: int, *, place: str, event_time: int, state: str, finished_at_s: float) -> None:
    statement = """
    INSERT INTO slack_events (connection_id, event_id, event_time, lane, event_type, payload, state, received_by,
                              received_at_ms, finished_at_ms)
    SELECT 'conn_1', 'Filled' || n, $2, 'C1:1', 'message', '', $3, 'pod-a', $4, $4 FROM generate_series(1, $1::int) n
    """
    # Nobody else is to hold a lock when it comes to it.
    await world.driver.execute(f"ALTER TABLE {place} SET (autovacuum_enabled = off)")
    await world.driver.execute(statement, rows, event_time, state, int(finished_at_s * 1000))
