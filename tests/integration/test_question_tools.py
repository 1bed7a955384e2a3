"""SLACK_ASK_HUMAN and SLACK_GET_ANSWER, through the SDK's client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from toolbox import ACME, ANN, BEN, GENERAL, GLOBEX, RANDOM, Toolbox, open_toolbox

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.interactions.desk import QuestionDesk
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.questions import SqlQuestionStore
from slack_mcp.store.url import DatabaseUrl, parse_database_url
from slack_mcp.tools.questions import TOOLS

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def open_desk(tmp_path: Any) -> AsyncIterator[tuple[Toolbox, SqlQuestionStore]]:
    """Yield the tools with a desk behind them, and what the desk keeps."""
    clock = SystemClock()
    url: DatabaseUrl = parse_database_url(":memory:", data_dir=tmp_path)
    async with open_toolbox(TOOLS) as box, open_database(url) as database:
        await Migrations(url, database=database).up()
        store = SqlQuestionStore(database, Sealer(KeyRing.generate("test")), clock=clock)
        desk = QuestionDesk(store=store, slack=box.services.slack, clock=clock, poll_s=0.01)
        box.services = replace(box.services, questions=desk)
        yield box, store


async def test_a_question_is_posted_and_its_answer_is_fetched(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, store):
        asked = await box.ok("SLACK_ASK_HUMAN", {"channel": "#general", "question": "Ship?", "options": ["Yes", "No"]})
        assert (asked["state"], asked["answers"], asked["channel"]) == ("open", [], GENERAL)
        message = box.workspace().find_message(GENERAL, asked["ts"])
        assert message.text == "Ship?"
        question_id = {"question_id": asked["question_id"]}
        assert (await box.ok("SLACK_GET_ANSWER", question_id))["state"] == "open"
        await store.add_answer(ACME, asked["question_id"], UserId(ANN), "Yes")
        found = await box.ok("SLACK_GET_ANSWER", question_id)
    assert found["state"] == "answered"
    assert [(each["user_id"], each["answer"]) for each in found["answers"]] == [(ANN, "Yes")]


async def test_whoever_waits_is_answered_as_soon_as_people_are(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, store):
        found: list[dict[str, Any]] = []

        async def ask() -> None:
            found.append(await box.ok("SLACK_ASK_HUMAN", {"channel": ANN, "question": "Ship?", "wait_s": 50}))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await box.simulator.changes.wait_until(lambda: bool(box.workspace().open_im(ANN).messages))
                (message,) = box.workspace().open_im(ANN).messages.values()
                assert message.metadata is not None
                await store.add_answer(ACME, message.metadata["event_payload"]["question_id"], UserId(ANN), "in words")
    assert found[0]["state"] == "answered"
    assert found[0]["answers"][0]["answer"] == "in words"


async def test_a_wait_that_is_over_returns_the_open_question(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, _store):
        asked = await box.ok("SLACK_ASK_HUMAN", {"channel": GENERAL, "question": "Ship?", "wait_s": 1})
    assert asked["state"] == "open"


async def test_the_same_request_is_asked_once(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, _store):
        arguments = {"channel": GENERAL, "question": "Ship?", "request_id": "r1"}
        first, second = [await box.ok("SLACK_ASK_HUMAN", arguments) for _ in range(2)]
        assert first["question_id"] == second["question_id"]
        error = await box.error("SLACK_ASK_HUMAN", arguments | {"question": "Sink?"})
        assert "request_id" in error
        assert len(box.workspace().find_channel(GENERAL).messages) == 1


async def test_answerers_may_be_named(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, store):
        name = f"@{box.workspace().users[BEN].name}"
        asked = await box.ok("SLACK_ASK_HUMAN", {"channel": GENERAL, "question": "Ship?", "answerers": [name]})
        question = await store.load_question(ACME, asked["question_id"])
    assert question is not None
    assert question.answerers == (BEN,)


async def test_another_tenant_sees_no_question(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, _store):
        asked = await box.ok("SLACK_ASK_HUMAN", {"channel": GENERAL, "question": "Ship?"})
        error = await box.error("SLACK_GET_ANSWER", {"question_id": asked["question_id"]}, connection_id=GLOBEX)
    assert "question_id" in error


async def test_the_policy_holds_for_questions_and_leaves_none_behind(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, _store):
        await box.set_policy(ToolPolicy(write_channels=(ChannelId(RANDOM),)))
        arguments = {"channel": GENERAL, "question": "Ship?", "request_id": "r1"}
        for _ in range(2):
            assert "policy" in await box.error("SLACK_ASK_HUMAN", arguments)
        assert box.workspace().find_channel(GENERAL).messages == {}


async def test_a_caller_that_may_only_read_asks_nobody(tmp_path: Any) -> None:
    async with open_desk(tmp_path) as (box, _store):
        await box.error("SLACK_ASK_HUMAN", {"channel": GENERAL, "question": "Ship?"}, access=Access.READ)
        assert await box.list_names(access=Access.READ) == ["SLACK_GET_ANSWER"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"question": ""},
        {"question": "x" * 3_001},
        {"options": ["a"] * 26},
        {"options": ["x" * 76]},
        {"options": ["a", "a"]},
        {"quorum": 0},
        {"timeout_s": 604_801},
        {"wait_s": 51},
        {"thread_ts": "yesterday"},
        {"channel": "#nowhere"},
        {"colour": "red"},
    ],
)
async def test_what_cannot_be_asked_says_why(tmp_path: Any, wrong: dict[str, Any]) -> None:
    async with open_desk(tmp_path) as (box, _store):
        error = await box.error("SLACK_ASK_HUMAN", {"channel": GENERAL, "question": "Ship?"} | wrong)
        assert box.workspace().find_channel(GENERAL).messages == {}
    assert next(iter(wrong)) in error or "nowhere" in error


async def test_where_no_click_can_come_in_nobody_is_offered_to_ask(tmp_path: Any) -> None:
    asking = {"SLACK_ASK_HUMAN", "SLACK_GET_ANSWER"}
    async with open_desk(tmp_path) as (box, _store):
        assert asking <= set(await box.list_names())
        box.services = replace(box.services, questions=None)
        assert asking.isdisjoint(await box.list_names())


@pytest.mark.parametrize("question_id", ["", "Q\0", "Q 1", "Q" * 65])
async def test_what_cannot_be_a_questions_id_is_not_looked_for(tmp_path: Any, question_id: str) -> None:
    async with open_desk(tmp_path) as (box, _):
        assert "question_id" in await box.error("SLACK_GET_ANSWER", {"question_id": question_id})
