import json
import shlex
from typing import Any

import pytest
from doc_pages import load_page
from typer.testing import CliRunner

from slack_mcp.cli.root import cli
from slack_mcp.connections.scopes import REQUIRED_SCOPES
from slack_mcp.web.forms import PATHS as FORM_PATHS
from slack_mcp.web.webhook import PATH

URL = "https://slack-mcp.example.com"
# Each event and the scope it asks for: https://docs.slack.dev/reference/events
EVENTS = {
    "app_mention": "app_mentions:read",
    "message.im": "im:history",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.mpim": "mpim:history",
}


@pytest.fixture
def manifest() -> Any:
    """Return what the command in the guide prints, as JSON."""
    lines = (line for block in load_page("README.md").blocks for line in block.text.splitlines())
    (command,) = (line for line in lines if line.strip().startswith("slack-mcp manifest"))
    done = CliRunner().invoke(cli, [*shlex.split(command)[1:], "--format", "json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_manifest_asks_for_the_scopes_that_the_code_needs(manifest: Any) -> None:
    assert set(REQUIRED_SCOPES) <= set(manifest["oauth_config"]["scopes"]["bot"])


def test_manifest_subscribes_to_what_the_scopes_let_the_bot_hear(manifest: Any) -> None:
    events = manifest["settings"]["event_subscriptions"]["bot_events"]
    assert {EVENTS[event] for event in events if event in EVENTS} == set(REQUIRED_SCOPES) - {"chat:write"}


def test_manifest_delivers_where_the_service_listens_and_the_guide_says(manifest: Any) -> None:
    prose = load_page("README.md").prose
    settings = manifest["settings"]
    (command,) = manifest["features"]["slash_commands"]
    urls = [settings["event_subscriptions"]["request_url"], command["url"], settings["interactivity"]["request_url"]]
    assert urls == [f"{URL}{path}/conn_acme" for path in (PATH, *FORM_PATHS)]
    assert [url for url in urls if f"`{url.removeprefix(URL)}`" not in prose] == []
    assert not settings["socket_mode_enabled"]


def test_direct_messages_can_be_written(manifest: Any) -> None:
    home = manifest["features"]["app_home"]
    assert home["messages_tab_enabled"]
    assert not home["messages_tab_read_only_enabled"]
