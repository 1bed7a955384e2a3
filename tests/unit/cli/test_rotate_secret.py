"""A signing secret is replaced with an overlap, or without one."""

import time
from pathlib import Path

from command_fakes import SIGNING_SECRET, Commands, make_stored

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret

CONNECTION = ConnectionId("conn_1")
NEW = "canary-new-secret"


def run(commands: Commands, tmp_path: Path, *arguments: str) -> tuple[int, Connection]:
    path = tmp_path / "secret"
    path.write_text(NEW)
    files = ("--signing-secret-file", str(path)) if "--no-file" not in arguments else ()
    rest = [each for each in arguments if each != "--no-file"]
    result = commands.run("connections", "rotate-secret", CONNECTION, *files, *rest)
    return result.exit_code, commands.store.rows[CONNECTION]


def test_the_secret_before_is_accepted_for_a_while(commands: Commands, tmp_path: Path) -> None:
    commands.store.rows[CONNECTION] = make_stored()
    commands.environ["SLACK_MCP_SIGNING_SECRET_OVERLAP_S"] = "100"
    code, connection = run(commands, tmp_path)
    assert code == 0
    assert connection.signing_secret == Secret(NEW)
    assert connection.previous_signing_secret == Secret(SIGNING_SECRET)
    assert connection.previous_signing_secret_until_s is not None
    assert 90 < connection.previous_signing_secret_until_s - time.time() <= 100
    assert [entry.tool for entry in commands.audit.entries] == ["connections rotate-secret"]
    # A second time there is nothing to do, and the overlap is not made longer.
    assert run(commands, tmp_path) == (1, connection)


def test_at_once_it_is_refused_also_afterwards(commands: Commands, tmp_path: Path) -> None:
    commands.store.rows[CONNECTION] = make_stored()
    code, connection = run(commands, tmp_path, "--at-once")
    assert (code, connection.signing_secret, connection.previous_signing_secret) == (0, Secret(NEW), None)
    commands.store.rows[CONNECTION] = make_stored(
        previous_signing_secret=Secret("canary-old"), previous_signing_secret_until_s=time.time() + 100
    )
    code, connection = run(commands, tmp_path, "--no-file", "--at-once")
    assert (code, connection.signing_secret, connection.previous_signing_secret) == (0, Secret(SIGNING_SECRET), None)


def test_without_a_secret_nothing_is_done(commands: Commands, tmp_path: Path) -> None:
    commands.store.rows[CONNECTION] = stored = make_stored()
    assert run(commands, tmp_path, "--no-file") == (1, stored)
