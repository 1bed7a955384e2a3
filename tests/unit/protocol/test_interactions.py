import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import MalformedBodyError
from slack_mcp.protocol.interactions import Interaction, SlashCommand, SslCheck, parse_form, peek_form_routing

COMMAND = {
    "token": "x",
    "team_id": "T1",
    "team_domain": "acme",
    "channel_id": "C1",
    "channel_name": "general",
    "user_id": "UANN",
    "user_name": "ann",
    "command": "/slack-mcp",
    "text": "ask wie geht's? 1+1 & <@U2|ben>",
    "api_app_id": "A1",
    "is_enterprise_install": "false",
    "response_url": "https://hooks.slack.com/commands/T1/1/x",
    "trigger_id": "1.2.abc",
}
CLICK: dict[str, Any] = {
    "type": "block_actions",
    "team": {"id": "T1", "domain": "acme"},
    "user": {"id": "UANN", "team_id": "T1"},
    "api_app_id": "A1",
    "enterprise": None,
    "container": {"type": "message", "message_ts": "1.0001", "channel_id": "C1"},
    "channel": {"id": "C1", "name": "general"},
    "trigger_id": "1.2.abc",
    "response_url": "https://hooks.slack.com/actions/T1/1/x",
    "actions": [{"type": "button", "action_id": "slack_mcp_answer_0", "block_id": "b", "value": "Q1"}],
}


def form(payload: Any) -> bytes:
    return urlencode({"payload": payload if isinstance(payload, str) else json.dumps(payload)}).encode()


def test_a_command_is_read_with_its_text_as_typed() -> None:
    assert parse_form(urlencode(COMMAND).encode()) == SlashCommand(
        team_id="T1",  # type: ignore[arg-type]
        api_app_id="A1",
        channel_id="C1",  # type: ignore[arg-type]
        user_id="UANN",  # type: ignore[arg-type]
        command="/slack-mcp",
        text="ask wie geht's? 1+1 & <@U2|ben>",
        response_url="https://hooks.slack.com/commands/T1/1/x",
        trigger_id="1.2.abc",
    )


def test_a_click_is_read_with_its_place_and_its_first_action() -> None:
    click = parse_form(form(CLICK))
    assert isinstance(click, Interaction)
    assert (click.kind, click.team_id, click.user_id) == ("block_actions", "T1", "UANN")
    assert (click.channel_id, click.message_ts) == ("C1", "1.0001")
    assert (click.action_id, click.value) == ("slack_mcp_answer_0", "Q1")


def test_a_sent_form_is_read_with_what_was_typed() -> None:
    view = {
        "callback_id": "cb",
        "private_metadata": "Q1",
        "state": {"values": {"answer": {"text": {"type": "plain_text_input", "value": "so\nso"}}, "empty": {"x": {}}}},
    }
    sent = parse_form(form({"type": "view_submission", "user": {"id": "UANN"}, "team": None, "view": view}))
    assert isinstance(sent, Interaction)
    assert (sent.callback_id, sent.private_metadata, sent.channel_id) == ("cb", "Q1", None)
    assert sent.inputs == {"answer": "so\nso", "empty": ""}


def test_a_form_that_may_answer_somewhere_names_where() -> None:
    urls = [{"response_url": "https://hooks.slack.com/x", "channel_id": "C1"}]
    sent = parse_form(form({"type": "view_submission", "user": {"id": "UANN"}, "response_urls": urls}))
    assert isinstance(sent, Interaction)
    assert sent.response_url == "https://hooks.slack.com/x"


def test_an_unknown_kind_is_kept_by_its_name() -> None:
    unknown = parse_form(form({"type": "telepathy", "user": {"id": "UANN"}}))
    assert isinstance(unknown, Interaction)
    assert unknown.kind == "telepathy"


def test_slack_looking_whether_the_address_answers_is_no_mistake() -> None:
    assert isinstance(parse_form(b"ssl_check=1&token=x"), SslCheck)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"%ff=1&payload=%ff",
        b"hello",
        b"a=1&" * 100,
        urlencode({"payload": "{"}).encode(),
        urlencode({"payload": "[]"}).encode(),
        urlencode({"payload": '"x"'}).encode(),
        urlencode({"payload": "[" * 100_000}).encode(),
        urlencode({"payload": '{"type": 1}'}).encode(),
        urlencode({"payload": '{"type": "block_actions"}'}).encode(),
        urlencode({"payload": '{"type": "block_actions", "user": {"id": 7}}'}).encode(),
        urlencode({**COMMAND, "user_id": "U 1"}).encode(),
        urlencode({**COMMAND, "channel_id": ""}).encode(),
        urlencode({"command": "/x"}).encode(),
    ],
)
def test_what_is_no_form_of_slack_is_refused_and_nothing_of_it_is_repeated(body: bytes) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_form(body)
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: urlencode({"payload": text}).encode()))
def test_garbage_is_refused_and_never_crashes(body: bytes) -> None:
    peek_form_routing(body)
    try:
        parse_form(body)
    except MalformedBodyError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    st.sampled_from([*CLICK, "view", "message", "response_urls"]),
)
def test_any_field_may_be_of_any_shape(value: Any, name: str) -> None:
    body = form({**CLICK, name: value})
    peek_form_routing(body)
    try:
        found = parse_form(body)
    except MalformedBodyError:
        return
    assert isinstance(found, Interaction)


def test_routing_is_peeked_from_both_kinds() -> None:
    assert peek_form_routing(urlencode(COMMAND).encode()) == ("T1", "A1")
    assert peek_form_routing(form(CLICK)) == ("T1", "A1")
    organization = {**CLICK, "team": None, "enterprise": {"id": "E1"}}
    assert peek_form_routing(form(organization)) == ("E1", "A1")
    assert peek_form_routing(b"payload={") == (None, None)


def test_in_a_shared_channel_a_form_is_of_the_workspace_that_has_the_app() -> None:
    sent = form({**CLICK, "team": {"id": "TOTHER"}, "view": {"app_installed_team_id": "T1"}})
    assert peek_form_routing(sent) == ("T1", "A1")
    found = parse_form(sent)
    assert isinstance(found, Interaction)
    assert found.team_id == "T1"


def test_of_a_field_that_comes_twice_the_first_counts() -> None:
    twice = urlencode(COMMAND).encode() + b"&user_id=UEVE&team_id=T2"
    command = parse_form(twice)
    assert isinstance(command, SlashCommand)
    assert command.user_id == "UANN"
    assert peek_form_routing(twice) == ("T1", "A1")


def test_a_messages_menu_is_read_with_the_message_and_its_thread() -> None:
    message = {"ts": "1.0002", "thread_ts": "1.0001", "user": "UBOB", "text": "hi"}
    payload = {"type": "message_action", "user": {"id": "UANN"}, "channel": {"id": "C1"}, "callback_id": "cb"}
    used = parse_form(form(payload | {"message": message, "message_ts": "1.0002"}))
    assert isinstance(used, Interaction)
    assert (used.channel_id, used.message_ts, used.thread_ts, used.callback_id) == ("C1", "1.0002", "1.0001", "cb")
    assert used.message == message
    odd = parse_form(form(payload | {"message": "hi"}))
    assert isinstance(odd, Interaction)
    assert (odd.message, odd.message_ts, odd.thread_ts) == ({}, None, None)
