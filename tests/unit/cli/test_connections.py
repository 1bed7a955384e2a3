from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_fakes import SIGNING_SECRET, TOKEN, Commands, make_stored, write_secrets

from slack_mcp.connections.scopes import REQUIRED_SCOPES
from slack_mcp.core.errors import SealingError, SlackRefusedError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import AgentBackend, Connection, ConnectionSettings
from slack_mcp.core.secret import Secret

CONN_1 = ConnectionId("conn_1")
FROM_ENVIRONMENT = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_SIGNING_SECRET": SIGNING_SECRET}


def keep(commands: Commands, **changes: Any) -> Connection:
    connection = make_stored(**changes)
    commands.store.rows[connection.connection_id] = connection
    return connection


def get_secrets(connection: Connection) -> tuple[str, str]:
    return connection.bot_token.reveal(), connection.signing_secret.reveal()


def make_options(directory: Path) -> list[str]:
    return [text for option, file in write_secrets(directory).items() for text in (option, str(file))]


# add


def test_add_takes_the_secrets_from_the_environment(commands: Commands) -> None:
    commands.environ |= FROM_ENVIRONMENT
    result = commands.run("connections", "add", "--id", "conn_1")
    assert result.exit_code == 0
    assert result.stdout == (
        "Connected Acme as conn_1.\n"
        "Set as the app's Request URL (Event Subscriptions): https://<this service>/slack/events/conn_1\n"
    )
    assert get_secrets(commands.store.rows[CONN_1]) == (TOKEN, SIGNING_SECRET)


def test_add_takes_the_secrets_from_files_without_the_line_break(commands: Commands, tmp_path: Path) -> None:
    assert commands.run("connections", "add", "--id", "conn_1", *make_options(tmp_path)).exit_code == 0
    assert get_secrets(commands.store.rows[CONN_1]) == (TOKEN, SIGNING_SECRET)


def test_add_takes_the_secrets_from_files_that_the_environment_names(commands: Commands, tmp_path: Path) -> None:
    token, secret = write_secrets(tmp_path).values()
    commands.environ |= {"SLACK_BOT_TOKEN_FILE": str(token), "SLACK_SIGNING_SECRET_FILE": str(secret)}
    assert commands.run("connections", "add", "--id", "conn_1").exit_code == 0
    assert get_secrets(commands.store.rows[CONN_1]) == (TOKEN, SIGNING_SECRET)


def test_add_asks_at_a_terminal_and_does_not_show_the_answers(commands: Commands) -> None:
    commands.is_terminal = True
    result = commands.run("connections", "add", "--id", "conn_1", answers=f" {TOKEN}\n{SIGNING_SECRET}\n")
    assert result.exit_code == 0
    assert get_secrets(commands.store.rows[CONN_1]) == (TOKEN, SIGNING_SECRET)


def test_a_file_wins_over_the_environment(commands: Commands, tmp_path: Path) -> None:
    commands.environ |= {"SLACK_BOT_TOKEN": "xoxb-other", "SLACK_SIGNING_SECRET": "other"}
    assert commands.run("connections", "add", "--id", "conn_1", *make_options(tmp_path)).exit_code == 0
    assert get_secrets(commands.store.rows[CONN_1]) == (TOKEN, SIGNING_SECRET)


@pytest.mark.parametrize("missing", ["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"])
def test_add_refuses_when_a_secret_is_missing_and_nobody_can_be_asked(commands: Commands, missing: str) -> None:
    commands.environ |= {name: text for name, text in FROM_ENVIRONMENT.items() if name != missing}
    result = commands.run("connections", "add")
    assert (result.exit_code, commands.store.rows) == (1, {})
    assert result.stderr.startswith("invalid_input: ")
    assert missing in result.stderr


@pytest.mark.parametrize("option", ["--bot-token", "--signing-secret"])
def test_a_secret_is_no_argument(commands: Commands, option: str) -> None:
    assert commands.run("connections", "add", option, "xoxb-1").exit_code == 2


@pytest.mark.parametrize("token", ["xoxp-1", "xapp-1", "xoxb-1 2", "xoxb-\u00e9", "xoxb-1\nx"])
def test_what_is_no_bot_token_is_refused_before_slack_is_asked(commands: Commands, token: str) -> None:
    commands.environ |= FROM_ENVIRONMENT | {"SLACK_BOT_TOKEN": token}
    result = commands.run("connections", "add")
    assert (result.exit_code, commands.slack.tokens) == (1, [])
    assert token not in result.output


@pytest.mark.parametrize("secret", ["two words", "\u00e9", "a\tb"])
def test_what_is_no_signing_secret_is_refused_before_slack_is_asked(commands: Commands, secret: str) -> None:
    commands.environ |= FROM_ENVIRONMENT | {"SLACK_SIGNING_SECRET": secret}
    assert (commands.run("connections", "add").exit_code, commands.slack.tokens) == (1, [])


@pytest.mark.parametrize("option", ["--bot-token-file", "--signing-secret-file", "--system-prompt-file"])
@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read_is_named(
    commands: Commands, tmp_path: Path, option: str, content: bytes | None
) -> None:
    commands.environ |= FROM_ENVIRONMENT
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    result = commands.run("connections", "add", option, str(file))
    assert (result.exit_code, commands.store.rows) == (1, {})
    assert f"{file} cannot be read" in result.stderr


def test_an_empty_file_is_no_secret(commands: Commands, tmp_path: Path) -> None:
    commands.environ |= FROM_ENVIRONMENT
    file = tmp_path / "file"
    file.write_text(" \n")
    result = commands.run("connections", "add", "--bot-token-file", str(file))
    assert (result.exit_code, commands.store.rows) == (1, {})
    assert "is empty" in result.stderr


@pytest.mark.parametrize("connection_id", ["a/b", "a b", "a%2fb", "", "x" * 201, "\u00e9", "a\nb"])
def test_an_id_that_no_request_url_can_hold_is_refused(commands: Commands, connection_id: str) -> None:
    commands.environ |= FROM_ENVIRONMENT
    result = commands.run("connections", "add", "--id", connection_id)
    assert (result.exit_code == 0, bool(commands.store.rows)) == (not connection_id, not connection_id)


def test_an_id_is_made_up_when_none_is_given(commands: Commands) -> None:
    commands.environ |= FROM_ENVIRONMENT
    added = [commands.run_json("connections", "add")["connection_id"] for _ in range(2)]
    assert sorted(added) == sorted(commands.store.rows)
    assert all(each.startswith("conn_") for each in added)


@pytest.mark.parametrize("text", ["a\x00b", "a\udcffb"])
def test_a_text_that_a_database_could_not_store_is_refused(commands: Commands, text: str, tmp_path: Path) -> None:
    commands.environ |= FROM_ENVIRONMENT
    assert commands.run("connections", "add", "--name", text).exit_code == 1
    file = tmp_path / "prompt"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert commands.run("connections", "add", "--system-prompt-file", str(file)).exit_code == 1
    assert commands.store.rows == {}


def test_add_stores_what_else_was_said(commands: Commands, tmp_path: Path) -> None:
    commands.environ |= FROM_ENVIRONMENT | {"PUBLIC_URL": "https://bot.example"}
    prompt = tmp_path / "prompt"
    prompt.write_text("Be brief.\n")
    options = ["--name", "Acme bot", "--agent", "openai", "--model-id", "m", "--system-prompt-file", str(prompt)]
    added = commands.run_json("connections", "add", "--id", "conn_1", *options)
    assert added["request_url"] == "https://bot.example/slack/events/conn_1"
    assert (added["bot_token"], added["signing_secret"], added["system_prompt"]) == ("set", "set", "set")
    stored = commands.store.rows[CONN_1]
    assert (stored.connection_name, stored.model_id, stored.system_prompt) == ("Acme bot", "m", "Be brief.\n")
    assert stored.settings.agent is AgentBackend.OPENAI


def test_a_token_that_slack_refuses_stores_nothing(commands: Commands) -> None:
    commands.environ |= FROM_ENVIRONMENT
    commands.slack.error = SlackRefusedError("auth.test", "invalid_auth")
    result = commands.run("connections", "add")
    assert (result.exit_code, commands.store.rows) == (1, {})
    assert result.stderr == "slack_refused: Slack answered invalid_auth to auth.test.\n"


def test_add_does_not_overwrite_and_names_the_way_to_change(commands: Commands) -> None:
    commands.environ |= FROM_ENVIRONMENT | {"SLACK_BOT_TOKEN": "xoxb-other"}
    stored = keep(commands)
    result = commands.run("connections", "add", "--id", "conn_1")
    assert (result.exit_code, commands.store.rows[CONN_1], commands.slack.tokens) == (1, stored, [])
    assert "add --replace --id conn_1" in result.stderr


# add --replace


def test_replace_changes_what_is_given_and_keeps_everything_else(commands: Commands) -> None:
    settings = ConnectionSettings(agent=AgentBackend.MESH, language="pt-BR", thread_timeout_min=5)
    stored = keep(
        commands,
        organization_id="org_9",
        agent_id="vir_1",
        mesh_url="https://mesh.example",
        mesh_api_key=Secret("key"),
        connection_name="Old",
        system_prompt="Old.",
        disabled=True,
        settings=settings,
    )
    commands.environ |= {"SLACK_BOT_TOKEN": "xoxb-new", "SLACK_SIGNING_SECRET": "new"}
    result = commands.run("connections", "add", "--replace", "--id", "conn_1", "--name", "New", "--agent", "echo")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Changed conn_1 (Acme).\n")
    assert commands.store.rows[CONN_1] == replace(
        stored,
        bot_token=Secret("xoxb-new"),
        signing_secret=Secret("new"),
        connection_name="New",
        settings=replace(settings, agent=AgentBackend.ECHO),
        team_id=commands.slack.identity.team_id,
        version=stored.version + 1,
    )


def test_replace_with_one_secret_keeps_the_other(commands: Commands) -> None:
    keep(commands)
    commands.environ["SLACK_BOT_TOKEN"] = "xoxb-new"
    assert commands.run("connections", "add", "--replace", "--id", "conn_1").exit_code == 0
    assert get_secrets(commands.store.rows[CONN_1]) == ("xoxb-new", SIGNING_SECRET)


def test_replace_keeps_a_secret_when_the_question_is_answered_with_nothing(commands: Commands) -> None:
    keep(commands)
    commands.is_terminal = True
    assert commands.run("connections", "add", "--replace", "--id", "conn_1", answers="\nnew\n").exit_code == 0
    assert get_secrets(commands.store.rows[CONN_1]) == (TOKEN, "new")


def test_replace_with_a_token_that_slack_refuses_changes_nothing(commands: Commands) -> None:
    stored = keep(commands)
    commands.environ["SLACK_BOT_TOKEN"] = "xoxb-new"
    commands.slack.error = SlackRefusedError("auth.test", "invalid_auth")
    assert commands.run("connections", "add", "--replace", "--id", "conn_1").exit_code == 1
    assert commands.store.rows[CONN_1] == stored


@pytest.mark.parametrize(("options", "code"), [((), "invalid_input"), (("--id", "conn_2"), "connection_not_found")])
def test_replace_needs_a_connection_that_exists(commands: Commands, options: tuple[str, ...], code: str) -> None:
    keep(commands)
    commands.environ |= FROM_ENVIRONMENT
    result = commands.run("connections", "add", "--replace", *options)
    assert (result.exit_code, list(commands.store.rows)) == (1, [CONN_1])
    assert result.stderr.startswith(f"{code}: ")


# list, show


def test_list_is_a_line_of_cells_for_each_connection(commands: Commands) -> None:
    keep(commands, connection_name="One")
    keep(commands, name="conn_2", disabled=True, settings=ConnectionSettings(agent=AgentBackend.MESH))
    assert [line.split("\t") for line in commands.run("connections", "list").stdout.splitlines()] == [
        ["connection", "name", "workspace", "agent", "state", "updated"],
        ["conn_1", "One", "Acme", "default", "enabled", "2026-01-01"],
        ["conn_2", "", "Acme", "mesh", "disabled", "2026-01-01"],
    ]
    assert [each["connection_id"] for each in commands.run_json("connections", "list")] == ["conn_1", "conn_2"]


@pytest.mark.parametrize(("disabled", "state"), [(False, "enabled"), (True, "gone")])
def test_list_and_show_tell_since_when_mesh_refuses(commands: Commands, state: str, *, disabled: bool) -> None:
    keep(commands, disabled=disabled, mesh_refused_since_ms=1_800_000_000_999)
    shown = commands.run_json("connections", "show", "conn_1")
    assert (shown["state"], shown["mesh_refused_since"]) == (state, "2027-01-15T08:00:00+00:00")
    assert f"{state}, refused by Mesh since 2027-01-15T08:00:00+00:00" in commands.run("connections", "list").stdout


def test_list_of_nothing_says_what_to_do(commands: Commands) -> None:
    assert "connections add" in commands.run("connections", "list").stdout
    assert commands.run_json("connections", "list") == []


def test_show_tells_of_a_secret_only_whether_it_is_set(commands: Commands) -> None:
    keep(commands, mesh_api_key=Secret("canary-key"), system_prompt="canary prompt")
    shown = commands.run_json("connections", "show", "conn_1")
    words = [shown[name] for name in ("bot_token", "signing_secret", "mesh_token", "mesh_api_key", "system_prompt")]
    assert words == ["set", "set", "not set", "set", "set"]
    lines = dict(line.split(maxsplit=1) for line in commands.run("connections", "show", "conn_1").stdout.splitlines())
    assert (lines["bot_token"], lines["team_name"], lines["agent"]) == ("set", "Acme", "-")


@pytest.mark.parametrize("command", ["show", "test", "disable", "enable"])
@pytest.mark.parametrize("connection_id", ["conn_2", "\udcff", "a\x00"])
def test_a_connection_that_does_not_exist_is_named(commands: Commands, command: str, connection_id: str) -> None:
    keep(commands)
    result = commands.run("connections", command, connection_id)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"connection_not_found: No connection {connection_id!r}")


# test


def test_test_shows_whose_the_token_is(commands: Commands) -> None:
    keep(commands)
    commands.slack.identity = replace(commands.slack.identity, scopes=frozenset(REQUIRED_SCOPES))
    shown = commands.run_json("connections", "test", "conn_1")
    assert (shown["team_name"], shown["bot_user_id"], shown["missing_scopes"]) == ("Acme", "UBOT", [])
    assert shown["scopes"] == sorted(REQUIRED_SCOPES)


def test_test_fails_and_names_each_missing_scope_with_what_it_is_for(commands: Commands) -> None:
    keep(commands)
    commands.slack.identity = replace(commands.slack.identity, scopes=frozenset(REQUIRED_SCOPES) - {"chat:write"})
    result = commands.run("connections", "test", "conn_1")
    assert result.exit_code == 1
    assert "Missing scope chat:write: without it the bot cannot post and edit the answers." in result.stdout


# disable, enable, remove


def test_a_connection_is_disabled_and_enabled(commands: Commands) -> None:
    stored = keep(commands)
    assert commands.run("connections", "disable", "conn_1").stdout == "conn_1 is disabled.\n"
    assert commands.store.rows[CONN_1] == replace(stored, disabled=True, version=2)
    assert commands.run("connections", "disable", "conn_1").exit_code == 0
    assert commands.store.rows[CONN_1].version == 2
    assert commands.run("connections", "enable", "conn_1").stdout == "conn_1 is enabled.\n"
    assert commands.store.rows[CONN_1] == replace(stored, disabled=False, version=3)


@pytest.mark.parametrize("command", ["disable", "enable"])
def test_what_the_operator_says_stands_above_what_mesh_refused(commands: Commands, command: str) -> None:
    gone = keep(commands, disabled=True, mesh_refused_since_ms=1)
    assert commands.run("connections", command, "conn_1").exit_code == 0
    assert commands.store.rows[CONN_1] == replace(
        gone, disabled=command == "disable", mesh_refused_since_ms=None, version=2
    )


def test_remove_asks_first(commands: Commands) -> None:
    keep(commands)
    assert commands.run("connections", "remove", "conn_1", answers="n\n").exit_code == 1
    assert commands.run("connections", "remove", "conn_1").exit_code == 1
    assert list(commands.store.rows) == [CONN_1]
    assert commands.run("connections", "remove", "conn_1", answers="y\n").exit_code == 0
    assert commands.store.rows == {}


def test_remove_works_for_a_connection_whose_key_is_lost(commands: Commands) -> None:
    keep(commands)
    commands.store.error = SealingError("The key is not on the ring.")
    assert commands.run("connections", "show", "conn_1").exit_code == 1
    assert commands.run("connections", "remove", "conn_1", "--yes").stdout == "Removed conn_1.\n"
    assert commands.store.rows == {}


@pytest.mark.parametrize("connection_id", ["conn_2", "\udcff"])
def test_remove_of_nothing_fails(commands: Commands, connection_id: str) -> None:
    result = commands.run("connections", "remove", connection_id, "--yes")
    assert result.exit_code == 1
    assert result.stderr.startswith("connection_not_found: ")


@pytest.mark.parametrize(
    "arguments", [("list",), ("show", "c"), ("test", "c"), ("disable", "c"), ("enable", "c"), ("remove", "c", "--yes")]
)
def test_a_database_that_is_gone_is_one_line(commands: Commands, arguments: tuple[str, ...]) -> None:
    commands.error = StoreUnavailableError("The database is not available (ConnectionRefusedError).")
    result = commands.run("connections", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "store_unavailable: The database is not available (ConnectionRefusedError).\n"
