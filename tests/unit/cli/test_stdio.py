import pytest
from command_fakes import Commands

from slack_mcp.core.model import Access


@pytest.mark.parametrize(
    ("options", "served"),
    [
        ([], (None, Access.ADMIN)),
        (["--connection", "conn_1"], ("conn_1", Access.ADMIN)),
        (["--read-only"], (None, Access.READ)),
    ],
)
def test_the_options_say_which_slack_and_how_much(
    commands: Commands, options: list[str], served: tuple[str | None, Access]
) -> None:
    commands.environ["SLACK_BOT_TOKEN"] = "xoxb-canary-1"
    result = commands.run("stdio", *options)
    assert (result.exit_code, result.stdout) == (0, "")
    assert commands.served_on_stdio == [served]


def test_another_kind_of_token_is_told_apart_at_once(commands: Commands) -> None:
    commands.environ["SLACK_BOT_TOKEN"] = "xoxp-canary-1"
    result = commands.run("stdio")
    assert (result.exit_code, result.stdout, commands.served_on_stdio) == (1, "", [])
    assert "A bot token starts with xoxb-" in result.stderr


def test_a_connection_that_cannot_be_is_not_looked_for(commands: Commands) -> None:
    result = commands.run("stdio", "--connection", "a\x00b")
    assert (result.exit_code, commands.served_on_stdio) == (1, [])
