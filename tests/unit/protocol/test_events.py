import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import MalformedBodyError
from slack_mcp.protocol.events import (
    CHANNEL_ENTITY,
    PANE_EVENTS,
    STOP_EVENTS,
    AppRateLimited,
    EventCallback,
    OtherEnvelope,
    UrlVerification,
    find_viewed_channel,
    get_lane,
    parse_envelope,
    peek_routing,
)

SECRET_TEXT = "canary of the lunch plans"


def envelope(event: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "token": "deprecated",
        "team_id": "T061EG9R6",
        "api_app_id": "A0MDYCDME",
        "event": event if event is not None else message(),
        "type": "event_callback",
        "event_id": "Ev0MDYHUEL",
        "event_time": 1515449483,
        "authorizations": [{"enterprise_id": None, "team_id": "T061EG9R6", "user_id": "U0BOT", "is_bot": True}],
    }
    whole.update(changes)
    return {name: value for name, value in whole.items() if value is not ...}


def message(**changes: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": "message",
        "channel": "C024BE91L",
        "user": "U061F7AUR",
        "text": SECRET_TEXT,
        "ts": "1515449522.000016",
        "event_ts": "1515449522000016",
        "channel_type": "channel",
    }
    event.update(changes)
    return {name: value for name, value in event.items() if value is not ...}


def parse(whole: Any) -> EventCallback:
    parsed = parse_envelope(json.dumps(whole).encode())
    assert isinstance(parsed, EventCallback)
    return parsed


def test_a_message_is_read() -> None:
    assert parse(envelope(message(thread_ts="1515449000.000001", parent_user_id="U0BOT"))) == EventCallback(
        team_id="T061EG9R6",  # type: ignore[arg-type]
        api_app_id="A0MDYCDME",
        event_id="Ev0MDYHUEL",  # type: ignore[arg-type]
        event_type="message",
        event_time=1515449483,
        channel_id="C024BE91L",  # type: ignore[arg-type]
        user_id="U061F7AUR",  # type: ignore[arg-type]
        ts="1515449522.000016",  # type: ignore[arg-type]
        thread_ts="1515449000.000001",  # type: ignore[arg-type]
        parent_user_id="U0BOT",  # type: ignore[arg-type]
        channel_type="channel",
        text=SECRET_TEXT,
    )


def test_url_verification_gives_the_challenge() -> None:
    body = b'{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}'
    assert parse_envelope(body) == UrlVerification(challenge="3eZbrw1aB")


def test_app_rate_limited_is_read() -> None:
    body = b'{"type":"app_rate_limited","team_id":"T1","minute_rate_limited":1518467820,"api_app_id":"A1"}'
    assert parse_envelope(body) == AppRateLimited(
        team_id="T1",  # type: ignore[arg-type]
        api_app_id="A1",
        minute_rate_limited=1518467820,
    )
    assert parse_envelope(b'{"type":"app_rate_limited"}') == AppRateLimited(
        team_id=None, api_app_id=None, minute_rate_limited=None
    )


def test_an_unknown_envelope_is_ignorable() -> None:
    assert parse_envelope(b'{"type":"event_from_the_future","event":null}') == OtherEnvelope(
        envelope_type="event_from_the_future"
    )
    assert parse_envelope(b'{"type":"with spaces\\u0000"}') == OtherEnvelope(envelope_type="unreadable")


@pytest.mark.parametrize(
    ("event", "lane"),
    [
        (message(), "C024BE91L:1515449522.000016"),
        (message(type="app_mention", channel_type=...), "C024BE91L:1515449522.000016"),
        (message(thread_ts="1515449000.000001"), "C024BE91L:1515449000.000001"),
        (
            message(subtype="message_changed", message={"ts": "1.1", "thread_ts": "1.0"}, ts="9.9"),
            "C024BE91L:1.0",
        ),
        (message(subtype="message_changed", message={"ts": "1.1"}, ts="9.9"), "C024BE91L:1.1"),
        (
            message(
                subtype="message_deleted",
                deleted_ts="1.1",
                previous_message={"ts": "1.1", "thread_ts": "1.0"},
                ts="9.9",
            ),
            "C024BE91L:1.0",
        ),
        (message(subtype="message_deleted", deleted_ts="1.1", ts="9.9"), "C024BE91L:1.1"),
        (message(subtype="message_changed", message="broken", ts="9.9"), "C024BE91L:message"),
        (
            {"type": "reaction_added", "item": {"type": "message", "channel": "C2", "ts": "2.0"}, "user": "U1"},
            "C2:2.0",
        ),
        ({"type": "reaction_added", "item": {"type": "file", "file": "F1"}, "user": "U1"}, "-:reaction_added"),
        ({"type": "channel_rename", "channel": {"id": "C3", "name": "new", "created": 1}}, "C3:channel_rename"),
        ({"type": "channel_archive", "channel": "C4", "user": "U1"}, "C4:channel_archive"),
        ({"type": "file_shared", "channel_id": "C5", "file_id": "F1"}, "C5:file_shared"),
        ({"type": "team_join", "user": {"id": "U9"}}, "-:team_join"),
        ({"type": "tokens_revoked", "tokens": {"bot": ["U1"]}}, "-:tokens_revoked"),
        ({"type": "odd", "channel": 5, "item": [1], "ts": "3.0"}, "-:odd"),
    ],
)
def test_the_lane_is_channel_and_thread_root(event: dict[str, Any], lane: str) -> None:
    assert get_lane(parse(envelope(event))) == lane


def test_a_user_may_be_an_object() -> None:
    assert parse(envelope({"type": "user_change", "user": {"id": "U9", "name": "x"}})).user_id == "U9"
    assert parse(envelope({"type": "user_change", "user": 5})).user_id is None


@pytest.mark.parametrize(
    ("changes", "team_id"),
    [
        ({}, "T061EG9R6"),
        ({"team_id": None, "authorizations": [{"team_id": "T2", "enterprise_id": "E1"}]}, "T2"),
        ({"team_id": ..., "authorizations": [], "context_team_id": "T3"}, "T3"),
        ({"team_id": ..., "authorizations": ..., "enterprise_id": "E1"}, "E1"),
        ({"team_id": None, "authorizations": [{"team_id": None, "enterprise_id": "E2"}]}, "E2"),
        ({"team_id": ..., "authorizations": ...}, None),
    ],
)
def test_the_team_falls_back_to_the_authorization_and_the_organization(
    changes: dict[str, Any], team_id: str | None
) -> None:
    whole = envelope(**changes)
    assert parse(whole).team_id == team_id
    assert peek_routing(json.dumps(whole).encode()) == (team_id, "A0MDYCDME")


@pytest.mark.parametrize(
    ("changes", "is_ext_shared"),
    [
        ({}, False),
        ({"is_ext_shared_channel": None}, False),
        ({"is_ext_shared_channel": False}, False),
        ({"is_ext_shared_channel": True}, True),
        ({"is_ext_shared_channel": "true"}, True),
    ],
)
def test_anything_but_a_plain_no_says_that_others_hear_it(changes: dict[str, Any], is_ext_shared: bool) -> None:
    assert parse(envelope(**changes)).is_ext_shared is is_ext_shared


@pytest.mark.parametrize(
    ("changes", "team_id"),
    [
        ({}, None),
        ({"team": "T1"}, "T1"),
        ({"team": "T1", "source_team": "T2"}, "T2"),
        ({"team": "T1", "source_team": "T2", "user_team": "T3"}, "T3"),
        ({"team": {"id": "T1"}, "user_team": 7}, None),
    ],
)
def test_the_authors_workspace_is_read_as_far_as_slack_says_it(changes: dict[str, Any], team_id: str | None) -> None:
    assert parse(envelope(message(**changes))).user_team_id == team_id


@pytest.mark.parametrize(
    ("changes", "enterprise_id"),
    [
        ({}, None),
        ({"enterprise_id": "E2"}, None),
        ({"authorizations": ..., "enterprise_id": "E2"}, "E2"),
        ({"authorizations": [{"team_id": "T1", "enterprise_id": "E1"}], "enterprise_id": "E2"}, "E1"),
    ],
)
def test_the_organization_is_the_installations(changes: dict[str, Any], enterprise_id: str | None) -> None:
    assert parse(envelope(**changes)).enterprise_id == enterprise_id


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"type":"event_callback"', "not JSON"),
        (b"payload=%7B%7D", "not JSON"),
        (b'{"type":"a"} trailing', "not JSON"),
        (b'{"type":"a","x":NaN}', "not JSON"),
        (b'{"type":"a","x":"\xff"}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "Expected `object`"),
        (b'"text"', "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"{}", "`type`"),
        (b'{"type":7}', "$.type"),
        (b'{"type":"url_verification"}', "challenge"),
        (b'{"type":"url_verification","challenge":{}}', "challenge"),
        (b"[" * 900_000, "Expected `object`"),
        (b'{"type":"a","x":' + b"[" * 900_000, "nested too deep"),
        (b'{"type":"a","event":{"type":"b","channel":' + b'{"a":' * 200_000, "nested too deep"),
    ],
)
def test_a_body_that_is_no_envelope_is_malformed(body: bytes, says: str) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_envelope(body)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("whole", "says"),
    [
        (envelope(event_id=...), "event_id"),
        (envelope(event_id=5), "event_id"),
        (envelope(event_id=""), "event_id"),
        (envelope(event_id="Ev\x00"), "event_id"),
        (envelope(event_id="Ev" * 100), "event_id"),
        (envelope() | {"event": ...} and {"type": "event_callback", "event_id": "Ev1"}, "event"),
        (envelope() | {"event": [SECRET_TEXT]}, "$.event"),
        (envelope() | {"event": {"text": SECRET_TEXT}}, "`type`"),
        (envelope(message(type="a b")), "event.type"),
        (envelope(authorizations="T1"), "$.authorizations"),
        (envelope(message(channel=...)), "event.channel"),
        (envelope(message(channel={"id": "C1"})), "event.channel"),
        (envelope(message(ts=1515449522.000016)), "event.ts"),
        (envelope(message(ts=...)), "event.ts"),
        (envelope(message(type="app_mention", channel="C\x001")), "event.channel"),
    ],
)
def test_a_missing_field_is_named_and_the_content_is_not_shown(whole: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_envelope(json.dumps(whole).encode())
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"\xff", b'{"team_id":', b"[" * 900_000, b'{"a":' * 200_000, b"team_id=T1&api_app_id=A1"],
)
def test_peeking_at_garbage_says_nothing(body: bytes) -> None:
    assert peek_routing(body) == (None, None)


def test_peeking_takes_only_plain_ids() -> None:
    assert peek_routing(b'{"team_id":"T\\u0000","api_app_id":["A1"]}') == (None, None)
    assert peek_routing(b'{"team_id":"T1","authorizations":{"0":1}}') == ("T1", None)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(body=st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_body_leads_to_another_exception(body: bytes) -> None:
    peek_routing(body)
    with contextlib.suppress(MalformedBodyError):
        parse_envelope(body)


@given(
    event=st.dictionaries(
        st.sampled_from(
            [
                "subtype",
                "channel",
                "channel_id",
                "user",
                "ts",
                "thread_ts",
                "text",
                "item",
                "message",
                "previous_message",
            ]
        ),
        JSON_VALUES,
    ),
    event_type=st.sampled_from(["message", "app_mention", "reaction_added", "channel_rename"]),
)
def test_any_event_is_read_or_malformed_and_has_a_plain_lane(event: dict[str, Any], event_type: str) -> None:
    try:
        parsed = parse(envelope({**event, "type": event_type}))
    except MalformedBodyError:
        return
    lane = get_lane(parsed)
    assert lane.isascii()
    assert lane.isprintable()
    assert len(lane) <= 257


@pytest.mark.parametrize("odd", ["", " ", 1.5, [SECRET_TEXT], {}, "x" * 200])
@pytest.mark.parametrize("name", ["user", "bot_id", "app_id", "thread_ts", "parent_user_id", "channel_type"])
def test_what_is_odd_and_not_needed_is_as_good_as_absent(name: str, odd: Any) -> None:
    field = {"user": "user_id", "parent_user_id": "parent_user_id"}.get(name, name)
    event = parse(envelope(message(**{name: odd})))
    assert getattr(event, field) is None
    assert event.channel_id is not None


def test_a_message_whose_text_is_none_has_none() -> None:
    assert parse(envelope(message(text=[SECRET_TEXT]))).text == ""


EDITED = {"user": "U1", "bot_id": "B1", "app_id": "A1", "text": "new"}


@pytest.mark.parametrize(
    "changes",
    [
        {"subtype": "message_changed", "message": EDITED, "previous_message": {"user": "U2", "text": "old"}},
        {"subtype": "message_changed", "message": "broken", "previous_message": EDITED},
        {"subtype": "message_deleted", "previous_message": EDITED},
    ],
)
def test_an_edit_is_of_the_one_whose_message_it_is(changes: dict[str, Any]) -> None:
    event = parse(envelope(message(user=..., text=..., **changes)))
    assert (event.user_id, event.bot_id, event.app_id, event.text) == ("U1", "B1", "A1", "new")


PANE = {"user_id": "U1", "channel_id": "D1", "thread_ts": "1.1", "context": {"channel_id": "C2"}}
LOOKED_AT = {"entities": [{"type": "slack#/types/list_id", "value": "F1"}, {"type": CHANNEL_ENTITY, "value": "C2"}]}


@pytest.mark.parametrize("kind", sorted(PANE_EVENTS))
def test_a_conversation_in_the_pane_has_its_place_in_a_lane_that_waits_for_no_answer(kind: str) -> None:
    event = parse(envelope({"type": kind, "assistant_thread": PANE}))
    assert (event.channel_id, event.thread_ts, event.ts, event.user_id) == ("D1", "1.1", None, "U1")
    assert event.viewed_channel_id == "C2"
    assert get_lane(event) == "pane:D1:1.1"


@pytest.mark.parametrize("odd", [None, [], "x", 1, {}, {"channel_id": 1, "thread_ts": [], "context": "x"}])
def test_a_pane_that_cannot_be_read_is_nowhere(odd: Any) -> None:
    event = parse(envelope({"type": "assistant_thread_started", "assistant_thread": odd}))
    assert (event.channel_id, event.thread_ts, event.viewed_channel_id) == (None, None, None)


@pytest.mark.parametrize("kind", sorted(STOP_EVENTS))
def test_a_stop_does_not_wait_behind_the_answer_that_it_is_to_stop(kind: str) -> None:
    event = parse(envelope({"type": kind, "channel": "C1", "thread_ts": "1.1", "user": "U1"}))
    assert get_lane(event) == "stop:C1:1.1"
    assert get_lane(parse(envelope({"type": kind}))) == "stop:-:-"


@pytest.mark.parametrize("name", ["app_context", "context"])
def test_what_a_person_looks_at_is_read_beside_a_message_and_an_event(name: str) -> None:
    event = parse(envelope(message(tab="messages", **{name: LOOKED_AT})))
    assert (event.viewed_channel_id, event.tab) == ("C2", "messages")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {"entities": None},
        {"entities": ["x", None, {"type": CHANNEL_ENTITY}, {"type": CHANNEL_ENTITY, "value": {"id": "C1"}}]},
        {"entities": [{"type": [CHANNEL_ENTITY], "value": "C1"}]},
    ],
)
def test_what_cannot_be_read_of_it_is_not_looked_at(odd: Any) -> None:
    assert find_viewed_channel(odd) is None
    assert parse(envelope(message(app_context=odd, context=odd))).viewed_channel_id is None
