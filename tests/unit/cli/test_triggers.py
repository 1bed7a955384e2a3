import json
import re
from dataclasses import replace

import httpx2
import pytest
from command_fakes import Commands, make_stored
from trigger_fakes import make_mesh_trigger, verify_webhook

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Trigger

KEY = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")
ADD = ("triggers", "add", "--connection", "conn_1", "--type", "slack.message.received", "--url")
URL = "https://receiver.example/hook"


@pytest.fixture
def stored(commands: Commands) -> Commands:
    commands.store.rows[ConnectionId("conn_1")] = make_stored()
    return commands


def get_triggers(commands: Commands) -> tuple[Trigger, ...]:
    return commands.store.rows[ConnectionId("conn_1")].triggers


def test_an_added_receivers_key_is_printed_alone_and_once(stored: Commands) -> None:
    result = stored.run(*ADD, URL, "--filter", "channel_id=C1", "--filter", "user_id=U1")
    assert result.exit_code == 0, result.output
    key = result.stdout.strip()
    assert KEY.fullmatch(key)
    (trigger,) = get_triggers(stored)
    assert trigger.secret.reveal() == key
    assert (trigger.url, dict(trigger.filters)) == (URL, {"channel_id": "C1", "user_id": "U1"})
    assert trigger.trigger_id in result.stderr
    assert key not in result.stderr
    assert key not in stored.run("triggers", "list", "--connection", "conn_1", "--json").output


def test_an_added_receiver_is_printed_as_json_with_its_key(stored: Commands) -> None:
    added = stored.run_json(*ADD, URL)
    (trigger,) = get_triggers(stored)
    assert added == {
        "trigger": trigger.trigger_id,
        "kind": "https",
        "event": "slack.message.received",
        "url": URL,
        "filters": {},
        "state": "active",
        "signing_secret": trigger.secret.reveal(),
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((*ADD, "http://receiver.example/"), "https://"),
        ((*ADD, URL, "--filter", "channel_id"), "KEY=VALUE"),
        ((*ADD, URL, "--filter", "channel=C1"), "channel_id"),
        (("triggers", "add", "--connection", "conn_1", "--type", "message", "--url", URL), "slack.app_mention"),
        (
            ("triggers", "add", "--connection", "conn_2", "--type", "slack.app_mention", "--url", URL),
            "connections list",
        ),
        (("triggers", "remove", "trg_9", "--connection", "conn_1"), "triggers list"),
        (("triggers", "test", "trg_9", "--connection", "conn_1"), "triggers list"),
        (("triggers", "list", "--connection", "conn\n1"), "connections list"),
    ],
)
def test_what_cannot_be_done_is_said(stored: Commands, arguments: tuple[str, ...], told: str) -> None:
    result = stored.run(*arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert get_triggers(stored) == ()


def test_triggers_are_listed_with_those_of_mesh(stored: Commands) -> None:
    assert "triggers add" in stored.run("triggers", "list", "--connection", "conn_1").stdout
    stored.run(*ADD, URL, "--filter", "channel_type=im")
    row = stored.store.rows[ConnectionId("conn_1")]
    refused = make_mesh_trigger("slack.app_mention", refused_at_ms=1_700_000_000_000)
    stored.store.rows[ConnectionId("conn_1")] = replace(row, triggers=(*row.triggers, refused))
    shown = stored.run("triggers", "list", "--connection", "conn_1").stdout
    assert "channel_type=im\tactive" in shown
    assert "mesh.slack.app_mention\tmesh" in shown
    assert "refused since 2023-11-14T22:13:20+00:00" in shown


def test_a_trigger_is_removed(stored: Commands) -> None:
    stored.run(*ADD, URL)
    (trigger,) = get_triggers(stored)
    assert stored.run("triggers", "remove", trigger.trigger_id, "--connection", "conn_1").exit_code == 0
    assert get_triggers(stored) == ()


def test_a_receiver_is_tried_with_an_event_that_did_not_happen(stored: Commands) -> None:
    key = stored.run(*ADD, URL).stdout.strip()
    (trigger,) = get_triggers(stored)
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(202)

    stored.receiver = answer
    shown = stored.run_json("triggers", "test", trigger.trigger_id, "--connection", "conn_1")
    assert shown == {"trigger_id": trigger.trigger_id, "status": 202}
    (request,) = requests
    verify_webhook(key, request.headers, request.content)
    body = json.loads(request.content)
    assert body["type"] == "slack.message.received"
    assert body["data"]["test"] is True


def test_a_receiver_that_fails_is_said(stored: Commands) -> None:
    stored.run(*ADD, URL)
    stored.receiver = lambda _request: httpx2.Response(500)
    result = stored.run("triggers", "test", get_triggers(stored)[0].trigger_id, "--connection", "conn_1")
    assert result.exit_code == 1
    assert "HTTP 500" in result.stderr
