"""What is kept of the assistant's surfaces: ratings, greetings, and what people look at."""

from dataclasses import replace

import pytest
from stepping_clock import SteppingClock

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, Ts, UserId
from slack_mcp.core.model import Delivery, Turn, TurnState
from slack_mcp.ports.surfaces import Rating
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.assistant import SqlAssistantMemory
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal
from slack_mcp.store.ratings import SqlRatings
from slack_mcp.store.transcript import SqlTranscript
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

ACME, GLOBEX = ConnectionId("conn_acme"), ConnectionId("conn_globex")
CHANNEL, ROOT, QUESTION = ChannelId("C1"), Ts("1700000000.000100"), Ts("1700000000.000200")
FIRST, SECOND = Ts("1700000000.000300"), Ts("1700000000.000400")
ANN, BOB = UserId("UANN"), UserId("UBOB")


class Kept:
    """The stores of one pod; `answer` makes an answer of two messages in each tenant."""

    def __init__(self, database: Database) -> None:
        self.clock = SteppingClock()
        sealer = Sealer(KeyRing.generate("test"))
        self.turns = SqlTurnStore(database, sealer, clock=self.clock)
        self.journal = open_journal(database, sealer, PodId("pod-a"), clock=self.clock)
        self.transcript = SqlTranscript(database, sealer, clock=self.clock)
        self.ratings = SqlRatings(database, clock=self.clock)
        self.memory = SqlAssistantMemory(database, clock=self.clock)

    async def answer(self, connection_id: ConnectionId, *, answer: str | None = "yes") -> None:
        delivery = Delivery(
            connection_id=connection_id,
            event_id=EventId("Ev1"),
            event_time=1_800_000_000,
            lane="C1:1",
            event_type="message",
            payload=b"{}",
        )
        await self.journal.append([delivery])
        claims = await self.journal.claim(
            PodId("pod-a"), max_lanes=9, lanes_per_connection=9, lease_s=600, events_per_lane=9
        )
        turn = Turn(
            connection_id=connection_id,
            channel_id=CHANNEL,
            message_ts=QUESTION,
            thread_ts=ROOT,
            event_id=EventId("Ev1"),
            user_id=ANN,
            state=TurnState.STARTED,
            question="why?",
        )
        await self.turns.begin_turn(turn)
        done = replace(turn, state=TurnState.FINISHED, answer=answer, answer_ts=FIRST, parts=(FIRST, SECOND))
        (claim,) = (each for each in claims if each.connection_id == connection_id)
        await self.turns.save_turn(done, claim)

    async def rate(self, connection_id: ConnectionId, rating: Rating, *, ts: Ts = FIRST, user_id: UserId = ANN) -> bool:
        return await self.ratings.save_rating(connection_id, CHANNEL, ROOT, ts, user_id=user_id, rating=rating)

    async def count(self, connection_id: ConnectionId | None, *, since_s: float = 0) -> tuple[int, int]:
        """Return (good, bad)."""
        counted = await self.ratings.count_ratings(connection_id, since_s=since_s)
        assert set(counted) == set(Rating)
        return counted[Rating.GOOD], counted[Rating.BAD]


async def test_a_person_rates_an_answer_once_whichever_of_its_messages_they_click_on(database: Database) -> None:
    kept = Kept(database)
    await kept.answer(ACME)
    assert await kept.rate(ACME, Rating.GOOD)
    assert await kept.rate(ACME, Rating.BAD, ts=SECOND)
    assert await kept.rate(ACME, Rating.GOOD, user_id=BOB)
    assert await kept.count(ACME) == (1, 1)


@pytest.mark.parametrize("ts", [QUESTION, Ts("1700000000.00030"), Ts("%"), Ts("1700000000_000300")])
async def test_what_is_no_answer_is_not_rated(database: Database, ts: Ts) -> None:
    kept = Kept(database)
    await kept.answer(ACME)
    assert not await kept.rate(ACME, Rating.GOOD, ts=ts)
    assert await kept.count(None) == (0, 0)


async def test_a_notice_in_place_of_an_answer_is_not_rated(database: Database) -> None:
    kept = Kept(database)
    await kept.answer(ACME, answer=None)
    assert not await kept.rate(ACME, Rating.GOOD)


async def test_ratings_are_counted_by_tenant_or_all_together_and_since_when(database: Database) -> None:
    kept = Kept(database)
    for each in (ACME, GLOBEX):
        await kept.answer(each)
    await kept.rate(ACME, Rating.GOOD)
    kept.clock.time_s += 100
    since_s = kept.clock.time_s
    await kept.rate(GLOBEX, Rating.BAD)
    assert await kept.count(ACME) == (1, 0)
    assert await kept.count(GLOBEX) == (0, 1)
    assert await kept.count(None) == (1, 1)
    assert await kept.count(None, since_s=since_s) == (0, 1)


async def test_old_ratings_are_deleted_the_oldest_first(database: Database) -> None:
    kept = Kept(database)
    await kept.answer(ACME)
    for user_id, rating in ((ANN, Rating.BAD), (BOB, Rating.GOOD)):
        await kept.rate(ACME, rating, user_id=user_id)
        kept.clock.time_s += 100
    assert await kept.ratings.delete_ratings(before_s=150, limit=10) == 1
    assert await kept.count(ACME) == (1, 0)
    assert await kept.ratings.delete_ratings(before_s=0, limit=10) == 1
    assert await kept.ratings.delete_ratings(before_s=0, limit=10) == 0


async def test_who_was_greeted_is_known_on_every_pod_and_in_no_other_tenant(
    database: Database, other_database: Database
) -> None:
    here, there = Kept(database), Kept(other_database)
    assert not await here.memory.is_greeted(ACME, CHANNEL, ROOT)
    await here.memory.save_greeted(ACME, CHANNEL, ROOT)
    assert await there.memory.is_greeted(ACME, CHANNEL, ROOT)
    assert await there.memory.is_greeted(ACME, CHANNEL, None)  # in one of its threads
    assert not await there.memory.is_greeted(ACME, CHANNEL, QUESTION)
    assert not await there.memory.is_greeted(ACME, ChannelId("C2"), None)
    assert not await there.memory.is_greeted(GLOBEX, CHANNEL, None)


async def test_a_greeting_in_a_direct_message_as_a_whole_is_never_forgotten_and_a_threads_is(
    database: Database,
) -> None:
    kept = Kept(database)
    await kept.memory.save_greeted(ACME, CHANNEL, None)
    await kept.memory.save_greeted(ACME, CHANNEL, ROOT)
    kept.clock.time_s += 1_000
    assert await kept.transcript.delete_threads(before_s=500, limit=10) == 1
    assert not await kept.memory.is_greeted(ACME, CHANNEL, ROOT)
    assert await kept.memory.is_greeted(ACME, CHANNEL, None)


async def test_what_somebody_looks_at_is_told_with_the_thread_and_takes_nothing_else_away(database: Database) -> None:
    kept = Kept(database)
    await kept.turns.reset_thread(ACME, CHANNEL, ROOT)
    await kept.memory.save_greeted(ACME, CHANNEL, ROOT)
    for viewed in (ChannelId("C7"), None):
        await kept.memory.save_viewed_channel(ACME, CHANNEL, ROOT, viewed)
        thread = await kept.transcript.load_thread(ACME, CHANNEL, ROOT, before_ts=Ts("1800000001.000000"), limit=5)
        assert (thread.viewed_channel_id, thread.generation) == (viewed, 1)
    assert await kept.memory.is_greeted(ACME, CHANNEL, ROOT)
    other = await kept.transcript.load_thread(GLOBEX, CHANNEL, ROOT, before_ts=Ts("1800000001.000000"), limit=5)
    assert other.viewed_channel_id is None
