"""What the suite is run against: the fixtures on the product's transport, and the product itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
from conformance.fixtures import build_fixtures
from fake_mesh import SECRET, FakeMesh
from front_client import MAX_BODY, FakeReceiver
from mcp.server.lowlevel import Server
from processes import make_workspace, open_fleet

from slack_mcp.app import open_admin
from slack_mcp.app.server import HttpServer, bind, render_url
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import UnauthenticatedError
from slack_mcp.identity.rate_limit import RateLimiter
from slack_mcp.ports.identity import Credentials, Principal
from slack_mcp.simulator import Simulator, serve
from slack_mcp.tools.endpoint import McpEndpoint
from slack_mcp.tools.guard import Guard
from slack_mcp.web.intake import Intake

HOST = "127.0.0.1"
PATH = "/mcp"


class NobodyKnown:
    """Believes nobody: the fixtures are open."""

    async def identify(self, _credentials: Credentials) -> Principal:
        raise UnauthenticatedError("Nobody is known here.")


class FixtureEndpoint(McpEndpoint):
    """The product's endpoint with another server behind it."""

    def __init__(self, server: Server[Any]) -> None:
        guard = Guard(
            identities=NobodyKnown(),
            limiter=RateLimiter(per_min=0, clock=SystemClock()),
            auth_token=None,
            auth_header="Authorization",
            allowed_hosts=[],
        )
        # There is no tool of the product that would need anything to work with.
        super().__init__(services=cast("Any", None), guard=guard, tools=())
        self._server = server


@asynccontextmanager
async def serve_fixtures() -> AsyncIterator[str]:
    """Yield the address of the fixtures, behind the product's HTTP server."""
    endpoint = FixtureEndpoint(build_fixtures())
    server = HttpServer(endpoint, intake=Intake(FakeReceiver()), max_body_bytes=MAX_BODY)  # type: ignore[arg-type]
    listener = bind(HOST, 0)
    async with endpoint.running(), anyio.create_task_group() as tasks:
        tasks.start_soon(server.run_on, listener)
        await server.listening.wait()
        yield render_url(listener) + PATH
        server.stop()


@asynccontextmanager
async def serve_product(directory: Path) -> AsyncIterator[tuple[str, str]]:
    """Yield the address of `slack-mcp serve` and a token that Mesh would call it with.

    It is a process of its own, on SQLite, with one connection to a simulated Slack workspace.
    """
    workspace = make_workspace()
    simulator = Simulator(workspace)
    database_url = f"sqlite:{directory / 'product.db'}"
    async with (
        serve(simulator) as address,
        open_fleet(
            directory, database_url=database_url, slack_api_url=address.api_url, MESH_JWT_SECRET=SECRET
        ) as fleet,
    ):
        connection = await fleet.connect(workspace)
        async with open_admin(fleet.settings) as admin:  # of the organization that the token is of
            await admin.connections.save_connection(replace(connection, organization_id="org_acme"))
        await fleet.add()
        mesh = FakeMesh()
        mesh.url = "http://mesh.invalid"
        yield fleet.urls[0] + PATH, mesh.mint_token(connection.connection_id)
