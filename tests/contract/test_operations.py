"""The guarantees of `ports.operations.JournalOperations`, on every database."""

import json
from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
from sqlalchemy import select, update
from stepping_clock import SteppingClock
from store_samples import CHANNEL, ROOT, make_turn

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ConnectionId, EventId, PodId, Ts
from slack_mcp.core.model import Claim, Delivery, EventState, Outcome, Settlement, TurnState
from slack_mcp.ports.operations import ASKED_AGAIN, Ending, EventFilter, KeptEvent, PutBack
from slack_mcp.ports.store import Journal
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal
from slack_mcp.store.operations import SqlJournalOperations
from slack_mcp.store.schema import events, lanes
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

SEALER = Sealer(KeyRing.generate("k1"))
POD = PodId("pod-a")
ALL = EventFilter()
DEAD = Outcome(state=EventState.DEAD, reason="slack_refused", detail="no")
DONE = Outcome(state=EventState.DONE, reason="answered")
WAITING = Outcome(state=EventState.WAITING, reason="agent_unavailable", retry_after_s=3600)


def deliver(
    number: int, *, connection: str = "conn_1", lane: str = f"{CHANNEL}:{ROOT}", ts: str = ROOT, skip: str | None = None
) -> Delivery:
    event = {"type": "message", "channel": CHANNEL, "ts": ts, "user": "UANN", "text": "canary"}
    body = {"type": "event_callback", "team_id": "T1", "event_id": f"Ev{number}", "event": event}
    return Delivery(
        connection_id=ConnectionId(connection),
        event_id=EventId(f"Ev{number}"),
        event_time=1_800_000_000,
        lane=lane,
        event_type="message",
        payload=json.dumps(body).encode(),
        skip_reason=skip,
    )


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def journal(database: Database, clock: SteppingClock) -> Journal:
    return open_journal(database, SEALER, POD, clock=clock)


@pytest.fixture
def operations(database: Database, clock: SteppingClock) -> SqlJournalOperations:
    return SqlJournalOperations(database, SEALER, clock=clock)


async def claim(journal: Journal) -> Sequence[Claim]:
    return await journal.claim(POD, max_lanes=100, lanes_per_connection=100, lease_s=3600, events_per_lane=32)


async def settle(journal: Journal, held: Claim, *outcomes: Outcome) -> Sequence[str] | None:
    """Settle the lane's first events; returns the ids of what comes next."""
    pairs = tuple(zip(held.events, outcomes, strict=False))
    following = await journal.settle([Settlement(claim=held, outcomes=pairs)], lease_s=3600, events_per_lane=32)
    return None if following[0] is None else [event.event_id for event in following[0]]


async def end_all(journal: Journal, outcome: Outcome) -> None:
    for held in await claim(journal):
        await settle(journal, held, *[outcome] * len(held.events))


def names(found: Sequence[KeptEvent]) -> list[str]:
    return [event.event_id for event in found]


async def list_all(operations: SqlJournalOperations, chosen: EventFilter = ALL) -> Sequence[KeptEvent]:
    return await operations.list_events(chosen, after_id=0, limit=1000)


async def put_back(operations: SqlJournalOperations, chosen: EventFilter = ALL) -> int:
    found = await list_all(operations, chosen)
    return len(await operations.put_back([PutBack(event=each) for each in found]))


async def test_events_are_found_by_each_of_what_they_are_filtered_by(
    journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1), deliver(2, lane="C2:1"), deliver(1, connection="conn_2"), deliver(3, skip="x_y")])
    for held in await claim(journal):
        if held.lane == "C2:1":
            await settle(journal, held, DEAD)
    for chosen, found in (
        (ALL, ["Ev1", "Ev2", "Ev1", "Ev3"]),
        (EventFilter(connection_id=ConnectionId("conn_2")), ["Ev1"]),
        (EventFilter(states=(EventState.DEAD,)), ["Ev2"]),
        (EventFilter(states=(EventState.DEAD, EventState.RECEIVED)), ["Ev1", "Ev2", "Ev1"]),
        (EventFilter(reasons=("slack_refused", "x_y")), ["Ev2", "Ev3"]),
        (EventFilter(event_types=("message",)), ["Ev1", "Ev2", "Ev1", "Ev3"]),
        (EventFilter(event_types=("app_mention",)), []),
        (EventFilter(event_ids=(EventId("Ev3"), EventId("Ev9"))), ["Ev3"]),
    ):
        assert names(await list_all(operations, chosen)) == found


async def test_pages_go_on_where_the_last_one_ended_in_both_directions(
    journal: Journal, operations: SqlJournalOperations
) -> None:
    for number in range(7):
        await journal.append([deliver(number)])
    first = await operations.list_events(ALL, limit=3)
    assert names(first) == ["Ev6", "Ev5", "Ev4"]
    assert names(await operations.list_events(ALL, before_id=first[-1].id, limit=10)) == ["Ev3", "Ev2", "Ev1", "Ev0"]
    oldest = await operations.list_events(ALL, after_id=0, limit=2)
    assert names(oldest) == ["Ev0", "Ev1"]
    assert names(await operations.list_events(ALL, after_id=oldest[-1].id, limit=2)) == ["Ev2", "Ev3"]


async def test_a_range_of_time_is_found_among_many_events(
    database: Database, journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(number, lane=f"C:{number}") for number in range(40)])
    kept = await list_all(operations)
    async with database.transaction() as connection:
        for place, event in enumerate(kept):  # an hour apart, with gaps in the numbers
            await connection.execute(
                update(events)
                .where(events.c.id == event.id)
                .values(id=1000 + place * 7, received_at_ms=place * 3_600_000)
            )
    for since, until in ((None, None), (10, 20), (0, 1), (39, None), (None, 3), (40, 50), (20, 20.5)):
        chosen = EventFilter(
            since_ms=None if since is None else int(since * 3_600_000),
            until_ms=None if until is None else int(until * 3_600_000),
        )
        wanted = [f"Ev{each}" for each in range(40) if (since or 0) <= each < (40 if until is None else until)]
        assert names(await list_all(operations, chosen)) == wanted
        assert names(await operations.list_events(chosen, limit=1000)) == wanted[::-1]


async def test_what_was_put_back_is_claimed_in_the_order_of_arrival_with_all_its_attempts(
    journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1), deliver(2), deliver(3)])
    await end_all(journal, DEAD)
    assert await claim(journal) == []
    await journal.append([deliver(4)])
    assert await put_back(operations, EventFilter(states=(EventState.DEAD,))) == 3
    (held,) = await claim(journal)
    assert [event.event_id for event in held.events] == ["Ev1", "Ev2", "Ev3", "Ev4"]
    assert [(event.attempts, event.redone) for event in held.events] == [(0, True)] * 3 + [(0, False)]
    first = held.events[0]
    assert first.replayed_at_ms is not None
    assert first.due_since_ms == first.replayed_at_ms
    assert held.events[3].due_since_ms == held.events[3].received_at_ms
    kept = await list_all(operations)
    assert {(each.state, each.reason, each.finished_at_ms) for each in kept} == {(EventState.RECEIVED, None, None)}


async def test_what_was_put_back_into_a_lane_in_work_comes_before_what_arrived_later(
    journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1)])
    await end_all(journal, DEAD)
    await journal.append([deliver(2), deliver(3)])
    (held,) = await claim(journal)
    assert await put_back(operations, EventFilter(event_ids=(EventId("Ev1"),))) == 1
    assert await claim(journal) == []
    assert await settle(journal, held, DONE) == ["Ev1", "Ev3"]


async def test_what_is_unfinished_or_changed_meanwhile_is_not_put_back(
    journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1), deliver(2, lane="C2:1")])
    unfinished = await list_all(operations)
    await end_all(journal, DEAD)
    assert await operations.put_back([PutBack(event=each) for each in unfinished]) == frozenset()
    dead = await list_all(operations)
    both = [PutBack(event=each) for each in dead]
    assert await operations.put_back(both[:1]) == {dead[0].id}
    assert await operations.put_back(both) == {dead[1].id}
    assert len(await claim(journal)) == 2


async def test_two_operators_at_once_put_each_event_back_once(
    database: Database, other_database: Database, journal: Journal, clock: SteppingClock
) -> None:
    await journal.append([deliver(number, lane=f"C:{number % 5}") for number in range(30)])
    await end_all(journal, DEAD)
    both = [SqlJournalOperations(each, SEALER, clock=clock) for each in (database, other_database)]
    dead = await list_all(both[0])
    done: list[frozenset[int]] = []

    async def operate(operations: SqlJournalOperations, found: Sequence[KeptEvent]) -> None:
        for start in range(0, len(found), 10):
            batch = [PutBack(event=each) for each in found[start : start + 10]]
            done.append(await operations.put_back(batch))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(operate, both[0], dead)
            tasks.start_soon(operate, both[1], dead[::-1])
    assert sum(map(len, done)) == len(dead)
    claims = await claim(journal)
    assert sorted(len(each.events) for each in claims) == [6] * 5
    assert all([e.id for e in each.events] == sorted(e.id for e in each.events) for each in claims)


async def test_a_lane_opened_for_nothing_is_closed_by_whoever_claims_it(
    database: Database, journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1)])
    await end_all(journal, DEAD)
    (dead,) = await list_all(operations)
    await operations.put_back([PutBack(event=replace(dead, state=EventState.DONE))])
    (held,) = await claim(journal)
    assert held.events == ()
    assert await settle(journal, held) == []
    async with database.reading() as connection:
        assert (await connection.execute(select(lanes))).all() == []


async def test_turns_are_found_by_the_messages_that_events_are_about(
    database: Database, journal: Journal, operations: SqlJournalOperations, clock: SteppingClock
) -> None:
    turns = SqlTurnStore(database, SEALER, clock=clock)
    await turns.begin_turn(make_turn())
    await turns.begin_turn(make_turn("conn_2"))
    await journal.append([deliver(1), deliver(2), deliver(3, ts="1700000009.000100"), deliver(1, connection="conn_2")])
    kept = await list_all(operations)
    found = await operations.load_turns(kept)
    assert [found[each.id].connection_id if each.id in found else None for each in kept] == [
        "conn_1",
        "conn_1",
        None,
        "conn_2",
    ]
    stranger = SqlJournalOperations(database, Sealer(KeyRing.generate("k2")), clock=clock)
    assert await stranger.load_turns(kept) == {}


async def test_an_answered_turn_is_reopened_where_its_messages_stand(
    database: Database, journal: Journal, operations: SqlJournalOperations, clock: SteppingClock
) -> None:
    turns = SqlTurnStore(database, SEALER, clock=clock)
    await journal.append([deliver(1)])
    (held,) = await claim(journal)
    parts = (Ts("1700000001.000100"), Ts("1700000002.000100"))
    step: dict[str, str | int] = {"at_ms": 1, "step": "run"}
    whole = replace(
        await turns.begin_turn(make_turn()),
        state=TurnState.FINISHED,
        answer="the old one",
        notice="stopped",
        answer_ts=parts[0],
        parts=parts,
        digests=("a", "b"),
        trace=(step,),
    )
    await turns.save_turn(replace(whole, state=TurnState.PLACED), held)
    await turns.request_stop(whole.connection_id, CHANNEL, ROOT)
    await turns.save_turn(whole, held)
    await settle(journal, held, DONE)
    (event,) = await list_all(operations)
    (turn,) = (await operations.load_turns([event])).values()
    assert await operations.put_back([PutBack(event=event, turn=turn)]) == {event.id}
    found = await turns.load_turn(ConnectionId("conn_1"), CHANNEL, ROOT)
    assert found is not None
    assert (found.state, found.answer, found.notice, found.parts) == (TurnState.PLACED, None, None, parts)
    assert not found.is_stop_requested
    assert [each["step"] for each in found.trace] == ["run", ASKED_AGAIN]


async def test_a_turn_that_went_on_meanwhile_is_not_reopened(
    database: Database, journal: Journal, operations: SqlJournalOperations, clock: SteppingClock
) -> None:
    turns = SqlTurnStore(database, SEALER, clock=clock)
    await journal.append([deliver(1)])
    (held,) = await claim(journal)
    begun = await turns.begin_turn(make_turn())
    await turns.save_turn(replace(begun, state=TurnState.ANSWERED, answer="kept"), held)
    await settle(journal, held, DEAD)
    (event,) = await list_all(operations)
    await operations.put_back([PutBack(event=event, turn=replace(begun, state=TurnState.FINISHED))])
    found = await turns.load_turn(ConnectionId("conn_1"), CHANNEL, ROOT)
    assert found is not None
    assert found.answer == "kept"


async def test_a_discarded_dead_event_ends_as_skipped_with_what_was_said(
    database: Database, journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1), deliver(1, connection="conn_2")])
    await end_all(journal, DEAD)
    first, _ = await list_all(operations)
    assert await operations.discard([first], detail="asked\x00 elsewhere") == {first.id: Ending.DISCARDED}
    assert await operations.discard([first], detail=None) == {first.id: Ending.CHANGED}
    kept = await list_all(operations)
    assert [(each.state, each.reason) for each in kept] == [
        (EventState.SKIPPED, "discarded"),
        (EventState.DEAD, "slack_refused"),
    ]
    async with database.reading() as connection:
        details = (await connection.execute(select(events.c.detail).order_by(events.c.id))).scalars().all()
    assert details == ["asked elsewhere", "no"]
    assert (await journal.load_backlog()).dead == 1


async def test_discarding_what_waits_lets_the_lane_go_on_and_closes_an_empty_one(
    database: Database, journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1), deliver(2), deliver(3, lane="C2:1")])
    for held in await claim(journal):
        assert await settle(journal, held, WAITING) == []
    assert await claim(journal) == []
    waiting = await list_all(operations, EventFilter(states=(EventState.WAITING,)))
    assert names(waiting) == ["Ev1", "Ev3"]
    assert set((await operations.discard(waiting, detail=None)).values()) == {Ending.DISCARDED}
    (held,) = await claim(journal)
    assert [event.event_id for event in held.events] == ["Ev2"]
    async with database.reading() as connection:
        assert (await connection.execute(select(lanes.c.lane))).scalars().all() == [f"{CHANNEL}:{ROOT}"]


async def test_discarding_behind_what_waits_leaves_its_wait_alone(
    journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1), deliver(2)])
    (held,) = await claim(journal)
    await settle(journal, held, WAITING)
    (later,) = await list_all(operations, EventFilter(states=(EventState.RECEIVED,)))
    assert await operations.discard([later], detail=None) == {later.id: Ending.DISCARDED}
    assert await claim(journal) == []


async def test_what_a_pod_works_on_is_not_discarded(journal: Journal, operations: SqlJournalOperations) -> None:
    await journal.append([deliver(1)])
    (held,) = await claim(journal)
    (event,) = await list_all(operations)
    assert await operations.discard([event], detail=None) == {event.id: Ending.IN_WORK}
    assert await settle(journal, held, DONE) == []
    (event,) = await list_all(operations)
    assert event.state is EventState.DONE


async def test_a_payload_is_given_to_whoever_names_its_connection_and_has_its_key(
    database: Database, journal: Journal, operations: SqlJournalOperations, clock: SteppingClock
) -> None:
    await journal.append([deliver(1)])
    conn_1, conn_2 = ConnectionId("conn_1"), ConnectionId("conn_2")
    (event,) = await list_all(operations)
    assert await operations.load_payload(conn_1, event.id) == deliver(1).payload
    assert await operations.load_payload(conn_2, event.id) is None
    with pytest.raises(SealingError):
        await SqlJournalOperations(database, Sealer(KeyRing.generate("k2")), clock=clock).load_payload(conn_1, event.id)


async def test_the_time_is_the_journals(journal: Journal, operations: SqlJournalOperations) -> None:
    before = await operations.now_ms()
    await journal.append([deliver(1)])
    (event,) = await list_all(operations)
    assert before <= event.received_at_ms <= await operations.now_ms()


async def test_the_backlogs_age_is_counted_from_the_replay_on(
    database: Database, journal: Journal, operations: SqlJournalOperations
) -> None:
    await journal.append([deliver(1)])
    await end_all(journal, DEAD)
    async with database.transaction() as connection:
        await connection.execute(update(events).values(received_at_ms=1000))
    await put_back(operations)
    backlog = await journal.load_backlog()
    assert backlog.unfinished == 1
    assert backlog.oldest_age_s < 3600
