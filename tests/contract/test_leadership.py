"""The guarantees of `ports.leadership.Leadership`, on every database, and what a leader makes of them."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from stepping_clock import SteppingClock

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import PodId
from slack_mcp.inbox.leader import Leader
from slack_mcp.store.database import Database
from slack_mcp.store.leadership import SqlLeadership

pytestmark = pytest.mark.anyio

POD_A, POD_B = PodId("pod-a"), PodId("pod-b")
FOREVER_S = 3600.0
OVER_S = -1.0
LEASE_S = 1.5


@pytest.fixture
def leadership(database: Database) -> SqlLeadership:
    return SqlLeadership(database, clock=SteppingClock())


async def test_one_pod_leads_a_duty_until_its_lease_is_over(leadership: SqlLeadership) -> None:
    assert await leadership.lead("prune", POD_A, lease_s=FOREVER_S)
    assert await leadership.lead("prune", POD_A, lease_s=FOREVER_S)
    assert not await leadership.lead("prune", POD_B, lease_s=FOREVER_S)
    assert await leadership.lead("another", POD_B, lease_s=FOREVER_S)
    assert await leadership.lead("prune", POD_A, lease_s=OVER_S)
    assert await leadership.lead("prune", POD_B, lease_s=FOREVER_S)
    assert not await leadership.lead("prune", POD_A, lease_s=FOREVER_S)


async def test_only_its_leader_hands_a_duty_over(leadership: SqlLeadership) -> None:
    assert await leadership.lead("prune", POD_A, lease_s=FOREVER_S)
    await leadership.hand_over("prune", POD_B)
    assert not await leadership.lead("prune", POD_B, lease_s=FOREVER_S)
    await leadership.hand_over("prune", POD_A)
    assert await leadership.lead("prune", POD_B, lease_s=FOREVER_S)


async def test_of_pods_that_ask_at_once_one_leads(leadership: SqlLeadership) -> None:
    for _ in range(5):
        leading: list[PodId] = []

        async def ask(pod: PodId, leading: list[PodId] = leading) -> None:
            if await leadership.lead("prune", pod, lease_s=FOREVER_S):
                leading.append(pod)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(ask, PodId(f"pod-{number}"))
        (leader,) = leading
        await leadership.hand_over("prune", leader)


class Pods:
    """Leaders of one duty, and who has done it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.done: list[PodId] = []
        self._changed = anyio.Event()

    def make(self, pod: PodId) -> Leader:
        async def step() -> None:
            self.done.append(pod)
            self._changed.set()
            self._changed = anyio.Event()

        return make_leader(self.database, pod, step)

    async def wait_for(self, pod: PodId, *, times: int = 1) -> None:
        """Return when the pod has done the duty so many times more."""
        wanted = self.done.count(pod) + times
        while self.done.count(pod) < wanted:
            await self._changed.wait()


def make_leader(database: Database, pod: PodId, step: Callable[[], Awaitable[None]]) -> Leader:
    # A real clock: SQLite's leases run out by the process's time.

    leadership = SqlLeadership(database, clock=SystemClock())
    return Leader("prune", step, interval_s=0.01, leadership=leadership, pod_id=pod, lease_s=LEASE_S)


async def test_a_stopped_leader_hands_over_at_once_and_a_dead_one_is_replaced(database: Database) -> None:
    pods = Pods(database)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            first = pods.make(POD_A)
            stopping = anyio.CancelScope()

            async def run_first() -> None:
                with stopping:
                    await first.run()

            tasks.start_soon(run_first)
            await pods.wait_for(POD_A)
            second = pods.make(POD_B)
            tasks.start_soon(second.run)
            await pods.wait_for(POD_A, times=30)
            assert set(pods.done) == {POD_A}
            assert (first.is_leading, second.is_leading) == (True, False)
            stopping.cancel()
            await pods.wait_for(POD_B)
            assert not first.is_leading
            tasks.cancel_scope.cancel()
        # One that leads and says nothing any more: it is dead.
        assert await SqlLeadership(database, clock=SystemClock()).lead("prune", POD_A, lease_s=OVER_S)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pods.make(POD_B).run)
            await pods.wait_for(POD_B)
            tasks.cancel_scope.cancel()


async def test_a_leader_whose_lead_was_taken_stops_and_comes_back(database: Database) -> None:
    pods = Pods(database)
    leadership = SqlLeadership(database, clock=SteppingClock())
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            leader = pods.make(POD_A)
            tasks.start_soon(leader.run)
            await pods.wait_for(POD_A)
            # As if it had been frozen for longer than its lease; it may ask in between.
            while not await leadership.lead("prune", POD_B, lease_s=FOREVER_S):
                await leadership.hand_over("prune", POD_A)
            while leader.is_leading:
                await anyio.lowlevel.checkpoint()
            count = len(pods.done)
            await leadership.lead("prune", POD_B, lease_s=FOREVER_S)
            assert len(pods.done) == count
            await leadership.hand_over("prune", POD_B)
            await pods.wait_for(POD_A)
            tasks.cancel_scope.cancel()


async def test_a_leader_that_cannot_ask_stops_and_leads_again_when_it_can(database: Database) -> None:
    """A step that fails is done again; a lead of which nobody knows is not used."""
    broken = anyio.Event()
    steps: list[int] = []

    class Breaking(SqlLeadership):
        async def lead(self, duty: str, pod_id: PodId, *, lease_s: float) -> bool:
            if broken.is_set():
                raise StoreUnavailableError("The database is not available.")
            return await super().lead(duty, pod_id, lease_s=lease_s)

    async def step() -> None:
        steps.append(1)
        raise StoreUnavailableError("The database is not available.")

    leader = Leader(
        "prune",
        step,
        interval_s=0.01,
        leadership=Breaking(database, clock=SystemClock()),
        pod_id=POD_A,
        lease_s=LEASE_S,
    )
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader.run)
            while len(steps) < 3 or not leader.is_failing:
                await anyio.lowlevel.checkpoint()
            broken.set()
            while leader.is_leading:
                await anyio.lowlevel.checkpoint()
            count = len(steps)
            broken = anyio.Event()
            while len(steps) == count:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
