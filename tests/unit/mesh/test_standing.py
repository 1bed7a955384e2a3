from collections.abc import Mapping
from typing import Any

import pytest

from slack_mcp.core.errors import MeshUnavailableError
from slack_mcp.mesh.standing import Standing, find_reply, find_standing, is_spoiled
from slack_mcp.ports.mesh import MeshTurn

TURN = MeshTurn(thread_id="slack-1", message_id="slack-1-Ev1", agent_id="vir_1", question="?")


def said(message_id: str, role: str, text: str = "") -> Mapping[str, Any]:
    return {"id": message_id, "role": role, "parts": [{"type": "text", "text": text}]}


EARLIER = [said("slack-1-Ev0", "user", "?"), said("msg_0", "assistant", "Zero.")]
OWN = said("slack-1-Ev1", "user", "?")
FILE = {
    "id": "slack-1-Ev5",
    "role": "user",
    "parts": [{"type": "text", "text": "?"}, {"type": "file", "url": "data:,x"}],
}


def test_new_question_is_posted_under_its_own_id() -> None:
    standing = find_standing(TURN, EARLIER, "completed")
    assert standing == Standing(
        message_id="slack-1-Ev1", reply=None, is_running=False, earlier_ids=frozenset({"slack-1-Ev0", "msg_0"})
    )


def test_question_waits_for_an_earlier_one_whose_answer_could_be_taken_for_its_own() -> None:
    with pytest.raises(MeshUnavailableError):
        find_standing(TURN, EARLIER[:1], "in_progress")


def test_question_whose_run_goes_on_is_joined_again() -> None:
    standing = find_standing(TURN, [*EARLIER, OWN, said("msg_1", "assistant", "Ha")], "in_progress")
    assert (standing.message_id, standing.reply, standing.is_running) == ("slack-1-Ev1", None, True)
    assert standing.earlier_ids == {"slack-1-Ev0", "msg_0"}


def test_answer_that_is_there_is_taken() -> None:
    later = said("slack-1-Ev2", "user", "?"), said("msg_2", "assistant", "Two.")
    standing = find_standing(TURN, [*EARLIER, OWN, said("msg_1", "assistant", "One."), *later], "completed")
    assert standing.reply == said("", "assistant", "One.")["parts"]
    # The status is that of the last run, which is not this question's.
    for status in ("failed", "in_progress"):
        assert find_standing(TURN, [*EARLIER, OWN, said("msg_1", "assistant", "One."), *later], status) == standing


def test_question_without_an_answer_waits_while_another_one_is_answered() -> None:
    with pytest.raises(MeshUnavailableError):
        find_standing(TURN, [OWN, said("slack-1-Ev2", "user", "?")], "in_progress")


@pytest.mark.parametrize(
    ("after", "status"), [([], "completed"), ([], "failed"), ([said("msg_1", "assistant", "Ha")], "failed")]
)
def test_question_whose_run_failed_is_asked_again_under_another_id(after: list[Mapping[str, Any]], status: str) -> None:
    standing = find_standing(TURN, [*EARLIER, OWN, *after], status)
    assert (standing.message_id, standing.reply) == ("slack-1-Ev1-1", None)
    again = find_standing(TURN, [*EARLIER, OWN, *after, said("slack-1-Ev1-1", "user")], status)
    assert again.message_id == "slack-1-Ev1-2"


def test_answer_is_the_last_that_the_agent_said_before_the_next_question() -> None:
    messages = [
        OWN,
        said("msg_1", "assistant", "Part."),
        said("s", "system", "Note."),
        said("msg_2", "assistant", "Whole."),
        said("msg_3", "assistant", " "),
        {"id": "msg_4", "role": "assistant", "parts": None},
        said("slack-1-Ev2", "user", "?"),
        said("msg_5", "assistant", "Another."),
    ]
    assert find_reply(messages, "slack-1-Ev1") == said("", "assistant", "Whole.")["parts"]
    assert find_reply(messages, "not-there") is None
    assert find_reply(messages[:1], "slack-1-Ev1") is None


def test_answer_may_be_a_file_alone() -> None:
    file = {"type": "file", "url": "data:,x"}
    assert find_reply([OWN, {"id": "m", "role": "assistant", "parts": [5, file]}], "slack-1-Ev1") == [5, file]


@pytest.mark.parametrize(
    ("messages", "status", "expected"),
    [
        ([], "completed", False),
        (EARLIER, "failed", False),
        ([*EARLIER, OWN], "failed", False),
        ([*EARLIER, FILE], "failed", False),
        ([*EARLIER, FILE, OWN], "failed", True),
        ([*EARLIER, FILE, OWN], "in_progress", False),
        ([FILE, OWN, said("slack-1-Ev7", "user")], "in_progress", True),
        ([FILE, *EARLIER], "completed", False),
        ([FILE, *EARLIER, OWN], "failed", False),
        ([OWN, FILE], "failed", False),
        ([FILE, said("m", "assistant", "A cat."), OWN, OWN], "failed", False),
    ],
)
def test_thread_is_spoiled_by_a_file_after_which_nothing_was_answered(
    messages: list[Mapping[str, Any]], status: str, *, expected: bool
) -> None:
    assert is_spoiled(messages, status) is expected
