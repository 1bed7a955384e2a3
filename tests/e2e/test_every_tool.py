"""Every tool, called by the MCP SDK's client as people's clients do: over HTTP in both eras, and over stdio."""

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
from fake_mesh import FakeMesh
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from processes import MESH_SECRET, Fleet, PodProcess, open_fleet
from tool_tour import (
    ASKING,
    BEN,
    CANARY,
    FOR_MODELS,
    GENERAL,
    SAID,
    Trip,
    check_text,
    make_mesh_stops,
    make_state,
    make_workspace,
)
from trigger_fakes import serve_receiver

from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app
from slack_mcp.tools.registry import TOOLS

pytestmark = pytest.mark.anyio

TIMEOUT_S = 120
CONNECTION = "conn_1"
Mode = Literal["legacy", "2026-07-28"]
MODES: Sequence[Mode] = ("legacy", "2026-07-28")
ELSEWHERE = "C0ELSEWHERE"  # of another workspace

FOR_APPS = {tool.name for tool in TOOLS if tool.is_for_apps}
NAMES = {tool.name for tool in TOOLS}
# Of the tools for models; nobody's click comes in over stdio.
NOT_OVER_STDIO = {stop.tool for stop in ASKING}
SHORT_TOUR = {"SLACK_SEND_MESSAGE", "SLACK_GET_CHANNEL_HISTORY", "SLACK_LIST_CHANNELS"}


@dataclass(kw_only=True)
class World:
    """One service on SQLite, two simulated workspaces, and a connection of the first that the real commands made."""

    simulator: Simulator
    workspace: Workspace
    other: Workspace
    fleet: Fleet
    directory: Path

    @property
    def pod(self) -> PodProcess:
        return self.fleet.pods[0]

    async def run(self, *arguments: str, **environ: str) -> Any:
        """Return what a command prints as JSON."""
        done = await anyio.run_process(
            [sys.executable, "-m", "slack_mcp", *arguments, "--json"],
            cwd=self.directory,
            env={**os.environ, **self.fleet.environ, **environ},
        )
        return json.loads(done.stdout)

    async def make_key(self, access: str = "admin") -> str:
        """Return a new API key of the connection."""
        made = await self.run("keys", "create", "--connection", CONNECTION, "--name", "tour", "--access", access)
        return str(made["key"])

    async def wait_for_turns(self, count: int) -> None:
        await self.pod.wait_until(lambda: len(self.pod.find("turn.finished")) >= count)

    def make_trip(self, client: Client, workspace: Workspace | None = None) -> Trip:
        return Trip(
            client=client,
            simulator=self.simulator,
            workspace=workspace or self.workspace,
            wait_for_turns=self.wait_for_turns,
        )

    @asynccontextmanager
    async def connect(self, mode: Mode, **headers: str) -> AsyncIterator[Client]:
        """Yield the SDK's client of the running service."""
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
            Client(streamable_http_client(f"{self.pod.url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client


@asynccontextmanager
async def connect_stdio(directory: Path, *options: str, **environ: str) -> AsyncIterator[Client]:
    """Yield the SDK's client of a process that it starts; at the end the process's log is looked through."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "slack_mcp", "stdio", *options],
        env={"PATH": os.environ["PATH"], "LOG_FORMAT": "json"} | environ,
    )
    log = directory / "stdio.log"
    with log.open("w") as stderr:
        async with Client(stdio_client(parameters, errlog=stderr), mode="legacy") as client:
            yield client
    check_log(log.read_text())


def check_log(text: str) -> None:
    """Find no secret, nothing that was said, and no bug in a log."""
    assert "tool.finished" in text
    for word in (CANARY, "The tour begins", "tool.crashed", "Traceback"):
        assert word not in text, word


@asynccontextmanager
async def open_world(directory: Path, **environ: str) -> AsyncIterator[World]:
    """Yield a running service; at the end its log is looked through, and no token met another tenant's channel."""
    workspace, other = make_workspace(1), make_workspace(2)
    simulator = Simulator(workspace, other)
    with anyio.fail_after(TIMEOUT_S):
        async with (
            serve(simulator) as address,
            open_fleet(
                directory, database_url=f"sqlite:{directory}/slack.db", slack_api_url=address.api_url, **environ
            ) as fleet,
        ):
            world = World(simulator=simulator, workspace=workspace, other=other, fleet=fleet, directory=directory)
            await world.run(
                *("connections", "add", "--id", CONNECTION),
                SLACK_BOT_TOKEN=workspace.bot_token,
                SLACK_SIGNING_SECRET=workspace.signing_secret,
                SLACK_USER_TOKEN=f"xoxp-{CANARY}-1",
            )
            await fleet.add()
            simulator.deliverer.targets = fleet.urls
            yield world
            assert await world.pod.stop() == 0
            check_log(world.pod.raw)


def test_the_tour_calls_every_tool_there_is_and_no_other() -> None:
    assert {stop.tool for stop in FOR_MODELS} == NAMES - FOR_APPS
    assert {stop.tool for stop in make_mesh_stops("")} == FOR_APPS


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_works_over_http(tmp_path: Path, mode: Mode) -> None:
    async with open_world(tmp_path) as world:
        key = await world.make_key()
        async with world.connect(mode, authorization=f"Bearer {key}") as client:
            trip = world.make_trip(client)
            await trip.travel(FOR_MODELS)
        assert set(trip.schemas) == NAMES - FOR_APPS
        assert world.simulator.calls.cross_tenant_calls == []
        assert world.simulator.calls.select(team_id=world.other.team_id) == []
        assert key not in world.pod.raw


@pytest.mark.parametrize("mode", MODES)
async def test_every_tool_for_apps_works_for_mesh(tmp_path: Path, mode: Mode) -> None:
    mesh = FakeMesh(secret=MESH_SECRET)
    async with (
        serve_app(mesh.app) as mesh.url,
        serve_receiver() as receiver,
        open_world(tmp_path, MESH_ALLOWED_URLS=receiver.url) as world,
    ):
        receiver.on_received.append(world.simulator.changes.notify)
        token = mesh.mint_token(str(world.other.connection_id), metadata={"state": make_state(world.other)})
        async with world.connect(mode, **{"x-mesh-token": token}) as client:
            trip = world.make_trip(client, world.other)
            await trip.travel(make_mesh_stops(f"{receiver.url}/callback"))
            # It was not configured when they were listed; now it is.
            assert set(trip.schemas) == FOR_APPS
            listed = {tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools}
        assert len(mesh.api_keys) == 1
        assert FOR_APPS < listed <= NAMES
        world.simulator.say(world.other.team_id, BEN, GENERAL, "Who hears this?")
        await world.simulator.changes.wait_until(lambda: bool(receiver.received), timeout_s=30)
        told = receiver.received[0]
        assert told.headers["authorization"] == f"Bearer {CANARY}-callback"
        assert told.json["data"]["text"] == "Who hears this?"


async def test_every_tool_works_over_stdio_beside_a_running_service(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        database = {name: world.fleet.environ[name] for name in ("DATABASE_URL", "SLACK_API_URL", "DATA_DIR")}
        async with connect_stdio(tmp_path, "--connection", CONNECTION, **database) as client:
            trip = world.make_trip(client)
            await trip.travel([stop for stop in FOR_MODELS if stop.tool not in NOT_OVER_STDIO])
            assert trip.schemas.keys().isdisjoint(FOR_APPS)
            asked = {"channel": "#general", "question": "Soup?"}
            assert "slack-mcp serve" in await trip.refuse("SLACK_ASK_HUMAN", asked)
            assert "slack-mcp serve" in await trip.refuse("SLACK_GET_ANSWER", {"question_id": "Q1"})


async def test_a_bot_token_alone_is_enough_over_stdio(tmp_path: Path) -> None:
    workspace = make_workspace(1)
    simulator = Simulator(workspace)
    async with serve(simulator) as address:
        environ = {
            "SLACK_BOT_TOKEN": workspace.bot_token,
            "SLACK_API_URL": address.api_url,
            "DATA_DIR": str(tmp_path / "data"),
        }
        with anyio.fail_after(TIMEOUT_S):
            async with connect_stdio(tmp_path, **environ) as client:
                trip = Trip(client=client, simulator=simulator, workspace=workspace)
                await trip.travel([stop for stop in FOR_MODELS if stop.tool in SHORT_TOUR])
    assert trip.got.keys() == SHORT_TOUR
    # Nothing of it is for apps, or needs a person's token.
    assert trip.schemas.keys().isdisjoint({*FOR_APPS, "SLACK_GET_UNREADS", "SLACK_MARK_READ"})
    assert not (tmp_path / "data").exists()


TOO_LONG = "x" * 40_001
BAD: Sequence[tuple[str, dict[str, Any], str]] = [
    ("SLACK_SEND_MESSAGE", {}, "channel is required"),
    ("SLACK_SEND_MESSAGE", {"channel": 5, "text": ["x"]}, "channel"),
    ("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "x", "colour": "red"}, "colour is not an argument"),
    ("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": TOO_LONG}, "text"),
    ("SLACK_SEND_MESSAGE", {"channel": ELSEWHERE, "text": "x"}, "channel"),
    ("SLACK_SEND_MESSAGE", {"channel": "#elsewhere", "text": "x"}, "elsewhere"),
    ("SLACK_GET_CHANNEL_HISTORY", {"channel": ELSEWHERE}, "channel"),
    ("SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL, "limit": "many"}, "limit"),
    ("SLACK_GET_CHANNEL_INFO", {"channel": ELSEWHERE}, "channel"),
    ("SLACK_DELETE_MESSAGE", {"channel": GENERAL, "ts": "1700000000.000100"}, "message_not_found"),
    ("SLACK_GET_ANSWER", {"question_id": "Q1"}, "question_id"),
    ("SLACK_GET_USER_INFO", {"user_id": "@nobody"}, "nobody"),
    ("SYNC_CONFIG_CACHE", {"force": "yes"}, "force"),
    ("ON_MCP_CONFIGURATION", {"state": {}, "scopes": []}, "Mesh"),
    ("TRIGGER_CONFIGURE", {"type": "slack.message.received", "enabled": False}, "Mesh"),
]


async def test_what_cannot_be_done_says_why_over_http(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.other.add_channel(ELSEWHERE, "elsewhere")
        world.other.say(BEN, ELSEWHERE, SAID)
        admin, reader = await world.make_key(), await world.make_key("read")
        for mode in MODES:
            async with world.connect(mode, authorization=f"Bearer {admin}") as client:
                trip = world.make_trip(client)
                for tool, arguments, expected in BAD:
                    text = await trip.refuse(tool, arguments)
                    assert expected in text, (tool, text)
                    assert SAID not in text
                with pytest.raises(MCPError, match="tools/list") as unknown:
                    await client.call_tool("SLACK_MAKE_COFFEE", {})
                check_text(str(unknown.value))
            async with world.connect(mode, authorization=f"Bearer {reader}") as client:
                trip = world.make_trip(client)
                text = await trip.refuse("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "x"})
                assert "write access" in text
        assert [each.text for each in world.workspace.channels[GENERAL].top] == [SAID]
        assert [each.text for each in world.other.channels[ELSEWHERE].top] == [SAID]
        assert world.simulator.calls.select(team_id=world.other.team_id) == []
