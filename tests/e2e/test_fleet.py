"""Three pods on one PostgreSQL: any of them answers, and all of them know the same."""

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_mesh import FakeMesh
from fleet_acts import configure, post_signed
from processes import MESH_SECRET, AnswerCount, Fleet, make_workspace, open_fleet, open_http

from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

TENANT_EVENTS = 1_000


@asynccontextmanager
async def open_world(
    directory: Path, database_url: str, *workspaces: Workspace, pods: int = 3, **environ: str
) -> AsyncIterator[tuple[Simulator, Fleet]]:
    """Yield a simulator and pods that it delivers to."""
    simulator = Simulator(*workspaces, time_scale=0.02)
    async with (
        serve(simulator) as address,
        open_fleet(directory, database_url=database_url, slack_api_url=address.api_url, **environ) as fleet,
    ):
        await fleet.add(pods)
        simulator.deliverer.targets = fleet.urls
        yield simulator, fleet


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_saved_through_one_pod_heard_by_another_answered_once(
    generation: Any, postgres_url: str, tmp_path: Path
) -> None:
    workspace = make_workspace()
    mesh = FakeMesh(generation=generation, secret=MESH_SECRET)
    with anyio.fail_after(120):
        async with (
            serve_app(mesh.app) as mesh.url,
            open_http() as http,
            open_world(tmp_path, postgres_url, workspace) as (simulator, fleet),
        ):
            first, second, _ = fleet.pods
            await configure(http, first, mesh, workspace, agent_id="vir_1")
            await configure(http, first, mesh, workspace, agent_id="vir_1")
            assert len(mesh.api_keys) == 1
            simulator.deliverer.targets = [second.url]
            posted = simulator.say("T1", "U0", "C1", "<@UBOT> who is there?")
            answer = await simulator.wait_for_answer(
                "T1", "C1", posted.message.ts, text="who is there?", is_whole=True, timeout_s=60
            )
            assert answer.text == "Answer to: who is there?"
            await wait_until_settled(simulator, fleet)
            assert count_bot_messages(workspace, posted.message.ts) == 1
            assert answer.metadata is not None
            assert answer.metadata["event_payload"]["event_id"] in {each["event_id"] for each in posted.envelopes}


async def test_a_changed_secret_is_honoured_by_the_other_pods_although_they_have_it_cached(
    postgres_url: str, tmp_path: Path
) -> None:
    workspace = make_workspace()
    mesh = FakeMesh(secret=MESH_SECRET)
    challenge = {"type": "url_verification", "challenge": "abc"}
    latencies: list[float] = []
    with anyio.fail_after(120):
        async with (
            serve_app(mesh.app) as mesh.url,
            open_http() as http,
            open_world(
                tmp_path,
                postgres_url,
                workspace,
                SLACK_MCP_SIGNING_SECRET_OVERLAP_S="0",
                # What a pod has cached, it would use for longer than this may take: only an announcement ends that.
                SLACK_MCP_DIRECTORY_TTL_S="300",
            ) as (simulator, fleet),
        ):
            first, *others = fleet.pods
            await configure(http, first, mesh, workspace)
            for number in range(10):
                old, new = workspace.signing_secret, f"canary-rotated-secret-{number}"
                for pod in others:
                    assert await post_signed(http, pod, workspace, challenge, old) == 200
                workspace.signing_secret = new
                await configure(http, first, mesh, workspace)
                saved_s = simulator.clock.monotonic_s()
                for pod in others:
                    # The old secret is in the cache there: only the announcement makes it unknown.
                    while await post_signed(http, pod, workspace, challenge, old) == 200:
                        pass
                    latencies.append(simulator.clock.monotonic_s() - saved_s)
                    assert await post_signed(http, pod, workspace, challenge, new) == 200
    print(
        f"\na changed secret on the other pods: median {1000 * statistics.median(latencies):.1f} ms, "
        f"at most {1000 * max(latencies):.1f} ms after the save was answered"
    )


async def test_one_delivery_on_three_pods_at_once_is_one_answer(postgres_url: str, tmp_path: Path) -> None:
    workspace = make_workspace()
    with anyio.fail_after(120):
        async with open_world(tmp_path, postgres_url, workspace) as (simulator, fleet):
            await fleet.connect(workspace)
            roots = []
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    posted = workspace.say("U0", "C1", f"<@UBOT> question {number}")
                    roots.append(posted.message.ts)
                    for _ in range(6):
                        for envelope in posted.envelopes:
                            tasks.start_soon(simulator.deliver, "T1", envelope)
            for root in roots:
                await simulator.wait_for_answer("T1", "C1", root, text="question", timeout_s=60)
            await wait_until_settled(simulator, fleet)
            assert [count_bot_messages(workspace, root) for root in roots] == [1] * len(roots)
            assert all(each.is_accepted for each in simulator.deliverer.deliveries)


async def test_two_tenants_under_load_never_share_a_token(postgres_url: str, tmp_path: Path) -> None:
    first, second = make_workspace(1), make_workspace(2)
    answers = AnswerCount(first, second)
    with anyio.fail_after(300):
        async with open_world(tmp_path, postgres_url, first, second, pods=2) as (simulator, fleet):
            for workspace in (first, second):
                await fleet.connect(workspace)
            roots: dict[str, str] = {}
            for number in range(TENANT_EVENTS):
                for workspace in (first, second):
                    text = f"{workspace.team_id} asks {number}"
                    roots[text] = simulator.say(workspace.team_id, "U0", "C1", f"<@UBOT> {text}").message.ts
            await simulator.changes.wait_until(lambda: len(answers) == 2 * TENANT_EVENTS)
            await wait_until_settled(simulator, fleet)
            for workspace in (first, second):
                for number in range(TENANT_EVENTS):
                    text = f"{workspace.team_id} asks {number}"
                    shown = [each.text for each in workspace.thread("C1", roots[text]) if each.bot_id]
                    assert shown == [text]
            assert simulator.calls.cross_tenant_calls == []
            assert {call.token for call in simulator.calls.select()} == {first.bot_token, second.bot_token}


async def test_a_pod_that_is_told_to_stop_hands_its_work_to_the_others_at_once(
    postgres_url: str, tmp_path: Path
) -> None:
    workspace = make_workspace()
    mesh = FakeMesh(secret=MESH_SECRET)
    with anyio.fail_after(120):
        async with (
            serve_app(mesh.app) as mesh.url,
            open_http() as http,
            open_world(tmp_path, postgres_url, workspace, pods=1, SLACK_MCP_DRAIN_TIMEOUT_S="1") as (simulator, fleet),
        ):
            (first,) = fleet.pods
            await configure(http, first, mesh, workspace, agent_id="vir_1")
            mesh.scripts.append("hangs")
            posted = simulator.say("T1", "U0", "C1", "<@UBOT> take your time")
            await mesh.wait_until(lambda: mesh.holding == 1)
            await fleet.add()
            stopped_s = simulator.clock.monotonic_s()
            assert await first.stop() == 0
            # The agent works on, whoever listens to it.
            (thread_id,) = mesh.threads
            mesh.release.set()
            mesh.finish_run(thread_id, "Answer to: take your time")
            answer = await simulator.wait_for_answer(
                "T1", "C1", posted.message.ts, text="take your time", is_whole=True, timeout_s=60
            )
            # Far less than the lease, which another pod would have to wait for.
            assert simulator.clock.monotonic_s() - stopped_s < 10
            assert answer.text == "Answer to: take your time"
            await wait_until_settled(simulator, fleet)
            assert count_bot_messages(workspace, posted.message.ts) == 1


async def test_workers_share_a_port_and_a_dead_one_is_replaced(postgres_url: str, tmp_path: Path) -> None:
    workspace = make_workspace()
    with anyio.fail_after(120):
        async with open_world(tmp_path, postgres_url, workspace, pods=1, WORKERS="2") as (simulator, fleet):
            (service,) = fleet.pods
            await fleet.connect(workspace)
            await service.wait_until(lambda: len(service.find("pod.listening")) == 2)
            pids = [int(line["pod_id"].split("-")[-2]) for line in service.find("pod.listening")]
            await anyio.run_process(["kill", "-9", str(pids[0])])
            await service.wait_until(lambda: len(service.find("pod.listening")) == 3)
            posted = simulator.say("T1", "U0", "C1", "<@UBOT> still there?")
            await simulator.wait_for_answer("T1", "C1", posted.message.ts, text="still there?", timeout_s=60)
            assert await service.stop() == 0


async def wait_until_settled(simulator: Simulator, fleet: Fleet) -> None:
    """Return when everything that was delivered is finished in the journal too."""
    await simulator.changes.wait_until(lambda: simulator.deliverer.pending == 0)
    while any(row["count"] for row in await fleet.fetch("SELECT count(*) FROM slack_lanes")):
        await anyio.lowlevel.checkpoint()


def count_bot_messages(workspace: Workspace, root: str) -> int:
    return sum(message.bot_id is not None for message in workspace.thread("C1", root))
