"""What surrounds a pod breaks: each delivery has its answer in time, /readyz says what is wrong, and the pod recovers.

docs/operate.md tells the same in words.
"""

import json
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import DEVNULL

import anyio
import asyncpg
import httpx2
import pytest
from anyio import to_thread
from chaos import ACCEPTED, TIMEOUT_S, UNAVAILABLE, Slack, make_chatter, render_latencies
from fake_openai import FakeOpenAi
from postgres import Postgres
from processes import Fleet, PodProcess, make_workspace, open_fleet, open_http

from slack_mcp.app.server import bind
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

FAULT_S = 20
MAX_GROWTH_MB = 100
FLOOD_CALLERS = 150
FLOOD_S = 3.0
FLOOD_BYTES = 100_000
FLOOD_WAITING = 20
AN_HOUR_OFF = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (id == CLOCK_REALTIME) at->tv_sec += 3600;
    return result;
}
"""


class World:
    """A pod, a workspace, and what Slack sends."""

    def __init__(self, simulator: Simulator, workspace: Workspace, fleet: Fleet, http: httpx2.AsyncClient) -> None:
        self.simulator = simulator
        self.workspace = workspace
        self.fleet = fleet
        self._http = http
        self._number = 0

    @property
    def pod(self) -> PodProcess:
        return self.fleet.pods[0]

    async def deliver(self, slack: Slack, count: int = 3) -> set[int | str]:
        """Deliver some events at once, each one time, and return how they were answered, all of them in time."""
        first = len(slack.attempts)
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                self._number += 1
                tasks.start_soon(slack.try_once, self.workspace, make_chatter(self.workspace, self._number))
        attempts = slack.attempts[first:]
        assert max(attempt.latency_s for attempt in attempts) < TIMEOUT_S
        return {attempt.answer for attempt in attempts}

    async def read_checks(self, pod: PodProcess | None = None) -> dict[str, str]:
        """Return what /readyz finds wrong, while the process says that it lives."""
        url = (pod or self.pod).url
        assert (await self._http.get(f"{url}/livez")).status_code == ACCEPTED
        answer = await self._http.get(f"{url}/readyz")
        wrong = {name: word for name, word in answer.json()["checks"].items() if word not in {"ok", "no"}}
        assert (answer.status_code == ACCEPTED) is (wrong.keys() <= {"clock"})
        return wrong

    async def wait_until_told(self, check: str, words: str | None) -> None:
        """Return when /readyz says these words of a check; None means that all is well with it."""
        with anyio.fail_after(FAULT_S):
            while (await self.read_checks()).get(check) != words:
                await anyio.lowlevel.checkpoint()

    async def recover(self, slack: Slack) -> None:
        """Return when the pod, which is the same process still, is ready and answers a question."""
        with anyio.fail_after(FAULT_S):
            while await self.read_checks():
                await anyio.lowlevel.checkpoint()
            posted = self.workspace.say("U0", "D0", f"question {self._number}")
            (envelope,) = posted.envelopes
            await slack.deliver(self.workspace, envelope)
            await self.simulator.wait_for_answer("T1", "D0", posted.message.ts, text="question", is_whole=True)
        assert len(self.pod.find("pod.starting")) == 1


@asynccontextmanager
async def open_world(directory: Path, database_url: str, **environ: str) -> AsyncIterator[tuple[World, Slack]]:
    workspace = make_workspace()
    simulator = Simulator(workspace, deliver_bot_messages=False)
    async with (
        serve(simulator) as address,
        open_fleet(directory, database_url=database_url, slack_api_url=address.api_url, **environ) as fleet,
        open_http() as http,
    ):
        await fleet.connect(workspace)
        await fleet.add()
        async with Slack.open(fleet.urls, time_scale=0.01) as slack:
            world = World(simulator, workspace, fleet, http)
            assert await world.deliver(slack, 1) == {ACCEPTED}
            yield world, slack


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Let nobody write into the journal: each statement waits, as it does in a database that hangs."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE slack_events IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def frozen(postgres: Postgres) -> AsyncIterator[None]:
    """Stop every process of the server: what is open stays open, and nobody answers."""
    server = postgres.list_pids()
    for pid in server:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in server:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def read_only(admin: asyncpg.Connection, name: str) -> AsyncIterator[None]:
    """Do what a failover does to those who come too early: what is open is cut, and the next server is no primary."""
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await cut(admin, name)
    try:
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


async def cut(admin: asyncpg.Connection, name: str, application: str = "%") -> None:
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE $2",
        name,
        application,
    )


@asynccontextmanager
async def crowded(postgres: Postgres, admin: asyncpg.Connection, name: str) -> AsyncIterator[None]:
    """Take all connections of the server, also those that were the pod's."""
    async with AsyncExitStack() as stack:

        async def take_all() -> None:
            while True:
                try:
                    connection = await asyncpg.connect(postgres.get_url("postgres"))
                except asyncpg.TooManyConnectionsError:
                    return
                stack.push_async_callback(connection.close)

        await take_all()
        is_cut = False
        while not is_cut:  # the pod is quick to take one of its own back
            await cut(admin, name)
            await take_all()
            is_cut = await admin.fetchval("SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = $1", name)
        yield


async def test_a_database_that_fails_in_any_way_is_told_in_time_and_recovered_from(
    postgres: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    with anyio.fail_after(180):
        async with open_world(tmp_path, postgres_url) as (world, slack):
            async with locked(postgres_url):
                assert await world.deliver(slack) == {UNAVAILABLE}
                await world.wait_until_told("duties", "journal")
            await world.recover(slack)

            async with frozen(postgres):
                assert await world.deliver(slack) == {UNAVAILABLE}
                await world.wait_until_told("database", "store_unavailable")
            await world.recover(slack)

            await to_thread.run_sync(postgres.stop)
            assert await world.deliver(slack) == {UNAVAILABLE}
            await world.wait_until_told("database", "store_unavailable")
            await to_thread.run_sync(postgres.start)
            await world.recover(slack)

            admin = await asyncpg.connect(postgres.get_url("postgres"))
            try:
                async with read_only(admin, name):
                    assert await world.deliver(slack) == {UNAVAILABLE}
                    await world.wait_until_told("database", "read_only")
                    await world.wait_until_told("listener", "not listening")
                await world.recover(slack)

                async with crowded(postgres, admin, name):
                    assert await world.deliver(slack) == {UNAVAILABLE}
                    await world.wait_until_told("database", "store_unavailable")
                await world.recover(slack)

                await cut(admin, name, "slack-mcp listener")
                assert await world.deliver(slack) == {ACCEPTED}
                await world.recover(slack)
            finally:
                await admin.close()
            assert await world.pod.stop() == 0


@contextmanager
def full_disk(pod: PodProcess) -> Iterator[None]:
    """Let no file of the process grow any more."""
    _, most = resource.prlimit(pod.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pod.process.pid, resource.RLIMIT_FSIZE, (1, most))
    try:
        yield
    finally:
        resource.prlimit(pod.process.pid, resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
async def test_a_full_disk_under_sqlite_is_told_and_recovered_from(tmp_path: Path) -> None:
    with anyio.fail_after(90):
        async with open_world(tmp_path, f"sqlite:{tmp_path}/slack.db") as (world, slack):
            with full_disk(world.pod):
                assert await world.deliver(slack) == {UNAVAILABLE}
                await world.wait_until_told("duties", "journal")
            await world.recover(slack)
            assert await world.pod.stop() == 0


async def test_a_poisoned_event_is_given_up_and_stops_nobody_else(postgres_url: str, tmp_path: Path) -> None:
    with anyio.fail_after(90):
        async with open_world(tmp_path, postgres_url) as (world, slack):
            posted = world.workspace.say("U0", "D0", "poisoned")
            (envelope,) = posted.envelopes
            # What is stored of its turn is nothing that this version could have written.
            await world.fleet.fetch(
                "INSERT INTO slack_turns (connection_id, channel_id, message_ts, thread_ts, event_id, state, question, "  # noqa: S608
                "created_at_ms, updated_at_ms) "
                f"VALUES ('conn_1', 'D0', '{posted.message.ts}', '{posted.message.ts}', '{envelope['event_id']}', "
                "'no state', '', 0, 0)"
            )
            await slack.deliver(world.workspace, envelope)
            await world.pod.wait_until(lambda: bool(world.pod.find("event.crashed")))
            await world.recover(slack)
            rows = await world.fleet.fetch("SELECT event_id, state, reason FROM slack_events WHERE state = 'dead'")
            assert [tuple(row) for row in rows] == [(envelope["event_id"], "dead", "internal_error")]
            assert await world.pod.stop() == 0


def list_codes(pod: PodProcess) -> list[str]:
    return [line["code"] for line in pod.find("event.failed")]


async def test_slack_and_an_agent_that_cannot_be_reached_are_waited_for(postgres_url: str, tmp_path: Path) -> None:
    workspace, model = make_workspace(), FakeOpenAi()
    simulator = Simulator(workspace, deliver_bot_messages=False)
    with bind("127.0.0.1", 0) as slack_door, bind("127.0.0.1", 0) as agent_door:
        slack_port, agent_port = (door.getsockname()[1] for door in (slack_door, agent_door))
    with anyio.fail_after(90):
        async with open_fleet(
            tmp_path,
            database_url=postgres_url,
            slack_api_url=f"http://127.0.0.1:{slack_port}/api/",
            DEFAULT_AGENT="openai",
            OPENAI_BASE_URL=f"http://127.0.0.1:{agent_port}/v1",
            OPENAI_MODEL="m",
            SLACK_MCP_RETRY_BASE_S="0.2",
        ) as fleet:
            async with serve(simulator, port=slack_port):
                await fleet.connect(workspace)
            (pod,) = await fleet.add()
            async with Slack.open(fleet.urls, time_scale=1) as slack:
                posted = workspace.say("U0", "D0", "anybody there?")
                (envelope,) = posted.envelopes
                await slack.deliver(workspace, envelope)
                assert [attempt.answer for attempt in slack.attempts] == [ACCEPTED]
                await pod.wait_until(lambda: "agent_unavailable" in list_codes(pod))
                async with serve_app(model.app, port=agent_port):
                    await pod.wait_until(lambda: "slack_unavailable" in list_codes(pod))
                    async with open_http() as http:
                        assert (await http.get(f"{pod.url}/readyz")).status_code == ACCEPTED
                    async with serve(simulator, port=slack_port):
                        answer = await simulator.wait_for_answer(
                            "T1", "D0", posted.message.ts, text="Answer to", is_whole=True
                        )
            assert answer.text == "Answer to: anybody there?"
            assert {line["state"] for line in pod.find("event.failed")} == {"waiting"}
            assert sum(message.bot_id is not None for message in workspace.thread("D0", posted.message.ts)) == 1
            assert await pod.stop() == 0


async def measure_rss_mb(pod: PodProcess) -> float:
    process = await anyio.run_process(["ps", "-o", "rss=", "-p", str(pod.process.pid)])
    return int(process.stdout) / 1024


async def test_a_flood_on_a_database_that_hangs_is_refused_fast_and_does_not_fill_the_memory(
    postgres_url: str, tmp_path: Path
) -> None:
    limit = {"SLACK_MCP_MAX_WAITING_DELIVERIES": str(FLOOD_WAITING)}
    with anyio.fail_after(90):
        async with open_world(tmp_path, postgres_url, **limit) as (world, slack):
            idle_mb, peak_mb = await measure_rss_mb(world.pod), 0.0
            envelope = make_chatter(world.workspace, 0)
            envelope["event"]["text"] = "x" * FLOOD_BYTES
            body = json.dumps(envelope).encode()
            first, end_s = len(slack.attempts), time.monotonic() + FLOOD_S

            async def call() -> None:
                while time.monotonic() < end_s:
                    await slack.post(world.workspace, body)

            async with locked(postgres_url):
                async with anyio.create_task_group() as tasks:
                    for _ in range(FLOOD_CALLERS):
                        tasks.start_soon(call)
                    while time.monotonic() < end_s:
                        peak_mb = max(peak_mb, await measure_rss_mb(world.pod))
                attempts = slack.attempts[first:]
                assert await world.deliver(slack) == {UNAVAILABLE}
            refused = [attempt for attempt in attempts if attempt.answer == UNAVAILABLE]
            reasons = Counter(line["code"] for line in world.pod.find("delivery.refused"))
            print(
                f"\n{len(attempts)} deliveries of {FLOOD_BYTES // 1000} kB: {len(refused)} times 503, "
                f"{render_latencies(refused)}; {dict(reasons)}; from {idle_mb:.0f} to {peak_mb:.0f} MB"
            )
            assert reasons["overloaded"] > FLOOD_CALLERS
            assert peak_mb - idle_mb < MAX_GROWTH_MB
            await world.recover(slack)
            assert await world.pod.stop() == 0


async def test_a_clock_that_is_an_hour_off_is_told_and_the_pod_refuses_what_looks_old(
    postgres_url: str, tmp_path: Path
) -> None:
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(AN_HOUR_OFF)
    await anyio.run_process(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], stderr=DEVNULL)
    with anyio.fail_after(90):
        async with open_world(tmp_path, postgres_url) as (world, slack):
            (late,) = await world.fleet.add(LD_PRELOAD=str(library))
            while (checks := await world.read_checks(late)).pop("listener", None) is not None:  # it has just started
                await anyio.lowlevel.checkpoint()
            assert checks == {"clock": "3600 s ahead of the database's"}
            async with Slack.open([late.url], time_scale=1) as to_late:
                assert await world.deliver(to_late) == {401}
            assert {round(line["skew_s"], -2) for line in late.find("delivery.refused")} == {3600}
            # Slack comes again, and then perhaps to another pod.
            await world.recover(slack)
