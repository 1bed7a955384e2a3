import json
from typing import Any

import pytest
from doc_pages import load_page

from slack_mcp.connections.scopes import REQUIRED_SCOPES
from slack_mcp.web.webhook import PATH

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
    (block,) = (block for block in load_page("README.md").blocks if block.language == "json")
    return json.loads(block.text)


def test_manifest_asks_for_the_scopes_that_the_code_needs(manifest: Any) -> None:
    scopes = manifest["oauth_config"]["scopes"]
    assert set(scopes) == {"bot"}
    assert sorted(scopes["bot"]) == sorted(REQUIRED_SCOPES)


def test_manifest_subscribes_to_what_the_scopes_let_the_bot_hear(manifest: Any) -> None:
    events = manifest["settings"]["event_subscriptions"]["bot_events"]
    assert {EVENTS[event] for event in events} == set(REQUIRED_SCOPES) - {"chat:write"}


def test_manifest_delivers_where_the_service_listens(manifest: Any) -> None:
    url = manifest["settings"]["event_subscriptions"]["request_url"]
    assert url.startswith(f"https://slack-mcp.example.com{PATH}/")
    assert not manifest["settings"]["socket_mode_enabled"]


def test_direct_messages_can_be_written(manifest: Any) -> None:
    home = manifest["features"]["app_home"]
    assert home["messages_tab_enabled"]
    assert not home["messages_tab_read_only_enabled"]
