"""The guarantees of `ports.store.Journal`, on every database."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio
import pytest
from stepping_clock import SteppingClock

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ConnectionId, EventId, PodId
from slack_mcp.core.model import UNDATED, Claim, Delivery, EventState, JournalledEvent, Outcome, Settlement
from slack_mcp.ports.store import Journal
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal

pytestmark = pytest.mark.anyio

POD_A, POD_B = PodId("pod-a"), PodId("pod-b")
DONE = Outcome(state=EventState.DONE, reason="answered")
FOREVER_S = 3600.0
# Of three partitions, where there are some.
TIMES = (UNDATED, 1, int(time.time()))
OVER_S = -1.0


def deliver(number: int, *, lane: str = "C1:1", connection: str = "conn_1") -> Delivery:
    return Delivery(
        connection_id=ConnectionId(connection),
        event_id=EventId(f"Ev{number:03d}"),
        event_time=TIMES[number % 3],
        lane=lane,
        event_type="message",
        payload=f"payload {number}".encode(),
    )


@pytest.fixture
def make_journal(database: Database) -> Callable[..., Journal]:
    sealer = Sealer(KeyRing.generate("k1"))

    def make(pod_id: PodId = POD_A, *, sealer: Sealer = sealer) -> Journal:
        return open_journal(database, sealer, pod_id, clock=SteppingClock())

    return make


@pytest.fixture
def journal(make_journal: Callable[..., Journal]) -> Journal:
    return make_journal()


async def claim(
    journal: Journal,
    pod: PodId = POD_A,
    *,
    lanes: int = 100,
    cap: int = 100,
    lease_s: float = FOREVER_S,
    depth: int = 32,
) -> Sequence[Claim]:
    return await journal.claim(pod, max_lanes=lanes, lanes_per_connection=cap, lease_s=lease_s, events_per_lane=depth)


async def settle(
    journal: Journal,
    claim: Claim,
    *events: JournalledEvent,
    outcome: Outcome = DONE,
    release: bool = False,
    lease_s: float = FOREVER_S,
) -> Sequence[JournalledEvent] | None:
    settlement = Settlement(claim=claim, outcomes=tuple((event, outcome) for event in events), release=release)
    return (await journal.settle([settlement], lease_s=lease_s, events_per_lane=32))[0]


def ids(events: Sequence[JournalledEvent] | None) -> list[str]:
    assert events is not None
    return [event.event_id for event in events]


async def test_an_event_is_new_once_whoever_delivers_it_and_however_often(make_journal: Callable[..., Journal]) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    assert await first.append([deliver(1), deliver(2), deliver(1)]) == [True, True, False]
    assert await second.append([deliver(2), deliver(3)]) == [False, True]
    (claimed,) = await claim(first)
    assert ids(claimed.events) == ["Ev001", "Ev002", "Ev003"]


async def test_the_same_event_id_of_two_connections_is_two_events(journal: Journal) -> None:
    assert await journal.append([deliver(1), deliver(1, connection="conn_2")]) == [True, True]
    claims = await claim(journal)
    assert {(each.connection_id, *ids(each.events)) for each in claims} == {("conn_1", "Ev001"), ("conn_2", "Ev001")}


async def test_pods_that_journal_the_same_events_at_the_same_time_keep_each_once(
    make_journal: Callable[..., Journal],
) -> None:
    deliveries = [deliver(number, lane=f"C1:{number % 7}") for number in range(60)]
    results: list[Sequence[bool]] = []

    async def append(journal: Journal, batch: Sequence[Delivery]) -> None:
        results.append(await journal.append(batch))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                batch = deliveries if number % 2 else list(reversed(deliveries))
                tasks.start_soon(append, make_journal(PodId(f"pod-{number}")), batch)
    assert sum(sum(result) for result in results) == len(deliveries)
    claims = await claim(make_journal())
    assert sorted(name for each in claims for name in ids(each.events)) == sorted(d.event_id for d in deliveries)


async def test_events_of_a_lane_come_in_the_order_of_arrival(journal: Journal) -> None:
    numbers = [5, 3, 9, 1, 7]
    for number in numbers[:2]:
        await journal.append([deliver(number)])
    await journal.append([deliver(number) for number in numbers[2:]])
    (claimed,) = await claim(journal)
    assert ids(claimed.events) == [f"Ev{number:03d}" for number in numbers]


async def test_a_batch_may_hold_many_events_of_one_lane(journal: Journal) -> None:
    for start in range(0, 5 * 512, 512):
        await journal.append([deliver(number, lane=f"C1:{number % 3}") for number in range(start, start + 512)])
    claims = await claim(journal, depth=5000)
    assert sorted(len(each.events) for each in claims) == [853, 853, 854]


async def test_an_event_comes_back_as_it_was_delivered(journal: Journal) -> None:
    await journal.append([deliver(1)])
    (claimed,) = await claim(journal)
    (event,) = claimed.events
    assert (event.payload, event.event_type, event.lane, event.attempts) == (b"payload 1", "message", "C1:1", 0)
    assert not event.redone


async def test_a_payload_that_does_not_open_says_so_and_keeps_nothing_else_back(
    make_journal: Callable[..., Journal],
) -> None:
    await make_journal().append([deliver(1), deliver(2, lane="C1:2")])
    other = make_journal(sealer=Sealer(KeyRing.generate("k2")))
    await other.append([deliver(3)])
    first, second = await claim(other)
    unreadable, readable = first.events
    assert isinstance(unreadable.unreadable, SealingError)
    assert (unreadable.payload, readable.payload, readable.unreadable) == (b"", b"payload 3", None)
    assert second.events[0].unreadable is not None


async def test_an_event_to_be_skipped_is_kept_once_and_never_claimed(journal: Journal) -> None:
    skipped = replace(deliver(1), skip_reason="event_type")
    assert await journal.append([skipped, deliver(2), skipped]) == [True, True, False]
    assert await journal.append([skipped]) == [False]
    (claimed,) = await claim(journal)
    assert ids(claimed.events) == ["Ev002"]
    assert await settle(journal, claimed, *claimed.events) == ()
    assert (await journal.load_backlog()).unfinished == 0
    assert await journal.delete_finished(done_before_s=0, dead_before_s=FOREVER_S, limit=10) == 2


async def test_a_claimed_lane_is_nobody_elses(make_journal: Callable[..., Journal]) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    await first.append([deliver(1)])
    assert len(await claim(first, POD_A)) == 1
    assert await claim(second, POD_B) == []
    await second.append([deliver(2)])
    assert await claim(second, POD_B) == []


async def test_pods_that_claim_at_the_same_time_never_share_a_lane(make_journal: Callable[..., Journal]) -> None:
    await make_journal().append([deliver(number, lane=f"C1:{number}") for number in range(80)])
    taken: list[int] = []

    async def take(pod: PodId) -> None:
        journal = make_journal(pod)
        while claims := await claim(journal, pod, lanes=7):
            taken.extend(each.lane_id for each in claims)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(take, PodId(f"pod-{number}"))
    assert len(taken) == len(set(taken)) == 80


async def test_a_finished_lane_is_closed_and_a_later_event_opens_it_again(journal: Journal) -> None:
    await journal.append([deliver(1)])
    (claimed,) = await claim(journal)
    assert await settle(journal, claimed, *claimed.events) == ()
    assert await claim(journal) == []
    await journal.append([deliver(2)])
    (again,) = await claim(journal)
    assert ids(again.events) == ["Ev002"]
    assert again.lane_id != claimed.lane_id


async def test_settling_goes_on_with_what_came_meanwhile(journal: Journal) -> None:
    await journal.append([deliver(1)])
    (claimed,) = await claim(journal)
    await journal.append([deliver(2), deliver(3)])
    assert ids(await settle(journal, claimed, *claimed.events)) == ["Ev002", "Ev003"]
    assert await claim(journal, POD_B) == []


async def test_settling_returns_the_claims_events_that_are_left(journal: Journal) -> None:
    await journal.append([deliver(number) for number in range(5)])
    (claimed,) = await claim(journal, depth=2)
    assert ids(claimed.events) == ["Ev000", "Ev001"]
    following = await settle(journal, claimed, claimed.events[0])
    assert ids(following) == ["Ev001", "Ev002", "Ev003", "Ev004"]


async def test_an_event_appended_while_its_lane_is_closed_is_never_left_behind(
    make_journal: Callable[..., Journal],
) -> None:
    """Appending and closing race for the lane's row; whoever wins, the event can be claimed afterwards."""
    journal, other = make_journal(POD_A), make_journal(POD_B)
    for number in range(0, 80, 2):
        await journal.append([deliver(number)])
        (claimed,) = await claim(journal)
        following: list[Sequence[JournalledEvent] | None] = []

        async def finish(claimed: Claim = claimed, following: list[object] = following) -> None:  # type: ignore[assignment]
            following.append(await settle(journal, claimed, *claimed.events))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.append, [deliver(number + 1)])
            tasks.start_soon(finish)
        (next_events,) = following
        if next_events:
            assert await settle(journal, claimed, *next_events) == ()
        else:
            (again,) = await claim(journal)
            assert ids(again.events) == [f"Ev{number + 1:03d}"]
            assert await settle(journal, again, *again.events) == ()


async def test_a_waiting_event_rests_its_lane_also_when_others_arrive(journal: Journal) -> None:
    await journal.append([deliver(1), deliver(2)])
    (claimed,) = await claim(journal)
    waiting = Outcome(state=EventState.WAITING, reason="slack_unavailable", retry_after_s=FOREVER_S)
    assert await settle(journal, claimed, claimed.events[0], outcome=waiting) == ()
    await journal.append([deliver(3)])
    assert await claim(journal) == []


async def test_a_waiting_event_is_first_again_when_its_time_has_come(journal: Journal) -> None:
    await journal.append([deliver(1), deliver(2)])
    (claimed,) = await claim(journal)
    waiting = Outcome(state=EventState.WAITING, reason="slack_unavailable", retry_after_s=0)
    await settle(journal, claimed, claimed.events[0], outcome=waiting)
    (again,) = await claim(journal)
    assert ids(again.events) == ["Ev001", "Ev002"]
    assert [event.attempts for event in again.events] == [1, 0]
    assert again.events[0].redone


async def test_an_attempt_that_does_not_count_is_not_counted(journal: Journal) -> None:
    await journal.append([deliver(1)])
    (claimed,) = await claim(journal)
    limited = Outcome(state=EventState.WAITING, reason="slack_rate_limited", retry_after_s=0, counts=False)
    await settle(journal, claimed, *claimed.events, outcome=limited)
    (again,) = await claim(journal)
    assert again.events[0].attempts == 0


async def test_a_lane_whose_lease_ran_out_is_taken_over_under_a_new_fence(make_journal: Callable[..., Journal]) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    await first.append([deliver(1)])
    (lost,) = await claim(first, POD_A, lease_s=OVER_S)
    (taken,) = await claim(second, POD_B)
    assert (taken.lane_id, taken.takeovers) == (lost.lane_id, 1)
    assert taken.fence > lost.fence
    assert taken.events[0].redone
    assert await settle(first, lost, *lost.events) is None
    assert await settle(second, taken, *taken.events) == ()


async def test_what_a_lost_lease_settles_is_not_written(make_journal: Callable[..., Journal]) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    await first.append([deliver(1)])
    (lost,) = await claim(first, POD_A, lease_s=OVER_S)
    (taken,) = await claim(second, POD_B, lease_s=OVER_S)
    assert await settle(first, lost, *lost.events) is None
    (again,) = await claim(second, POD_B)
    assert ids(again.events) == ids(taken.events)
    assert again.takeovers == 2


async def test_progress_forgets_the_take_overs(journal: Journal) -> None:
    await journal.append([deliver(1), deliver(2)])
    await claim(journal, lease_s=OVER_S)
    (taken,) = await claim(journal)
    assert ids(await settle(journal, taken, taken.events[0], lease_s=OVER_S)) == ["Ev002"]
    (again,) = await claim(journal)
    assert again.takeovers == 1


async def test_a_renewed_lease_holds_and_a_lost_one_cannot_be_renewed(make_journal: Callable[..., Journal]) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    await first.append([deliver(1), deliver(2, lane="C1:2")])
    kept, lost = await claim(first, POD_A, lease_s=OVER_S)
    assert await first.renew(POD_A, [kept], lease_s=FOREVER_S) == [kept]
    (taken,) = await claim(second, POD_B)
    assert taken.lane_id == lost.lane_id
    assert await first.renew(POD_A, [kept, lost], lease_s=FOREVER_S) == [kept]
    assert await second.renew(POD_A, [taken], lease_s=FOREVER_S) == []


async def test_what_a_dead_process_held_is_taken_back_only_where_it_was_the_only_one(
    make_journal: Callable[..., Journal], database: Database
) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    await first.append([deliver(1)])
    (lost,) = await claim(first, POD_A)
    taken_back = await second.take_back()
    claims = await claim(second, POD_B)
    if database.dialect == "postgresql":
        assert (taken_back, claims) == (0, [])
        return
    assert (taken_back, claims[0].takeovers, claims[0].events[0].redone) == (1, 1, True)
    assert await settle(first, lost, *lost.events) is None


async def test_a_released_lane_is_free_at_once(make_journal: Callable[..., Journal]) -> None:
    first, second = make_journal(POD_A), make_journal(POD_B)
    await first.append([deliver(1), deliver(2)])
    (claimed,) = await claim(first, POD_A)
    assert await settle(first, claimed, claimed.events[0], release=True) == ()
    (taken,) = await claim(second, POD_B)
    assert ids(taken.events) == ["Ev002"]
    assert taken.takeovers == 0
    assert await settle(first, claimed, *taken.events) is None


async def test_an_empty_settlement_closes_a_lane_without_events(journal: Journal) -> None:
    await journal.append([deliver(1)])
    (claimed,) = await claim(journal)
    assert ids(await settle(journal, claimed)) == ["Ev001"]
    assert await settle(journal, claimed, *claimed.events) == ()
    assert await settle(journal, claimed) is None


async def test_many_lanes_are_settled_together_each_by_its_own_fence(make_journal: Callable[..., Journal]) -> None:
    journal = make_journal()
    await journal.append([deliver(number, lane=f"C1:{number}") for number in range(4)])
    await journal.append([deliver(10, lane="C1:1")])
    claims = await claim(journal, depth=1)
    stale = claims[2]
    await settle(journal, stale, release=True)
    settlements = [Settlement(claim=each, outcomes=((each.events[0], DONE),)) for each in claims]
    results = await journal.settle(settlements, lease_s=FOREVER_S, events_per_lane=32)
    assert [None if result is None else ids(result) for result in results] == [[], ["Ev010"], None, []]


async def test_a_busy_connection_leaves_room_for_the_others(journal: Journal) -> None:
    await journal.append([deliver(number, lane=f"C1:{number}", connection="conn_a") for number in range(50)])
    await journal.append([deliver(number, lane="C1:1", connection=f"conn_{number}") for number in range(5)])
    claims = await claim(journal, lanes=20, cap=4)
    per_connection = [each.connection_id for each in claims]
    assert per_connection.count(ConnectionId("conn_a")) == 4
    assert len(claims) == 9
    assert await claim(journal, lanes=20, cap=4) == []


async def test_connections_take_turns_when_there_is_less_room_than_work(journal: Journal) -> None:
    for name in ("conn_a", "conn_b", "conn_c"):
        await journal.append([deliver(number, lane=f"C1:{number}", connection=name) for number in range(6)])
    served = [each.connection_id for _ in range(6) for each in await claim(journal, lanes=2, cap=2)]
    assert sorted(served) == ["conn_a"] * 2 + ["conn_b"] * 2 + ["conn_c"] * 2


async def test_a_tenant_is_found_behind_any_number_of_others_that_rest(journal: Journal) -> None:
    await journal.append([deliver(1, connection=f"conn_{number:04d}") for number in range(600)])
    waiting = Outcome(state=EventState.WAITING, reason="agent_unavailable", retry_after_s=FOREVER_S)
    claims = await claim(journal, lanes=1000)
    assert len(claims) == 600
    settlements = [Settlement(claim=each, outcomes=((each.events[0], waiting),)) for each in claims]
    await journal.settle(settlements, lease_s=FOREVER_S, events_per_lane=1)
    await journal.append([deliver(2, connection=name) for name in ("conn_zzz", "conn_0300x")])
    found = [each.connection_id for _ in range(3) for each in await claim(journal, lanes=1)]
    assert sorted(found) == ["conn_0300x", "conn_zzz"]


@pytest.mark.parametrize("detail", ["boom\x00", "half \ud800 a pair", "x" * 100_000])
async def test_a_detail_that_quotes_anything_is_kept_as_the_database_takes_it(journal: Journal, detail: str) -> None:
    await journal.append([deliver(1)])
    (claimed,) = await claim(journal)
    outcome = Outcome(state=EventState.DEAD, reason="agent_refused", detail=detail)
    assert await settle(journal, claimed, *claimed.events, outcome=outcome) == ()
    assert (await journal.load_backlog()).dead == 1


async def test_a_lane_that_is_handed_back_with_its_outcome_still_on_the_way_is_free(journal: Journal) -> None:
    await journal.append([deliver(1), deliver(2)])
    (claimed,) = await claim(journal)
    done = Settlement(claim=claimed, outcomes=((claimed.events[0], DONE),))
    back = Settlement(claim=claimed, outcomes=(), release=True)
    first, second = await journal.settle([done, back], lease_s=FOREVER_S, events_per_lane=32)
    assert (ids(first), second) == (["Ev002"], ())
    (again,) = await claim(journal, POD_B)
    assert ids(again.events) == ["Ev002"]


async def test_the_backlog_counts_what_is_unfinished_and_what_is_dead(journal: Journal) -> None:
    assert (await journal.load_backlog()).unfinished == 0
    await journal.append([deliver(number, lane=f"C1:{number}") for number in range(4)])
    claims = await claim(journal)
    await settle(journal, claims[0], *claims[0].events)
    await settle(journal, claims[1], *claims[1].events, outcome=Outcome(state=EventState.DEAD, reason="agent_refused"))
    backlog = await journal.load_backlog()
    assert (backlog.unfinished, backlog.dead) == (2, 1)
    assert backlog.oldest_age_s >= 0


async def test_finished_events_are_deleted_by_age_and_in_small_batches(journal: Journal) -> None:
    await journal.append([deliver(number, lane=f"C1:{number}") for number in range(6)])
    claims = await claim(journal)
    outcomes = [
        DONE,
        DONE,
        Outcome(state=EventState.SKIPPED, reason="noise"),
        Outcome(state=EventState.DEAD, reason="x"),
    ]
    for each, outcome in zip(claims, outcomes, strict=False):
        await settle(journal, each, *each.events, outcome=outcome)
    assert await journal.delete_finished(done_before_s=FOREVER_S, dead_before_s=FOREVER_S, limit=10) == 0
    assert await journal.delete_finished(done_before_s=0, dead_before_s=FOREVER_S, limit=2) == 2
    assert await journal.delete_finished(done_before_s=0, dead_before_s=FOREVER_S, limit=10) == 1
    assert await journal.delete_finished(done_before_s=0, dead_before_s=0, limit=10) == 1
    assert (await journal.load_backlog()).unfinished == 2
