"""The guarantees of `ports.questions.QuestionStore` and `ports.interactions.ConversationMemory`, on every database."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from sqlalchemy import select
from stepping_clock import SteppingClock
from store_samples import make_connection, make_turn

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.ports.questions import Question, QuestionState, Recorded
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.questions import SHOW_LEASE_S, SqlQuestionStore
from slack_mcp.store.schema import answers, questions, threads
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

CONN, OTHER = ConnectionId("conn_1"), ConnectionId("conn_2")
ANN, BOB, CID = UserId("UANN"), UserId("UBOB"), UserId("UCID")
RING = KeyRing.generate("k1")


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def store(database: Database, clock: SteppingClock) -> SqlQuestionStore:
    return SqlQuestionStore(database, Sealer(RING), clock=clock)


def make_question(clock: SteppingClock, **changes: Any) -> Question:
    question = Question(
        connection_id=CONN,
        question_id="Q1",
        channel_id=ChannelId("C1"),
        thread_ts=None,
        message_ts=Ts("1800000000.000100"),
        asked_by="key_1",
        text="canary-text?",
        options=("canary-yes", "no"),
        has_form=True,
        answerers=(ANN, BOB),
        quorum=1,
        state=QuestionState.OPEN,
        expires_at_ms=int(clock.time_s * 1000) + 60_000,
        created_at_ms=int(clock.time_s * 1000),
    )
    return replace(question, **changes)


async def ask(store: SqlQuestionStore, clock: SteppingClock, **changes: Any) -> Question:
    question = make_question(clock, **changes)
    assert await store.add_question(question) is None
    return question


async def answer(store: SqlQuestionStore, user_id: UserId, text: str = "no", *, owner: ConnectionId = CONN) -> Recorded:
    recorded = await store.add_answer(owner, "Q1", user_id, text)
    assert recorded is not None
    return recorded


async def test_a_question_comes_back_as_it_was_asked(store: SqlQuestionStore, clock: SteppingClock) -> None:
    question = await ask(store, clock, thread_ts=Ts("1.0001"), message_ts=None, quorum=2)
    assert await store.load_question(CONN, "Q1") == question


async def test_the_first_question_with_an_id_stands(store: SqlQuestionStore, clock: SteppingClock) -> None:
    first = await ask(store, clock)
    assert await store.add_question(make_question(clock, text="another?")) == first


async def test_another_connection_neither_sees_nor_answers_nor_closes_it(
    store: SqlQuestionStore, clock: SteppingClock
) -> None:
    question = await ask(store, clock)
    assert await store.load_question(OTHER, "Q1") is None
    assert await store.add_answer(OTHER, "Q1", ANN, "no") is None
    await store.cancel_question(OTHER, "Q1")
    await store.remove_question(OTHER, "Q1")
    await store.save_posted(OTHER, "Q1", Ts("9.9"))
    assert await store.expire_question(OTHER, "Q1") is None
    assert await store.load_question(CONN, "Q1") == question


async def test_two_connections_may_have_a_question_of_the_same_id(
    store: SqlQuestionStore, clock: SteppingClock
) -> None:
    mine = await ask(store, clock)
    theirs = await ask(store, clock, connection_id=OTHER, text="theirs?")
    await answer(store, ANN, "theirs", owner=OTHER)
    assert await store.load_question(CONN, "Q1") == mine
    found = await store.load_question(OTHER, "Q1")
    assert found is not None
    assert found.text == theirs.text


async def test_texts_are_sealed(store: SqlQuestionStore, clock: SteppingClock, database: Database) -> None:
    await ask(store, clock)
    await answer(store, ANN, "canary-answer")
    async with database.reading() as connection:
        rows = [*(await connection.execute(select(questions))), *(await connection.execute(select(answers)))]
    assert len(rows) == 2
    assert "canary" not in repr(rows)


async def test_the_quorum_closes_it_and_a_later_answer_replaces_an_earlier_one(
    store: SqlQuestionStore, clock: SteppingClock
) -> None:
    await ask(store, clock, quorum=2)
    await answer(store, ANN, "canary-yes")
    recorded = await answer(store, ANN, "no")
    assert recorded.question.state is QuestionState.OPEN
    clock.time_s += 1
    recorded = await answer(store, BOB, "canary-yes")
    assert recorded.is_taken
    assert recorded.question.state is QuestionState.ANSWERED
    assert [(each.user_id, each.answer) for each in recorded.question.answers] == [(ANN, "no"), (BOB, "canary-yes")]


async def test_a_closed_question_takes_nothing_but_what_it_has_already(
    store: SqlQuestionStore, clock: SteppingClock
) -> None:
    await ask(store, clock)
    await answer(store, ANN, "no")
    assert (await answer(store, ANN, "no")).is_taken  # the same event, run again
    assert not (await answer(store, ANN, "canary-yes")).is_taken
    late = await answer(store, BOB, "no")
    assert not late.is_taken
    assert [each.user_id for each in late.question.answers] == [ANN]


async def test_an_answer_after_the_end_is_not_taken(store: SqlQuestionStore, clock: SteppingClock) -> None:
    await ask(store, clock)
    clock.time_s += 60
    assert not (await answer(store, ANN)).is_taken


async def test_it_expires_only_when_its_time_is_over(store: SqlQuestionStore, clock: SteppingClock) -> None:
    await ask(store, clock)
    early = await store.expire_question(CONN, "Q1")
    clock.time_s += 60
    late = await store.expire_question(CONN, "Q1")
    assert early is not None
    assert late is not None
    assert (early.state, late.state) == (QuestionState.OPEN, QuestionState.EXPIRED)


async def test_people_who_answer_at_once_on_two_pods_are_all_counted(
    database: Database, other_database: Database, clock: SteppingClock
) -> None:
    pods = [SqlQuestionStore(each, Sealer(RING), clock=clock) for each in (database, other_database)]
    await ask(pods[0], clock, quorum=8)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(answer, pods[number % 2], UserId(f"U{number}"))
    found = await pods[0].load_question(CONN, "Q1")
    assert found is not None
    assert (found.state, len(found.answers)) == (QuestionState.ANSWERED, 8)


async def test_of_two_pods_one_gets_what_is_due_and_the_other_when_the_first_did_not_show_it(
    database: Database, other_database: Database, clock: SteppingClock
) -> None:
    pods = [SqlQuestionStore(each, Sealer(RING), clock=clock) for each in (database, other_database)]
    for number in range(4):
        await ask(pods[0], clock, question_id=f"Q{number}")
    assert await pods[0].claim_due(lease_s=20, limit=10) == []
    clock.time_s += 60
    claimed: list[Question] = []

    async def claim(pod: SqlQuestionStore) -> None:
        claimed.extend(await pod.claim_due(lease_s=20, limit=10))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for pod in pods:
                tasks.start_soon(claim, pod)
    assert sorted(each.question_id for each in claimed) == ["Q0", "Q1", "Q2", "Q3"]
    assert {each.state for each in claimed} == {QuestionState.EXPIRED}
    await pods[0].save_shown(CONN, "Q0")
    clock.time_s += 20
    assert {each.question_id for each in await pods[1].claim_due(lease_s=20, limit=10)} == {"Q1", "Q2", "Q3"}


async def test_an_answered_question_that_nobody_showed_is_due_a_moment_later(
    store: SqlQuestionStore, clock: SteppingClock
) -> None:
    await ask(store, clock)
    await answer(store, ANN)
    assert await store.claim_due(lease_s=20, limit=10) == []
    clock.time_s += SHOW_LEASE_S
    (due,) = await store.claim_due(lease_s=20, limit=10)
    assert due.state is QuestionState.ANSWERED
    assert len(due.answers) == 1


async def test_one_whose_key_is_lost_keeps_no_other_from_its_turn(
    store: SqlQuestionStore, clock: SteppingClock, database: Database
) -> None:
    lost = SqlQuestionStore(database, Sealer(KeyRing.generate("gone")), clock=clock)
    await ask(lost, clock, connection_id=OTHER)
    await ask(store, clock)
    clock.time_s += 60
    assert [each.connection_id for each in await store.claim_due(lease_s=20, limit=10)] == [CONN]


async def test_a_post_that_was_begun_is_taken_over_once_and_after_its_lease(
    store: SqlQuestionStore, clock: SteppingClock
) -> None:
    await ask(store, clock, message_ts=None)
    assert not await store.claim_posting(CONN, "Q1", lease_s=15)
    clock.time_s += 15
    assert await store.claim_posting(CONN, "Q1", lease_s=15)
    assert not await store.claim_posting(CONN, "Q1", lease_s=15)
    await store.save_posted(CONN, "Q1", Ts("5.0001"))
    await store.save_posted(CONN, "Q1", Ts("6.0001"))
    clock.time_s += 15
    assert not await store.claim_posting(CONN, "Q1", lease_s=15)
    found = await store.load_question(CONN, "Q1")
    assert found is not None
    assert found.message_ts == "5.0001"


async def test_only_what_nobody_has_seen_is_removed(store: SqlQuestionStore, clock: SteppingClock) -> None:
    await ask(store, clock, message_ts=None)
    await ask(store, clock, question_id="Q2")
    await store.remove_question(CONN, "Q1")
    await store.remove_question(CONN, "Q2")
    assert await store.load_question(CONN, "Q1") is None
    assert await store.load_question(CONN, "Q2") is not None


async def test_closed_questions_are_deleted_with_their_answers_and_open_ones_stay(
    store: SqlQuestionStore, clock: SteppingClock, database: Database
) -> None:
    await ask(store, clock)
    await ask(store, clock, question_id="Q2")
    await answer(store, ANN)
    clock.time_s += 100
    assert await store.delete_questions(before_s=101, limit=10) == 0
    assert await store.delete_questions(before_s=100, limit=10) == 1
    assert await store.load_question(CONN, "Q1") is None
    assert await store.load_question(CONN, "Q2") is not None
    async with database.reading() as connection:
        assert (await connection.execute(select(answers))).all() == []


async def test_a_removed_connection_takes_its_questions_along(
    store: SqlQuestionStore, clock: SteppingClock, database: Database
) -> None:
    connections = SqlConnectionStore(database, Sealer(RING), clock=clock)
    await connections.save_connection(make_connection())
    await ask(store, clock)
    await answer(store, ANN)
    await connections.remove_connection(CONN)
    assert await store.load_question(CONN, "Q1") is None


async def test_a_reset_begins_a_new_generation_of_each_thread_of_one_channel(
    database: Database, clock: SteppingClock
) -> None:
    turns = SqlTurnStore(database, Sealer(RING), clock=clock)
    for number in (1, 2):
        for owner in (CONN, OTHER):
            await turns.begin_turn(make_turn(owner, message_ts=Ts(f"{number}.1"), thread_ts=Ts(f"{number}.0")))
    await turns.begin_turn(make_turn(message_ts=Ts("3.1"), thread_ts=Ts("1.0")))
    await turns.begin_turn(make_turn(channel_id=ChannelId("C2")))
    assert await turns.reset_channel(CONN, ChannelId("C1")) == 2
    clock.time_s += 1
    assert await turns.reset_channel(CONN, ChannelId("C1")) == 2
    assert await turns.reset_channel(CONN, ChannelId("C9")) == 0
    async with database.reading() as connection:
        rows = (await connection.execute(select(threads).order_by(threads.c.thread_ts))).all()
    now_ms = int(clock.time_s * 1000)
    reset = [(row.connection_id, row.channel_id, row.thread_ts, row.generation, row.reset_at_ms) for row in rows]
    assert reset == [(CONN, "C1", f"{number}.0", 2, now_ms) for number in (1, 2)]


async def test_answer_is_acted_upon_once_and_only_by_its_own_connection(
    store: SqlQuestionStore, clock: SteppingClock, other_database: Database
) -> None:
    question = await ask(store, clock)
    assert not question.is_used
    assert not await store.use_answer(CONN, "Q1")  # nobody has answered
    await answer(store, ANN)
    assert not await store.use_answer(OTHER, "Q1")
    pods = [store, SqlQuestionStore(other_database, Sealer(RING), clock=clock)]
    first: list[bool] = []

    async def use(pod: SqlQuestionStore) -> None:
        first.append(await pod.use_answer(CONN, "Q1"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(use, pods[number % 2])
    assert sorted(first) == [False] * 5 + [True]
    standing = await store.load_question(CONN, "Q1")
    assert standing is not None
    assert standing.is_used


async def test_question_that_expired_is_never_acted_upon(store: SqlQuestionStore, clock: SteppingClock) -> None:
    await ask(store, clock)
    clock.time_s += 61
    await store.expire_question(CONN, "Q1")
    assert not await store.use_answer(CONN, "Q1")
