"""One process of the service between a simulated Slack and a Mesh with its people, for end-to-end tests."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from fake_mesh import FakeMesh, Json
from mesh_clients import MeshPeople
from processes import MESH_SECRET, Fleet, PodProcess, open_fleet, open_http

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app
from slack_mcp.simulator.workspace import ALL_SCOPES

CONN = "conn_aVIxOt5Tlpsx0Zs8gg2Kz"
TEAM, ANN, GENERAL, RANDOM = "T0ACME", "U0ANN00", "C0GENERAL", "C0RANDOM"
BOT_TOKEN, SIGNING_SECRET = "xoxb-canary-token", "canary-signing-secret"
WAIT_S = 30


class World:
    """One process of the service between a simulated Slack and a Mesh with its people."""

    def __init__(self, *, fleet: Fleet, simulator: Simulator, mesh: FakeMesh, people: MeshPeople) -> None:
        self.fleet = fleet
        self.simulator = simulator
        self.workspace = simulator.workspaces[TEAM]
        self.mesh = mesh
        self.people = people
        self.http = people.http

    @property
    def pod(self) -> PodProcess:
        return self.fleet.pods[0]

    @property
    def url(self) -> str:
        return f"{self.pod.url}/mcp"

    def say(self, text: str, *, channel: str = GENERAL) -> None:
        self.simulator.say(TEAM, ANN, channel, text)

    async def load(self, connection_id: str = CONN) -> Connection | None:
        """Return the connection as it is in the database."""
        async with open_admin(self.fleet.settings) as admin:
            return await admin.connections.load_connection(ConnectionId(connection_id))

    async def run_command(self, *arguments: str) -> None:
        """Run `slack-mcp …` as an operator does."""
        await anyio.run_process(
            [sys.executable, "-m", "slack_mcp", *arguments], env={**os.environ, **self.fleet.environ}
        )

    async def wait_until_told(self, count: int) -> list[Json]:
        """Return what Mesh took, as soon as it is so much."""
        with anyio.fail_after(WAIT_S):
            await self.mesh.wait_until(lambda: len(self.mesh.list_told()) >= count)
        return self.mesh.list_told()


def make_workspace() -> Workspace:
    workspace = Workspace(
        team_id=TEAM,
        bot_token=BOT_TOKEN,
        signing_secret=SIGNING_SECRET,
        app_id="A0ACME",
        bot_user_id="U0BOT00",
        connection_id=CONN,
        # An app that was installed without pins.
        scopes=",".join(scope for scope in ALL_SCOPES.split(",") if not scope.startswith("pins:")),
    )
    workspace.add_user(ANN, "ann")
    workspace.add_channel(GENERAL, "general")
    workspace.add_channel(RANDOM, "random")
    workspace.say(ANN, GENERAL, "canary words of ann")
    return workspace


def make_state(**changes: Any) -> Json:
    """Return a configuration as Mesh's form saves it."""
    return {
        "SLACK_CREDENTIALS": {"BOT_TOKEN": BOT_TOKEN, "SIGNING_SECRET": SIGNING_SECRET},
        "AGENT": {"__type": "@deco/agent", "value": "vir_1", "__binding": [{"name": "SOME_TOOL"}]},
        "SELF": {"value": "org_acme_self"},
        **changes,
    }


@asynccontextmanager
async def open_world(
    directory: Path, database_url: str | None = None, *, generation: Any = "B", **environ: str
) -> AsyncIterator[World]:
    """Yield the world; at the end nothing secret and nothing that was said is in the log."""
    simulator = Simulator(make_workspace(), time_scale=0.01)
    mesh = FakeMesh(generation=generation, secret=MESH_SECRET)
    with anyio.fail_after(120):
        async with (
            serve(simulator) as address,
            serve_app(mesh.app) as mesh.url,
            open_http() as http,
            open_fleet(
                directory,
                database_url=database_url or f"sqlite:{directory}/slack.db",
                slack_api_url=address.api_url,
                LOG_LEVEL="debug",
                **{key: value.format(mesh=mesh.url) for key, value in environ.items()},
            ) as fleet,
        ):
            (pod,) = await fleet.add()
            simulator.deliverer.targets = fleet.urls
            yield World(fleet=fleet, simulator=simulator, mesh=mesh, people=MeshPeople(mesh, http))
            assert await pod.stop() == 0
        assert [line for line in pod.raw.splitlines() if "canary" in line] == []
        assert "Traceback" not in pod.raw
