"""Who serves."""

import pytest
from sqlalchemy import update
from stepping_clock import SteppingClock

from slack_mcp.core.ids import PodId
from slack_mcp.ports.pods import Presence
from slack_mcp.store import schema
from slack_mcp.store.database import Database
from slack_mcp.store.pods import SqlPods

pytestmark = pytest.mark.anyio


def make_presence(name: str, version: str = "1.0") -> Presence:
    return Presence(pod_id=PodId(name), instance=f"{name}-word", version=version)


async def test_each_pod_is_seen_as_it_was_last_noted(database: Database, other_database: Database) -> None:
    one, other = (SqlPods(each, clock=SteppingClock()) for each in (database, other_database))
    await one.note(make_presence("pod-b"))
    await other.note(make_presence("pod-a", "0.9"))
    await one.note(make_presence("pod-b", "1.1"))
    assert [each.presence for each in await other.list_pods()] == [
        make_presence("pod-a", "0.9"),
        make_presence("pod-b", "1.1"),
    ]
    assert not any(each.is_silent for each in await one.list_pods())


async def test_a_pod_that_goes_is_forgotten_alone(database: Database) -> None:
    pods = SqlPods(database, clock=SteppingClock())
    await pods.note(make_presence("pod-a"))
    await pods.note(make_presence("pod-b"))
    await pods.forget(PodId("pod-a"))
    assert [each.presence.pod_id for each in await pods.list_pods()] == ["pod-b"]


async def test_a_pods_clock_is_held_against_the_databases(database: Database) -> None:
    clock = SteppingClock()
    pods = SqlPods(database, clock=clock)
    await pods.note(make_presence("pod-a"))
    (before,) = await pods.list_pods()
    clock.time_s += 50
    await pods.note(make_presence("pod-a"))
    (after,) = await pods.list_pods()
    if database.dialect == "sqlite":
        assert after.skew_s == before.skew_s == 0  # there is one clock
    else:
        assert after.skew_s - before.skew_s == pytest.approx(50, abs=5)


async def test_one_that_says_nothing_any_more_is_silent_and_forgotten_in_the_end(database: Database) -> None:
    pods = SqlPods(database, clock=SteppingClock())
    await pods.note(make_presence("pod-a"))
    await let_pass(database, 36)
    (seen,) = await pods.list_pods()
    assert seen.is_silent
    assert seen.silent_s == pytest.approx(36, abs=5)
    await let_pass(database, 3600)
    await pods.note(make_presence("pod-b"))
    assert [each.presence.pod_id for each in await pods.list_pods()] == ["pod-b"]


async def let_pass(database: Database, seconds: int) -> None:
    """Make everything that was noted so much older: PostgreSQL's time is its own."""
    async with database.transaction() as connection:
        await connection.execute(update(schema.pods).values(seen_at_ms=schema.pods.c.seen_at_ms - seconds * 1000))
