import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_fakes import Commands

from slack_mcp import __version__
from slack_mcp.core.errors import InternalError, SlackMcpError, StoreUnavailableError

# What `--help` must not wait for.
HEAVY = {
    "aiohttp",
    "alembic",
    "anyio",
    "asyncio",
    "asyncpg",
    "cryptography",
    "httpx2",
    "mcp",
    "openai",
    "pydantic",
    "rich",
    "slack_sdk",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
}
SCRIPT = """
import sys
from slack_mcp.cli import main
sys.argv = ["slack-mcp", *sys.argv[1:]]
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
WRONG = {"PORT": "abc", "WORKERS": "0", "SLACK_MCP_LEASES": "1", "DATABASE_URL": "mysql://u:canary@h/d"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("--help", set()),
        ("--version", set()),
        ("connections --help", {"pydantic"}),  # typer itself takes it to describe the options of commands
        ("connections add --help", {"pydantic"}),
        ("migrate --help", {"pydantic"}),
    ],
)
def test_help_does_not_wait_for_the_libraries(arguments: str, allowed: set[str], tmp_path: Path) -> None:
    # With settings that are wrong, which are nobody's business here.
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", SCRIPT, *arguments.split()],
        capture_output=True,
        text=True,
        env={**os.environ, **WRONG},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert HEAVY.intersection(done.stderr.splitlines()[-1].split()) <= allowed


def test_the_version_is_printed(commands: Commands) -> None:
    assert commands.run("--version").stdout == f"{__version__}\n"


def test_help_lists_the_commands(commands: Commands) -> None:
    shown = commands.run("--help").stdout
    for name in ("serve", "demo", "check-settings", "connections", "migrate", "docs"):
        assert f"\n  {name} " in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve"],
        ["demo"],
        ["check-settings"],
        ["migrate", "status"],
        ["migrate", "up"],
        ["migrate", "down", "base", "--yes"],
        ["connections", "list"],
        ["connections", "add"],
        ["connections", "remove", "c", "--yes"],
    ],
)
def test_every_mistake_in_the_settings_is_told_at_once(commands: Commands, arguments: list[str]) -> None:
    commands.environ = dict(WRONG)
    result = commands.run(*arguments)
    assert (result.exit_code, result.stdout, commands.served, commands.demos) == (2, "", [], [])
    lines = result.stderr.splitlines()
    assert len(lines) == len(WRONG)
    assert all(any(word in line for line in lines) for word in ("PORT", "WORKERS", "SLACK_MCP_LEASES", "mysql"))


def test_serve_serves_with_the_settings(commands: Commands) -> None:
    commands.environ["PORT"] = "0"
    assert commands.run("serve").exit_code == 0
    assert [settings.port for settings in commands.served] == [0]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda error: error,
        lambda error: BaseExceptionGroup("tasks", [error]),
        lambda error: ExceptionGroup("tasks", [ExceptionGroup("tasks", [error])]),
    ],
)
def test_an_error_of_ours_is_one_line_without_what_looks_like_a_secret(commands: Commands, wrap: object) -> None:
    assert callable(wrap)
    commands.error = wrap(StoreUnavailableError("postgresql://u:canary@h/d\nis gone, xoxb-canary"))
    result = commands.run("serve")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "store_unavailable: postgresql://u:********@h/d is gone, ********\n"


def test_a_bug_keeps_its_traceback(commands: Commands) -> None:
    bug = ExceptionGroup("tasks", [InternalError("x"), KeyError("y")])
    for error in (bug, KeyError("y")):
        commands.error = error
        result = commands.run("serve")
        assert result.exception is error
        assert not isinstance(result.exception, SlackMcpError)


def test_demo_hands_over_what_was_said(commands: Commands) -> None:
    assert commands.run("demo", "--say", "hello").stdout == "said\n"
    assert commands.run("demo", "--port", "0").exit_code == 0
    assert commands.demos == [(None, "hello"), (0, None)]
    assert commands.run("demo", "--port", "65536").exit_code == 2


def test_check_settings_shows_what_is_set_and_masks_secrets(commands: Commands) -> None:
    commands.environ |= {
        "DATABASE_URL": "postgresql://user:canary@db.example/slack",
        "AUTH_TOKEN": "canary" * 5,
        "PORT": "9000",
        "DEFAULT_AGENT": "echo",
        "MESH_ALLOWED_URLS": "https://a.example,https://b.example",
    }
    lines = commands.run("check-settings").stdout.splitlines()
    assert lines[0] == "Database: PostgreSQL slack at db.example"
    assert {"DATABASE_URL=set", "AUTH_TOKEN=set", "PORT=9000", "DEFAULT_AGENT=echo"} <= set(lines)
    assert "MESH_ALLOWED_URLS=https://a.example,https://b.example" in lines
    assert any(line.startswith("Note: ENCRYPTION_KEYS is not set") for line in lines)
    assert lines[-1] == "The settings are good."


def test_docs_settings_needs_no_settings(commands: Commands) -> None:
    commands.environ = dict(WRONG)
    assert commands.run("docs", "settings").stdout.startswith("# Settings\n")
