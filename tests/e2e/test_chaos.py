"""Three pods under load while pods are killed, PostgreSQL and Valkey are restarted and listeners cut off: nothing is
lost, nothing is answered twice, the order is kept, and every delivery gets its answer in time.

`CHAOS_S` and `CHAOS_RATE` say how long and how many events a second; a short form is part of the tests.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import anyio
import httpx2
import pytest
from anyio import to_thread
from chaos import (
    ACCEPTED,
    TIMEOUT_S,
    UNAVAILABLE,
    Attempt,
    Slack,
    Thread,
    Verdict,
    count_outside,
    judge_all,
    make_chatter,
    plan_times,
    render_latencies,
)
from postgres import Postgres
from processes import AnswerCount, Fleet, get_time_s, make_workspace, open_fleet, open_http
from valkey import ValkeyServer

from slack_mcp.simulator import Fault, Simulator, Workspace, serve

pytestmark = pytest.mark.anyio

Act = Callable[[], Awaitable[None]]

DURATION_S = float(os.environ.get("CHAOS_S", "20"))
RATE = float(os.environ.get("CHAOS_RATE", "60"))
KILL_EVERY_S = min(15.0, DURATION_S / 4)
RESTARTS_AT = (0.3, 0.7)
CUTS_AT = (0.15, 0.5, 0.85)
VALKEY_GONE_AT, VALKEY_BACK_AT = 0.4, 0.6
DOWN_S = 2.0
# Few events are questions: the rest is what people say among themselves. Their answers take the simulated Slack's time,
# which has to share the machine with the pods.
QUESTIONS_PER_S = min(10.0, RATE / 10)
CHATTER_PER_S = RATE - QUESTIONS_PER_S
LANES = 40
QUESTIONS_PER_THREAD = 8
TENANTS = 4
PODS = 3
MIN_KILLS = 2
# Slack itself takes its time: so there is work in hand whenever a pod is killed.
SLACK_S = 0.25
# Slack's minute and five minutes are 1.2 s and 6 s.
TIME_SCALE = 0.02
TAKE_OVER_S = 20.0
# How long pods may say 503 after the database is back.
RECOVERY_S = 10.0
SETTLE_S = max(120.0, DURATION_S)
LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'slack-mcp listener'"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    # The load comes from this process, which must not be what is measured.
    return "asyncio", {"use_uvloop": True}


class Load:
    """Events at a steady rate, whatever becomes of them."""

    def __init__(self, slack: Slack, workspaces: list[Workspace]) -> None:
        self._slack = slack
        self._workspaces = workspaces
        self._end_s = time.monotonic() + DURATION_S
        self.threads: list[Thread] = []

    async def run(self) -> None:
        """Return when the time is over and everything is accepted."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._chat, tasks)
            for lane in range(LANES):
                tasks.start_soon(self._ask, lane)

    async def _chat(self, tasks: anyio.abc.TaskGroup) -> None:
        due_s = time.monotonic()
        for number in range(int(CHATTER_PER_S * DURATION_S)):
            due_s += 1 / CHATTER_PER_S
            await anyio.sleep(max(0.0, due_s - time.monotonic()))
            workspace = self._workspaces[number % TENANTS]
            tasks.start_soon(self._slack.deliver, workspace, make_chatter(workspace, number))

    async def _ask(self, lane: int) -> None:
        """Ask in one thread after the other; each question is delivered when the one before it is accepted."""
        pause_s = LANES / QUESTIONS_PER_S
        due_s = time.monotonic() + pause_s * lane / LANES
        workspace, person = self._workspaces[lane % TENANTS], f"U{lane // TENANTS}"
        is_direct = lane // TENANTS % 2 == 0
        channel = workspace.open_im(person).channel_id if is_direct else "C1"
        thread: Thread | None = None
        number = 0
        while due_s < self._end_s:
            await anyio.sleep(max(0.0, due_s - time.monotonic()))
            due_s += pause_s
            if thread is not None and len(thread.asked) == QUESTIONS_PER_THREAD:
                thread = None
            number += 1
            text = f"lane {lane} asks {number}"
            # Slack tells of a mention twice: that is two events, and one question.
            said = text if is_direct else f"<@UBOT> {text}"
            posted = workspace.say(person, channel, said, thread.root if thread else None)
            if thread is None:
                thread = Thread(workspace, channel, posted.message.ts)
                self.threads.append(thread)
            thread.asked.append(text)
            async with anyio.create_task_group() as deliveries:
                for envelope in posted.envelopes:
                    deliveries.start_soon(self._slack.deliver, workspace, envelope)


class Chaos:
    """What is done to the pods and the database, one thing after the other."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        postgres: Postgres,
        valkey: ValkeyServer,
        http: httpx2.AsyncClient,
        chance: random.Random,
    ) -> None:
        self._fleet = fleet
        self._postgres = postgres
        self._valkey = valkey
        self._http = http
        self._chance = chance
        self._killed: list[tuple[int, float]] = []
        self._absences: list[tuple[str, float, float]] = []
        self.kills = 0
        self.cuts = 0
        self.valkey_restarts = 0
        self.outages: list[tuple[float, float]] = []
        self.recoveries_s: list[float] = []

    async def run(self) -> None:
        acts: list[tuple[float, Act]] = [
            *((at_s, self._kill) for at_s in plan_times(KILL_EVERY_S, DURATION_S)),
            (RESTARTS_AT[0] * DURATION_S, lambda: self._restart("fast")),
            (RESTARTS_AT[1] * DURATION_S, lambda: self._restart("immediate")),
            *((at * DURATION_S, self._cut) for at in CUTS_AT),
            (VALKEY_GONE_AT * DURATION_S, lambda: to_thread.run_sync(self._valkey.stop)),
            (VALKEY_BACK_AT * DURATION_S, self._bring_valkey_back),
        ]
        start_s = time.monotonic()
        for at_s, act in sorted(acts, key=lambda each: each[0]):
            await anyio.sleep(max(0.0, start_s + at_s - time.monotonic()))
            await act()

    async def _kill(self) -> None:
        """Kill -9 one pod, note the lanes that it held, and start it again."""
        pod = self._chance.choice(self._fleet.pods)
        pod_id = pod.find("pod.listening")[-1]["pod_id"]
        await pod.kill()
        killed_s = time.time()
        self.kills += 1
        for row in await self._fleet.fetch(f"SELECT lane_id FROM slack_lanes WHERE holder = '{pod_id}'"):  # noqa: S608
            self._killed.append((row["lane_id"], killed_s))
        await self._fleet.restart(pod)
        self._absences.append((pod.url, killed_s, time.time()))

    def was_away(self, attempt: Attempt) -> bool:
        """Tell whether a delivery went to a pod that was dead or starting: a balancer would not have sent it there.

        Its socket takes connections before anybody answers them.
        """
        return any(
            attempt.url == url and attempt.at_s <= until_s and attempt.at_s + attempt.latency_s >= from_s
            for url, from_s, until_s in self._absences
        )

    async def _restart(self, mode: Literal["fast", "immediate"]) -> None:
        """Stop PostgreSQL, see that all pods say so, start it again, and wait until they say that they are well."""
        down_s = time.time()
        await to_thread.run_sync(self._postgres.stop, mode)
        await self._wait_until_ready(is_ready=False)
        await anyio.sleep(DOWN_S)
        await to_thread.run_sync(self._postgres.start)
        up_s = time.time()
        await self._wait_until_ready(is_ready=True)
        self.recoveries_s.append(time.time() - up_s)
        self.outages.append((down_s, up_s + RECOVERY_S))

    async def _bring_valkey_back(self) -> None:
        await to_thread.run_sync(self._valkey.start)
        self.valkey_restarts += 1

    async def _cut(self) -> None:
        """End the connections on which the pods listen, and wait until they listen again."""
        before = [len(pod.find("listener.listening")) for pod in self._fleet.pods]
        self.cuts += len(await self._fleet.fetch(LISTENERS))
        for pod, count in zip(self._fleet.pods, before, strict=True):
            await pod.wait_until(lambda pod=pod, count=count: len(pod.find("listener.listening")) > count)  # type: ignore[misc]

    async def _wait_until_ready(self, *, is_ready: bool) -> None:
        with anyio.fail_after(30):
            for pod in self._fleet.pods:
                while ((await self._http.get(f"{pod.url}/readyz")).status_code == ACCEPTED) is not is_ready:
                    await anyio.lowlevel.checkpoint()

    def list_takeovers_s(self) -> list[float]:
        """Return how long after its pod's death each lane was taken over."""
        times: dict[int, list[float]] = {}
        for line in self._fleet.find("lane.taken_over"):
            times.setdefault(line["lane_id"], []).append(get_time_s(line))
        after = [
            [at_s - killed_s for at_s in times.get(lane_id, ()) if at_s >= killed_s]
            for lane_id, killed_s in self._killed
        ]
        return [min(delays) for delays in after if delays]


async def wait_until_settled(fleet: Fleet, simulator: Simulator, threads: list[Thread], answers: AnswerCount) -> None:
    """Return when every question has its answer, and the journal nothing that is unfinished."""
    asked = sum(len(thread.asked) for thread in threads)
    await simulator.changes.wait_until(lambda: len(answers) >= asked)
    while (await fleet.fetch("SELECT count(*) FROM slack_lanes"))[0]["count"]:
        await anyio.lowlevel.checkpoint()


async def count_lost(fleet: Fleet, slack: Slack) -> tuple[int, Counter[str]]:
    """Return how many accepted events the journal does not have, and how those that it has ended."""
    rows = await fleet.fetch("SELECT connection_id, event_id, state FROM slack_events")
    journalled = {(row["connection_id"], row["event_id"]) for row in rows}
    return len(slack.accepted - journalled), Counter(row["state"] for row in rows)


async def test_chaos_loses_nothing_doubles_nothing_and_keeps_the_order(
    postgres: Postgres, postgres_url: str, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - printed, so that a run can be repeated
    workspaces = [make_workspace(number, people=LANES) for number in range(TENANTS)]
    simulator = Simulator(*workspaces, deliver_bot_messages=False)
    answer_count = AnswerCount(*workspaces)
    simulator.faults.add(Fault(method="*", hang_s=SLACK_S, times=None))
    async with (
        serve(simulator) as address,
        open_fleet(
            tmp_path, database_url=postgres_url, slack_api_url=address.api_url, REDIS_URL=valkey_server.url
        ) as fleet,
        open_http() as http,
    ):
        for workspace in workspaces:
            await fleet.connect(workspace)
        await fleet.add(PODS)
        chance = random.Random(seed)  # noqa: S311
        chaos = Chaos(fleet, postgres=postgres, valkey=valkey_server, http=http, chance=chance)
        async with Slack.open(fleet.urls, time_scale=TIME_SCALE) as slack:
            load = Load(slack, workspaces)
            with anyio.fail_after(DURATION_S + SETTLE_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(chaos.run)
                    tasks.start_soon(load.run)
            assert slack.pending == 0
            with anyio.move_on_after(SETTLE_S):  # what is missing then is told below
                await wait_until_settled(fleet, simulator, load.threads, answer_count)
            lost, states = await count_lost(fleet, slack)
        assert all(pod.is_alive for pod in fleet.pods)
        for pod in fleet.pods:
            assert await pod.stop() == 0

    verdict = judge_all(load.threads)
    attempts = [attempt for attempt in slack.attempts if not chaos.was_away(attempt)]
    answers = Counter(attempt.answer for attempt in attempts)
    answered = [attempt for attempt in attempts if isinstance(attempt.answer, int)]
    refused = [attempt for attempt in attempts if attempt.answer == UNAVAILABLE]
    takeovers_s = chaos.list_takeovers_s()
    print(
        f"\nseed {seed}: {slack.sent} events in {DURATION_S:g} s ({slack.sent / DURATION_S:.0f}/s), of which "
        f"{sum(len(thread.asked) for thread in load.threads)} questions in {len(load.threads)} threads\n"
        f"acks: {render_latencies([each for each in answered if each.answer == ACCEPTED])}\n"
        f"503s: {len(refused)}, {render_latencies(refused)}\n"
        f"attempts: {dict(answers)}, and {len(slack.attempts) - len(attempts)} to pods that were dead or starting\n"
        f"kills: {chaos.kills}; lanes taken over: {len(takeovers_s)}, at most {max(takeovers_s, default=0):.1f} s "
        f"after the kill\n"
        f"restarts of PostgreSQL: {len(chaos.outages)}, ready again after "
        f"{', '.join(f'{each:.1f}' for each in chaos.recoveries_s)} s; listeners cut off: {chaos.cuts}; "
        f"restarts of Valkey: {chaos.valkey_restarts}\n"
        f"lost {lost + verdict.lost}, doubled {verdict.doubled}, out of order {verdict.out_of_order}, "
        f"strange {verdict.strange}; the journal: {dict(states)}"
    )
    assert (lost, verdict) == (0, Verdict())
    assert set(states) == {"done", "skipped"}
    assert set(answers) <= {ACCEPTED, UNAVAILABLE, "refused"}
    assert max(attempt.latency_s for attempt in answered) < TIMEOUT_S
    assert count_outside(refused, chaos.outages) == 0
    assert chaos.kills >= MIN_KILLS
    assert chaos.cuts >= PODS
    assert len(chaos.outages) == len(RESTARTS_AT)
    assert chaos.valkey_restarts == 1
    assert takeovers_s, "no lane was in work when its pod was killed"
    assert max(takeovers_s) <= TAKE_OVER_S
