"""A week of the journal is dropped while people ask: nothing of theirs is lost, and what has to live on does."""

from pathlib import Path

import anyio
import asyncpg
import pytest
from people import People
from processes import AnswerCount, Fleet, make_workspace, open_fleet

from slack_mcp.simulator import Simulator, serve
from slack_mcp.store.weeks import NOW_S, WEEK_S, get_week, list_weeks, make_weeks

pytestmark = pytest.mark.anyio

PEOPLE = 4
OLD_WEEKS = 3
OLD_EVENTS = 20_000
KEPT_LONG = {"SLACK_MCP_RETENTION_DONE_DAYS": "60", "SLACK_MCP_RETENTION_DEAD_DAYS": "60"}
KEPT = {"SLACK_MCP_RETENTION_DONE_DAYS": "7", "SLACK_MCP_RETENTION_DEAD_DAYS": "30"}
OLD_EVENT = """
INSERT INTO slack_events (connection_id, event_id, event_time, lane, event_type, payload, state, received_by,
                          received_at_ms, finished_at_ms, next_attempt_at_ms)
SELECT $1, $2 || n, $3::bigint, 'C9:' || n, 'message', repeat('x', 700)::bytea, $4::text, 'pod-0', $3::bigint * 1000,
  $5::bigint * 1000, $6::bigint * 1000
FROM generate_series(1, $7::int) n
"""
OLD_LANE = "INSERT INTO slack_lanes (connection_id, lane, ready_at_ms) VALUES ($1, 'C9:1', $2)"


async def make_old(fleet: Fleet, connection_id: str) -> list[str]:
    """Fill weeks that are over; returns their names."""
    driver = await asyncpg.connect(fleet.environ["DATABASE_URL"])
    try:
        async with driver.transaction():
            await make_weeks(driver, back=OLD_WEEKS)
        now_s = await driver.fetchval(NOW_S)
        for number in range(2, OLD_WEEKS + 1):
            at_s = get_week(now_s - number * WEEK_S).start_s
            await driver.execute(OLD_EVENT, connection_id, f"Old{number}-", at_s, "done", at_s, None, OLD_EVENTS)
        await driver.execute(OLD_EVENT, connection_id, "Dead", at_s, "dead", now_s, None, 1)
        later_s = now_s + 3_600
        await driver.execute(OLD_EVENT, connection_id, "Waiting", at_s, "waiting", None, later_s, 1)
        await driver.execute(OLD_LANE, connection_id, later_s * 1000)
        return [week.name for week in await list_weeks(driver) if week.end_s <= now_s - WEEK_S]
    finally:
        await driver.close()


async def test_a_week_is_dropped_under_load(postgres_url: str, tmp_path: Path) -> None:
    workspace = make_workspace(people=PEOPLE)
    simulator = Simulator(workspace, time_scale=0.02, concurrency=100)
    answers = AnswerCount(workspace)
    people = People(simulator, workspace)
    with anyio.fail_after(300):
        async with (
            serve(simulator) as address,
            open_fleet(tmp_path, database_url=postgres_url, slack_api_url=address.api_url) as fleet,
        ):
            connection = await fleet.connect(workspace)
            over = await make_old(fleet, connection.connection_id)
            first = await fleet.add(2, **KEPT_LONG)
            simulator.deliverer.targets = fleet.urls
            async with anyio.create_task_group() as tasks:
                for person in range(PEOPLE):
                    tasks.start_soon(people.ask, f"U{person}")
                await simulator.changes.wait_until(lambda: len(answers) >= 2 * PEOPLE)
                assert fleet.find("journal.week_dropped") == []
                # Events are kept for less time from here on.
                (second,) = await fleet.add(1, **KEPT)
                simulator.deliverer.targets = [second.url]
                for pod in first:
                    assert await pod.stop() == 0
                await second.wait_until(lambda: len(second.find("journal.week_dropped")) == len(over))
                answered = len(answers)
                await simulator.changes.wait_until(lambda: len(answers) >= answered + 2 * PEOPLE)
                people.is_enough = True
            assert await second.stop() == 0
            assert [line["week"] for line in second.find("journal.week_dropped")] == over
            rows = await fleet.fetch("SELECT event_id, state, tableoid::regclass::text AS place FROM slack_events")
            failed = fleet.find("event.failed")
    assert failed == []
    assert len(answers) == people.asked
    found = {row["event_id"]: (row["state"], row["place"]) for row in rows}
    assert set(people.accepted) <= set(found)
    assert not [event_id for event_id in found if event_id.startswith("Old")]
    assert found["Dead1"] == ("dead", "slack_events_other")
    assert found["Waiting1"] == ("waiting", "slack_events_other")
    assert {found[event_id][0] for event_id in people.accepted} <= {"done", "skipped"}
    print(f"\n{len(over)} weeks with {OLD_EVENTS} events each were dropped while {len(answers)} answers were given")
