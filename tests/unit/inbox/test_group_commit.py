from collections.abc import Sequence

import anyio
import pytest

from slack_mcp.core.errors import InternalError, OverloadedError, SlackMcpError, StoreUnavailableError
from slack_mcp.inbox.group_commit import CommitLimits, GroupCommit

pytestmark = pytest.mark.anyio


class Ledger:
    """Doubles what it commits; the test opens the gate for each commit."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = anyio.Event()
        self.gate = anyio.Event()
        self.error: SlackMcpError | None = None
        self.poison: int | None = None

    async def commit(self, batch: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(batch))
        self.begun.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        if self.poison in batch:
            raise ValueError("no database takes this")
        return [2 * item for item in batch]


def make(
    ledger: Ledger, *, max_batch: int = 100, max_waiting: int = 100, timeout_s: float = 5, patience_s: float = 5
) -> GroupCommit[int, int]:
    limits = CommitLimits(
        patience_s=patience_s,
        max_batch=max_batch,
        max_waiting=max_waiting,
        timeout_s=timeout_s,
        max_batch_weight=1000,
        max_waiting_weight=5000,
    )
    return GroupCommit(ledger.commit, limits=limits, weigh=lambda item: item)


async def wait_for(commit: GroupCommit[int, int], item: int) -> int:
    return await commit.submit(item)


async def test_what_comes_during_a_commit_goes_into_the_next_one_together() -> None:
    ledger = Ledger()
    commit = make(ledger)
    results: dict[int, int] = {}

    async def submit(item: int) -> None:
        results[item] = await commit.submit(item)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit.run)
            async with anyio.create_task_group() as callers:
                callers.start_soon(submit, 1)
                await ledger.begun.wait()
                for item in (2, 3, 4):
                    callers.start_soon(submit, item)
                await anyio.wait_all_tasks_blocked()
                assert (ledger.batches, results, commit.waiting) == ([[1]], {}, 3)
                ledger.gate.set()
            tasks.cancel_scope.cancel()
    assert ledger.batches == [[1], [2, 3, 4]]
    assert results == {1: 2, 2: 4, 3: 6, 4: 8}


async def test_a_batch_has_a_limit() -> None:
    ledger = Ledger()
    commit = make(ledger, max_batch=2)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as callers:
                for item in range(5):
                    callers.start_soon(wait_for, commit, item)
                await anyio.wait_all_tasks_blocked()
                ledger.gate.set()
                tasks.start_soon(commit.run)
            tasks.cancel_scope.cancel()
    assert [len(batch) for batch in ledger.batches] == [2, 2, 1]


async def test_a_failed_commit_fails_its_own_batch_and_no_other() -> None:
    ledger = Ledger()
    ledger.gate.set()
    ledger.error = StoreUnavailableError("gone")
    commit = make(ledger)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit.run)
            with pytest.raises(StoreUnavailableError, match="gone"):
                await commit.submit(1)
            told = [commit.is_failing]
            ledger.error = None
            assert await commit.submit(2) == 4
            assert [*told, commit.is_failing] == [True, False]
            tasks.cancel_scope.cancel()


async def test_a_commit_that_takes_too_long_is_an_unavailable_store() -> None:
    commit = make(Ledger(), timeout_s=0.01)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit.run)
            with pytest.raises(StoreUnavailableError, match="did not commit within"):
                await commit.submit(1)
            tasks.cancel_scope.cancel()


async def test_a_commit_that_hangs_holds_up_nobody_for_longer_than_their_patience() -> None:
    ledger = Ledger()
    commit = make(ledger, max_waiting=2, patience_s=0.05)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit.run)
            in_work = commit.submit(1)
            await ledger.begun.wait()
            waiting = [commit.submit(item) for item in (2, 3)]
            told = [commit.is_failing]
            for each in (in_work, *waiting):
                with pytest.raises(StoreUnavailableError, match="did not commit within"):
                    await each
            assert commit.waiting == 0
            told.append(commit.is_failing)
            last = commit.submit(4)
            ledger.gate.set()
            assert await last == 8
            assert [*told, commit.is_failing] == [False, True, False]
            tasks.cancel_scope.cancel()
    # What nobody waits for any more is not committed: whoever sent it sends it again.
    assert ledger.batches == [[1], [4]]


async def test_too_many_waiting_items_are_refused_at_once() -> None:
    commit = make(Ledger(), max_waiting=2)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:
            callers.start_soon(wait_for, commit, 1)
            callers.start_soon(wait_for, commit, 2)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(OverloadedError):
                commit.submit(3)
            callers.cancel_scope.cancel()


async def test_heavy_items_go_in_several_commits_and_not_too_many_of_them_wait() -> None:
    ledger = Ledger()
    commit = make(ledger)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            results = [commit.submit(weight) for weight in (600, 300, 200, 2000, 1, 999)]
            with pytest.raises(OverloadedError):
                commit.submit(901)
            results.append(commit.submit(900))
            ledger.gate.set()
            tasks.start_soon(commit.run)
            assert [await each for each in results] == [1200, 600, 400, 4000, 2, 1998, 1800]
            tasks.cancel_scope.cancel()
    assert ledger.batches == [[600, 300], [200], [2000], [1, 999], [900]]


async def test_an_item_that_no_database_takes_falls_alone() -> None:
    ledger = Ledger()
    ledger.gate.set()
    ledger.poison = 2
    commit = make(ledger)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            first, poison, last = (commit.submit(item) for item in (1, 2, 3))
            tasks.start_soon(commit.run)
            assert (await first, await last) == (2, 6)
            with pytest.raises(InternalError, match="ValueError"):
                await poison
            assert await commit.submit(4) == 8
            tasks.cancel_scope.cancel()
    assert ledger.batches == [[1, 2, 3], [1], [2], [3], [4]]


async def test_a_caller_that_leaves_disturbs_nobody() -> None:
    ledger = Ledger()
    commit = make(ledger)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commit.run)
            async with anyio.create_task_group() as callers:
                callers.start_soon(wait_for, commit, 1)
                await ledger.begun.wait()
                callers.cancel_scope.cancel()
            ledger.gate.set()
            assert await commit.submit(2) == 4
            tasks.cancel_scope.cancel()


async def test_who_waits_when_it_ends_and_who_comes_later_are_told() -> None:
    ledger = Ledger()
    commit = make(ledger, max_batch=1)
    told: list[int] = []

    async def submit(item: int) -> None:
        with pytest.raises(StoreUnavailableError, match="shutting down"):
            await commit.submit(item)
        told.append(item)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as callers:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(commit.run)
                callers.start_soon(submit, 1)
                callers.start_soon(submit, 2)
                await ledger.begun.wait()
                tasks.cancel_scope.cancel()
            callers.start_soon(submit, 3)
    assert sorted(told) == [1, 2, 3]
