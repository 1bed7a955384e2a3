"""Group commit: what arrives while one commit is under way goes into the next one together.

Nobody waits on purpose: an item that comes alone is committed alone, and batches grow only with the load.
"""

from asyncio import Event, Future, get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import anyio

from slack_mcp.core.errors import OverloadedError, SlackMcpError, StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Commits items in batches; `run` does the work, `submit` waits for one item's result.

    Args:
        commit: writes a batch in one transaction and returns a result for each item.
        max_batch: items of one commit.
        max_waiting: items that may wait for a commit.
        timeout_s: longest duration of a commit; what it leaves unknown is for the caller to find out.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        max_batch: int,
        max_waiting: int,
        timeout_s: float,
    ) -> None:
        self._commit = commit
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        # Plain asyncio: this stands between every delivery and its 200, and anyio's event costs several times as much.
        self._arrived = Event()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many items wait for a commit."""
        return len(self._waiting)

    async def submit(self, item: Item) -> Result:
        """Return the item's result once it is committed.

        Raises:
            OverloadedError: too many items wait already.
            SlackMcpError: what the commit raised; StoreUnavailableError also when it took too long.
        """
        if self._is_closed:
            raise _shutting_down()
        if len(self._waiting) >= self._max_waiting:
            raise OverloadedError(f"{self._max_waiting} items are waiting for the database already.")
        future: Future[Result] = get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Commit until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    count = min(self._max_batch, len(self._waiting))
                    await self._commit_batch([self._waiting.popleft() for _ in range(count)])
        finally:
            self._is_closed = True
            _fail(self._waiting, _shutting_down())

    async def _commit_batch(self, batch: Sequence[tuple[Item, Future[Result]]]) -> None:
        error: SlackMcpError = _shutting_down()
        try:
            with anyio.fail_after(self._timeout_s):
                results = await self._commit([item for item, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        except SlackMcpError as raised:
            error = raised
        except TimeoutError:
            error = StoreUnavailableError(f"The database did not commit within {self._timeout_s:g} s.")
        finally:
            _fail(batch, error)


def _shutting_down() -> StoreUnavailableError:
    return StoreUnavailableError("The process is shutting down.")


def _fail(batch: Sequence[tuple[Item, Future[Result]]], error: SlackMcpError) -> None:
    """Give the error to everybody who still waits; a caller that is gone is not told."""
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
