"""Processes that share a budget never exceed it together, and one 429 stops them all."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import anyio
import budget_worker
import pytest
from directory_fake import make_connection
from postgres import make_url
from stepping_clock import SteppingClock

from slack_mcp.budget.limits import LEASE_S, ROUNDING_S, list_limits
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import BucketBlock
from slack_mcp.store.announcements import BUDGET_CHANNEL, Listener, Subscribers
from slack_mcp.store.buckets import SqlBuckets
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations

CONNECTION = ConnectionId("conn_1")
FACTOR, CALLERS = 20, 8
LENGTH_S = 3.0
BLOCK_AT_S, BLOCK_FOR_S = 0.2, 1.2
# From the moment at which a token is checked to the one that is written down, on a busy machine.
SCHEDULING_S = 0.15


def run_pods(url: str, plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each pod printed; they begin at one moment."""
    script = str(Path(budget_worker.__file__))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(script).parent)}
    with ExitStack() as stack:
        pods = [
            stack.enter_context(
                Popen(  # noqa: S603 - our own worker
                    [sys.executable, script, url, json.dumps(plan)],
                    env=environ,
                    text=True,
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=DEVNULL,
                )
            )
            for plan in plans
        ]
        for pod in pods:
            stack.callback(pod.kill)
            assert pod.stdout is not None
            assert pod.stdout.readline() == "ready\n"
        for pod in pods:
            assert pod.stdin is not None
            pod.stdin.write("go\n")
            pod.stdin.flush()
        return [json.loads(pod.communicate(timeout=60)[0]) for pod in pods]


def check_law(starts_s: list[float]) -> None:
    """Between any two moments no more calls start than the bucket holds and what comes back."""
    limit = list_limits(make_connection(), budget_worker.METHOD, "C1", factor=FACTOR)[0]
    for first, first_s in enumerate(starts_s):
        for last in range(first, len(starts_s)):
            passed_s = starts_s[last] - first_s + LEASE_S + ROUNDING_S + SCHEDULING_S
            assert last - first + 1 <= limit.capacity + limit.per_s * passed_s


def plan_pods(count: int) -> list[dict[str, Any]]:
    return [{"factor": FACTOR, "callers": CALLERS, "length_s": LENGTH_S} for _ in range(count)]


@pytest.mark.parametrize("kind", ["three pods on PostgreSQL", "one process on SQLite"])
def test_together_they_call_as_often_as_they_may_and_never_more(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    is_fleet = kind.startswith("three")
    url = request.getfixturevalue("postgres_url") if is_fleet else f"sqlite:{tmp_path}/slack.db"
    if not is_fleet:
        anyio.run(Migrations(make_url(url)).up)
    pods = run_pods(url, plan_pods(3 if is_fleet else 1))
    starts_s = sorted(start_s for pod in pods for start_s in pod["starts_s"])
    check_law(starts_s)
    assert all(pod["starts_s"] for pod in pods), "each gets a part of it"
    limit = list_limits(make_connection(), budget_worker.METHOD, "C1", factor=FACTOR)[0]
    assert len(starts_s) >= limit.capacity + limit.per_s * LENGTH_S / 2, "and what there is, is used"


def test_after_one_pod_is_refused_no_pod_calls_until_slack_takes_calls_again(postgres_url: str) -> None:
    """Nobody listens here: this is what holds when the news is lost."""
    plans = plan_pods(3)
    plans[0] |= {"block_at_s": BLOCK_AT_S, "block_for_s": BLOCK_FOR_S}
    pods = run_pods(postgres_url, plans)
    starts_s = sorted(start_s for pod in pods for start_s in pod["starts_s"])
    blocked_s = pods[0]["blocked_s"]
    quiet_until_s = blocked_s + BLOCK_FOR_S - SCHEDULING_S
    assert not [each for each in starts_s if blocked_s + LEASE_S + SCHEDULING_S <= each < quiet_until_s]
    assert not [each for each in pods[0]["starts_s"] if blocked_s + SCHEDULING_S <= each < quiet_until_s]
    assert [each for each in starts_s if each < blocked_s]
    assert [each for each in starts_s if each >= quiet_until_s], "and then they go on"


@pytest.mark.anyio
async def test_every_pod_that_listens_hears_of_a_block(postgres_url: str) -> None:
    heard: list[BucketBlock] = []
    is_listening, has_heard = anyio.Event(), anyio.Event()

    def hear(block: BucketBlock) -> None:
        heard.append(block)
        has_heard.set()

    subscribers = Subscribers(
        on_change=lambda _change: None,
        on_work=lambda: None,
        on_listening=lambda yes: is_listening.set() if yes else None,
        on_block=hear,
    )
    url = make_url(postgres_url)
    assert url.dsn is not None
    with anyio.fail_after(10):
        async with open_database(url) as database, anyio.create_task_group() as tasks:
            tasks.start_soon(Listener(url.dsn, subscribers=subscribers).run)
            await is_listening.wait()
            async with database.driver() as driver:
                for rubbish in ("", "[]", '{"connection_id": "conn_1", "bucket": "b", "for_s": "long"}'):
                    await driver.execute("SELECT pg_notify($1, $2)", BUDGET_CHANNEL, rubbish)
            await SqlBuckets(database, clock=SteppingClock()).block(CONNECTION, "call:chat.update", for_s=2.5)
            await has_heard.wait()
            tasks.cancel_scope.cancel()
    assert heard == [BucketBlock(connection_id=CONNECTION, bucket="call:chat.update", for_s=2.5)]


@pytest.mark.anyio
async def test_a_bucket_that_cannot_be_made_is_a_database_that_is_not_available(postgres_url: str) -> None:
    async with open_database(make_url(postgres_url)) as database:
        async with database.driver() as driver:
            await driver.execute(
                "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
                "CREATE TRIGGER forget BEFORE INSERT ON slack_buckets FOR EACH ROW EXECUTE FUNCTION forget()"
            )
        with pytest.raises(StoreUnavailableError):
            await SqlBuckets(database, clock=SteppingClock()).take(CONNECTION, "b", capacity=1, per_s=1)
