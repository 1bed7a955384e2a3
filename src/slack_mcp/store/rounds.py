"""What many ask of the database at one moment is done together.

Nobody waits on purpose, and no task stands by for it: whoever comes first does what was asked for until then, and what
comes meanwhile is done by one of those who wait for it, in the next round. `inbox/group_commit.py` does the same for
what strangers send, and bounds how much of that waits; here lanes in work ask, of which there are only so many.
"""

from asyncio import CancelledError, Future, get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import anyio

from slack_mcp.core.errors import SlackMcpError, StoreUnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_ITEMS: Final = 256
TIMEOUT_S: Final = 5.0


class _Waiting(NamedTuple, Generic[Item, Result]):
    """An item, and its outcome to be: None says that whoever waits for it does the next round."""

    item: Item
    outcome: "Future[_Outcome[Result] | None]"


class _Outcome(NamedTuple, Generic[Result]):
    result: Result


class Rounds(Generic[Item, Result]):
    """Does for all who wait what each of them asked for.

    Once a round has begun, it is seen through, whoever of those that wait for it is cancelled meanwhile: it does not
    end with the one who happened to begin it. Whatever was not begun is not done for somebody who is gone.

    Args:
        run: does the work for some items and returns a result for each. What happens to one of them alone is a
            result; an error of ours is told to all. After any other error it is asked to do each item alone, whether
            it was done or not.
        get_key: of the items of one round no two have the same key, and those with the same are done in their order;
            None when that does not matter.
        timeout_s: the longest time for one round.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        get_key: Callable[[Item], Hashable] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._run = run
        self._get_key = get_key
        self._timeout_s = timeout_s
        # Plain asyncio, as in the journal's group commit: anyio's event costs several times as much.
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._is_running = False

    async def join(self, item: Item) -> Result:
        """Return the item's result.

        Raises:
            StoreUnavailableError: the database; it may have been done all the same.
            SlackMcpError: whatever else `run` raises.
        """
        if self._is_running:
            outcome = await self._wait(item)
            if outcome is not None:
                return outcome.result
        self._is_running = True
        others = self._take(item)
        try:
            results = await self._run_in_time([item, *(each.item for each in others)])
        except SlackMcpError as error:
            _fail(others, error)
            raise
        except Exception:
            if not others:
                raise
            # Something in one of them that no database takes: the others, of other tenants, must not fall with it.
            return await self._run_singly(item, others)
        else:
            for each, result in zip(others, results[1:], strict=True):
                _tell(each, _Outcome(result))
            return results[0]
        finally:
            _fail(others, StoreUnavailableError("The process is shutting down."))
            self._go_on()

    async def _wait(self, item: Item) -> "_Outcome[Result] | None":
        outcome: Future[_Outcome[Result] | None] = get_running_loop().create_future()
        self._waiting.append(_Waiting(item, outcome))
        try:
            return await outcome
        except CancelledError:
            if outcome.done() and not outcome.cancelled() and outcome.exception() is None and outcome.result() is None:
                self._go_on()  # it was to do the next round
            raise

    def _take(self, first: Item) -> "list[_Waiting[Item, Result]]":
        """Return who else is in the round that begins with this item."""
        taken: list[_Waiting[Item, Result]] = []
        left: list[_Waiting[Item, Result]] = []
        keys = None if self._get_key is None else {self._get_key(first)}
        while self._waiting and len(taken) < MAX_ITEMS - 1:
            each = self._waiting.popleft()
            if each.outcome.done():
                continue
            key = None if self._get_key is None else self._get_key(each.item)
            if keys is None or key not in keys:
                taken.append(each)
            else:
                left.append(each)
            if keys is not None:
                keys.add(key)
        self._waiting.extendleft(reversed(left))
        return taken

    async def _run_in_time(self, items: Sequence[Item]) -> Sequence[Result]:
        try:
            with anyio.fail_after(self._timeout_s, shield=True):
                return await self._run(items)
        except TimeoutError:
            raise StoreUnavailableError(f"The database did not answer within {self._timeout_s:g} s.") from None

    async def _run_singly(self, item: Item, others: "Sequence[_Waiting[Item, Result]]") -> Result:
        """Do for each alone what did not go together; whatever is raised is told to whose item it is."""
        failure: Exception | None = None
        own: Sequence[Result] = ()
        try:
            own = await self._run_in_time([item])
        except Exception as error:  # noqa: BLE001 - raised below, once the others have theirs
            failure = error
        for each in others:
            try:
                _tell(each, _Outcome((await self._run_in_time([each.item]))[0]))
            except Exception as error:  # noqa: BLE001 - raised where the item was asked for
                _fail([each], error)
        if failure is not None:
            raise failure
        return own[0]

    def _go_on(self) -> None:
        """Let the next one of those who wait do a round."""
        while self._waiting:
            following = self._waiting.popleft()
            if not following.outcome.done():
                following.outcome.set_result(None)
                return
        self._is_running = False


def _tell(waiting: _Waiting[Item, Result], outcome: _Outcome[Result]) -> None:
    if not waiting.outcome.done():
        waiting.outcome.set_result(outcome)


def _fail(waiting: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    """Give the error to those who have no outcome yet."""
    for each in waiting:
        if not each.outcome.done():
            each.outcome.set_exception(error)
