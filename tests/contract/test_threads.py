"""What the bot remembers of a thread, and forgets when it is told to."""

from dataclasses import replace

import pytest
from stepping_clock import SteppingClock
from store_samples import lose_lane

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, Ts
from slack_mcp.core.model import Claim, Delivery, Turn, TurnState
from slack_mcp.protocol.events import EventCallback, get_lane, parse_envelope
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

ACME, GLOBEX = ConnectionId("conn_acme"), ConnectionId("conn_globex")
CHANNEL, THREAD = ChannelId("C1"), Ts("1.0")


class Threads:
    """A store with one lane held for each connection, under which turns may be written."""

    def __init__(self, database: Database) -> None:
        self.clock = SteppingClock()
        sealer = Sealer(KeyRing.generate("test"))
        self.journal = open_journal(database, sealer, PodId("pod-a"), clock=self.clock)
        self.store = SqlTurnStore(database, sealer, clock=self.clock)
        self.claims: dict[ConnectionId, Claim] = {}

    async def hold_lanes(self) -> None:
        deliveries = [
            Delivery(
                connection_id=each,
                event_id=EventId("Ev1"),
                event_time=1_800_000_000,
                lane="C1:1.0",
                event_type="message",
                payload=b"{}",
            )
            for each in (ACME, GLOBEX)
        ]
        await self.journal.append(deliveries)
        claims = await self.journal.claim(
            PodId("pod-a"), max_lanes=9, lanes_per_connection=9, lease_s=600, events_per_lane=9
        )
        self.claims = {claim.connection_id: claim for claim in claims}

    async def say(self, connection_id: ConnectionId, number: int, *, answer: str | None = "yes") -> None:
        turn = make_turn(connection_id, number)
        await self.store.begin_turn(turn)
        done = replace(turn, state=TurnState.FINISHED, answer=answer)
        await self.store.save_turn(done, self.claims[connection_id])
        self.clock.time_s += 10

    async def remembered(self, connection_id: ConnectionId) -> list[str]:
        turns = await self.store.load_history(connection_id, CHANNEL, THREAD, limit=9, max_age_s=600)
        return [turn.question for turn in turns]


def make_turn(connection_id: ConnectionId, number: int) -> Turn:
    return Turn(
        connection_id=connection_id,
        channel_id=CHANNEL,
        message_ts=Ts(f"{number}.0"),
        thread_ts=THREAD,
        event_id=EventId(f"Ev{number}"),
        user_id=None,
        state=TurnState.STARTED,
        question=f"question {number}",
    )


@pytest.fixture
async def threads(database: Database) -> Threads:
    made = Threads(database)
    await made.hold_lanes()
    return made


async def test_nothing_is_remembered_where_the_bot_never_spoke(threads: Threads) -> None:
    assert await threads.store.load_summary(ACME, CHANNEL, THREAD) is None
    assert await threads.store.load_generation(ACME, CHANNEL, THREAD) == 0


async def test_a_reset_forgets_what_was_said_before_it_and_nothing_after(threads: Threads) -> None:
    for number in (1, 2):
        await threads.say(ACME, number)
    summary = await threads.store.load_summary(ACME, CHANNEL, THREAD)
    assert summary is not None
    assert (summary.turns, summary.generation) == (2, 0)
    await threads.store.reset_thread(ACME, CHANNEL, THREAD)
    assert await threads.remembered(ACME) == []
    threads.clock.time_s += 1
    await threads.say(ACME, 3)
    assert await threads.remembered(ACME) == ["question 3"]
    summary = await threads.store.load_summary(ACME, CHANNEL, THREAD)
    assert summary is not None
    assert (summary.turns, summary.generation) == (1, 1)
    await threads.store.reset_thread(ACME, CHANNEL, THREAD)
    assert await threads.store.load_generation(ACME, CHANNEL, THREAD) == 2


async def test_the_bot_still_takes_part_in_a_thread_that_was_reset(threads: Threads) -> None:
    await threads.say(ACME, 1)
    await threads.store.reset_thread(ACME, CHANNEL, THREAD)
    assert await threads.store.has_turn_in_thread(ACME, CHANNEL, THREAD)


async def test_a_question_without_an_answer_is_not_remembered(threads: Threads) -> None:
    await threads.say(ACME, 1, answer=None)
    summary = await threads.store.load_summary(ACME, CHANNEL, THREAD)
    assert summary is not None
    assert summary.turns == 0


async def test_the_same_thread_of_another_connection_is_another_thread(threads: Threads) -> None:
    for connection_id in (ACME, GLOBEX):
        await threads.say(connection_id, 1)
    await threads.store.reset_thread(ACME, CHANNEL, THREAD)
    assert await threads.remembered(ACME) == []
    assert await threads.remembered(GLOBEX) == ["question 1"]
    assert await threads.store.load_generation(GLOBEX, CHANNEL, THREAD) == 0


async def test_turns_in_hand_are_those_of_lanes_that_a_pod_holds(threads: Threads, database: Database) -> None:
    first = make_turn(ACME, 1)
    for turn in (first, make_turn(ACME, 2), make_turn(GLOBEX, 3)):
        await threads.store.begin_turn(turn)
    # The lane of another thread, which nobody works on.
    await threads.store.begin_turn(replace(make_turn(ACME, 4), thread_ts=Ts("4.0")))
    answering = await threads.store.load_answering(ACME)
    assert [turn.message_ts for turn in answering] == ["2.0", "1.0"]
    assert answering[1] == first
    await threads.store.save_turn(replace(first, state=TurnState.FINISHED), threads.claims[ACME])
    assert [turn.message_ts for turn in await threads.store.load_answering(ACME)] == ["2.0"]
    await lose_lane(database, threads.claims[ACME], holder=None)
    assert await threads.store.load_answering(ACME) == []
    assert [turn.message_ts for turn in await threads.store.load_answering(GLOBEX)] == ["3.0"]


def test_lane_of_a_turn_is_named_as_its_event_names_it() -> None:
    event = parse_envelope(
        b'{"type":"event_callback","team_id":"T1","api_app_id":"A1","event_id":"Ev1","event":{"type":"message",'
        b'"channel":"C1","ts":"2.0","thread_ts":"1.0","user":"U1","text":"?"}}'
    )
    assert isinstance(event, EventCallback)
    assert get_lane(event) == f"{CHANNEL}:{THREAD}"
