"""Every tool, called by the MCP SDK's client as people's clients do: over HTTP in both eras, and over stdio."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx2
import pytest
from fake_mesh import FakeMesh
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from processes import MESH_SECRET, Fleet, PodProcess, make_connection, open_fleet
from tool_tour import BEN, CANARY, GENERAL, SAID, Trip, check_text, make_team_id, make_user_token, make_workspace
from tour_stops import ASKING, FOR_MODELS, make_mesh_stops, make_state
from trigger_fakes import Received, Receiver, serve_receiver

from slack_mcp.app import open_admin
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app
from slack_mcp.tools.registry import TOOLS

pytestmark = pytest.mark.anyio

TIMEOUT_S = 120
Mode = Literal["legacy", "2026-07-28"]
MODES: Sequence[Mode] = ("legacy", "2026-07-28")
WORKSPACES = 7  # one for each test, and a last one for nobody, with a channel that no other has
ELSEWHERE = "C0ELSEWHERE"

FOR_APPS = {tool.name for tool in TOOLS if tool.is_for_apps}
FOR_MODELS_NAMES = {tool.name for tool in TOOLS} - FOR_APPS
FOR_PEOPLES_TOKENS = {tool.name for tool in TOOLS if tool.needs.bot is None}
# Nobody's click comes in over stdio.
FOR_CLICKS = {stop.tool for stop in ASKING}  # no server that a click could reach
SHORT_TOUR = {"SLACK_SEND_MESSAGE", "SLACK_GET_CHANNEL_HISTORY", "SLACK_LIST_CHANNELS"}


@dataclass(kw_only=True)
class World:
    """One service on SQLite, and a simulated Slack with a workspace for each test."""

    simulator: Simulator
    fleet: Fleet
    mesh: FakeMesh
    receiver: Receiver
    directory: Path

    @property
    def pod(self) -> PodProcess:
        return self.fleet.pods[0]

    def workspace(self, number: int) -> Workspace:
        """Return a workspace. All have the same people and channels, by the same ids."""
        return self.simulator.workspaces[make_team_id(number)]

    async def connect(self, number: int) -> str:
        """Save the connection of a workspace, with the token of a person, and return its id."""
        workspace = self.workspace(number)
        connection = replace(make_connection(workspace), user_token=Secret(make_user_token(number)))
        async with open_admin(self.fleet.settings) as admin:
            saved = await admin.saver.save(connection)
        return saved.connection_id

    async def make_key(self, connection_id: str, access: str) -> str:
        """Return a new API key, made by the command."""
        done = await anyio.run_process(
            [
                *(sys.executable, "-m", "slack_mcp", "keys", "create"),
                *("--connection", connection_id, "--name", "tour", "--access", access),
            ],
            cwd=self.directory,
            env={**os.environ, **self.fleet.environ},
        )
        return done.stdout.decode().strip()

    def make_trip(self, client: Client, number: int) -> Trip:
        workspace = self.workspace(number)

        async def wait_for_turn() -> None:
            await self.pod.wait_until(
                lambda: any(
                    line.get("connection_id") == workspace.connection_id for line in self.pod.find("turn.finished")
                )
            )

        return Trip(client=client, simulator=self.simulator, workspace=workspace, wait_for_turn=wait_for_turn)

    @asynccontextmanager
    async def open_client(self, mode: Mode, **headers: str) -> AsyncIterator[Client]:
        """Yield the SDK's client of the service."""
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http,
            Client(streamable_http_client(f"{self.pod.url}/mcp", http_client=http), mode=mode) as client,
        ):
            assert (client.protocol_version == "2026-07-28") is (mode == "2026-07-28")
            yield client


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Yield the running service; at the end its log is looked through, and no token has opened another's channel."""
    directory = tmp_path_factory.mktemp("world")
    simulator = Simulator(*(make_workspace(number) for number in range(WORKSPACES)))
    elsewhere = simulator.workspaces[make_team_id(WORKSPACES - 1)]
    elsewhere.add_channel(ELSEWHERE, "elsewhere")
    elsewhere.say(BEN, ELSEWHERE, SAID)
    mesh = FakeMesh(secret=MESH_SECRET)
    async with (
        serve_app(mesh.app) as mesh.url,
        serve_receiver() as receiver,
        serve(simulator) as address,
        open_fleet(
            directory,
            database_url=f"sqlite:{directory}/slack.db",
            slack_api_url=address.api_url,
            MESH_ALLOWED_URLS=receiver.url,
        ) as fleet,
    ):
        receiver.on_received.append(simulator.changes.notify)
        await fleet.add()
        simulator.deliverer.targets = fleet.urls
        yield World(simulator=simulator, fleet=fleet, mesh=mesh, receiver=receiver, directory=directory)
        (pod,) = fleet.pods
        assert await pod.stop() == 0
        check_log(pod.raw)
    assert [each.method for each in simulator.calls.cross_tenant_calls if each.error is None] == []


@asynccontextmanager
async def open_stdio(directory: Path, *options: str, **environ: str) -> AsyncIterator[Client]:
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
    for word in (CANARY, SAID, "The tour begins", "tool.crashed", "Traceback"):
        assert word not in text, word


def test_the_tour_calls_every_tool_there_is_and_no_other() -> None:
    assert {stop.tool for stop in FOR_MODELS} == FOR_MODELS_NAMES
    assert {stop.tool for stop in make_mesh_stops("")} == FOR_APPS


@pytest.mark.parametrize(("number", "mode"), list(enumerate(MODES)))
async def test_every_tool_works_over_http(world: World, number: int, mode: Mode) -> None:
    with anyio.fail_after(TIMEOUT_S):
        key = await world.make_key(await world.connect(number), "admin")
        async with world.open_client(mode, authorization=f"Bearer {key}") as client:
            trip = world.make_trip(client, number)
            await trip.travel(FOR_MODELS)
    assert trip.schemas.keys() == FOR_MODELS_NAMES
    assert key not in world.pod.raw


@pytest.mark.parametrize(("number", "mode"), list(enumerate(MODES, start=2)))
async def test_every_tool_for_apps_works_for_mesh(world: World, number: int, mode: Mode) -> None:
    workspace = world.workspace(number)
    state = make_state(workspace)
    token = world.mesh.mint_token(str(workspace.connection_id), metadata={"state": state})
    said = f"Who hears {workspace.team_id}?"
    with anyio.fail_after(TIMEOUT_S):
        async with world.open_client(mode, **{"x-mesh-token": token}) as client:
            trip = world.make_trip(client, number)
            await trip.travel(make_mesh_stops(f"{world.receiver.url}/{workspace.team_id}"))
            # It was not configured when they were listed; now it is.
            assert trip.schemas.keys() == FOR_APPS
            listed = {tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools}
        assert listed == FOR_APPS | FOR_MODELS_NAMES - FOR_PEOPLES_TOKENS
        world.simulator.say(workspace.team_id, BEN, GENERAL, said)

        def find_told() -> list[Received]:
            return [each for each in world.receiver.received if each.path == f"/{workspace.team_id}"]

        await world.simulator.changes.wait_until(lambda: bool(find_told()), timeout_s=30)
    told = find_told()[0]
    assert told.headers["authorization"] == f"Bearer {CANARY}-callback"
    assert told.json["data"]["text"] == said


async def test_every_tool_works_over_stdio_beside_the_service(world: World, tmp_path: Path) -> None:
    database = {name: world.fleet.environ[name] for name in ("DATABASE_URL", "SLACK_API_URL", "DATA_DIR")}
    with anyio.fail_after(TIMEOUT_S):
        connection_id = await world.connect(4)
        async with open_stdio(tmp_path, "--connection", connection_id, **database) as client:
            trip = world.make_trip(client, 4)
            await trip.travel(FOR_MODELS)
            assert trip.schemas.keys().isdisjoint(FOR_APPS)


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
            async with open_stdio(tmp_path, **environ) as client:
                trip = Trip(client=client, simulator=simulator, workspace=workspace)
                await trip.travel([stop for stop in FOR_MODELS if stop.tool in SHORT_TOUR])
    assert trip.got.keys() == SHORT_TOUR
    assert trip.schemas.keys() == FOR_MODELS_NAMES - FOR_PEOPLES_TOKENS - FOR_CLICKS
    assert not (tmp_path / "data").exists()


TOO_LONG = "x" * 40_001
BAD: Sequence[tuple[str, dict[str, Any], str]] = [
    ("SLACK_SEND_MESSAGE", {}, "channel is required"),
    ("SLACK_SEND_MESSAGE", {"channel": 5, "text": ["x"]}, "text: Input should be a valid string"),
    ("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "x", "colour": "red"}, "colour is not an argument"),
    ("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": TOO_LONG}, "at most 40000 characters"),
    ("SLACK_SEND_MESSAGE", {"channel": ELSEWHERE, "text": "x"}, "channel_not_found"),
    ("SLACK_SEND_MESSAGE", {"channel": "#elsewhere", "text": "x"}, "no channel '#elsewhere'"),
    ("SLACK_GET_CHANNEL_HISTORY", {"channel": ELSEWHERE}, "channel_not_found"),
    ("SLACK_GET_CHANNEL_HISTORY", {"channel": GENERAL, "limit": "many"}, "limit: Input should be a valid integer"),
    ("SLACK_GET_CHANNEL_INFO", {"channel": ELSEWHERE}, "channel_not_found"),
    ("SLACK_DELETE_MESSAGE", {"channel": GENERAL, "ts": "1700000000.000100"}, "message_not_found"),
    ("SLACK_GET_ANSWER", {"question_id": "Q1"}, "question_id"),
    ("SLACK_GET_USER_INFO", {"user_id": "@nobody"}, "nobody"),
    ("SYNC_CONFIG_CACHE", {"force": "yes"}, "force: Input should be a valid boolean"),
    ("ON_MCP_CONFIGURATION", {"state": {}, "scopes": []}, "Mesh"),
    ("TRIGGER_CONFIGURE", {"type": "slack.message.received", "enabled": False}, "Mesh"),
]


async def test_what_cannot_be_done_says_why_over_http(world: World) -> None:
    workspace, elsewhere = world.workspace(5), world.workspace(WORKSPACES - 1)
    with anyio.fail_after(TIMEOUT_S):
        connection_id = await world.connect(5)
        key = await world.make_key(connection_id, "admin")
        reading_key = await world.make_key(connection_id, "read")
        for mode in MODES:
            async with world.open_client(mode, authorization=f"Bearer {key}") as client:
                trip = world.make_trip(client, 5)
                for tool, arguments, expected in BAD:
                    text = await trip.refuse(tool, arguments)
                    assert expected in text, (tool, text)
                    assert SAID not in text
                with pytest.raises(MCPError, match="tools/list") as unknown:
                    await client.call_tool("SLACK_MAKE_COFFEE", {})
                check_text(str(unknown.value))
            async with world.open_client(mode, authorization=f"Bearer {reading_key}") as client:
                trip = world.make_trip(client, 5)
                assert "write access" in await trip.refuse("SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "x"})
    for place in (workspace.channels[GENERAL], elsewhere.channels[ELSEWHERE]):
        assert [each.text for each in place.top] == [SAID]
    assert world.simulator.calls.select(team_id=elsewhere.team_id) == []
