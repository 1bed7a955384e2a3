"""What the dispatcher does with a journal, on every database."""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from directory_fake import FakeDirectory, make_connection
from sqlalchemy import text

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import (
    AgentUnavailableError,
    LeaseLostError,
    RateLimitedError,
    SealingError,
    SlackMcpError,
    SlackRefusedError,
    StoreUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.ids import ConnectionId, EventId, PodId
from slack_mcp.core.model import Claim, Connection, Delivery, EventState, JournalledEvent, Outcome
from slack_mcp.core.secret import Secret
from slack_mcp.inbox.dispatch import Dispatcher, WorkLimits
from slack_mcp.inbox.duty import FAILING_AFTER
from slack_mcp.protocol.backoff import RetryLimits
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.data_keys import destroy_key, get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.open import open_journal

pytestmark = pytest.mark.anyio

DONE = Outcome(state=EventState.DONE, reason="answered")
SKIPPED = Outcome(state=EventState.SKIPPED, reason="not_for_us")
CONNECTION = make_connection()
QUICK = WorkLimits(poll_s=0.02)
NO_WAIT = RetryLimits(base_s=0.0)


def deliver(number: int, *, lane: str = "C1:1", connection: str = "conn_1") -> Delivery:
    return Delivery(
        connection_id=ConnectionId(connection),
        event_id=EventId(f"Ev{number:04d}"),
        event_time=1_800_000_000,
        lane=lane,
        event_type="message",
        payload=b"{}",
    )


class Handler:
    """Notes what it was given; a test may say what comes of an event."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.lanes: dict[str, list[str]] = defaultdict(list)
        self.given_up: list[tuple[str, str]] = []
        self.running = 0
        self.most_running = 0
        self.changed = anyio.Event()
        self.act: Callable[[JournalledEvent], Awaitable[Outcome]] | None = None
        self.on_give_up: Exception | None = None

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        assert connection.connection_id == event.connection_id == claim.connection_id
        self.handled.append(event.event_id)
        self.lanes[event.lane].append(event.event_id)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self._notify()
        try:
            return await self.act(event) if self.act else DONE
        finally:
            self.running -= 1
            self._notify()

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        self.given_up.append((event.event_id, error.code))
        if self.on_give_up:
            raise self.on_give_up

    async def wait_until(self, is_true: Callable[[], bool]) -> None:
        with anyio.fail_after(15):
            while not is_true():
                await self.changed.wait()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Pod:
    """A dispatcher on a database."""

    def __init__(
        self, database: Database, *connections: Connection, name: str = "pod-a", limits: WorkLimits = QUICK
    ) -> None:
        self.journal = open_journal(database, Sealer(None), PodId(name), clock=SystemClock())
        self.handler = Handler()
        self.directory = FakeDirectory(*(connections or (CONNECTION,)))
        self.dispatcher = Dispatcher(
            journal=self.journal,
            directory=self.directory,
            handler=self.handler,
            pod_id=PodId(name),
            clock=SystemClock(),
            limits=limits,
            retries=NO_WAIT,
            chance=lambda: 0.0,
        )

    async def append(self, *deliveries: Delivery) -> None:
        await self.journal.append(deliveries)
        self.dispatcher.wake()

    @asynccontextmanager
    async def running(self, *, drain_timeout_s: float = 10.0) -> AsyncIterator[None]:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: self.dispatcher.run(drain_timeout_s=drain_timeout_s))
                yield
                self.dispatcher.stop()

    async def wait_until_idle(self) -> None:
        with anyio.fail_after(15):
            while (await self.journal.load_backlog()).unfinished or self.dispatcher.lanes_held:
                await anyio.lowlevel.checkpoint()


@pytest.fixture
def pod(database: Database) -> Pod:
    return Pod(database)


async def test_events_of_a_lane_run_one_after_the_other_in_order(pod: Pod) -> None:
    async with pod.running():
        for number in range(50):
            await pod.append(deliver(number))
        await pod.wait_until_idle()
    assert pod.handler.handled == [f"Ev{number:04d}" for number in range(50)]
    assert pod.handler.most_running == 1


async def test_lanes_run_side_by_side(pod: Pod) -> None:
    everybody_in = anyio.Event()

    async def meet(_event: JournalledEvent) -> Outcome:
        if pod.handler.running == 5:
            everybody_in.set()
        await everybody_in.wait()
        return DONE

    pod.handler.act = meet
    async with pod.running():
        await pod.append(*(deliver(number, lane=f"C1:{number}") for number in range(5)))
        await pod.wait_until_idle()
    assert pod.handler.most_running == 5


async def test_one_connection_cannot_take_all_the_room(database: Database) -> None:
    limits = replace(QUICK, lanes_per_pod=4, lanes_per_connection=2)
    pod = Pod(database, CONNECTION, make_connection("conn_2"), limits=limits)
    blocked = anyio.Event()

    async def block(event: JournalledEvent) -> Outcome:
        if event.connection_id == "conn_1":
            await blocked.wait()
        return DONE

    pod.handler.act = block
    async with pod.running():
        await pod.append(*(deliver(number, lane=f"C1:{number}") for number in range(20)))
        await pod.handler.wait_until(lambda: pod.handler.running == 2)
        await pod.append(deliver(100, connection="conn_2"))
        await pod.handler.wait_until(lambda: "Ev0100" in pod.handler.handled)
        assert len(pod.handler.handled) == 3
        blocked.set()
        await pod.wait_until_idle()
    assert len(set(pod.handler.handled)) == 21


async def test_skipped_events_are_settled_together_and_in_order(pod: Pod) -> None:
    async def decide(event: JournalledEvent) -> Outcome:
        return SKIPPED if int(event.event_id[2:]) % 3 else DONE

    pod.handler.act = decide
    await pod.append(*(deliver(number) for number in range(60)))
    async with pod.running():
        await pod.wait_until_idle()
    assert pod.handler.handled == [f"Ev{number:04d}" for number in range(60)]


async def test_a_retryable_failure_comes_again_and_keeps_its_lane_waiting(pod: Pod) -> None:
    failures = [AgentUnavailableError("down"), AgentUnavailableError("down")]

    async def fail_twice(_event: JournalledEvent) -> Outcome:
        if failures:
            raise failures.pop()
        return DONE

    pod.handler.act = fail_twice
    async with pod.running():
        await pod.append(deliver(1), deliver(2))
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0001", "Ev0001", "Ev0001", "Ev0002"]
    assert pod.handler.given_up == []


async def test_an_event_that_keeps_failing_is_given_up_and_the_lane_goes_on(pod: Pod) -> None:
    async def fail_first(event: JournalledEvent) -> Outcome:
        if event.event_id == "Ev0001":
            raise AgentUnavailableError("down")
        return DONE

    pod.handler.act = fail_first
    async with pod.running():
        await pod.append(deliver(1), deliver(2))
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0001"] * NO_WAIT.max_attempts + ["Ev0002"]
    assert pod.handler.given_up == [("Ev0001", "agent_unavailable")]
    assert (await pod.journal.load_backlog()).dead == 1


@pytest.mark.parametrize("on_give_up", [None, SlackRefusedError("chat.update", "is_archived"), ValueError("bug")])
async def test_a_final_failure_is_dead_at_once_whatever_giving_up_does(pod: Pod, on_give_up: Exception | None) -> None:
    async def refuse(_event: JournalledEvent) -> Outcome:
        raise SlackRefusedError("chat.postMessage", "channel_not_found")

    pod.handler.act, pod.handler.on_give_up = refuse, on_give_up
    async with pod.running():
        await pod.append(deliver(1))
        await pod.wait_until_idle()
    assert pod.handler.given_up == [("Ev0001", "slack_refused")]
    assert (await pod.journal.load_backlog()).dead == 1


async def test_a_rate_limit_does_not_use_up_the_attempts(pod: Pod) -> None:
    limits = [RateLimitedError("chat.update", 0) for _ in range(2 * NO_WAIT.max_attempts)]

    async def limited(_event: JournalledEvent) -> Outcome:
        if limits:
            raise limits.pop()
        return DONE

    pod.handler.act = limited
    async with pod.running():
        await pod.append(deliver(1))
        await pod.wait_until_idle()
    assert len(pod.handler.handled) == 2 * NO_WAIT.max_attempts + 1
    assert (await pod.journal.load_backlog()).dead == 0


async def test_work_begins_again_when_the_token_was_replaced_under_it(pod: Pod) -> None:
    versions: list[int] = []

    async def find_it_revoked(_event: JournalledEvent) -> Outcome:
        versions.append(pod.directory.cached[CONNECTION.connection_id].version)
        if len(versions) == 1:
            pod.directory.store(CONNECTION, version=2)
            raise TokenRevokedError("chat.update", "token_revoked")
        return DONE

    pod.handler.act = find_it_revoked
    async with pod.running():
        await pod.append(deliver(1))
        await pod.wait_until_idle()
    assert (versions, pod.handler.given_up) == ([1, 2], [])


async def test_a_revoked_token_that_nobody_replaced_ends_the_event(pod: Pod) -> None:
    async def find_it_revoked(_event: JournalledEvent) -> Outcome:
        raise TokenRevokedError("chat.update", "token_revoked")

    pod.handler.act = find_it_revoked
    async with pod.running():
        await pod.append(deliver(1))
        await pod.wait_until_idle()
    assert pod.handler.given_up == [("Ev0001", "slack_token_revoked")]


async def test_an_expired_token_that_is_about_to_be_replaced_is_waited_for(database: Database) -> None:
    pod = Pod(database, replace(CONNECTION, refresh_token=Secret("xoxe-1-canary")))
    attempts: list[str] = []

    async def find_it_expired_at_first(event: JournalledEvent) -> Outcome:
        attempts.append(event.event_id)
        if len(attempts) == 1:
            raise TokenRevokedError("chat.update", "token_expired")
        return DONE

    pod.handler.act = find_it_expired_at_first
    async with pod.running():
        await pod.append(deliver(1))
        await pod.wait_until_idle()
    assert attempts == ["Ev0001", "Ev0001"]
    assert pod.handler.given_up == []


async def test_what_was_sealed_with_a_destroyed_key_is_skipped(database: Database) -> None:
    pod = Pod(database, CONNECTION)
    sealer = Sealer(KeyRing.generate("k1"))
    keys = get_data_keys(database, sealer)
    async with database.transaction() as connection:
        await keys.make_key(connection, CONNECTION.connection_id)
    await open_journal(database, sealer, PodId("pod-b"), clock=SystemClock()).append([deliver(1)])
    async with database.transaction() as connection:
        await destroy_key(connection, CONNECTION.connection_id)
    async with pod.running():
        await pod.append(deliver(2))
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0002"]
    assert pod.handler.given_up == []
    assert (await pod.journal.load_backlog()).dead == 0


async def test_an_event_that_does_not_open_ends_by_itself(database: Database, pod: Pod) -> None:
    sealed = open_journal(database, Sealer(KeyRing.generate("lost")), PodId("pod-b"), clock=SystemClock())
    await sealed.append([deliver(1)])
    async with pod.running():
        await pod.append(deliver(2), deliver(3, lane="C1:3"))
        await pod.wait_until_idle()
    assert sorted(pod.handler.handled) == ["Ev0002", "Ev0003"]
    assert pod.handler.given_up == [("Ev0001", "sealing_error")]


async def test_a_connection_that_does_not_open_is_its_own_tenants_trouble(database: Database) -> None:
    pod = Pod(database, CONNECTION, make_connection("conn_2"))
    load = pod.directory.load

    async def load_or_fail(connection_id: ConnectionId) -> Connection:
        if connection_id == "conn_2":
            raise SealingError("its key is lost")
        return await load(connection_id)

    pod.directory.load = load_or_fail  # type: ignore[method-assign]
    async with pod.running():
        await pod.append(deliver(1, connection="conn_2"), deliver(2))
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0002"]
    assert (await pod.journal.load_backlog()).dead == 1


async def test_a_bug_kills_the_event_and_nothing_else(pod: Pod) -> None:
    async def crash(event: JournalledEvent) -> Outcome:
        if event.event_id == "Ev0001":
            raise KeyError("bug")
        return DONE

    pod.handler.act = crash
    async with pod.running():
        await pod.append(deliver(1), deliver(2), deliver(3, lane="C1:3"))
        await pod.wait_until_idle()
    assert pod.handler.given_up == [("Ev0001", "internal_error")]
    assert {"Ev0002", "Ev0003"} <= set(pod.handler.handled)


async def test_a_removed_or_disabled_connection_ends_its_events_as_skipped(database: Database) -> None:
    pod = Pod(database, replace(CONNECTION, disabled=True))
    async with pod.running():
        await pod.append(deliver(1), deliver(2, connection="conn_gone"))
        await pod.wait_until_idle()
    assert pod.handler.handled == []
    assert (await pod.journal.load_backlog()).dead == 0


async def test_a_connection_removed_in_mid_work_ends_the_rest_as_skipped(pod: Pod) -> None:
    async def remove(_event: JournalledEvent) -> Outcome:
        pod.directory.clear()
        return DONE

    pod.handler.act = remove
    async with pod.running():
        await pod.append(deliver(1), deliver(2))
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0001"]


async def test_stopping_finishes_the_event_in_hand_and_hands_back_the_rest(database: Database) -> None:
    pod, other = Pod(database), Pod(database, name="pod-b")
    gate = anyio.Event()

    async def wait(_event: JournalledEvent) -> Outcome:
        await gate.wait()
        return DONE

    pod.handler.act = wait
    async with pod.running():
        await pod.append(deliver(1), deliver(2))
        await pod.handler.wait_until(lambda: pod.handler.running == 1)
        pod.dispatcher.stop()
        gate.set()
    assert pod.handler.handled == ["Ev0001"]
    async with other.running():
        await other.wait_until_idle()
    assert other.handler.handled == ["Ev0002"]


async def test_work_that_does_not_finish_in_time_is_handed_back_at_once(database: Database) -> None:
    pod, other = Pod(database), Pod(database, name="pod-b")

    async def hang(_event: JournalledEvent) -> Outcome:
        await anyio.sleep_forever()
        return DONE

    pod.handler.act = hang
    async with pod.running(drain_timeout_s=0.01):
        await pod.append(deliver(1))
        await pod.handler.wait_until(lambda: pod.handler.running == 1)
    async with other.running():
        await other.wait_until_idle()
    assert other.handler.handled == ["Ev0001"]


async def test_lanes_whose_outcomes_are_on_their_way_leave_room_for_as_many_others(database: Database) -> None:
    pod = Pod(database, limits=replace(QUICK, lanes_per_pod=1))
    may_write = anyio.Event()
    settle = pod.journal.settle

    async def settle_later(*args: Any, **kwargs: Any) -> Any:
        await may_write.wait()
        return await settle(*args, **kwargs)

    pod.journal.settle = settle_later  # type: ignore[method-assign]
    async with pod.running():
        await pod.append(*(deliver(number, lane=f"C1:{number}") for number in range(3)))
        await pod.handler.wait_until(lambda: len(pod.handler.handled) == 2 and not pod.handler.running)
        # Another look would find the third, which has to wait for one of the two to be written.
        await pod.dispatcher._claim()
        assert (len(pod.handler.handled), pod.dispatcher.lanes_held) == (2, 0)
        may_write.set()
        await pod.wait_until_idle()
    assert len(pod.handler.handled) == 3


async def test_a_lane_that_comes_back_with_more_waits_for_its_place(database: Database) -> None:
    pod = Pod(database, limits=replace(QUICK, lanes_per_pod=1))
    may_write, may_end = anyio.Event(), anyio.Event()
    settle = pod.journal.settle

    async def settle_later(*args: Any, **kwargs: Any) -> Any:
        await may_write.wait()
        return await settle(*args, **kwargs)

    async def wait(event: JournalledEvent) -> Outcome:
        if event.event_id == "Ev0003":
            await may_end.wait()
        return DONE

    pod.journal.settle = settle_later  # type: ignore[method-assign]
    pod.handler.act = wait
    async with pod.running():
        await pod.append(deliver(1), deliver(2), deliver(3, lane="C1:3"))
        await pod.handler.wait_until(lambda: pod.handler.handled == ["Ev0001", "Ev0003"])
        may_write.set()
        while not pod.dispatcher._queue:  # until the first lane is back
            await anyio.lowlevel.checkpoint()
        assert pod.handler.handled == ["Ev0001", "Ev0003"]
        may_end.set()
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0001", "Ev0003", "Ev0002"]
    assert pod.handler.most_running == 1


async def test_a_lane_whose_outcome_is_still_on_its_way_at_the_end_is_handed_back(database: Database) -> None:
    pod, other = Pod(database), Pod(database, name="pod-b")
    is_settling, may_write = anyio.Event(), anyio.Event()
    settle = pod.journal.settle

    async def settle_later(*args: Any, **kwargs: Any) -> Any:
        is_settling.set()
        await may_write.wait()
        return await settle(*args, **kwargs)

    pod.journal.settle = settle_later  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: pod.dispatcher.run(drain_timeout_s=0.01))
        await pod.append(deliver(1), deliver(2))
        await is_settling.wait()
        pod.dispatcher.stop()
        while pod.dispatcher._workers is not None:
            await anyio.lowlevel.checkpoint()
        may_write.set()
    assert pod.handler.handled == ["Ev0001"]
    async with other.running():
        await other.wait_until_idle()
    assert other.handler.handled == ["Ev0002"]


async def test_a_lane_that_waits_for_its_lease_to_end_keeps_back_no_other(database: Database) -> None:
    pod = Pod(database, limits=replace(QUICK, lease_s=0.2, lease_renew_s=600.0))
    hung: list[str] = []

    async def hang_once(event: JournalledEvent) -> Outcome:
        if event.lane == "C1:1" and not hung:
            hung.append(event.event_id)
            await anyio.sleep_forever()
        return DONE

    pod.handler.act = hang_once
    await pod.append(*(deliver(number, lane=f"C1:{number}") for number in range(4)))
    async with pod.running():
        await pod.wait_until_idle()
    assert hung == ["Ev0001"]
    assert sorted(pod.handler.handled) == ["Ev0000", "Ev0001", "Ev0001", "Ev0002", "Ev0003"]


async def test_a_pod_that_lost_its_lease_writes_nothing_and_is_cancelled(database: Database) -> None:
    # With room for one lane it cannot take its own again, which any pod may when the lease is over.
    limits = replace(QUICK, lanes_per_pod=1, lease_s=600.0, lease_renew_s=0.02)
    pod, other = Pod(database, limits=limits), Pod(database, name="pod-b")
    cancelled = anyio.Event()

    async def hang(_event: JournalledEvent) -> Outcome:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return DONE

    pod.handler.act = hang
    async with pod.running():
        await pod.append(deliver(1))
        await pod.handler.wait_until(lambda: pod.handler.running == 1)
        await expire_leases(database)
        with anyio.fail_after(10):
            while not await other.journal.claim(
                PodId("pod-b"), max_lanes=1, lanes_per_connection=10, lease_s=600, events_per_lane=1
            ):
                await expire_leases(database)
            await cancelled.wait()
    assert pod.handler.handled == ["Ev0001"]
    assert (await pod.journal.load_backlog()).unfinished == 1


async def test_a_handler_that_finds_its_lease_lost_leaves_the_event_to_its_new_owner(pod: Pod) -> None:
    async def find_out(_event: JournalledEvent) -> Outcome:
        raise LeaseLostError("lost")

    pod.handler.act = find_out
    async with pod.running():
        await pod.append(deliver(1))
        await pod.handler.wait_until(lambda: bool(pod.handler.handled) and not pod.handler.running)
    backlog = await pod.journal.load_backlog()
    assert (backlog.unfinished, backlog.dead, pod.handler.given_up) == (1, 0, [])


async def test_an_event_under_which_pods_keep_dying_is_given_up(database: Database) -> None:
    pod = Pod(database)
    await pod.journal.append([deliver(1), deliver(2)])
    for _ in range(NO_WAIT.max_attempts + 1):
        await pod.journal.claim(PodId("dying"), max_lanes=1, lanes_per_connection=10, lease_s=-1, events_per_lane=1)
    async with pod.running():
        await pod.wait_until_idle()
    assert pod.handler.given_up == [("Ev0001", "internal_error")]
    assert pod.handler.handled == ["Ev0002"]


async def test_the_dispatcher_survives_a_database_that_goes_away(database: Database) -> None:
    pod = Pod(database)
    claim = pod.journal.claim
    is_gone = True
    asked = 0
    asked_often = anyio.Event()

    async def claim_when_there(*args: object, **kwargs: object) -> object:
        nonlocal asked
        asked += 1
        if asked == FAILING_AFTER + 1:
            asked_often.set()
        if is_gone:
            raise StoreUnavailableError("gone")
        return await claim(*args, **kwargs)  # type: ignore[arg-type]

    pod.journal.claim = claim_when_there  # type: ignore[method-assign,assignment]
    async with pod.running():
        await pod.append(deliver(1))
        with anyio.fail_after(10):
            await asked_often.wait()
        assert pod.dispatcher.is_failing
        is_gone = False
        await pod.wait_until_idle()
    assert pod.handler.handled == ["Ev0001"]
    assert not pod.dispatcher.is_failing


async def test_pods_share_the_work_and_each_event_is_run_once(database: Database) -> None:
    pods = [Pod(database, name=f"pod-{number}", limits=replace(QUICK, lanes_per_pod=3)) for number in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for pod in pods:
            await stack.enter_async_context(pod.running())
        for number in range(120):
            await pods[number % 3].append(deliver(number, lane=f"C1:{number % 20}"))
        await pods[0].wait_until_idle()
    handled = [event_id for pod in pods for event_id in pod.handler.handled]
    assert sorted(handled) == [f"Ev{number:04d}" for number in range(120)]


async def expire_leases(database: Database) -> None:
    """Do what time does, without waiting for it."""
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE slack_lanes SET lease_until_ms = 0 WHERE holder IS NOT NULL"))
