from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.interactions.cards import (
    MAX_OPTION_CHARS,
    MAX_TEXT_CHARS,
    check_texts,
    read_option,
    render_form,
    render_message,
)
from slack_mcp.ports.questions import Answer, Question, QuestionState
from slack_mcp.simulator.blocks import measure_text, validate_blocks, validate_view

LANGUAGES = ("en", "pt-BR")
QUESTION = Question(
    connection_id=ConnectionId("conn_1"),
    question_id="Q1",
    channel_id=ChannelId("C1"),
    thread_ts=None,
    message_ts=Ts("1.0001"),
    asked_by="key_1",
    text="Ship <!channel> it?",
    options=("Yes", "No"),
    has_form=True,
    answerers=(UserId("UANN"), UserId("UBOB")),
    quorum=2,
    state=QuestionState.OPEN,
    expires_at_ms=1_800_000_000_000,
    created_at_ms=1_700_000_000_000,
)


def buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for block in message["blocks"] if block["type"] == "actions" for each in block["elements"]]


def test_an_open_question_has_its_buttons_and_names_who_may_answer() -> None:
    message = render_message(QUESTION, "en")
    assert [each["text"]["text"] for each in buttons(message)] == ["Yes", "No", "In my own words"]
    assert {each["value"] for each in buttons(message)} == {"Q1"}
    assert "For <@UANN> <@UBOB>" in str(message["blocks"])


def test_what_a_model_asks_mentions_nobody() -> None:
    message = render_message(QUESTION, "en")
    assert "<!channel>" not in str(message)
    assert "<!channel>" not in str(render_form(QUESTION, "en"))


def test_an_answer_mentions_nobody_but_who_gave_it() -> None:
    given_answer = Answer(user_id=UserId("UANN"), answer="<!here> <@UEVE>", answered_at_ms=1_700_000_000_000)
    message = render_message(replace(QUESTION, state=QuestionState.ANSWERED, answers=(given_answer,)), "en")
    assert "<@UANN>: &lt;!here&gt; &lt;@UEVE&gt; (<!date^1700000000^" in str(message)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", [QuestionState.ANSWERED, QuestionState.EXPIRED, QuestionState.CANCELLED])
def test_a_closed_question_has_no_buttons_and_says_how_it_ended(state: QuestionState, language: str) -> None:
    message = render_message(replace(QUESTION, state=state), language)
    assert buttons(message) == []
    assert message["blocks"][-1]["type"] == "context"


@given(
    text=st.text(min_size=1, max_size=MAX_TEXT_CHARS).filter(lambda text: text.strip()),
    options=st.lists(st.text(min_size=1, max_size=MAX_OPTION_CHARS), max_size=25),
    answers=st.lists(st.text(max_size=3_000), max_size=50),
    state=st.sampled_from(list(QuestionState)),
    language=st.sampled_from(LANGUAGES),
)
def test_whatever_may_be_asked_fits_into_what_slack_takes(
    text: str, options: list[str], answers: list[str], state: QuestionState, language: str
) -> None:
    try:
        check_texts(text, options)
    except InvalidInputError:
        return
    question = replace(
        QUESTION,
        text=text,
        options=tuple(options),
        state=state,
        answerers=tuple(UserId(f"U{number:010}") for number in range(50)),
        answers=tuple(
            Answer(user_id=UserId(f"U{number:010}"), answer=each, answered_at_ms=0)
            for number, each in enumerate(answers)
        ),
    )
    message = render_message(question, language)
    assert validate_blocks(message["blocks"]) == []
    assert measure_text(message["blocks"]) < 11_000
    assert len(message["text"]) < 4_000
    assert all(len(each["text"]["text"]) <= 3_000 for each in message["blocks"] if each["type"] == "section")
    assert all(len(each["elements"][0]["text"]) <= 3_000 for each in message["blocks"] if each["type"] == "context")
    assert validate_view(render_form(question, language)) == []


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (" \n", []),
        ("x" * (MAX_TEXT_CHARS + 1), []),
        ("&" * (MAX_TEXT_CHARS // 4), []),
        ("?", ["a", "a"]),
        ("?", [" "]),
        ("?", ["x" * (MAX_OPTION_CHARS + 1)]),
        ("?", [str(number) for number in range(26)]),
    ],
)
def test_what_slack_would_not_show_whole_is_refused(text: str, options: list[str]) -> None:
    with pytest.raises(InvalidInputError):
        check_texts(text, options)


@pytest.mark.parametrize(
    "action", ["slack_mcp_answer_2", "slack_mcp_answer_-1", "slack_mcp_answer_", "x", "²", "9" * 99]
)
def test_an_action_names_an_option_only_if_the_stored_question_has_it(action: str) -> None:
    assert read_option(QUESTION, "slack_mcp_answer_1") == "No"
    assert read_option(QUESTION, action) is None
