"""The command line for real: processes, a simulated Slack on loopback, SQLite and PostgreSQL."""

import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import anyio
import pytest
from processes import make_workspace, open_fleet, open_http

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.settings import Settings
from slack_mcp.simulator import Simulator, Workspace, serve, sign
from slack_mcp.simulator.workspace import ALL_SCOPES

pytestmark = pytest.mark.anyio

# In every token, secret and password of these tests.
CANARY = "canary"
CONN_1 = ConnectionId("conn_1")
NOBODY = "postgresql://user:canary-password@127.0.0.1:1/slack"


class Shell:
    """Runs commands in a directory, in a shell without a terminal; nothing secret may be in what they print."""

    def __init__(self, directory: Path, database_url: str, workspace: Workspace, api_url: str = "") -> None:
        self.directory = directory
        self.workspace = workspace
        self.settings = {"DATABASE_URL": database_url, "LOG_FORMAT": "json"} | (
            {"SLACK_API_URL": api_url} if api_url else {}
        )

    async def run(self, *arguments: str, **environ: str) -> "CompletedProcess[str]":
        with anyio.fail_after(60):
            done = await anyio.run_process(
                [sys.executable, "-m", "slack_mcp", *arguments],
                cwd=self.directory,
                env={**os.environ, **self.settings, **environ},
                check=False,
            )
        result = CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert CANARY not in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    async def run_json(self, *arguments: str, **environ: str) -> Any:
        done = await self.run(*arguments, "--json", **environ)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def add(self, *arguments: str) -> "CompletedProcess[str]":
        """Add the workspace's connection, or replace it, with secrets from the environment."""
        return await self.run(
            "connections",
            "add",
            "--id",
            CONN_1,
            *arguments,
            SLACK_BOT_TOKEN=self.workspace.bot_token,
            SLACK_SIGNING_SECRET=self.workspace.signing_secret,
        )

    async def load(self) -> Connection | None:
        settings = Settings.from_env(self.settings, dotenv=None)
        async with open_admin(settings) as admin:
            return await admin.connections.load_connection(CONN_1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:{tmp_path}/slack.db"


@asynccontextmanager
async def open_shell(directory: Path, database_url: str) -> AsyncIterator[tuple[Shell, Simulator]]:
    workspace = make_workspace()
    simulator = Simulator(workspace)
    async with serve(simulator) as address:
        yield Shell(directory, database_url, workspace, address.api_url), simulator


async def test_a_connection_is_added_looked_at_and_removed(database_url: str, tmp_path: Path) -> None:
    async with open_shell(tmp_path, database_url) as (shell, _):
        assert (await shell.run("connections", "list")).stdout.startswith("No connections yet")
        added = await shell.add("--name", "One")
        assert added.returncode == 0, added.stderr
        assert added.stdout.startswith("Connected Simulated as conn_1.\n")
        (listed,) = await shell.run_json("connections", "list")
        shown = await shell.run_json("connections", "show", CONN_1)
        assert listed == shown
        assert (shown["team_id"], shown["bot_token"], shown["signing_secret"]) == ("T1", "set", "set")
        tested = await shell.run_json("connections", "test", CONN_1)
        assert (tested["api_app_id"], tested["missing_scopes"]) == ("A1", [])
        assert (await shell.run("connections", "disable", CONN_1)).returncode == 0
        assert (await shell.run_json("connections", "show", CONN_1))["state"] == "disabled"
        assert (await shell.run("connections", "enable", CONN_1)).returncode == 0
        assert (await shell.run("connections", "remove", CONN_1)).returncode == 1
        assert (await shell.run("connections", "remove", CONN_1, "--yes")).stdout == "Removed conn_1.\n"
        assert await shell.load() is None


async def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    async with open_shell(tmp_path, f"sqlite:{tmp_path}/slack.db") as (shell, _):
        token, secret = tmp_path / "token", tmp_path / "secret"
        token.write_text(shell.workspace.bot_token + "\n")
        secret.write_text(shell.workspace.signing_secret + "\n")
        done = await shell.run(
            "connections", "add", "--id", CONN_1, "--bot-token-file", str(token), SLACK_SIGNING_SECRET_FILE=str(secret)
        )
        assert done.returncode == 0, done.stderr
        stored = await shell.load()
        assert stored is not None
        assert stored.bot_token.reveal() == shell.workspace.bot_token
        assert stored.signing_secret.reveal() == shell.workspace.signing_secret


async def test_a_wrong_token_stores_nothing(database_url: str, tmp_path: Path) -> None:
    async with open_shell(tmp_path, database_url) as (shell, _):
        done = await shell.run(
            "connections", "add", "--id", CONN_1, SLACK_BOT_TOKEN="xoxb-canary-wrong", SLACK_SIGNING_SECRET="canary"
        )
        assert done.returncode == 1
        assert done.stderr.startswith("slack_")
        assert "invalid_auth" in done.stderr
        assert await shell.load() is None
        missing = await shell.run("connections", "add", SLACK_BOT_TOKEN=shell.workspace.bot_token)
        assert missing.returncode == 1
        assert missing.stderr.startswith("invalid_input: ")


async def test_missing_scopes_are_named(tmp_path: Path) -> None:
    async with open_shell(tmp_path, f"sqlite:{tmp_path}/slack.db") as (shell, _):
        shell.workspace.scopes = ALL_SCOPES.replace("chat:write,", "")
        added = await shell.add()
        assert added.returncode == 0
        assert "connection.scopes_missing" in added.stderr
        tested = await shell.run("connections", "test", CONN_1)
        assert tested.returncode == 1
        assert "Missing scope chat:write: " in tested.stdout


async def test_replaced_secrets_keep_the_connection_and_the_old_signing_secret_for_a_while(
    database_url: str, tmp_path: Path
) -> None:
    async with open_shell(tmp_path, database_url) as (shell, simulator):
        await shell.add("--name", "One", "--agent", "echo")
        before = await shell.load()
        assert before is not None
        assert (await shell.add()).returncode == 1
        simulator.rotate_token("T1", "xoxb-canary-rotated")
        shell.workspace.signing_secret = "canary-rotated-secret"
        replaced = await shell.add("--replace", "--name", "Two")
        assert replaced.returncode == 0, replaced.stderr
        assert replaced.stdout.startswith("Changed conn_1 (Simulated).\n")
        after = await shell.load()
        assert after is not None
        assert (after.bot_token.reveal(), after.signing_secret.reveal()) == (
            "xoxb-canary-rotated",
            "canary-rotated-secret",
        )
        assert after.previous_signing_secret == before.signing_secret
        assert after.previous_signing_secret_until_s is not None
        assert (after.connection_name, after.settings, after.version) == ("Two", before.settings, before.version + 1)
        assert after.configured_at == before.configured_at
        simulator.rotate_token("T1", "xoxb-canary-third")
        wrong = await shell.run("connections", "add", "--replace", "--id", CONN_1, SLACK_BOT_TOKEN="xoxb-canary-wrong")
        assert wrong.returncode == 1
        assert await shell.load() == after


async def test_the_schema_goes_up_and_down(database_url: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path, database_url, make_workspace())
    assert {each["state"] for each in await shell.run_json("migrate", "status")} == {"pending"}
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing to wait for
    up = await shell.run("migrate", "up")
    assert up.stdout.startswith("Applied 0001_slack_connections.\n")
    assert (await shell.run("migrate", "up")).stdout.startswith("Nothing to do")
    assert {each["state"] for each in await shell.run_json("migrate", "status")} == {"applied"}
    assert (await shell.run("migrate", "down", "0001")).returncode == 1
    down = await shell.run("migrate", "down", "0001", "--yes")
    assert down.stdout.endswith("Rolled back 0002_connection_details.\n")
    outdated = await shell.run("connections", "list")
    assert outdated.returncode == 1
    assert outdated.stderr.startswith("schema_outdated: ")
    assert (await shell.run("migrate", "down", "9999", "--yes")).stderr.startswith("invalid_input: ")


@pytest.mark.parametrize(
    "arguments",
    ["serve", "connections list", "connections show c", "connections remove c --yes", "migrate status", "migrate up"],
)
async def test_a_database_that_cannot_be_reached_is_one_line(arguments: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path, NOBODY, make_workspace())
    done = await shell.run(*arguments.split(), PORT="0", ENCRYPTION_KEYS=f"k1:{'A' * 43}=")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("store_unavailable: ")


@pytest.mark.parametrize("arguments", ["connections list", "migrate up"])
async def test_a_database_file_that_cannot_be_made_is_one_line(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = await Shell(tmp_path, "sqlite:./file/slack.db", make_workspace()).run(*arguments.split())
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("store_unavailable: ")


async def test_serve_tells_every_mistake_in_the_settings_at_once(tmp_path: Path) -> None:
    shell = Shell(tmp_path, "mysql://u:canary@h/d", make_workspace())
    done = await shell.run("serve", PORT="abc", WORKERS="0", SLACK_MCP_POLLS="1", AUTH_TOKEN="canary")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 5
    assert all(word in done.stderr for word in ("PORT", "WORKERS", "SLACK_MCP_POLLS", "'mysql'", "AUTH_TOKEN"))
    assert (await shell.run("check-settings")).returncode == 2


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_serve_refuses_a_port_that_is_taken(workers: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        shell = Shell(tmp_path, NOBODY, make_workspace())
        done = await shell.run("serve", PORT=port, WORKERS=workers)
    assert done.returncode == 2
    assert f"HOST and PORT: 127.0.0.1:{port} cannot be listened on (Address already in use)." in done.stderr


async def test_serve_refuses_a_sqlite_file_that_another_process_serves(tmp_path: Path) -> None:
    database_url = f"sqlite:{tmp_path}/slack.db"
    async with open_fleet(tmp_path, database_url=database_url, slack_api_url="http://127.0.0.1:1/") as fleet:
        await fleet.add()
        done = await Shell(tmp_path, database_url, make_workspace()).run("serve", PORT="0")
        assert done.returncode == 2
        assert f"Another process serves {tmp_path}/slack.db" in done.stderr


async def test_workers_that_cannot_open_their_secrets_end_the_service(empty_postgres_url: str, tmp_path: Path) -> None:
    shell = Shell(tmp_path, empty_postgres_url, make_workspace())
    environ = {"DEFAULT_AGENT": "openai", "OPENAI_MODEL": "m", "OPENAI_BASE_URL": "http://127.0.0.1:1"}
    blocked = tmp_path / "openai.py"
    blocked.write_text("raise ImportError('not installed')\n")
    done = await shell.run("serve", PORT="0", WORKERS="2", PYTHONPATH=str(tmp_path), **environ)
    assert done.returncode == 2
    assert "worker.failed" in done.stderr


async def test_a_change_by_the_command_line_is_seen_by_the_service_that_runs(database_url: str, tmp_path: Path) -> None:
    poll_s = 0.5
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    async with (
        open_shell(tmp_path, database_url) as (shell, simulator),
        open_http() as http,
        open_fleet(
            tmp_path,
            database_url=database_url,
            slack_api_url=shell.settings["SLACK_API_URL"],
            SLACK_MCP_POLL_S=str(poll_s),
            SLACK_MCP_SIGNING_SECRET_OVERLAP_S="0",
        ) as fleet,
    ):
        shell.settings["SLACK_MCP_SIGNING_SECRET_OVERLAP_S"] = "0"
        (pod,) = await fleet.add()
        # What SQLite does not announce is seen when the cached entry's time is over; PostgreSQL has told before.
        limit_s = 0.3 if database_url.startswith("postgresql") else poll_s + 0.3

        async def post(secret: str) -> int:
            headers = sign(body, secret, int(simulator.clock.now_s()))
            url = f"{pod.url}/slack/events/{CONN_1}"
            return (await http.post(url, content=body, headers=headers)).status_code

        async def wait_for(secret: str, status: int) -> None:
            with anyio.fail_after(limit_s):
                while await post(secret) != status:
                    await anyio.lowlevel.checkpoint()

        old, new = shell.workspace.signing_secret, "canary-rotated-secret"
        assert await post(old) == 404
        assert (await shell.add()).returncode == 0
        await wait_for(old, 200)
        shell.workspace.signing_secret = new
        assert (await shell.add("--replace")).returncode == 0
        await wait_for(old, 401)
        assert await post(new) == 200
        assert (await shell.run("connections", "remove", CONN_1, "--yes")).returncode == 0
        await wait_for(new, 404)
        assert CANARY not in pod.raw
