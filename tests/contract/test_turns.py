"""The guarantees of `ports.store.TurnStore`, on every database."""

from dataclasses import replace

import anyio
import pytest
from sqlalchemy import select
from stepping_clock import SteppingClock
from store_samples import CHANNEL, ROOT, claim_lane, lose_lane, make_connection, make_turn

from slack_mcp.core.errors import LeaseLostError, SealingError, StoreError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts, UserId
from slack_mcp.core.model import Claim, Turn, TurnState
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.schema import lanes, turns
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

CONN = ConnectionId("conn_1")
RING = KeyRing.generate("k1")


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def store(database: Database, clock: SteppingClock) -> SqlTurnStore:
    return SqlTurnStore(database, Sealer(RING), clock=clock)


@pytest.fixture
async def claim(database: Database, anyio_backend: str) -> Claim:
    return await claim_lane(database)


async def answer(
    store: SqlTurnStore, clock: SteppingClock, claim: Claim, number: int, *, after_s: float, took_s: float = 0
) -> Turn:
    """Return a turn that was begun some seconds after the last one, and answered."""
    clock.time_s += after_s
    turn = make_turn(message_ts=Ts(f"17000000{number:02}.000100"), event_id=EventId(f"Ev{number}"))
    await store.begin_turn(turn)
    clock.time_s += took_s
    answered = replace(turn, state=TurnState.FINISHED, answer=f"answer {number}", answer_ts=Ts("1700000099.000100"))
    await store.save_turn(answered, claim)
    return answered


async def load_history(
    store: SqlTurnStore, *, limit: int = 20, max_age_s: float = 600, thread: Ts = ROOT
) -> list[str | None]:
    found = await store.load_history(CONN, CHANNEL, thread, limit=limit, max_age_s=max_age_s)
    return [turn.answer for turn in found]


async def test_turn_is_begun_once_and_the_first_one_stands(store: SqlTurnStore) -> None:
    first = make_turn()
    assert await store.begin_turn(first) == first
    # The same message, as its message event tells of it after its app_mention.
    assert await store.begin_turn(make_turn(event_id=EventId("Ev2"), question="other")) == first


async def test_pods_that_begin_the_same_turn_at_once_agree_on_one(
    database: Database, other_database: Database, clock: SteppingClock
) -> None:
    pods = [SqlTurnStore(each, Sealer(RING), clock=clock) for each in (database, other_database)]
    standing: list[Turn] = []

    async def begin(pod: SqlTurnStore, number: int) -> None:
        standing.append(await pod.begin_turn(make_turn(event_id=EventId(f"Ev{number}"))))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(begin, pods[number % 2], number)

    assert len(standing) == 10
    assert len({turn.event_id for turn in standing}) == 1
    assert await pods[0].count_turns() == 1


async def test_progress_is_saved_and_found_again(store: SqlTurnStore, claim: Claim) -> None:
    turn = await store.begin_turn(make_turn())
    placed = replace(turn, state=TurnState.PLACED, answer_ts=Ts("1700000001.000100"), notice="agent_not_configured")
    await store.save_turn(placed, claim)
    assert await store.begin_turn(make_turn()) == placed
    finished = replace(placed, state=TurnState.FINISHED, answer="", notice=None)
    await store.save_turn(finished, claim)
    assert await store.begin_turn(make_turn()) == finished


async def test_only_progress_is_saved_and_never_whose_turn_it_is(store: SqlTurnStore, claim: Claim) -> None:
    turn = await store.begin_turn(make_turn())
    await store.save_turn(replace(turn, event_id=EventId("Ev9"), question="other", state=TurnState.PLACED), claim)
    assert await store.begin_turn(turn) == replace(turn, state=TurnState.PLACED)


@pytest.mark.parametrize("holder", ["pod-b", None])
async def test_pod_that_lost_the_lane_writes_nothing(
    store: SqlTurnStore, database: Database, claim: Claim, holder: str | None
) -> None:
    turn = await store.begin_turn(make_turn())
    await lose_lane(database, claim, holder=holder)
    with pytest.raises(LeaseLostError):
        await store.save_turn(replace(turn, state=TurnState.ANSWERED, answer="late"), claim)
    assert await store.begin_turn(turn) == turn


async def test_pod_with_a_newer_or_foreign_claim_writes_nothing(store: SqlTurnStore, claim: Claim) -> None:
    turn = await store.begin_turn(make_turn())
    for other in (replace(claim, fence=claim.fence + 1), replace(claim, lane_id=claim.lane_id + 1)):
        with pytest.raises(LeaseLostError):
            await store.save_turn(replace(turn, answer="wrong"), other)
    assert await store.begin_turn(turn) == turn


async def claim_many(database: Database, count: int) -> list[Claim]:
    """Return claims on a lane each of so many connections."""
    return [await claim_lane(database, f"conn_{number}", event_id=f"Ev{number}") for number in range(count)]


async def save_all_at_once(store: SqlTurnStore, saves: list[tuple[Turn, Claim]]) -> list[int]:
    """Store progress of turns at the same moment, and return the numbers of those that were refused."""
    lost: list[int] = []

    async def save(number: int, turn: Turn, claim: Claim) -> None:
        try:
            await store.save_turn(turn, claim)
        except LeaseLostError:
            lost.append(number)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number, (turn, claim) in enumerate(saves):
                tasks.start_soon(save, number, turn, claim)
    return lost


async def test_of_many_that_write_at_once_only_the_one_that_lost_its_lane_is_refused(
    store: SqlTurnStore, database: Database
) -> None:
    claims = await claim_many(database, 8)
    begun = [await store.begin_turn(make_turn(connection_id=claim.connection_id)) for claim in claims]
    await lose_lane(database, claims[3])
    saved = [replace(turn, state=TurnState.ANSWERED, answer=f"answer {number}") for number, turn in enumerate(begun)]
    assert await save_all_at_once(store, list(zip(saved, claims, strict=True))) == [3]
    stand = [await store.begin_turn(turn) for turn in begun]
    assert stand == [*saved[:3], begun[3], *saved[4:]]


async def test_claim_on_another_lane_is_good_for_no_turn_of_its_neighbours(
    store: SqlTurnStore, database: Database
) -> None:
    claims = await claim_many(database, 3)
    begun = [await store.begin_turn(make_turn(connection_id=claim.connection_id)) for claim in claims]
    swapped = [(replace(turn, answer="wrong"), claims[(at + 1) % 3]) for at, turn in enumerate(begun)]
    assert sorted(await save_all_at_once(store, swapped)) == [0, 1, 2]
    assert [await store.begin_turn(turn) for turn in begun] == begun


async def test_writes_of_one_turn_at_the_same_moment_keep_their_order(store: SqlTurnStore, claim: Claim) -> None:
    turn = await store.begin_turn(make_turn())
    steps = [replace(turn, answer=f"step {number}") for number in range(20)]
    assert await save_all_at_once(store, [(step, claim) for step in steps]) == []
    assert await store.begin_turn(turn) == steps[-1]


async def test_new_and_standing_turns_that_begin_at_once_are_told_apart(store: SqlTurnStore) -> None:
    standing = make_turn(connection_id=ConnectionId("conn_3"), event_id=EventId("EvFIRST"))
    await store.begin_turn(standing)
    found: dict[int, Turn] = {}

    async def begin(number: int) -> None:
        turn = make_turn(connection_id=ConnectionId(f"conn_{number}"), event_id=EventId(f"Ev{number}"))
        found[number] = await store.begin_turn(turn)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(begin, number)
    expected = {number: f"Ev{number}" for number in range(8)} | {3: "EvFIRST"}
    assert {number: str(turn.event_id) for number, turn in found.items()} == expected
    assert [turn.connection_id for _, turn in sorted(found.items())] == [f"conn_{number}" for number in range(8)]


@pytest.mark.parametrize("user_id", ["U\ud800", "U\0"])
async def test_turn_that_no_database_takes_fails_alone(store: SqlTurnStore, user_id: str) -> None:
    begun: list[int] = []
    failed: list[int] = []

    async def begin(number: int) -> None:
        turn = make_turn(connection_id=ConnectionId(f"conn_{number}"))
        try:
            await store.begin_turn(replace(turn, user_id=UserId(user_id)) if number == 3 else turn)
        except StoreError:
            raise  # as if the database were gone, for which all of them would be tried again
        except Exception:  # noqa: BLE001 - each driver has its own
            failed.append(number)
        else:
            begun.append(number)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(begin, number)
    assert set(range(8)) - {3} <= set(begun)
    assert set(failed) <= {3}  # SQLite takes a zero


async def test_turns_that_are_looked_for_at_once_are_told_apart(store: SqlTurnStore) -> None:
    await store.begin_turn(make_turn(connection_id=ConnectionId("conn_3")))
    found: dict[int, tuple[bool, bool]] = {}

    async def look(number: int) -> None:
        connection_id, turn = ConnectionId(f"conn_{number}"), make_turn()
        found[number] = (
            await store.has_turn(connection_id, turn.channel_id, turn.message_ts),
            await store.has_turn_in_thread(connection_id, turn.channel_id, turn.thread_ts),
        )

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(look, number)
    assert found == {number: (number == 3, number == 3) for number in range(8)}


async def test_write_waits_for_a_take_over_that_is_under_way_and_is_then_refused(
    store: SqlTurnStore, database: Database, claim: Claim
) -> None:
    turn = await store.begin_turn(make_turn())
    outcome: list[str] = []

    async def save() -> None:
        try:
            await store.save_turn(replace(turn, answer="late"), claim)
        except LeaseLostError:
            outcome.append("lost")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks, database.transaction() as connection:
            taken = lanes.update().where(lanes.c.lane_id == claim.lane_id).values(fence=claim.fence + 1)
            await connection.execute(taken)
            tasks.start_soon(save)
            await anyio.wait_all_tasks_blocked()
            assert outcome == []
    assert outcome == ["lost"]
    assert await store.begin_turn(turn) == turn


async def test_turn_of_a_removed_connection_is_not_written(
    store: SqlTurnStore, database: Database, claim: Claim, clock: SteppingClock
) -> None:
    connections = SqlConnectionStore(database, Sealer(RING), clock=clock)
    await connections.save_connection(make_connection())
    turn = await store.begin_turn(make_turn())
    await connections.remove_connection(CONN)
    with pytest.raises(LeaseLostError):
        await store.save_turn(replace(turn, answer="late"), claim)
    assert await store.count_turns() == 0


async def test_question_and_answer_are_sealed(store: SqlTurnStore, database: Database, claim: Claim) -> None:
    turn = await store.begin_turn(make_turn())
    await store.save_turn(replace(turn, answer="canary-answer"), claim)
    async with database.reading() as connection:
        row = dict((await connection.execute(select(turns))).mappings().one())
    assert str(row["question"]).startswith("sealed:v1:k1:")
    assert str(row["answer"]).startswith("sealed:v1:k1:")
    assert "canary" not in repr(row)
    stranger = SqlTurnStore(database, Sealer(KeyRing.generate("k2")), clock=SteppingClock())
    with pytest.raises(SealingError):
        await stranger.begin_turn(turn)


async def test_a_message_has_a_turn_once_it_was_begun(store: SqlTurnStore) -> None:
    assert not await store.has_turn(CONN, CHANNEL, ROOT)
    await store.begin_turn(make_turn(message_ts=ROOT))
    assert await store.has_turn(CONN, CHANNEL, ROOT)
    assert not await store.has_turn(CONN, ChannelId("C2"), ROOT)
    assert not await store.has_turn(ConnectionId("conn_2"), CHANNEL, ROOT)


async def test_bot_takes_part_in_a_thread_from_the_first_turn(store: SqlTurnStore) -> None:
    assert not await store.has_turn_in_thread(CONN, CHANNEL, ROOT)
    await store.begin_turn(make_turn(message_ts=Ts("1700000005.000100")))
    assert await store.has_turn_in_thread(CONN, CHANNEL, ROOT)
    assert not await store.has_turn_in_thread(CONN, CHANNEL, Ts("1700000005.000100"))
    assert not await store.has_turn_in_thread(CONN, ChannelId("C2"), ROOT)


async def test_notice_is_known_by_its_word(store: SqlTurnStore, claim: Claim) -> None:
    turn = await store.begin_turn(make_turn())
    assert not await store.has_notice_in_thread(CONN, CHANNEL, ROOT, "agent_not_configured")
    await store.save_turn(replace(turn, notice="agent_not_configured"), claim)
    assert await store.has_notice_in_thread(CONN, CHANNEL, ROOT, "agent_not_configured")
    assert not await store.has_notice_in_thread(CONN, CHANNEL, ROOT, "channel_not_allowed")
    assert not await store.has_notice_in_thread(CONN, CHANNEL, Ts("1700000005.000100"), "agent_not_configured")


async def test_history_is_the_last_answered_turns_oldest_first(
    store: SqlTurnStore, clock: SteppingClock, claim: Claim
) -> None:
    assert await load_history(store) == []
    for number in range(1, 5):
        await answer(store, clock, claim, number, after_s=1)
    await store.begin_turn(make_turn(message_ts=Ts("1700000050.000100")))
    await store.begin_turn(make_turn(message_ts=Ts("1700000051.000100"), thread_ts=Ts("1700000051.000100")))
    assert await load_history(store) == [f"answer {number}" for number in range(1, 5)]
    assert await load_history(store, limit=2) == ["answer 3", "answer 4"]
    assert await load_history(store, thread=Ts("1700000051.000100")) == []


async def test_history_holds_question_and_answer_as_they_were(
    store: SqlTurnStore, clock: SteppingClock, claim: Claim
) -> None:
    turn = await answer(store, clock, claim, 1, after_s=1)
    assert await store.load_history(CONN, CHANNEL, ROOT, limit=20, max_age_s=600) == [turn]


async def test_thread_that_was_silent_for_too_long_starts_afresh(
    store: SqlTurnStore, clock: SteppingClock, claim: Claim
) -> None:
    await answer(store, clock, claim, 1, after_s=0)
    await answer(store, clock, claim, 2, after_s=600)
    assert await load_history(store) == ["answer 1", "answer 2"]
    await answer(store, clock, claim, 3, after_s=601)
    assert await load_history(store) == ["answer 3"]
    clock.time_s += 601
    assert await load_history(store) == []


async def test_agent_that_took_long_to_answer_is_no_silence(
    store: SqlTurnStore, clock: SteppingClock, claim: Claim
) -> None:
    await answer(store, clock, claim, 1, after_s=0, took_s=900)
    await answer(store, clock, claim, 2, after_s=500)
    assert await load_history(store) == ["answer 1", "answer 2"]
