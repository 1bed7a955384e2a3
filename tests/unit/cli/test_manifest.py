import json

from command_fakes import Commands

URL = "https://slack-mcp.example.com"


def test_the_command_prints_yaml_json_or_the_reasons(commands: Commands) -> None:
    printed = commands.run("manifest", "--url", URL, "--connection", "conn_1")
    assert printed.exit_code == 0
    as_json = commands.run("manifest", "--url", URL, "--connection", "conn_1", "--format", "json")
    scopes = json.loads(as_json.stdout)["oauth_config"]["scopes"]["bot"]
    assert all(f'- "{scope}"  # ' in printed.stdout for scope in scopes)
    assert "bot commands: offer its slash command" in commands.run("manifest", "--url", URL, "--explain").stdout


def test_the_command_refuses_what_it_does_not_know(commands: Commands) -> None:
    unknown = commands.run("manifest", "--url", URL, "--features", "bot,telepathy")
    assert unknown.exit_code == 1
    assert "telepathy" in unknown.stderr
