"""Pods beside a real Valkey that is killed and comes back: nothing is lost, and changes are still seen."""

import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import httpx2
import pytest
from fake_mesh import FakeMesh
from fleet_acts import configure, post_signed
from processes import MESH_SECRET, AnswerCount, Fleet, make_workspace, open_fleet, open_http
from valkey import ValkeyServer

from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

KEYS = "k1:" + base64.b64encode(b"k" * 32).decode()
QUESTIONS = 20
# As long as no test waits: what is seen sooner was announced.
LONG_S = "60"
CHALLENGE: Final = {"type": "url_verification", "challenge": "abc"}


@asynccontextmanager
async def open_world(
    directory: Path, database_url: str, workspace: Workspace, server: ValkeyServer, **environ: str
) -> AsyncIterator[tuple[Simulator, Fleet]]:
    """Yield a simulator and two pods that it delivers to."""
    simulator = Simulator(workspace, time_scale=0.02)
    async with (
        serve(simulator) as address,
        open_fleet(
            directory,
            database_url=database_url,
            slack_api_url=address.api_url,
            REDIS_URL=server.url,
            ENCRYPTION_KEYS=KEYS,
            SLACK_MCP_SIGNING_SECRET_OVERLAP_S="0",
            **environ,
        ) as fleet,
    ):
        await fleet.add(2)
        simulator.deliverer.targets = fleet.urls
        yield simulator, fleet


async def wait_for_valkey(http: httpx2.AsyncClient, fleet: Fleet, *, is_connected: bool) -> None:
    """Return when each pod says so in /health. Once it is ready, it is so all the time."""
    for pod in fleet.pods:
        while is_connected and (await http.get(f"{pod.url}/readyz")).status_code != 200:
            await anyio.lowlevel.checkpoint()
        while (await http.get(f"{pod.url}/health")).json()["valkey"]["connected"] != is_connected:
            assert (await http.get(f"{pod.url}/readyz")).status_code == 200


async def change_secret(
    fleet: Fleet, http: httpx2.AsyncClient, workspace: Workspace, secret: str, save: Callable[[], Awaitable[object]]
) -> float:
    """Save another signing secret; return how long the second pod took the old one after that."""
    _, second = fleet.pods
    old, workspace.signing_secret = workspace.signing_secret, secret
    assert await post_signed(http, second, workspace, CHALLENGE, old) == 200
    await save()
    saved_s = time.monotonic()
    while await post_signed(http, second, workspace, CHALLENGE, old) == 200:
        pass
    latency_s = time.monotonic() - saved_s
    assert await post_signed(http, second, workspace, CHALLENGE, secret) == 200
    return latency_s


@dataclass
class Story:
    """Questions to the bot, and secrets that change between them."""

    simulator: Simulator
    workspace: Workspace
    answers: AnswerCount
    roots: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str) -> None:
        for number in range(QUESTIONS):
            text = f"{name} {number}"
            self.roots[text] = self.simulator.say("T1", "U0", "C1", f"<@UBOT> {text}").message.ts

    async def wait_for_answers(self) -> None:
        await self.simulator.changes.wait_until(lambda: len(self.answers) == len(self.roots))
        await self.simulator.changes.wait_until(lambda: self.simulator.deliverer.pending == 0)

    def check(self) -> None:
        """Each question has one answer, and that is its own."""
        for text, root in self.roots.items():
            assert [each.text for each in self.workspace.thread("C1", root) if each.bot_id] == [text]


async def test_valkey_is_killed_and_comes_back_and_nothing_is_lost(
    postgres_url: str, tmp_path: Path, valkey_server: ValkeyServer
) -> None:
    workspace = make_workspace()
    budget = {"SLACK_BUDGET": "true", "SLACK_BUDGET_FACTOR": "100"}
    latencies: dict[str, float] = {}
    with anyio.fail_after(150):
        async with (
            open_http() as http,
            open_world(tmp_path, postgres_url, workspace, valkey_server, **budget) as (simulator, fleet),
        ):
            story = Story(simulator, workspace, AnswerCount(workspace))
            await fleet.connect(workspace)
            await wait_for_valkey(http, fleet, is_connected=True)
            for part, act in (("with", None), ("without", valkey_server.stop), ("with it again", valkey_server.start)):
                story.ask(f"before {part}")
                if act is not None:
                    act()
                story.ask(part)
                await story.wait_for_answers()
                await wait_for_valkey(http, fleet, is_connected=part != "without")
                secret = f"canary-secret-{len(latencies)}"
                latencies[part] = await change_secret(fleet, http, workspace, secret, partial(fleet.connect, workspace))
            story.check()
            for pod in fleet.pods:
                assert not [line for line in pod.lines if line.get("level") == "error"], pod.raw[-3000:]
            for event in ("valkey.lost", "valkey.back", "budget.in_database", "budget.in_valkey"):
                assert fleet.find(event), event
    for name, latency_s in latencies.items():
        print(f"\na changed secret on the other pod, {name} Valkey: after {1000 * latency_s:.1f} ms")
    assert max(latencies.values()) < 1


async def test_without_listen_pods_hear_of_changes_from_valkey_and_ask_the_database_while_it_is_lost(
    postgres_url: str, tmp_path: Path, valkey_server: ValkeyServer
) -> None:
    """As behind PgBouncer in transaction mode without DATABASE_LISTEN_URL."""
    workspace = make_workspace()
    with anyio.fail_after(180):
        mesh = FakeMesh(secret=MESH_SECRET)
        async with (
            serve_app(mesh.app) as mesh.url,
            open_http() as http,
            open_world(
                tmp_path,
                postgres_url,
                workspace,
                valkey_server,
                DATABASE_PREPARED_STATEMENTS="false",
                SLACK_MCP_POLL_S=LONG_S,
                SLACK_MCP_DIRECTORY_TTL_S=LONG_S,
            ) as (_simulator, fleet),
        ):
            # Saved through a pod: that is who publishes.
            save = partial(configure, http, fleet.pods[0], mesh, workspace)
            await save()
            await wait_for_valkey(http, fleet, is_connected=True)
            latency_s = await change_secret(fleet, http, workspace, "canary-secret-heard", save)
            assert latency_s < 1
            valkey_server.stop()
            await wait_for_valkey(http, fleet, is_connected=False)
            # Nobody tells anybody now, and nothing cached is believed.
            assert await change_secret(fleet, http, workspace, "canary-secret-unheard", save) < 1
            valkey_server.start()
            await wait_for_valkey(http, fleet, is_connected=True)
            assert await change_secret(fleet, http, workspace, "canary-secret-again", save) < 1
