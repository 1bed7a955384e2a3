"""What was said in threads is kept, sealed, for a time, and forgotten when somebody says so."""

from dataclasses import replace

import anyio
import pytest
from sqlalchemy import func, select
from stepping_clock import SteppingClock
from store_samples import claim_lane, make_connection, make_turn

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.core.model import TurnState
from slack_mcp.inbox.prune import prune
from slack_mcp.ports.transcript import Thread, ThreadAnswer, ThreadMessage
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.schema import messages, threads
from slack_mcp.store.transcript import SqlTranscript
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

OURS, THEIRS = ConnectionId("conn_1"), ConnectionId("conn_2")
CHANNEL = ChannelId("C1")
NOW_S = 1_800_000_000
RING = KeyRing.generate("k1")


def ts(number: int) -> Ts:
    return Ts(f"{NOW_S + number:010d}.000000")


ROOT, END = ts(0), ts(1_000)


def say(number: int, text: str = "", **changes: object) -> ThreadMessage:
    message = ThreadMessage(
        message_ts=ts(number), thread_ts=ROOT, user_id=UserId("UANN"), bot_id=None, text=text or f"canary-{number}"
    )
    return replace(message, **changes)  # type: ignore[arg-type]


class Store:
    def __init__(self, database: Database, sealer: Sealer | None = None) -> None:
        self.database = database
        self.clock = SteppingClock()
        sealer = sealer or Sealer(RING)
        self.transcript = SqlTranscript(database, sealer, clock=self.clock)
        self.turns = SqlTurnStore(database, sealer, clock=self.clock)

    async def load(self, connection_id: ConnectionId = OURS, *, before_ts: Ts = END, limit: int = 100) -> Thread:
        return await self.transcript.load_thread(connection_id, CHANNEL, ROOT, before_ts=before_ts, limit=limit)

    async def list_texts(self, connection_id: ConnectionId = OURS) -> list[str]:
        return [each.text for each in (await self.load(connection_id)).messages]

    async def summarize(self, number: int, *, generation: int = 0, summary: str = "in short") -> None:
        await self.transcript.save_summary(
            OURS, CHANNEL, ROOT, summary=summary, until_ts=ts(number), generation=generation
        )


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


async def test_nothing_is_kept_of_a_thread_in_which_nothing_was_noted(store: Store) -> None:
    assert await store.load() == Thread()


async def test_threads_that_are_loaded_at_once_are_told_apart(store: Store) -> None:
    connections = [ConnectionId(f"conn_{number}") for number in range(6)]
    found: dict[ConnectionId, tuple[list[str], int]] = {}

    async def note(connection_id: ConnectionId) -> None:
        await store.transcript.add_message(connection_id, CHANNEL, say(1, f"said to {connection_id}"))

    async def load(connection_id: ConnectionId) -> None:
        # Of every second one nothing is wanted but the beginning.
        before = END if connection_id in connections[::2] else ROOT
        thread = await store.load(connection_id, before_ts=before)
        found[connection_id] = [each.text for each in thread.messages], thread.generation

    store.clock.time_s = NOW_S + 10
    await store.turns.reset_thread(connections[4], CHANNEL, ROOT)
    with anyio.fail_after(30):
        for work in (note, load):
            async with anyio.create_task_group() as tasks:
                for each in connections:
                    tasks.start_soon(work, each)
    expected = {each: ([f"said to {each}"] if each in connections[::2] else [], 0) for each in connections}
    assert found == {**expected, connections[4]: ([], 1)}


async def test_messages_come_back_whole_and_in_order(store: Store) -> None:
    said = [
        say(0),
        say(1, name="Deploy", user_id=None, bot_id="B1", text="done <@UANN> \u00e9\u2028"),
        say(2, is_own=True),
    ]
    for each in reversed(said):
        await store.transcript.add_message(OURS, CHANNEL, each)
    assert list((await store.load()).messages) == said


async def test_the_last_messages_before_the_question_are_told(store: Store) -> None:
    for number in range(5):
        await store.transcript.add_message(OURS, CHANNEL, say(number))
    thread = await store.load(before_ts=ts(4), limit=2)
    assert [each.text for each in thread.messages] == ["canary-2", "canary-3"]


async def test_a_message_is_kept_once_and_stays_as_it_was_edited(store: Store) -> None:
    for text in ("first", "again"):
        await store.transcript.add_message(OURS, CHANNEL, say(1, text))
    assert await store.list_texts() == ["first"]
    assert await store.transcript.replace_text(OURS, CHANNEL, ts(1), "edited")
    await store.transcript.add_message(OURS, CHANNEL, say(1, "first"))
    assert await store.list_texts() == ["edited"]
    assert await store.transcript.replace_text(OURS, CHANNEL, ts(1), "")
    await store.transcript.add_message(OURS, CHANNEL, say(1, "first"))
    assert await store.list_texts() == [""]


async def test_an_edit_of_what_is_not_kept_changes_nothing(store: Store) -> None:
    assert not await store.transcript.replace_text(OURS, CHANNEL, ts(1), "edited")
    assert await store.load() == Thread()


async def test_answers_are_those_of_the_turns(store: Store) -> None:
    turn = make_turn(OURS, message_ts=ts(1), thread_ts=ROOT)
    await store.turns.begin_turn(turn)
    await store.turns.begin_turn(replace(turn, message_ts=ts(2), question="second"))
    claim = await claim_lane(store.database, OURS)
    store.clock.time_s += 30
    done = replace(turn, state=TurnState.FINISHED, answer="yes", answer_ts=ts(5), parts=(ts(5), ts(6)))
    await store.turns.save_turn(done, claim)
    first, second = (await store.load()).answers
    assert first == ThreadAnswer(
        message_ts=ts(1),
        user_id=UserId("UANN"),
        question=turn.question,
        answer="yes",
        parts=(ts(5), ts(6)),
        ended_at_ms=1000 * (NOW_S + 30),
    )
    assert (second.question, second.answer, second.parts) == ("second", None, ())
    assert [each.message_ts for each in (await store.load(before_ts=ts(2))).answers] == [ts(1)]
    assert [each.message_ts for each in (await store.load(limit=1)).answers] == [ts(2)]


async def test_a_thread_is_filled_beside_what_was_noted_already(store: Store) -> None:
    await store.transcript.add_message(OURS, CHANNEL, say(2, "noted"))
    await store.summarize(2)
    for _ in range(2):
        await store.transcript.fill_thread(OURS, CHANNEL, ROOT, [say(0, "root"), say(2, "read")])
    thread = await store.load()
    assert (thread.is_filled, thread.summary) == (True, None)
    assert [each.text for each in thread.messages] == ["root", "noted"]


async def test_that_nothing_was_found_is_noted_too(store: Store) -> None:
    await store.transcript.fill_thread(OURS, CHANNEL, ROOT, [])
    assert await store.load() == Thread(is_filled=True)


@pytest.mark.parametrize("whole_channel", [False, True])
async def test_a_reset_forgets_messages_and_summary(store: Store, *, whole_channel: bool) -> None:
    await store.turns.begin_turn(make_turn(OURS, message_ts=ROOT, thread_ts=ROOT))
    for number in (0, 1):
        await store.transcript.add_message(OURS, CHANNEL, say(number))
        await store.transcript.add_message(THEIRS, CHANNEL, say(number))
    await store.summarize(1)
    store.clock.time_s += 10
    if whole_channel:
        assert await store.turns.reset_channel(OURS, CHANNEL) == 1
    else:
        await store.turns.reset_thread(OURS, CHANNEL, ROOT)
    # Not to be had back from Slack either.
    assert await store.load() == Thread(generation=1, is_filled=True)
    assert await store.list_texts(THEIRS) == ["canary-0", "canary-1"]
    await store.transcript.fill_thread(OURS, CHANNEL, ROOT, [say(0), say(11)])
    await store.transcript.add_message(OURS, CHANNEL, say(9, "said before, noted after"))
    await store.transcript.add_message(OURS, CHANNEL, say(12))
    assert await store.list_texts() == ["canary-11", "canary-12"]


async def test_a_summary_is_kept_for_the_generation_that_it_tells_of(store: Store) -> None:
    await store.summarize(3, summary="canary summary")
    thread = await store.load()
    assert (thread.summary, thread.summarized_until_ts) == ("canary summary", ts(3))
    await store.summarize(5, summary="longer")
    assert (await store.load()).summary == "longer"
    await store.turns.reset_thread(OURS, CHANNEL, ROOT)
    await store.summarize(5)  # of what was loaded before the reset
    assert (await store.load()).summary is None
    await store.summarize(6, generation=1)
    assert (await store.load()).summary == "in short"


async def test_a_summary_that_tells_of_an_edited_message_is_forgotten(store: Store) -> None:
    for number in (1, 3):
        await store.transcript.add_message(OURS, CHANNEL, say(number))
    await store.summarize(2)
    await store.transcript.replace_text(OURS, CHANNEL, ts(3), "edited")
    await store.transcript.replace_text(OURS, CHANNEL, ts(1), "canary-1")
    assert (await store.load()).summary == "in short"
    await store.transcript.replace_text(OURS, CHANNEL, ts(1), "")
    thread = await store.load()
    assert (thread.summary, thread.summarized_until_ts) == (None, None)


async def test_nothing_that_was_said_is_in_the_clear(store: Store) -> None:
    await store.transcript.add_message(OURS, CHANNEL, say(1, name="canary-name", bot_id="B1"))
    await store.summarize(1, summary="canary summary")
    async with store.database.reading() as database:
        stored = [*(await database.execute(select(messages))), *(await database.execute(select(threads)))]
    assert len(stored) == 2
    assert "canary" not in repr(stored)
    with pytest.raises(SealingError):
        await Store(store.database, Sealer(KeyRing.generate("k2"))).load()


async def test_the_same_thread_of_another_connection_is_another_thread(store: Store) -> None:
    for connection_id in (OURS, THEIRS):
        await store.transcript.add_message(connection_id, CHANNEL, say(1, f"of {connection_id}"))
    await store.transcript.replace_text(OURS, CHANNEL, ts(1), "edited")
    await store.transcript.fill_thread(OURS, CHANNEL, ROOT, [say(0)])
    await store.summarize(1)
    assert await store.load(THEIRS) == Thread(messages=(say(1, f"of {THEIRS}"),))


async def test_messages_go_with_their_connection(store: Store) -> None:
    connections = SqlConnectionStore(store.database, Sealer(RING), clock=store.clock)
    for connection_id in (OURS, THEIRS):
        await connections.save_connection(make_connection(connection_id))
        await store.transcript.fill_thread(connection_id, CHANNEL, ROOT, [say(0)])
    await connections.remove_connection(OURS)
    assert await store.load() == Thread()
    assert (await store.load(THEIRS)).is_filled


async def test_old_messages_and_quiet_threads_are_deleted(store: Store) -> None:
    other = Ts(f"{NOW_S - 5:010d}.000000")
    await store.transcript.fill_thread(OURS, CHANNEL, ROOT, [say(0)])
    await store.turns.reset_thread(OURS, CHANNEL, other)
    await store.transcript.save_summary(OURS, CHANNEL, other, summary="of old", until_ts=ROOT, generation=1)
    store.clock.time_s += 100
    await store.transcript.add_message(OURS, CHANNEL, say(1))
    await store.transcript.fill_thread(THEIRS, CHANNEL, ROOT, [say(1)])
    for _ in range(2):
        await prune(
            [
                lambda limit: store.transcript.delete_messages(before_s=50, limit=limit),
                lambda limit: store.transcript.delete_threads(before_s=50, limit=limit),
            ]
        )
        assert await store.load() == Thread(messages=(say(1),))
        assert await store.load(THEIRS) == Thread(messages=(say(1),), is_filled=True)
        kept = await store.transcript.load_thread(OURS, CHANNEL, other, before_ts=END, limit=9)
        assert (kept.generation, kept.summary) == (1, None)
    async with store.database.reading() as database:
        assert (await database.execute(select(func.count()).select_from(threads))).scalar_one() == 2


async def test_no_more_is_deleted_at_once_than_asked_for(store: Store) -> None:
    for number in range(3):
        root = ts(number)
        await store.transcript.fill_thread(OURS, CHANNEL, root, [say(number, thread_ts=root)])
    assert await store.transcript.delete_messages(before_s=0, limit=2) == 2
    assert await store.transcript.delete_messages(before_s=0, limit=2) == 1
    assert await store.transcript.delete_threads(before_s=0, limit=2) == 2
    assert await store.transcript.delete_threads(before_s=0, limit=2) == 1
