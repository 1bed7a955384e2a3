"""Processes that share a budget never exceed it together, and one 429 stops them all."""

import json
import os
import sys
from collections.abc import Callable, Sequence
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
from valkey import ValkeyServer
from valkey_pods import PREFIX, age_buckets, open_valkey_at

from slack_mcp.budget.limits import LEASE_S, ROUNDING_S, list_limits
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.announcements import BUDGET_CHANNEL, Subscribers
from slack_mcp.ports.budget import BucketBlock
from slack_mcp.store.announcements import Listener
from slack_mcp.store.buckets import SqlBuckets
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.valkey.client import PAUSE_S

CONNECTION = ConnectionId("conn_1")
FACTOR, CALLERS = 20, 8
LENGTH_S = 3.0
BLOCK_AT_S, BLOCK_FOR_S = 0.2, 1.2
KILLED_AT_S, STARTED_AT_S, KILLED_LENGTH_S = 0.7, 1.4, 4.0
# From the moment at which a token is checked to the one that is written down, on a busy machine.
SCHEDULING_S = 0.15


def run_pods(
    url: str, plans: list[dict[str, Any]], *, at_marks: Sequence[Callable[[], None]] = ()
) -> list[dict[str, Any]]:
    """Return what each pod printed; they begin at one moment. `at_marks` is done as the first one prints its marks."""
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
        for act in at_marks:
            assert pods[0].stdout is not None
            assert pods[0].stdout.readline() == "mark\n"
            act()
        return [json.loads(pod.communicate(timeout=60)[0]) for pod in pods]


def check_law(starts_s: list[float], *, apart_s: float = 0.0) -> None:
    """Between any two moments no more calls start than the bucket holds and what comes back.

    While pods do not agree on the place of the buckets, for `apart_s` seconds, both fill.
    """
    limit = list_limits(make_connection(), budget_worker.METHOD, "C1", factor=FACTOR)[0]
    for first, first_s in enumerate(starts_s):
        for last in range(first, len(starts_s)):
            passed_s = starts_s[last] - first_s + LEASE_S + ROUNDING_S + SCHEDULING_S + apart_s
            assert last - first + 1 <= limit.capacity + limit.per_s * passed_s


def plan_pods(count: int) -> list[dict[str, Any]]:
    return [{"factor": FACTOR, "callers": CALLERS, "length_s": LENGTH_S} for _ in range(count)]


@pytest.mark.parametrize("kind", ["three pods on PostgreSQL", "three pods on Valkey", "one process on SQLite"])
def test_together_they_call_as_often_as_they_may_and_never_more(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    is_fleet = kind.startswith("three")
    url = request.getfixturevalue("postgres_url") if is_fleet else f"sqlite:{tmp_path}/slack.db"
    if not is_fleet:
        anyio.run(Migrations(make_url(url)).up)
    plans = plan_pods(3 if is_fleet else 1)
    if kind.endswith("Valkey"):
        valkey: ValkeyServer = request.getfixturevalue("valkey_server")
        anyio.run(fill_buckets, valkey.url)
        for plan in plans:
            plan["valkey_url"] = valkey.url
    pods = run_pods(url, plans)
    starts_s = sorted(start_s for pod in pods for start_s in pod["starts_s"])
    check_law(starts_s)
    assert all(pod["starts_s"] for pod in pods), "each gets a part of it"
    limit = list_limits(make_connection(), budget_worker.METHOD, "C1", factor=FACTOR)[0]
    assert len(starts_s) >= limit.capacity + limit.per_s * LENGTH_S / 2, "and what there is, is used"


async def fill_buckets(valkey_url: str) -> None:
    """Let the server be one that has been there for long."""
    async with open_valkey_at(valkey_url) as valkey:
        await age_buckets(valkey, 3600)


async def count_buckets(postgres_url: str, valkey_url: str) -> tuple[int, int]:
    """Return how many buckets are in the database and in Valkey."""
    async with open_database(make_url(postgres_url)) as database, open_valkey_at(valkey_url) as valkey:
        async with database.driver() as driver:
            rows = await driver.fetch("SELECT bucket FROM slack_buckets")
        keys = await valkey.run(lambda redis: redis.keys(f"{PREFIX}:bucket:*:call:*"))
    return len(rows), len(keys)


def test_a_valkey_that_is_killed_and_comes_back_gives_no_burst(postgres_url: str, valkey_server: ValkeyServer) -> None:
    anyio.run(fill_buckets, valkey_server.url)
    plans = [each | {"valkey_url": valkey_server.url, "length_s": KILLED_LENGTH_S} for each in plan_pods(3)]
    plans[0] |= {"marks_s": [KILLED_AT_S, STARTED_AT_S]}
    pods = run_pods(postgres_url, plans, at_marks=[valkey_server.stop, valkey_server.start])
    starts_s = sorted(start_s for pod in pods for start_s in pod["starts_s"])
    check_law(starts_s, apart_s=PAUSE_S + SCHEDULING_S)
    begun_s = starts_s[0]
    for name, from_s, to_s in (
        ("in Valkey", 0.0, KILLED_AT_S),
        ("in the database", KILLED_AT_S + SCHEDULING_S, STARTED_AT_S),
        ("in Valkey again", STARTED_AT_S + PAUSE_S + SCHEDULING_S, KILLED_LENGTH_S),
    ):
        assert [each for each in starts_s if from_s <= each - begun_s < to_s], name
    assert anyio.run(count_buckets, postgres_url, valkey_server.url) == (1, 1), "both have been used"


@pytest.mark.parametrize("kind", ["PostgreSQL", "Valkey"])
def test_after_one_pod_is_refused_no_pod_calls_until_slack_takes_calls_again(
    kind: str, postgres_url: str, request: pytest.FixtureRequest
) -> None:
    """Nobody listens here: this is what holds when the news is lost."""
    plans = plan_pods(3)
    if kind == "Valkey":
        valkey: ValkeyServer = request.getfixturevalue("valkey_server")
        anyio.run(fill_buckets, valkey.url)
        for plan in plans:
            plan["valkey_url"] = valkey.url
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
