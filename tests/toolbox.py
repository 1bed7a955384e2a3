"""The tools of two tenants in the test's own process, on SQLite in memory, against a simulated Slack over HTTP."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mcp import Client, types

from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ConnectionId, TeamId, UserId
from slack_mcp.core.model import Access, Connection, ConnectionChange, ConnectionSettings, ToolPolicy
from slack_mcp.core.secret import Secret
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.audit import AuditEntry
from slack_mcp.ports.identity import Credentials, Principal, PrincipalKind
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.slack.client import open_slack_apis
from slack_mcp.store.audit import SqlAuditLog
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.turns import SqlTurnStore
from slack_mcp.store.url import parse_database_url
from slack_mcp.tools.call import Services
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Tool

ACME, GLOBEX = ConnectionId("conn_acme"), ConnectionId("conn_globex")
BOT = "U0BOT00"
ANN, BEN, CAT = "U0ANN00", "U0BEN00", "U0CAT00"
GENERAL, RANDOM, SECRET_CHANNEL = "C0GENERAL", "C0RANDOM", "G0SECRET"
BOT_TOKENS = {ACME: "xoxb-canary-acme", GLOBEX: "xoxb-canary-globex"}
USER_TOKENS = {ACME: "xoxp-canary-acme", GLOBEX: "xoxp-canary-globex"}
USER_SCOPES = "search:read,channels:history,channels:read,groups:read,im:read,mpim:read,channels:write,im:write"


class ToldPrincipals:
    """Believes what the test says: `ports.identity.Identities`."""

    def __init__(self) -> None:
        self.principal: Principal | None = None

    async def identify(self, _credentials: Credentials) -> Principal:
        assert self.principal is not None
        return self.principal


@dataclass(kw_only=True)
class Toolbox:
    """The tools, and what is behind them."""

    simulator: Simulator
    store: SqlConnectionStore
    directory: CachedDirectory
    audit: SqlAuditLog
    turns: SqlTurnStore
    names: CachedNames
    services: Services
    tools: Sequence[Tool[Any, Any]]

    def workspace(self, connection_id: ConnectionId = ACME) -> Workspace:
        """Return the simulated workspace of a connection. Both have the same people and channels, by the same ids."""
        return self.simulator.workspaces[f"T_{connection_id}"]

    async def call(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        connection_id: ConnectionId = ACME,
        access: Access = Access.ADMIN,
    ) -> types.CallToolResult:
        """Return the result of a call through the SDK's client, an error result as well."""
        self.become(connection_id, access)
        async with Client(build_server(self.services, self.tools), mode="legacy") as client:
            result = await client.call_tool(name, arguments or {})
        assert isinstance(result, types.CallToolResult)
        return result

    async def ok(self, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        """Return the structured content of a call that must go well."""
        result = await self.call(name, arguments, **options)
        assert not result.is_error, get_text(result)
        content: dict[str, Any] = result.structured_content
        return content

    async def text(self, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> str:
        """Return the text of a call that must go well."""
        result = await self.call(name, arguments, **options)
        assert not result.is_error, get_text(result)
        return get_text(result)

    async def error(self, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> str:
        """Return what a call that must fail says; no token is ever in it."""
        result = await self.call(name, arguments, **options)
        assert result.is_error, result.structured_content
        text = get_text(result)
        assert "canary" not in text
        return text

    async def list_names(self, *, connection_id: ConnectionId = ACME, access: Access = Access.ADMIN) -> list[str]:
        """Return the tools that are listed to a caller."""
        self.become(connection_id, access)
        async with Client(build_server(self.services, self.tools), mode="legacy") as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    async def change(self, connection_id: ConnectionId = ACME, **changes: Any) -> Connection:
        """Save a changed connection."""
        connection = await self.directory.load(connection_id)
        return await self.store.save_connection(replace(connection, **changes))

    async def set_policy(self, policy: ToolPolicy, connection_id: ConnectionId = ACME) -> None:
        """Save a connection's policy."""
        await self.change(connection_id, settings=ConnectionSettings(tools=policy))

    async def audited(self, connection_id: ConnectionId = ACME) -> Sequence[AuditEntry]:
        """Return what was audited, newest first."""
        return await self.audit.list_entries(connection_id)

    def methods(self, connection_id: ConnectionId = ACME) -> list[str]:
        """Return the Web API methods that a workspace was called with, in order."""
        team_id = f"T_{connection_id}"
        return [call.method for call in self.simulator.calls.select(team_id=team_id)]

    @asynccontextmanager
    async def connect(
        self,
        connection_id: ConnectionId = ACME,
        access: Access = Access.ADMIN,
        mode: Literal["legacy", "2026-07-28"] = "legacy",
    ) -> AsyncIterator[Client]:
        """Yield the SDK's client of a caller of this connection; `mode` is the protocol's era."""
        self.become(connection_id, access)
        async with Client(build_server(self.services, self.tools), mode=mode) as client:
            yield client

    def become(self, connection_id: ConnectionId, access: Access = Access.ADMIN) -> None:
        """Let what follows in this test's context be asked by a caller of this connection."""
        identities = ToldPrincipals()
        identities.principal = Principal(
            kind=PrincipalKind.MESH, connection_id=connection_id, subject="mesh:user_1", access=access
        )
        current_caller.set(Caller(identities=identities, credentials=Credentials(bearer=Secret("test"))))


def get_text(result: types.CallToolResult) -> str:
    """Return the text of a result."""
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


def parse_text(text: str) -> Any:
    """Return the JSON of a text that was asked for as JSON."""
    return json.loads(text)


def make_workspace(connection_id: ConnectionId) -> Workspace:
    """Return a workspace with three people, two channels with the bot in them, and a private one without it."""
    workspace = Workspace(
        team_id=f"T_{connection_id}",
        bot_token=BOT_TOKENS[connection_id],
        signing_secret="canary-signing",
        app_id=f"A_{connection_id}",
        bot_user_id=BOT,
        connection_id=connection_id,
    )
    for user_id, name in ((ANN, "ann"), (BEN, "ben"), (CAT, "cat")):
        workspace.add_user(user_id, name, real_name=f"{name.title()} of {connection_id}")
    workspace.add_channel(GENERAL, "general")
    workspace.add_channel(RANDOM, "random")
    workspace.add_channel(SECRET_CHANNEL, "secret", kind="group", members={ANN, BEN})
    workspace.add_user_token(ANN, USER_TOKENS[connection_id], USER_SCOPES)
    return workspace


def make_connection(connection_id: ConnectionId, **changes: Any) -> Connection:
    """Return the connection of a workspace, with its user token."""
    values: dict[str, Any] = {
        "connection_id": connection_id,
        "organization_id": "org_1",
        "mesh_url": "",
        "bot_token": Secret(BOT_TOKENS[connection_id]),
        "user_token": Secret(USER_TOKENS[connection_id]),
        "signing_secret": Secret("canary-signing"),
        "team_id": TeamId(f"T_{connection_id}"),
        "team_name": "Simulated",
        "bot_user_id": UserId(BOT),
        "bot_id": f"B{BOT[1:]}",
        "api_app_id": f"A_{connection_id}",
    }
    return Connection(**(values | changes))


@asynccontextmanager
async def open_toolbox(tools: Sequence[Tool[Any, Any]] = TOOLS) -> AsyncIterator[Toolbox]:
    """Yield the tools of two connections whose workspaces are alike but for what is said in them."""
    clock = SystemClock()
    simulator = Simulator(make_workspace(ACME), make_workspace(GLOBEX))
    url = parse_database_url(":memory:", data_dir=Path())
    sealer = Sealer(KeyRing.generate("test"))
    async with (
        serve(simulator) as address,
        open_database(url) as database,
        open_slack_apis(base_url=address.api_url) as slack,
    ):
        await Migrations(url, database=database).up()

        def forget(change: ConnectionChange) -> None:
            directory.invalidate(change.connection_id, change.version)

        store = SqlConnectionStore(database, sealer, clock=clock, announce=forget)
        directory = CachedDirectory(store=store, clock=clock, ttl_s=60.0, max_entries=100, is_listening=True)
        audit, turns = SqlAuditLog(database, clock=clock), SqlTurnStore(database, sealer, clock=clock)
        names = CachedNames(slack=slack, clock=clock)
        for connection_id in (ACME, GLOBEX):
            await store.save_connection(make_connection(connection_id))
        services = Services(
            configurator=None,
            public_url=None,
            directory=directory,
            slack=slack,
            names=names,
            audit=audit,
            threads=turns,
            clock=clock,
        )
        yield Toolbox(
            simulator=simulator,
            store=store,
            directory=directory,
            audit=audit,
            turns=turns,
            names=names,
            services=services,
            tools=tools,
        )
