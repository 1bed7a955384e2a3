import json
from typing import Any
from urllib.parse import urlencode

import pytest
from bot_fakes import make_claim, make_connection
from hypothesis import example, given
from hypothesis import strategies as st
from surface_fakes import ClickDesk, make_journalled

from slack_mcp.core.errors import (
    MissingScopeError,
    OverloadedError,
    SlackMcpError,
    SlackRefusedError,
    SlackUnavailableError,
)
from slack_mcp.core.ids import ChannelId, Ts, UserId
from slack_mcp.core.model import Connection, ConnectionSettings, JournalledEvent, Outcome, Speaking
from slack_mcp.inbox.forms import INTERACTION
from slack_mcp.interactions.about import CALLBACK, FORM_CALLBACK, About, read_form, read_shortcut, render_form
from slack_mcp.ports.interactions import InstantAnswer
from slack_mcp.protocol.interactions import Interaction, parse_form
from slack_mcp.simulator.blocks import validate_view

pytestmark = pytest.mark.anyio

MESSAGE = {"ts": "1700000100.000300", "thread_ts": "1700000100.000100", "user": "UBOB", "text": "Deploys are &lt;b&gt;"}
QUESTION = "Who <!channel> does & why?"


def encode(payload: dict[str, Any]) -> bytes:
    base = {"team": {"id": "T1"}, "user": {"id": "UANN"}, "api_app_id": "A1"}
    return urlencode({"payload": json.dumps(base | payload)}).encode()


def make_shortcut(message: dict[str, Any] | None = None, **changes: Any) -> bytes:
    payload = {
        "type": "message_action",
        "callback_id": CALLBACK,
        "trigger_id": "1.2",
        "channel": {"id": "C1"},
        "message": MESSAGE if message is None else message,
        "response_url": "https://hooks.slack.com/app/1",
    }
    return encode(payload | changes)


def make_form(about: About, question: str = QUESTION, **changes: Any) -> bytes:
    view = {
        "callback_id": FORM_CALLBACK,
        "private_metadata": render_form(about, "en")["private_metadata"],
        "state": {"values": {"question": {"text": {"value": question}}}},
    }
    return encode({"type": "view_submission", "view": view} | changes)


def parse(body: bytes) -> Interaction:
    form = parse_form(body)
    assert isinstance(form, Interaction)
    return form


def read_about(body: bytes) -> About:
    about = read_shortcut(parse(body))
    assert about is not None
    return about


def connect(**settings: Any) -> Connection:
    return make_connection(team_id="T1", settings=ConnectionSettings(**settings))


def journal(body: bytes, *, redone: bool = False) -> JournalledEvent:
    return make_journalled(connect(), body, event_type=INTERACTION, redone=redone)


async def handle(desk: ClickDesk, body: bytes, *, redone: bool = False, **settings: Any) -> Outcome:
    return await desk.router.handle(connect(**settings), journal(body, redone=redone), make_claim())


async def test_the_shortcut_opens_a_form_that_carries_the_message() -> None:
    desk = ClickDesk()
    shortcut = make_shortcut()
    assert (await desk.router.answer_now(connect(), parse(shortcut))).skip_reason == "form_opened"
    (opened,) = desk.web.list_calls("views.open")
    assert opened["trigger_id"] == "1.2"
    assert validate_view(opened["view"]) == []
    assert read_form(parse(encode({"type": "view_submission", "view": opened["view"]}))) == About(
        channel_id=ChannelId("C1"),
        ts=Ts(MESSAGE["ts"]),
        thread_ts=Ts(MESSAGE["thread_ts"]),
        author="UBOB",
        quoted="Deploys are &lt;b&gt;",
        response_url="https://hooks.slack.com/app/1",
    )


async def test_a_question_is_posted_in_the_messages_thread_and_asked_with_the_message_as_data() -> None:
    desk = ClickDesk()
    outcome = await handle(desk, make_form(read_about(make_shortcut())))
    assert (outcome.state.value, outcome.reason) == ("done", "asked_about_message")
    (posted,) = desk.web.list_calls("chat.postMessage")
    assert (posted["channel"], posted["thread_ts"]) == ("C1", MESSAGE["thread_ts"])
    assert posted["text"] == "<@UANN> asks: Who &lt;!channel&gt; does &amp; why?"
    assert desk.read_asked() == {
        "channel": "C1",
        "thread_ts": MESSAGE["thread_ts"],
        "ts": "1700000300.000100",
        "user": "UANN",
        "text": "<@UBOT> Who &lt;!channel&gt; does &amp; why?",
        "attachments": [
            {
                "author_name": "<@UBOB>",
                "text": "Deploys are &lt;b&gt;",
                "channel_id": "C1",
                "ts": MESSAGE["ts"],
            }
        ],
    }
    (mention,) = desk.journal.taken
    assert mention.lane == f"C1:{MESSAGE['thread_ts']}"
    assert desk.woken == ["woken"]


async def test_the_answer_to_a_question_about_a_threads_root_belongs_below_it() -> None:
    desk = ClickDesk()
    await handle(desk, make_form(read_about(make_shortcut({"ts": "1.1", "bot_id": "BOTHER", "text": "Hi"}))))
    asked = desk.read_asked()
    assert asked is not None
    assert asked["thread_ts"] == "1.1"
    assert asked["attachments"][0]["author_name"] == "BOTHER"


async def test_a_question_that_was_posted_by_an_earlier_run_is_asked_once() -> None:
    desk = ClickDesk()
    form = make_form(read_about(make_shortcut()))
    await handle(desk, form)
    (posted,) = desk.web.list_calls("chat.postMessage")
    desk.web.answers["conversations.replies"] = {
        "messages": [{"ts": "1700000300.000100", "user": "UBOT", "metadata": posted["metadata"]}]
    }
    assert (await handle(desk, form, redone=True)).reason == "asked_about_message"
    assert len(desk.web.list_calls("chat.postMessage")) == 1
    assert len(desk.journal.taken) == 1
    assert desk.woken == ["woken"]


async def test_a_question_without_words_stays_in_the_form() -> None:
    desk = ClickDesk()
    form = make_form(read_about(make_shortcut()), " \n")
    answer = await desk.router.answer_now(connect(language="pt-BR"), parse(form))
    assert answer == InstantAnswer(
        body={"response_action": "errors", "errors": {"question": "Por favor, escreva alguma coisa."}},
        is_journalled=False,
    )
    assert (await handle(desk, form)).reason == "no_question"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allowed_channels": (ChannelId("C2"),)}, "I do not answer in this channel."),
        ({"speaking": Speaking(denied_users=(UserId("UANN"),))}, "I am not set up to answer you."),
    ],
)
async def test_who_or_where_is_not_answered_is_told_so_and_sees_no_form(settings: dict[str, Any], said: str) -> None:
    desk = ClickDesk()
    shortcut = make_shortcut()
    assert await desk.router.answer_now(connect(**settings), parse(shortcut)) == InstantAnswer()
    await handle(desk, shortcut, **settings)
    await handle(desk, make_form(read_about(shortcut)), **settings)
    assert desk.replies.told == [("UANN", said, MESSAGE["thread_ts"])] * 2
    assert (desk.web.calls, desk.journal.taken) == ([], [])


async def test_what_another_organization_would_hear_is_not_asked() -> None:
    desk = ClickDesk()
    form = make_form(read_about(make_shortcut()))
    desk.web.answers["conversations.info"] = {"channel": {"is_ext_shared": True}}
    assert (await handle(desk, form)).reason == "external_not_allowed"
    desk.web.errors["conversations.info"] = [MissingScopeError("conversations.info", "channels:read")]
    assert (await handle(desk, form)).reason == "external_not_allowed"
    assert ["shared with another" in text for _, text, _ in desk.replies.told] == [True, True]
    assert "channels:read" in desk.replies.told[1][1]
    assert desk.journal.taken == []


async def test_where_the_bot_may_not_write_the_person_is_told_so() -> None:
    desk = ClickDesk()
    desk.web.errors["chat.postMessage"] = [SlackRefusedError("chat.postMessage", "not_in_channel")]
    assert (await handle(desk, make_form(read_about(make_shortcut())))).reason == "cannot_write"
    assert "invite me to the channel first" in desk.replies.told[0][1]
    assert desk.journal.taken == []


async def test_a_form_that_slack_does_not_open_is_told_to_the_person() -> None:
    desk = ClickDesk()
    desk.web.errors["views.open"] = [SlackRefusedError("views.open", "expired_trigger_id")]
    shortcut = make_shortcut()
    assert await desk.router.answer_now(connect(), parse(shortcut)) == InstantAnswer()
    assert (await handle(desk, shortcut)).reason == "form_failed"
    assert desk.replies.told == [("UANN", "The form could not be opened. Please click again.", MESSAGE["thread_ts"])]


async def test_an_outage_is_tried_again_and_told_in_the_end() -> None:
    desk = ClickDesk()
    desk.web.errors["chat.postMessage"] = [SlackUnavailableError("chat.postMessage", "timeout")]
    form = make_form(read_about(make_shortcut()))
    with pytest.raises(SlackUnavailableError):
        await handle(desk, form)
    error: SlackMcpError = OverloadedError("too much")
    for body in (form, make_shortcut(), b"payload={}", encode({"type": "view_submission"})):
        await desk.router.give_up(connect(), journal(body), make_claim(), error)
    assert ["`EvSURFACE`" in text for _, text, _ in desk.replies.told] == [True, True]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (make_shortcut(team={"id": "T2"}), "other_workspace"),
        (make_shortcut(callback_id="somebody_elses"), "unknown_interaction"),
        (make_shortcut(channel=None), "unknown_message"),
        (encode({"type": "view_submission", "view": {"callback_id": FORM_CALLBACK}}), "unknown_message"),
        (
            encode({"type": "view_submission", "view": {"callback_id": FORM_CALLBACK, "private_metadata": "{}"}}),
            "unknown_message",
        ),
        (b"nonsense", "unknown_interaction"),
    ],
)
async def test_what_is_about_no_message_of_this_workspace_is_skipped(body: bytes, reason: str) -> None:
    desk = ClickDesk()
    outcome = await handle(desk, body)
    assert (outcome.state.value, outcome.reason) == ("skipped", reason)
    assert (desk.web.calls, desk.replies.told) == ([], [])


async def test_a_shortcut_of_another_workspace_or_to_a_disabled_bot_opens_nothing() -> None:
    desk = ClickDesk()
    other = parse(make_shortcut(team={"id": "T2"}))
    assert (await desk.router.answer_now(connect(), other)).skip_reason == "other_workspace"
    disabled = make_connection(team_id="T1", disabled=True)
    assert await desk.router.answer_now(disabled, parse(make_shortcut())) == InstantAnswer()
    assert desk.web.calls == []


async def test_suggestions_for_somebody_elses_menu_are_none_and_other_clicks_are_nobodys() -> None:
    desk = ClickDesk()
    menu = await desk.router.answer_now(connect(), parse(encode({"type": "block_suggestion"})))
    assert menu == InstantAnswer(body={"options": []}, is_journalled=False)
    other = await desk.router.answer_now(connect(), parse(encode({"type": "shortcut", "callback_id": "x"})))
    assert other.skip_reason == "unknown_interaction"


@example("\x01" * 9_000, "en")
@given(st.text(max_size=9_000), st.sampled_from(["en", "pt-BR"]))
def test_a_message_of_any_length_fits_beside_the_form(quoted: str, language: str) -> None:
    about = About(channel_id=ChannelId("C1"), ts=Ts("1.1"), quoted=quoted, response_url="https://x/" + "y" * 480)
    view = render_form(about, language)
    assert validate_view(view) == []
    carried = read_form(parse(encode({"type": "view_submission", "view": view})))
    assert carried is not None
    assert carried.response_url == about.response_url
    assert quoted.startswith(carried.quoted.removesuffix("…"))
