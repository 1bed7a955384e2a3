import json
from typing import Any

import pytest
from bot_fakes import make_connection, make_payload
from hypothesis import given
from hypothesis import strategies as st
from trigger_fakes import make_mesh_trigger, make_trigger, read

from slack_mcp.core.ids import EventId
from slack_mcp.triggers.kinds import KINDS, find_kind
from slack_mcp.triggers.plan import MESH, find_trigger, parse_told, plan

MESSAGE = {"type": "message", "channel_type": "channel", "text": "hello"}
DIRECT = {"type": "message", "channel_type": "im", "channel": "D1"}
REACTION = {"type": "reaction_added", "reaction": "eyes", "channel": None, "ts": None, "text": None}
ITEM = {"item": {"type": "message", "channel": "C1", "ts": "1.1"}}
JOINED = {"type": "member_joined_channel", "channel_type": "C"}
CREATED = {"type": "channel_created", "channel": {"id": "C9", "name": "new"}, "user": None}


def plan_for(payload: dict[str, Any], *triggers: Any) -> list[EventId]:
    event, body = read(payload)
    return [each.event_id for each in plan(make_connection(triggers=triggers), event, body)]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({}, "slack.app_mention", id="a mention"),
        pytest.param(MESSAGE, "slack.message.received", id="a message"),
        pytest.param(MESSAGE | {"subtype": "file_share"}, "slack.message.received", id="a file"),
        pytest.param(MESSAGE | {"text": "<@UBOT> hello"}, None, id="the message of a mention"),
        pytest.param(DIRECT | {"text": "<@UBOT> hello"}, "slack.message.received", id="a mention in a direct message"),
        pytest.param(MESSAGE | {"subtype": "message_changed", "message": {"ts": "1.1"}}, None, id="an edit"),
        pytest.param(MESSAGE | {"subtype": "channel_join"}, None, id="the message of a join"),
        pytest.param(MESSAGE | {"user": "UBOT"}, None, id="the bot's own message"),
        pytest.param(MESSAGE | {"app_id": "ABOT", "user": "UX"}, None, id="a message of the bot's app"),
        pytest.param(MESSAGE | {"bot_id": "B2"}, None, id="another bot's message"),
        pytest.param(MESSAGE | {"user": "USLACKBOT"}, None, id="Slackbot's message"),
        pytest.param(REACTION | ITEM, "slack.reaction.added", id="a reaction"),
        pytest.param(REACTION | ITEM | {"user": "UBOT"}, None, id="the bot's reaction"),
        pytest.param(CREATED, "slack.channel.created", id="a new channel"),
        pytest.param(JOINED, "slack.member.joined", id="a join"),
        pytest.param(JOINED | {"user": "UBOT"}, None, id="the bot joins"),
        pytest.param({"type": "team_join"}, None, id="an event that nobody can subscribe to"),
    ],
)
def test_which_kind_an_event_is(changes: dict[str, Any], kind: str | None) -> None:
    event, _ = read(make_payload(**changes))
    assert find_kind(make_connection(), event) == kind


def test_each_receiver_gets_an_event_of_its_own_in_a_lane_of_its_own() -> None:
    event, body = read(make_payload(**MESSAGE))
    connection = make_connection(triggers=(make_trigger("trg_1"), make_trigger("trg_2"), make_mesh_trigger()))
    made = plan(connection, event, body)
    assert [(each.event_id, each.lane, each.event_type) for each in made] == [
        ("Ev1:trg_1", "trigger:trg_1:C1", "trigger.delivery"),
        ("Ev1:trg_2", "trigger:trg_2:C1", "trigger.delivery"),
        ("Ev1:mesh", "trigger:mesh:C1", "trigger.delivery"),
    ]
    told = parse_told(made[0].payload)
    assert told is not None
    assert (told.trigger_id, told.type, bytes(told.body)) == ("trg_1", "slack.message.received", body)


def test_mesh_is_told_once_whatever_its_automations_ask_for() -> None:
    both = [make_mesh_trigger(), make_mesh_trigger(trigger_id="mesh.2", filters={"channel_id": "C1"})]
    assert plan_for(make_payload(**MESSAGE), *both) == ["Ev1:mesh"]


@pytest.mark.parametrize(
    ("changes", "filters", "is_told"),
    [
        (MESSAGE, {"channel_id": "C1"}, True),
        (MESSAGE, {"channel_id": "C2"}, False),
        (MESSAGE, {"channel_id": ""}, True),
        (MESSAGE, {"channel_id": "C1", "user_id": "UBEN"}, False),
        (MESSAGE, {"channel_type": "channel"}, True),
        (MESSAGE, {"channel_type": "im"}, False),
        (DIRECT, {"channel_type": "im"}, True),
        (DIRECT, {"is_dm": "true"}, True),
        (MESSAGE, {"is_dm": "true"}, False),
        (MESSAGE, {"what_only_mesh_knows": "x"}, True),
    ],
)
def test_only_what_is_asked_for_is_told(changes: dict[str, Any], filters: dict[str, str], is_told: bool) -> None:
    for trigger in (make_trigger(filters=filters), make_mesh_trigger(filters=filters)):
        assert bool(plan_for(make_payload(**changes), trigger)) is is_told


@pytest.mark.parametrize(("reaction", "is_told"), [("eyes", True), ("tada", False), (None, False), (7, False)])
def test_reactions_are_told_by_name(reaction: Any, is_told: bool) -> None:
    trigger = make_trigger(event_type="slack.reaction.added", filters={"reaction": "eyes"})
    assert bool(plan_for(make_payload(**REACTION | ITEM | {"reaction": reaction}), trigger)) is is_told


def test_whoever_refused_is_told_nothing_more() -> None:
    assert plan_for(make_payload(**MESSAGE), make_mesh_trigger(refused_at_ms=1)) == []


def test_a_journalled_event_finds_its_trigger_as_it_is_now() -> None:
    event, body = read(make_payload(**MESSAGE))
    old = make_mesh_trigger()
    told = parse_told(plan(make_connection(triggers=(old,)), event, body)[0].payload)
    assert told is not None
    assert told.trigger_id == MESH
    new = make_mesh_trigger(trigger_id="mesh.new")
    refused = make_mesh_trigger(trigger_id="mesh.a", refused_at_ms=1)
    assert find_trigger([refused, new, make_trigger()], told) == new
    assert find_trigger([refused], told) == refused
    assert find_trigger([make_mesh_trigger("slack.app_mention"), make_trigger()], told) is None


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"\xff", b'{"trigger_id":1,"type":"x","body":{}}'])
def test_what_is_no_journalled_event_of_a_trigger_is_none(payload: bytes) -> None:
    assert parse_told(payload) is None


@given(text=st.text(), key=st.text(max_size=20))
def test_the_envelope_comes_back_as_slack_sent_it(text: str, key: str) -> None:
    changes: dict[str, Any] = MESSAGE | {"text": text, f"x{key}": [text]}
    payload = make_payload(**changes)
    event, body = read(payload)
    told = parse_told(plan(make_connection(triggers=(make_trigger(),)), event, body)[0].payload)
    assert told is not None
    assert bytes(told.body) == body
    assert json.loads(bytes(told.body)) == payload


def test_every_kind_says_what_it_is() -> None:
    for name, kind in KINDS.items():
        assert kind.name == name
        assert kind.description.endswith(".")
