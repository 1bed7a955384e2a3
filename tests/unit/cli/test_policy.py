import pytest
from command_fakes import Commands, make_stored

from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import ConnectionSettings, ToolPolicy

CONN_1 = ConnectionId("conn_1")
OPEN = {
    "read_only": False,
    "allowed_tools": "all",
    "denied_tools": [],
    "write_channels": "all",
    "denied_write_channels": [],
    "approve_outside_thread": False,
}


@pytest.fixture
def stored(commands: Commands) -> None:
    commands.store.rows[CONN_1] = make_stored()


def get_policy(commands: Commands) -> ToolPolicy:
    return commands.store.rows[CONN_1].settings.tools


@pytest.mark.usefixtures("stored")
def test_a_connection_without_a_policy_allows_everything(commands: Commands) -> None:
    assert commands.run_json("policy", "show", "conn_1") == OPEN


@pytest.mark.usefixtures("stored")
def test_what_is_given_replaces_what_is_stored_and_the_rest_stays(commands: Commands) -> None:
    set_ = ("policy", "set", "conn_1")
    assert commands.run(*set_, "--read-only", "--write-channel", "C1", "--write-channel", "C2").exit_code == 0
    assert commands.run(*set_, "--deny-tool", "MCP_CONFIGURATION", "--write-channel", "C1").exit_code == 0
    assert get_policy(commands) == ToolPolicy(
        is_read_only=True, denied_tools=("MCP_CONFIGURATION",), write_channels=(ChannelId("C1"),)
    )
    assert commands.run(*set_, "--read-write").exit_code == 0
    assert not get_policy(commands).is_read_only
    assert commands.run(*set_, "--clear", "--deny-write-channel", "C3").exit_code == 0
    assert get_policy(commands) == ToolPolicy(denied_write_channels=(ChannelId("C3"),))


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--deny-tool", "MCP_CONFIGURATON"), "There is no tool 'MCP_CONFIGURATON'; MCP_CONFIGURATION may be meant."),
        (("--write-channel", "#general"), "'#general' is no channel's id"),
    ],
)
def test_what_would_deny_nothing_is_refused(commands: Commands, options: tuple[str, ...], sentence: str) -> None:
    result = commands.run("policy", "set", "conn_1", *options)
    assert result.exit_code == 1
    assert sentence in result.output
    assert get_policy(commands) == ToolPolicy()


@pytest.mark.usefixtures("stored")
def test_other_settings_stay_as_they_are(commands: Commands) -> None:
    commands.store.rows[CONN_1] = make_stored(settings=ConnectionSettings(language="pt-BR"))
    commands.run("policy", "set", "conn_1", "--read-only")
    assert commands.store.rows[CONN_1].settings.language == "pt-BR"


@pytest.mark.parametrize("command", ["show", "set"])
def test_an_unknown_connection_is_named(commands: Commands, command: str) -> None:
    result = commands.run("policy", command, "conn_9")
    assert result.exit_code == 1
    assert "No connection 'conn_9'" in result.output


@pytest.mark.parametrize("command", ["show", "set"])
def test_what_no_database_could_hold_is_no_connection(commands: Commands, command: str) -> None:
    result = commands.run("policy", command, "conn_\x01")
    assert result.exit_code == 1
    assert "No connection" in result.output


@pytest.mark.usefixtures("stored")
def test_what_is_approved_is_kept_when_something_else_is_set(commands: Commands) -> None:
    set_ = ("policy", "set", "conn_1")
    assert commands.run(*set_, "--approve-outside-thread").exit_code == 0
    assert commands.run(*set_, "--read-only").exit_code == 0
    assert get_policy(commands) == ToolPolicy(is_read_only=True, approve_outside_thread=True)
    assert commands.run(*set_, "--no-approve-outside-thread").exit_code == 0
    assert get_policy(commands) == ToolPolicy(is_read_only=True)
