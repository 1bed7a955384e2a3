import json
from pathlib import Path
from typing import Any

import pytest
from command_fakes import Commands

from slack_mcp.core.ids import ConnectionId

SECOND = ConnectionId("conn_2")


def make_row(connection_id: str = "conn_2", **changes: Any) -> dict[str, Any]:
    return {
        "connection_id": connection_id,
        "organization_id": "org_1",
        "mesh_url": "https://mesh.example",
        "bot_token": "xoxb-canary",
        "signing_secret": "canary-secret",
        "system_prompt": "Be kind.",
    } | changes


@pytest.fixture
def commands() -> Commands:
    return Commands()


def write(tmp_path: Path, *rows: dict[str, Any]) -> str:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(rows))
    return str(path)


def run_import(commands: Commands, *arguments: str, exit_code: int = 0) -> list[tuple[str, str]]:
    done = commands.run("import", *arguments, "--json")
    assert done.exit_code == exit_code, done.output
    return [(each["connection"], each["result"]) for each in json.loads(done.stdout)["connections"]]


def test_connections_are_taken_over_and_not_twice(commands: Commands, tmp_path: Path) -> None:
    path = write(tmp_path, make_row())
    assert run_import(commands, path, "--offline") == [(SECOND, "added")]
    assert commands.store.rows[SECOND].system_prompt == "Be kind."
    assert run_import(commands, path, "--offline") == [(SECOND, "unchanged")]


def test_slack_is_asked_whose_each_token_is(commands: Commands, tmp_path: Path) -> None:
    assert run_import(commands, write(tmp_path, make_row())) == [(SECOND, "added")]
    assert commands.store.rows[SECOND].team_id is not None


def test_nothing_is_changed_without_being_told_to(commands: Commands, tmp_path: Path) -> None:
    run_import(commands, write(tmp_path, make_row()), "--offline")
    path = write(tmp_path, make_row(system_prompt="Be short."), make_row("conn_3"))
    done = commands.run("import", path, "--offline")
    assert done.exit_code == 1
    assert "system_prompt: --update changes it" in done.stdout
    assert commands.store.rows[SECOND].system_prompt == "Be kind."
    assert ConnectionId("conn_3") in commands.store.rows
    assert run_import(commands, path, "--offline", "--update") == [(SECOND, "changed"), ("conn_3", "unchanged")]
    assert commands.store.rows[SECOND].system_prompt == "Be short."


def test_a_dry_run_writes_nothing_and_tells_the_same(commands: Commands, tmp_path: Path) -> None:
    path = write(tmp_path, make_row(), make_row("conn_3", bot_token="xapp-canary"))
    dry = run_import(commands, path, "--dry-run", exit_code=1)
    assert commands.store.rows == {}
    assert commands.audit.entries == []
    assert dry == run_import(commands, path, "--offline", exit_code=1)
    assert list(commands.store.rows) == [SECOND]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bot_token": "xoxp-canary"}, "xoxb-"),
        ({"signing_secret": "canary secret"}, "signing secret"),
        ({"connection_id": "conn/../1"}, "letters"),
        ({"response_config": "{"}, "response_config"),
        ({"bot_token": None}, "bot_token is missing"),
    ],
)
def test_one_that_is_refused_says_why(changes: dict[str, Any], why: str, commands: Commands, tmp_path: Path) -> None:
    done = commands.run("import", write(tmp_path, make_row(**changes)), "--offline")
    assert done.exit_code == 1
    assert why in done.stdout
    assert commands.store.rows == {}


def test_each_one_stands_in_the_audit(commands: Commands, tmp_path: Path) -> None:
    run_import(commands, write(tmp_path, make_row()), "--offline")
    assert [(entry.tool, entry.connection_id) for entry in commands.audit.entries] == [("import", SECOND)]


@pytest.mark.parametrize("arguments", [(), ("file.json", "--database")])
def test_what_to_import_has_to_be_one_thing(commands: Commands, arguments: tuple[str, ...]) -> None:
    assert commands.run("import", *arguments).exit_code == 1


def test_nobody_is_asked_for_a_url_where_nobody_sits(commands: Commands) -> None:
    done = commands.run("import", "--database")
    assert (done.exit_code, "--database-url-file" in done.stderr) == (1, True)
