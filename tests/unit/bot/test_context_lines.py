from dataclasses import replace
from typing import Any

import pytest
from bot_fakes import make_connection

from slack_mcp.bot.context_lines import cut_at_silence, list_lines, list_unheard, read_message, read_ms
from slack_mcp.bot.context_spoken import render_time
from slack_mcp.core.ids import Ts, UserId
from slack_mcp.ports.transcript import Thread, ThreadAnswer, ThreadMessage

CONNECTION = make_connection()
MINUTE = 60


def at(second: int) -> Ts:
    return Ts(f"{1_700_000_000 + second}.000000")


ROOT = at(0)


def say(second: int, text: str | None = None, **changes: Any) -> ThreadMessage:
    message = ThreadMessage(
        message_ts=at(second), thread_ts=ROOT, user_id=UserId("UANN"), bot_id=None, text=f"m{second}"
    )
    return replace(message, **changes if text is None else {"text": text, **changes})


def answer(second: int, text: str | None = None, **changes: Any) -> ThreadAnswer:
    made = ThreadAnswer(
        message_ts=at(second),
        user_id=UserId("UANN"),
        question=f"q{second}",
        answer=text or f"a{second}",
        parts=(at(second + 1),),
        ended_at_ms=read_ms(at(second + 2)),
    )
    return replace(made, **changes)


def list_texts(*messages: ThreadMessage, answers: tuple[ThreadAnswer, ...] = ()) -> list[str]:
    return [line.text for line in list_lines(Thread(messages=messages, answers=answers))]


def cut(question: int, *messages: ThreadMessage, answers: tuple[ThreadAnswer, ...] = ()) -> list[str]:
    lines = list_lines(Thread(messages=messages, answers=answers))
    return [line.text for line in cut_at_silence(lines, question_ts=at(question), timeout_s=10 * MINUTE)]


def test_answers_stand_where_they_were_given() -> None:
    texts = list_texts(say(0), say(10), say(12), answers=(answer(0), answer(10, parts=(at(14), at(13)))))
    assert texts == ["m0", "a0", "m10", "m12", "a10"]


def test_an_answer_of_which_no_message_is_known_comes_behind_its_question() -> None:
    assert list_texts(say(0), say(3), answers=(answer(0, parts=()),)) == ["m0", "a0", "m3"]


def test_a_question_that_no_message_says_is_told_as_it_was_asked() -> None:
    assert list_texts(say(5), answers=(answer(0),)) == ["q0", "a0", "m5"]
    own_root = say(0, "UANN asks: q0", is_own=True)
    assert list_texts(own_root, say(5), answers=(answer(0),)) == ["q0", "a0", "m5"]


def test_a_deleted_question_is_not_told_again() -> None:
    assert list_texts(say(0, ""), answers=(answer(0),)) == ["a0"]


def test_a_question_without_an_answer_is_something_that_was_said() -> None:
    unanswered = answer(0, answer=None)
    assert list_texts(say(0), answers=(unanswered,)) == ["m0"]
    assert list_texts(answers=(unanswered,)) == []
    assert list_texts(say(0), answers=(answer(0, answer=""),)) == ["m0"]


def test_what_slack_shows_of_a_turn_is_not_told_beside_its_answer() -> None:
    shown = (say(1, "a0, as Slack has it", is_own=True), say(7, "Sorry", is_own=True), say(9, "Deployed.", is_own=True))
    failed = answer(6, answer=None)
    lines = list_lines(Thread(messages=(say(0), *shown), answers=(answer(0), failed)))
    assert [(line.text, line.is_own, line.is_answer) for line in lines] == [
        ("m0", False, False),
        ("a0", True, True),
        ("Deployed.", True, False),
    ]


def test_a_conversation_ends_with_a_silence() -> None:
    said, answers = (say(0), say(1200), say(1300)), (answer(0), answer(1200))
    assert cut(1400, *said, answers=answers) == ["m1200", "a1200", "m1300"]
    assert cut(1300 + 601, *said, answers=answers) == []
    assert cut(1300 + 599, *said, answers=answers) == ["m1200", "a1200", "m1300"]


def test_what_people_said_among_themselves_belongs_to_the_next_question() -> None:
    said = (say(0), say(5000), say(9000), say(9001))
    assert cut(20_000, *said) == ["m0", "m5000", "m9000", "m9001"]
    assert cut(20_000, *said, answers=(answer(0),)) == ["m5000", "m9000", "m9001"]
    # And to those after it.
    assert cut(20_100, *said, say(20_000), answers=(answer(0), answer(20_000))) == [
        *("m5000", "m9000", "m9001"),
        *("m20000", "a20000"),
    ]


def test_an_agent_that_takes_its_time_is_not_silent() -> None:
    slow = answer(0, ended_at_ms=read_ms(at(1500)))
    assert cut(1510, say(0), say(30), answers=(slow,)) == ["m0", "a0", "m30"]


def test_what_an_agent_has_not_heard_is_what_was_said_since_it_was_asked() -> None:
    answers = (answer(0), answer(20), answer(40, answer=None))
    thread = Thread(messages=(say(0), say(5), say(20), say(21), say(30, is_own=True), say(40)), answers=answers)
    assert [line.text for line in list_unheard(list_lines(thread), answers)] == ["m21", "m30", "m40"]
    unanswered = replace(thread, answers=())
    assert [line.text for line in list_unheard(list_lines(unanswered), ())][:2] == ["m0", "m5"]


def test_a_message_is_read_with_all_that_it_says() -> None:
    raw = {
        "ts": at(1),
        "user": "UANN",
        "text": "look <@UBOB>\0\ud83d",
        "attachments": [{"text": "shared"}],
        "files": [{"id": "F1", "name": "a.txt", "mimetype": "text/plain"}],
    }
    assert read_message(CONNECTION, raw, thread_ts=ROOT) == say(
        1, "look <@UBOB>?\nshared\n[file: a.txt (text/plain, F1)]"
    )


@pytest.mark.parametrize(
    ("author", "is_own", "name"),
    [
        ({"user": "UANN", "username": "not a bot"}, False, None),
        ({"user": "UBOT"}, True, None),
        ({"bot_id": "BBOT", "username": "Me"}, True, "Me"),
        ({"bot_id": "B2", "app_id": "ABOT"}, True, None),
        ({"bot_id": "B2", "app_id": "A2", "subtype": "bot_message", "username": "Deploy"}, False, "Deploy"),
        ({"bot_id": "B2", "bot_profile": {"name": "Profile"}}, False, "Profile"),
    ],
)
def test_its_author_is_read(author: dict[str, str], is_own: bool, name: str | None) -> None:
    message = read_message(CONNECTION, {"ts": at(1), "text": "x", **author}, thread_ts=ROOT)
    assert message is not None
    assert (message.is_own, message.name) == (is_own, name)
    assert (message.user_id, message.bot_id) == (author.get("user"), author.get("bot_id"))


@pytest.mark.parametrize(
    "raw",
    [
        {"ts": at(1), "text": ""},
        {"text": "no ts"},
        {"ts": at(1), "subtype": "channel_join", "text": "<@UANN> has joined"},
        {"ts": at(1), "subtype": "tombstone", "text": "This message was deleted."},
    ],
)
def test_what_nobody_said_is_no_message(raw: dict[str, str]) -> None:
    assert read_message(CONNECTION, raw, thread_ts=ROOT) is None


def test_when_something_was_said_is_told_as_far_as_it_is_known() -> None:
    assert [render_time(each) for each in (ROOT, "99999999999999999.0")] == ["2023-11-14 22:13Z", ""]


def test_a_ts_is_read_in_milliseconds() -> None:
    assert [read_ms(each) for each in ("1700000000.123456", "1.5", "1", "x.1", "", "1.x")] == [
        *(1_700_000_000_123, 1_500, 1_000),
        *(0, 0, 1_000),
    ]
