import json
from typing import Any

import jsonschema
import pytest

from slack_mcp.connections.manifest import ToolScopes, make_manifest
from slack_mcp.connections.scopes import DEFAULT_FEATURES, REQUIRED_SCOPES, Feature
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.interactions.about import CALLBACK

URL = "https://slack-mcp.example.com"
TOOLS = (
    ToolScopes(tool="SLACK_SEND_MESSAGE", bot=("chat:write",)),
    ToolScopes(tool="SLACK_LIST_CHANNELS", bot=("channels:read", "groups:read")),
    ToolScopes(tool="SLACK_SEARCH_MESSAGES", user=("search:read",)),
    ToolScopes(tool="SLACK_UPLOAD_FILE", bot=("files:write",)),
    ToolScopes(tool="SLACK_CREATE_CANVAS", bot=("canvases:write", "files:read")),
    ToolScopes(tool="SLACK_READ_LIST", bot=("lists:read",)),
)
TEXT = {"type": "string", "minLength": 1}
ADDRESS = {"type": "string", "pattern": "^https://", "maxLength": 3_000}
WORDS = {"type": "array", "items": TEXT | {"maxLength": 50}, "uniqueItems": True, "maxItems": 100}


def strict(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


# What https://docs.slack.dev/reference/app-manifest says of the parts that are used here.
SCHEMA = strict(
    ["display_information", "features", "oauth_config", "settings"],
    display_information=strict(["name"], name=TEXT | {"maxLength": 35}),
    features=strict(
        ["bot_user"],
        app_home=strict(
            [],
            home_tab_enabled={"type": "boolean"},
            messages_tab_enabled={"type": "boolean"},
            messages_tab_read_only_enabled={"type": "boolean"},
        ),
        bot_user=strict(["display_name"], display_name=TEXT | {"maxLength": 80}, always_online={"type": "boolean"}),
        assistant_view=strict(["assistant_description"], assistant_description=TEXT),
        agent_view=strict(["agent_description"], agent_description=TEXT),
        shortcuts={
            "type": "array",
            "maxItems": 10,
            "items": strict(
                ["name", "type", "callback_id", "description"],
                name=TEXT | {"maxLength": 24},
                type={"enum": ["message", "global"]},
                callback_id=TEXT | {"maxLength": 255},
                description=TEXT | {"maxLength": 150},
            ),
        },
        slash_commands={
            "type": "array",
            "minItems": 1,
            "items": strict(
                ["command", "description"],
                command={"type": "string", "pattern": "^/", "minLength": 2, "maxLength": 32},
                url=ADDRESS,
                description=TEXT | {"maxLength": 2_000},
                usage_hint=TEXT | {"maxLength": 1_000},
                should_escape={"type": "boolean"},
            ),
        },
    ),
    oauth_config=strict(["scopes"], scopes=strict(["bot"], bot=WORDS | {"minItems": 1}, user=WORDS)),
    settings=strict(
        [],
        event_subscriptions=strict(["request_url", "bot_events"], request_url=ADDRESS, bot_events=WORDS),
        interactivity=strict(["is_enabled"], is_enabled={"type": "boolean"}, request_url=ADDRESS),
        org_deploy_enabled={"type": "boolean"},
        socket_mode_enabled={"const": False},
        token_rotation_enabled={"type": "boolean"},
    ),
)


def read_yaml(text: str) -> Any:
    """Return what a YAML of nested mappings, lists and JSON scalars holds: the part of YAML that is written here."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines()]

    def scalar(word: str) -> Any:
        return json.JSONDecoder().raw_decode(word)[0]

    def block(indent: int) -> Any:
        if lines[0][1].startswith("- "):
            items = []
            while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
                _, line = lines.pop(0)
                if line[2] == '"':
                    items.append(scalar(line[2:]))
                else:
                    lines.insert(0, (indent + 2, line[2:]))
                    items.append(block(indent + 2))
            return items
        found = {}
        while lines and lines[0][0] == indent:
            _, line = lines.pop(0)
            key, _, rest = line.partition(":")
            found[key] = scalar(rest.strip()) if rest.strip() else block(lines[0][0])
        return found

    return block(0)


@pytest.mark.parametrize("features", [DEFAULT_FEATURES, tuple(Feature), *((each,) for each in Feature)])
def test_every_choice_of_features_is_a_manifest_that_slack_takes(features: tuple[Feature, ...]) -> None:
    manifest = make_manifest(url=URL, connection_id=ConnectionId("conn_1"), features=features, tools=TOOLS)
    jsonschema.validate(manifest.body, SCHEMA)
    assert json.loads(manifest.render_json()) == manifest.body
    assert read_yaml(manifest.render_yaml()) == manifest.body


def test_the_bot_alone_asks_for_what_the_bot_needs_and_no_more() -> None:
    body = make_manifest(url=URL, features=[Feature.BOT], tools=TOOLS).body
    assert set(body["oauth_config"]["scopes"]["bot"]) == set(REQUIRED_SCOPES)
    assert "user" not in body["oauth_config"]["scopes"]
    assert "interactivity" not in body["settings"]
    assert "slash_commands" not in body["features"]


def test_an_app_has_the_older_pane_or_the_newer_and_is_told_what_happens_there() -> None:
    older = make_manifest(url=URL, features=[Feature.ASSISTANT]).body
    newer = make_manifest(url=URL, features=[Feature.ASSISTANT, Feature.AGENT_VIEW]).body
    assert "assistant_view" in older["features"]
    assert "agent_view" not in older["features"]
    assert "agent_view" in newer["features"]
    assert "assistant_view" not in newer["features"]
    for body, events in (
        (older, {"assistant_thread_started", "assistant_thread_context_changed"}),
        (newer, {"app_home_opened", "app_context_changed"}),
    ):
        subscribed = set(body["settings"]["event_subscriptions"]["bot_events"])
        assert events | {"message.im", "agent_session_stopped"} <= subscribed
        assert "assistant:write" in body["oauth_config"]["scopes"]["bot"]


def test_the_home_tab_is_there_where_it_is_asked_for() -> None:
    for features, is_enabled in (([Feature.BOT], False), ([Feature.BOT, Feature.HOME], True)):
        body = make_manifest(url=URL, features=features).body
        assert body["features"]["app_home"]["home_tab_enabled"] is is_enabled
        assert ("app_home_opened" in body["settings"]["event_subscriptions"]["bot_events"]) is is_enabled


def test_the_shortcut_is_the_one_that_is_answered_and_comes_where_clicks_go() -> None:
    body = make_manifest(url=URL, features=[Feature.INTERACTIVITY]).body
    (shortcut,) = body["features"]["shortcuts"]
    assert shortcut["callback_id"] == CALLBACK
    assert "commands" in body["oauth_config"]["scopes"]["bot"]
    assert body["settings"]["interactivity"]["is_enabled"]


@pytest.mark.parametrize(
    ("feature", "bot", "user"),
    [
        (Feature.TOOLS, {"chat:write", "channels:read", "groups:read"}, set()),
        (Feature.SEARCH, {"chat:write"}, {"search:read"}),
        (Feature.FILES, {"files:write"}, set()),
        (Feature.CANVASES, {"canvases:write", "files:read"}, set()),
        (Feature.LISTS, {"lists:read"}, set()),
    ],
)
def test_a_feature_brings_the_scopes_of_its_own_tools(feature: Feature, bot: set[str], user: set[str]) -> None:
    scopes = make_manifest(url=URL, features=[feature], tools=TOOLS).body["oauth_config"]["scopes"]
    assert set(scopes["bot"]) == bot
    assert set(scopes.get("user", ())) == user


def test_every_scope_says_what_it_is_for() -> None:
    manifest = make_manifest(url=URL, features=tuple(Feature), tools=TOOLS)
    lines = list(manifest.explain())
    scopes = manifest.body["oauth_config"]["scopes"]
    assert len(lines) == len(scopes["bot"]) + len(scopes["user"])
    assert "user search:read: search what the person sees; SLACK_SEARCH_MESSAGES" in lines
    assert '- "canvases:write"  # SLACK_CREATE_CANVAS' in manifest.render_yaml()


def test_a_scope_of_both_tokens_says_beside_each_what_that_one_is_for() -> None:
    tools = (
        ToolScopes(tool="SLACK_LIST_CHANNELS", bot=("channels:read",)),
        ToolScopes(tool="SLACK_GET_UNREADS", user=("channels:read",)),
    )
    lines = make_manifest(url=URL, features=[Feature.TOOLS], tools=tools).render_yaml().splitlines()
    beside = [line.partition("  # ")[2] for line in lines if '"channels:read"' in line]
    assert beside == ["SLACK_LIST_CHANNELS", "SLACK_GET_UNREADS"]


def test_the_addresses_are_the_connections_own_or_those_that_workspaces_share() -> None:
    own = make_manifest(url=f"{URL}/", connection_id=ConnectionId("conn_1"), features=DEFAULT_FEATURES).body
    shared = make_manifest(url=URL, features=DEFAULT_FEATURES).body
    for body, suffix in ((own, "/conn_1"), (shared, "")):
        assert body["settings"]["event_subscriptions"]["request_url"] == f"{URL}/slack/events{suffix}"
        assert body["settings"]["interactivity"]["request_url"] == f"{URL}/slack/interactive{suffix}"
        assert body["features"]["slash_commands"][0]["url"] == f"{URL}/slack/commands{suffix}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://x.example.com"},
        {"url": "https://"},
        {"url": "https://x.example.com?a=1"},
        {"url": "https://u:p@x.example.com"},
        {"url": "https://x:port"},
        {"url": "https://x y"},
        {"name": " "},
        {"name": "x" * 36},
        {"command": "slack"},
        {"command": "/Slack"},
        {"command": "/" + "x" * 32},
    ],
)
def test_what_slack_would_not_take_is_refused(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"url": URL, "features": DEFAULT_FEATURES} | wrong
    with pytest.raises(InvalidInputError):
        make_manifest(**arguments)
