"""Group commit: what arrives while one commit is under way goes into the next one together.

Nobody waits on purpose: an item that comes alone is committed alone, and batches grow only with the load.
"""

from asyncio import Event, Future, TimerHandle, get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Generic, NamedTuple, TypeVar

import anyio
import structlog

from slack_mcp.core.errors import InternalError, OverloadedError, SlackMcpError, StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

# How long a failed commit is held against the database while nothing new comes that could prove it well.
FAILING_S: Final = 3.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLimits:
    """How much waits, and how much goes into one commit.

    Attributes:
        max_batch: items of one commit.
        max_batch_weight: weight of one commit; an item that alone is heavier goes alone.
        max_waiting: items that may wait for a commit.
        max_waiting_weight: what they may weigh together.
        timeout_s: longest duration of a commit; what it leaves unknown is for the caller to find out.
        patience_s: longest time from `submit` to a result or an error, whatever the commits before it take; what
            waits longer is not committed any more.
    """

    max_batch: int
    max_waiting: int
    timeout_s: float
    max_batch_weight: int = 2**63
    max_waiting_weight: int = 2**63
    patience_s: float = 3600.0


class _Waiting(NamedTuple, Generic[Item, Result]):
    """An item, who waits for its result, and until when on the event loop's clock."""

    item: Item
    future: Future[Result]
    until_s: float


class GroupCommit(Generic[Item, Result]):
    """Commits items in batches; `run` does the work, `submit` waits for one item's result.

    Args:
        commit: writes a batch in one transaction and returns a result for each item.
        limits: how much of what.
        weigh: how much an item weighs, such as its size in bytes.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        limits: CommitLimits,
        weigh: Callable[[Item], int] = lambda _item: 1,
    ) -> None:
        self._commit = commit
        self._limits = limits
        self._weigh = weigh
        self._weight = 0
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._in_work: Sequence[_Waiting[Item, Result]] = ()
        self._timer: TimerHandle | None = None
        self._failed_s: float | None = None
        # Plain asyncio: this stands between every delivery and its 200, and anyio's event costs several times as much.
        self._arrived = Event()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many items wait for a commit."""
        return len(self._waiting)

    @property
    def is_failing(self) -> bool:
        """Whether the last commit failed, a moment ago."""
        return self._failed_s is not None and anyio.current_time() - self._failed_s < FAILING_S

    def submit(self, item: Item) -> Future[Result]:
        """Return the item's result to be, which is there once the item is committed.

        Awaited, it raises what the commit raised; StoreUnavailableError also when it took too long.

        Raises:
            OverloadedError: too many items wait already.
            StoreUnavailableError: nothing is committed any more.
        """
        if self._is_closed:
            raise _shutting_down()
        weight = self._weigh(item)
        if len(self._waiting) >= self._limits.max_waiting or self._weight + weight > self._limits.max_waiting_weight:
            raise OverloadedError(f"{len(self._waiting)} items are waiting for the database already.")
        self._weight += weight
        loop = get_running_loop()
        future: Future[Result] = loop.create_future()
        until_s = loop.time() + self._limits.patience_s
        self._waiting.append(_Waiting(item, future, until_s))
        if self._timer is None:
            self._timer = loop.call_at(until_s, self._lose_patience)
        self._arrived.set()
        return future

    async def run(self) -> None:
        """Commit until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    self._in_work = self._take_batch()
                    await self._commit_batch(self._in_work)
                    self._in_work = ()
        finally:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
            _fail(self._waiting, _shutting_down())

    def _lose_patience(self) -> None:
        """Answer those who have waited for too long: a commit that hangs, or is being ended, holds up nobody."""
        loop = get_running_loop()
        now_s = loop.time()
        late = [each for each in self._in_work if each.until_s <= now_s and not each.future.done()]
        while self._waiting and self._waiting[0].until_s <= now_s:
            late.append(self._waiting.popleft())
            self._weight -= self._weigh(late[-1].item)
        if late:
            self._failed_s = anyio.current_time()
            _fail(late, StoreUnavailableError(f"The database did not commit within {self._limits.patience_s:g} s."))
        left = (each.until_s for each in chain(self._in_work, self._waiting) if not each.future.done())
        until_s = next(left, None)
        self._timer = None if until_s is None else loop.call_at(until_s, self._lose_patience)

    def _take_batch(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        batch_weight = 0
        while self._waiting and len(batch) < self._limits.max_batch:
            weight = self._weigh(self._waiting[0].item)
            if batch and batch_weight + weight > self._limits.max_batch_weight:
                break
            batch.append(self._waiting.popleft())
            batch_weight += weight
        self._weight -= batch_weight
        return batch

    async def _commit_batch(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        error: SlackMcpError = _shutting_down()
        try:
            with anyio.fail_after(self._limits.timeout_s):
                results = await self._commit([each.item for each in batch])
            self._failed_s = None
            for each, result in zip(batch, results, strict=True):
                if not each.future.done():
                    each.future.set_result(result)
        except SlackMcpError as raised:
            self._failed_s = anyio.current_time()
            error = raised
        except TimeoutError:
            self._failed_s = anyio.current_time()
            error = StoreUnavailableError(f"The database did not commit within {self._limits.timeout_s:g} s.")
        except Exception as raised:  # noqa: BLE001 - told to whose item it is, with the traceback in the log
            # Something in one of them that no database takes: the others, of other tenants, must not fall with it.
            if len(batch) > 1:
                for each in batch:
                    await self._commit_batch([each])
            else:
                _log.exception("commit.crashed")
                error = InternalError(f"A bug was met ({type(raised).__name__}); the log has its traceback.")
        finally:
            _fail(batch, error)


def _shutting_down() -> StoreUnavailableError:
    return StoreUnavailableError("The process is shutting down.")


def _fail(batch: Iterable[_Waiting[Item, Result]], error: SlackMcpError) -> None:
    """Give the error to everybody who still waits; a caller that is gone is not told."""
    for each in batch:
        if not each.future.done():
            each.future.set_exception(error)
