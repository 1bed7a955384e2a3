"""`slack-mcp stdio`, as an MCP client starts it, and what is behind it."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, types
from mcp.client.stdio import stdio_client

from slack_mcp.app import open_admin
from slack_mcp.app.stdio import LOCAL_ID, make_local_caller, open_local_services
from slack_mcp.core.errors import ConnectionNotFoundError, SettingsError, SlackApiError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access, Connection
from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings
from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.tools.call import Call
from slack_mcp.tools.caller import current_caller
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Arguments, Result, Tool

pytestmark = pytest.mark.anyio

TOKEN = "xoxb-canary-token"


class WhoArguments(Arguments):
    """No arguments."""


class WhoResult(Result):
    connection_id: str
    subject: str
    team_id: str | None


async def tell_who(call: Call, _arguments: WhoArguments) -> WhoResult:
    return WhoResult(
        connection_id=call.connection.connection_id, subject=call.principal.subject, team_id=call.connection.team_id
    )


def make_tool(access: Access) -> Tool[Any, Any]:
    return Tool(
        name=f"WHO_{access.name}",
        title="Who",
        description="Returns the caller.",
        arguments=WhoArguments,
        result=WhoResult,
        run=tell_who,
        access=access,
    )


@asynccontextmanager
async def simulate() -> AsyncIterator[str]:
    """Yield the URL of a simulated Slack."""
    workspace = Workspace(
        team_id="T1",
        bot_token=TOKEN,
        signing_secret="canary-secret",
        app_id="A1",
        bot_user_id="UBOT",
        connection_id="c",
    )
    async with serve(Simulator(workspace)) as address:
        yield address.api_url


def make_settings(api_url: str, **environ: str) -> Settings:
    return Settings.from_env({"SLACK_API_URL": api_url} | environ, dotenv=None)


def start(*options: str, **environ: str) -> StdioServerParameters:
    """Return how a client starts the command; no more of the environment than it needs."""
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "slack_mcp", "stdio", *options],
        env={"PATH": os.environ.get("PATH", "")} | environ,
    )


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_client_starts_it_with_a_bot_token_alone(mode: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with simulate() as api_url:
        parameters = start(SLACK_BOT_TOKEN=TOKEN, SLACK_API_URL=api_url, DATA_DIR=str(tmp_path / "data"))
        with log.open("w+") as stderr, anyio.fail_after(30):
            async with Client(stdio_client(parameters, errlog=stderr), mode=mode) as client:
                listed = await client.list_tools()
    names = {tool.name for tool in listed.tools}
    assert names <= {tool.name for tool in TOOLS if not tool.is_for_apps}
    assert not (tmp_path / "data").exists()
    assert "stdio.started" in log.read_text()
    assert TOKEN not in log.read_text()


async def test_nothing_but_json_rpc_is_on_standard_output() -> None:
    request = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
    async with simulate() as api_url:
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [sys.executable, "-m", "slack_mcp", "stdio"],
                input=b"nonsense\n" + request,
                env={"SLACK_BOT_TOKEN": TOKEN, "SLACK_API_URL": api_url, "LOG_LEVEL": "debug"},
            )
    assert [line for line in done.stdout.splitlines() if not line.startswith(b'{"jsonrpc":"2.0"')] == []
    assert b"stdio.stopped" in done.stderr


@pytest.mark.parametrize(
    ("environ", "options", "code", "words"),
    [
        ({}, [], 2, b"SLACK_BOT_TOKEN"),
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, [], 1, b"token_revoked"),
        ({"SLACK_BOT_TOKEN": TOKEN}, ["--connection", "conn_9"], 1, b"connection_not_found"),
    ],
)
async def test_what_keeps_it_from_starting_is_told_on_standard_error(
    tmp_path: Path, environ: dict[str, str], options: list[str], code: int, words: bytes
) -> None:
    async with simulate() as api_url:
        own = {"SLACK_API_URL": api_url, "DATA_DIR": str(tmp_path)}
        with anyio.fail_after(30):
            done = await anyio.run_process(
                [sys.executable, "-m", "slack_mcp", "stdio", *options], check=False, env=own | environ
            )
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


async def test_the_tools_act_for_the_token_and_as_far_as_is_allowed() -> None:
    tools = [make_tool(Access.READ), make_tool(Access.WRITE)]
    async with simulate() as api_url:
        settings = make_settings(api_url, SLACK_BOT_TOKEN=TOKEN)
        async with open_local_services(settings, connection_id=None) as (services, connection_id):
            current_caller.set(make_local_caller(connection_id, access=Access.READ))
            async with Client(build_server(services, tools), mode="legacy") as client:
                assert [tool.name for tool in (await client.list_tools()).tools] == ["WHO_READ"]
                who = await client.call_tool("WHO_READ", {})
                refused = await client.call_tool("WHO_WRITE", {})
            current_caller.set(make_local_caller(connection_id, access=Access.ADMIN))
            async with Client(build_server(services, tools), mode="legacy") as client:
                await client.call_tool("WHO_WRITE", {})
            audited = await services.audit.list_entries(connection_id)
    assert isinstance(who, types.CallToolResult)
    assert who.structured_content == {"connection_id": LOCAL_ID, "subject": "local", "team_id": "T1"}
    assert isinstance(refused, types.CallToolResult)
    assert refused.is_error
    told = [(entry.actor, entry.tool, entry.result) for entry in audited]
    assert told == [("local", "WHO_WRITE", "ok"), ("local", "WHO_WRITE", "forbidden")]


async def test_a_kept_connection_is_taken_from_the_database(tmp_path: Path) -> None:
    async with simulate() as api_url:
        settings = make_settings(api_url, DATABASE_URL=f"sqlite:{tmp_path}/slack.db")
        async with open_admin(settings) as admin:
            connection = Connection(
                connection_id=ConnectionId("conn_1"),
                organization_id="",
                mesh_url="",
                bot_token=Secret(TOKEN),
                signing_secret=Secret("canary-secret"),
            )
            await admin.saver.save(connection)
        async with open_local_services(settings, connection_id=ConnectionId("conn_1")) as (services, connection_id):
            found = await services.directory.load(connection_id)
            assert (found.connection_id, found.team_id) == ("conn_1", "T1")
        with pytest.raises(ConnectionNotFoundError):
            async with open_local_services(settings, connection_id=ConnectionId("conn_9")):
                pass


async def test_without_a_token_or_with_a_wrong_one_nothing_is_offered() -> None:
    async with simulate() as api_url:
        with pytest.raises(SettingsError, match="SLACK_BOT_TOKEN"):
            async with open_local_services(make_settings(api_url), connection_id=None):
                pass
        wrong = make_settings(api_url, SLACK_BOT_TOKEN="xoxb-wrong")
        with pytest.raises(SlackApiError):
            async with open_local_services(wrong, connection_id=None):
                pass
