import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import make_connection

from slack_mcp.connections.scopes import FEATURES, Feature
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Claim, EventState, JournalledEvent
from slack_mcp.names.feed import CHANNEL_EVENTS, NAME_EVENTS, USER_EVENTS, NameFeed, read_changes
from slack_mcp.ports.names import NameChange, NameKind

CONN = ConnectionId("conn_1")
CONNECTION = make_connection(CONN)


class Announcer:
    def __init__(self) -> None:
        self.heard: list[NameChange] = []
        self.error: Exception | None = None

    async def announce(self, change: NameChange) -> None:
        if self.error is not None:
            raise self.error
        self.heard.append(change)


def make_event(payload: bytes) -> JournalledEvent:
    return JournalledEvent(
        id=1,
        connection_id=CONN,
        event_id=EventId("Ev1"),
        event_time=1_800_000_000,
        lane="-:user_change",
        event_type="user_change",
        payload=payload,
        attempts=0,
        received_at_ms=0,
        redone=False,
    )


CLAIM = Claim(lane_id=1, fence=1, connection_id=CONN, lane="-", takeovers=0, events=())


def wrap(event: Any) -> bytes:
    return json.dumps({"type": "event_callback", "event": event}).encode()


@pytest.mark.parametrize("event_type", sorted(NAME_EVENTS))
def test_every_event_says_whose_name_is_new(event_type: str) -> None:
    kind, of_id = (NameKind.CHANNEL, "C0123") if event_type in CHANNEL_EVENTS else (NameKind.USER, "U0123")
    field = kind.value
    for value in (of_id, {"id": of_id, "name": "new"}):
        assert read_changes(CONNECTION, wrap({"type": event_type, field: value})) == (
            NameChange(connection_id=CONN, kind=kind, id=of_id),
        )


def test_channel_with_a_new_id_is_forgotten_by_both() -> None:
    event = {"type": "channel_id_changed", "old_channel_id": "G01", "new_channel_id": "C02"}
    assert [each.id for each in read_changes(CONNECTION, wrap(event))] == ["G01", "C02"]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message", "channel": "C1"},
        {"type": "channel_rename"},
        {"type": "channel_rename", "channel": {"id": 7}},
        {"type": "user_change", "user": {"id": ""}},
        {"type": "user_change", "user": {"id": "U1'); --"}},
        {"type": "user_change", "user": "U" * 65},
        {"type": "user_change", "user": ["U1"]},
        [],
        None,
    ],
)
def test_what_says_nothing_of_a_name_changes_nothing(event: Any) -> None:
    assert read_changes(CONNECTION, wrap(event)) == ()


@given(
    st.binary(max_size=200) | st.sampled_from(sorted(USER_EVENTS)).map(lambda each: wrap({"type": each, "user": {}}))
)
def test_no_body_is_too_strange(payload: bytes) -> None:
    assert read_changes(CONNECTION, payload) == ()


@pytest.mark.anyio
async def test_news_are_announced_and_tried_again_when_that_failed() -> None:
    announcer = Announcer()
    feed = NameFeed(announcer=announcer)
    event = make_event(wrap({"type": "user_change", "user": {"id": "U0123"}}))
    outcome = await feed.handle(CONNECTION, event, CLAIM)
    assert outcome.state is EventState.DONE
    assert announcer.heard == [NameChange(connection_id=CONN, kind=NameKind.USER, id="U0123")]
    assert (await feed.handle(CONNECTION, make_event(b"{}"), CLAIM)).state is EventState.SKIPPED
    announcer.error = StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        await feed.handle(CONNECTION, event, CLAIM)
    await feed.give_up(CONNECTION, event, CLAIM, StoreUnavailableError("gone"))


def test_the_apps_manifest_asks_for_events_that_are_worked_on() -> None:
    assert set(FEATURES[Feature.TOOLS].bot_events) <= NAME_EVENTS
