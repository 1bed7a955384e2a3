import json
from pathlib import Path
from typing import Any

import pytest
from command_fakes import Commands, make_stored

from slack_mcp.connections.choices import render_choices
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import AgentBackend, ConnectionSettings, Speaking, ToolPolicy

CONN_1 = ConnectionId("conn_1")
STORED = ConnectionSettings(agent=AgentBackend.ECHO, greeting="Hello!", tools=ToolPolicy(is_read_only=True))


@pytest.fixture(autouse=True)
def stored(commands: Commands) -> None:
    commands.store.rows[CONN_1] = make_stored(settings=STORED)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def show(commands: Commands, *options: str) -> dict[str, Any]:
    result = commands.run("connections", "settings", "conn_1", *options)
    assert result.exit_code == 0, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_the_settings_are_shown_and_nothing_is_saved(commands: Commands) -> None:
    assert show(commands) == render_choices(STORED)
    assert commands.store.rows[CONN_1].version == 1


def test_what_was_shown_and_edited_is_saved(commands: Commands, file: Path) -> None:
    edited = show(commands)
    edited["USERS_CONFIG"]["ALLOW_BOTS"] = True
    file.write_text(json.dumps(edited))
    assert show(commands, "--file", str(file)) == edited
    saved = commands.store.rows[CONN_1].settings
    assert saved == ConnectionSettings(
        agent=AgentBackend.ECHO, greeting="Hello!", tools=STORED.tools, speaking=Speaking(allow_bots=True)
    )


def test_a_file_that_names_nothing_gives_the_defaults_and_leaves_agent_and_policy(
    commands: Commands, file: Path
) -> None:
    file.write_text("{}")
    show(commands, "--file", str(file))
    assert commands.store.rows[CONN_1].settings == ConnectionSettings(agent=AgentBackend.ECHO, tools=STORED.tools)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON."),
        ("[" * 100_000, "is not JSON."),
        ("[]", "is not a JSON object."),
        ('{"USERS": {}}', "USERS is no setting."),
        ('{"CONTEXT_CONFIG": {"THREAD_TIMEOUT_MIN": 0}}', "CONTEXT_CONFIG.THREAD_TIMEOUT_MIN must be greater"),
        ('{"TOOLS_CONFIG": {"DENIED_TOOLS": ["MCP_CONFIGURATON"]}}', "MCP_CONFIGURATION may be meant."),
    ],
)
def test_a_file_with_a_mistake_changes_nothing(commands: Commands, file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    result = commands.run("connections", "settings", "conn_1", "--file", str(file))
    assert result.exit_code == 1
    assert sentence in " ".join(result.output.split())
    assert commands.store.rows[CONN_1].settings == STORED


def test_a_file_that_is_not_there_and_an_unknown_connection_are_named(commands: Commands, file: Path) -> None:
    assert "cannot be read" in " ".join(
        commands.run("connections", "settings", "conn_1", "--file", str(file)).output.split()
    )
    assert "No connection 'conn_9'" in commands.run("connections", "settings", "conn_9").output
