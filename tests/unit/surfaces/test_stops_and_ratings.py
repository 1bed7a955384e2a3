import json
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
from bot_fakes import make_claim, make_connection
from surface_fakes import ClickDesk, Surfaces, make_journalled

from slack_mcp.core.errors import SlackRefusedError, SlackUnavailableError, StoreUnavailableError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Connection, Outcome
from slack_mcp.inbox.forms import INTERACTION
from slack_mcp.ports.interactions import InstantAnswer
from slack_mcp.ports.surfaces import Rating
from slack_mcp.protocol.interactions import Interaction, parse_form
from slack_mcp.simulator.blocks import validate_blocks
from slack_mcp.surfaces.buttons import FEEDBACK_ACTION, STOP_ACTION, render_feedback_block, render_stop_button
from slack_mcp.surfaces.clicks import STOP_TIMEOUT_S, AnswerClicks
from slack_mcp.surfaces.stops import MAX_AGE_S

pytestmark = pytest.mark.anyio

ROOT, ANSWER = "1700000200.000100", "1700000200.000300"


def make_click(action_id: str, value: str | None = None, **changes: Any) -> bytes:
    payload = {
        "type": "block_actions",
        "team": {"id": "T1"},
        "user": {"id": "UANN"},
        "container": {"message_ts": ANSWER, "channel_id": "C1", "thread_ts": ROOT},
        "actions": [{"action_id": action_id, "value": value}],
        "response_url": "https://hooks.slack.com/actions/1",
    }
    return urlencode({"payload": json.dumps(payload | changes)}).encode()


def connect() -> Connection:
    return make_connection(team_id="T1")


async def answer(desk: ClickDesk, body: bytes) -> InstantAnswer:
    form = parse_form(body)
    assert isinstance(form, Interaction)
    return await desk.router.answer_now(connect(), form)


async def handle(desk: ClickDesk, body: bytes) -> Outcome:
    journalled = make_journalled(connect(), body, event_type=INTERACTION)
    return await desk.router.handle(connect(), journalled, make_claim())


async def stop_session(surfaces: Surfaces, *, age_s: float = 0, **changes: Any) -> Outcome:
    event = {"type": "agent_session_stopped", "channel": "C1", "thread_ts": ROOT, "user": "UANN"} | changes
    body = {"type": "event_callback", "team_id": "T1", "event_id": "EvSTOP", "event": event}
    journalled = make_journalled(
        connect(),
        json.dumps(body).encode(),
        event_type="agent_session_stopped",
        received_at_s=surfaces.clock.now_s() - age_s,
    )
    return await surfaces.handler.handle(connect(), journalled, make_claim())


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_the_buttons_are_blocks_that_slack_takes(language: str) -> None:
    blocks = [render_stop_button(language), render_feedback_block(language)]
    assert validate_blocks(blocks) == []
    (stop,) = blocks[0]["elements"]
    (rate,) = blocks[1]["elements"]
    assert (stop["action_id"], rate["action_id"]) == (STOP_ACTION, FEEDBACK_ACTION)
    assert {rate[name]["value"] for name in ("positive_button", "negative_button")} == set(Rating)
    for name in ("positive_button", "negative_button"):
        assert len(rate[name]["text"]["text"]) <= 75
        assert rate[name]["accessibility_label"]


async def test_a_click_stops_the_answer_before_it_is_acknowledged() -> None:
    desk = ClickDesk()
    desk.stops.running.add(ANSWER)
    assert (await answer(desk, make_click(STOP_ACTION))).skip_reason == "stop_requested"
    assert desk.stops.asked == [("conn_1", "C1", ANSWER)]


async def test_an_answer_that_has_ended_cannot_be_stopped_any_more() -> None:
    assert (await answer(ClickDesk(), make_click(STOP_ACTION))).skip_reason == "nothing_to_stop"


async def test_a_click_that_the_database_does_not_take_now_stops_the_answer_later() -> None:
    desk = ClickDesk()
    desk.stops.running.add(ANSWER)
    desk.stops.error = StoreUnavailableError("gone")
    click = make_click(STOP_ACTION)
    assert (await answer(desk, click)) == InstantAnswer()
    with pytest.raises(StoreUnavailableError):
        await handle(desk, click)
    desk.stops.error = None
    assert (await handle(desk, click)).reason == "stop_requested"
    assert (await handle(desk, make_click(STOP_ACTION, container={}))).reason == "nothing_to_stop"


class NeverStops:
    async def request_stop(self, connection_id: ConnectionId, channel_id: ChannelId, ts: Ts) -> bool:
        await anyio.sleep_forever()
        raise AssertionError


async def test_slack_does_not_wait_for_a_database_that_does_not_answer() -> None:
    desk = ClickDesk()
    clicks = AnswerClicks(stops=NeverStops(), ratings=desk.ratings, replies=desk.replies, languages=desk.languages)
    form = parse_form(make_click(STOP_ACTION))
    assert isinstance(form, Interaction)
    with anyio.fail_after(STOP_TIMEOUT_S + 4):
        assert await clicks.answer_now(connect(), form) == InstantAnswer()


async def test_a_rating_is_kept_and_thanked_for_in_the_persons_language_and_may_change() -> None:
    desk = ClickDesk()
    desk.ratings.answers.add(ANSWER)
    desk.languages.by_user["UANN"] = "pt-BR"
    for rating in (Rating.GOOD, Rating.BAD):
        click = make_click(FEEDBACK_ACTION, rating.value)
        assert (await answer(desk, click)) == InstantAnswer()
        assert (await handle(desk, click)).reason == "rated"
        assert desk.ratings.kept == {("conn_1", "C1", ANSWER, "UANN"): rating}
    assert desk.replies.told == [("UANN", "Obrigado, está anotado.", ROOT)] * 2


@pytest.mark.parametrize(
    ("click", "reason"),
    [
        (make_click(FEEDBACK_ACTION, "good"), "unknown_answer"),
        (make_click(FEEDBACK_ACTION, "splendid"), "unknown_rating"),
        (make_click(FEEDBACK_ACTION), "unknown_rating"),
        (make_click(FEEDBACK_ACTION, "good", container={}), "unknown_rating"),
        (make_click(FEEDBACK_ACTION, "good", team={"id": "T2"}), "other_workspace"),
        (make_click("somebody_elses"), "unknown_interaction"),
        (b"payload=nonsense", "unknown_interaction"),
        (urlencode({"command": "/x", "channel_id": "C1", "user_id": "UANN"}).encode(), "unknown_interaction"),
    ],
)
async def test_a_click_on_no_answer_changes_nothing_and_thanks_nobody(click: bytes, reason: str) -> None:
    desk = ClickDesk()
    outcome = await handle(desk, click)
    assert (outcome.state.value, outcome.reason) == ("skipped", reason)
    assert (desk.ratings.kept, desk.replies.told) == ({}, [])


async def test_slacks_own_stop_button_stops_the_threads_answer_and_ends_the_session() -> None:
    surfaces = Surfaces()
    surfaces.stops.running.add(ROOT)
    assert (await stop_session(surfaces)).reason == "stop_requested"
    assert surfaces.stops.asked == [("conn_1", "C1", ROOT)]
    (status,) = surfaces.web.list_calls("agents.sessions.setStatus")
    assert status == {"channel_id": "C1", "thread_ts": ROOT, "status": "active"}


async def test_a_session_is_ended_also_when_nothing_is_left_to_stop_or_slack_refuses() -> None:
    surfaces = Surfaces()
    surfaces.web.errors["agents.sessions.setStatus"] = [SlackRefusedError("agents.sessions.setStatus", "not_found")]
    assert (await stop_session(surfaces)).reason == "nothing_to_stop"
    assert len(surfaces.web.list_calls("agents.sessions.setStatus")) == 1


async def test_a_session_that_could_not_be_ended_is_ended_later() -> None:
    surfaces = Surfaces()
    surfaces.web.errors["agents.sessions.setStatus"] = [SlackUnavailableError("agents.sessions.setStatus", "timeout")]
    with pytest.raises(SlackUnavailableError):
        await stop_session(surfaces)
    await stop_session(surfaces)
    assert len(surfaces.web.list_calls("agents.sessions.setStatus")) == 2


async def test_an_old_stop_does_not_stop_the_threads_next_answer() -> None:
    surfaces = Surfaces()
    surfaces.stops.running.add(ROOT)
    assert (await stop_session(surfaces, age_s=MAX_AGE_S + 1)).reason == "nothing_to_stop"
    assert surfaces.stops.asked == []
