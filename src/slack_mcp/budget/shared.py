"""One budget of calls for the whole fleet.

A call takes its tokens out of the database before it starts, so that the pods together never exceed what there is,
whatever becomes of any of them. What a pod's calls want at one moment is asked for in one statement, and what comes to
be wanted while it is under way goes into the next: one call costs a short statement, and many at once cost no more.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeAlias

import anyio
import structlog

from slack_mcp.budget.limits import LEASE_S, Limit, get_pause_s, list_limits, name_bucket
from slack_mcp.budget.line import Line
from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import RateLimitedError, SlackUnavailableError, StoreError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.ports.budget import BucketBlock, Buckets, Urgency

STORE_TIMEOUT_S: Final = 3.0
BLOCK_TIMEOUT_S: Final = 1.0
MAX_LINES_AT_ONCE: Final = 256
MAX_BLOCKS: Final = 10_000

Key: TypeAlias = tuple[ConnectionId, str]

_log = structlog.get_logger(__name__)


class SharedBudget:
    """`ports.budget.CallBudget` over the database, for as long as `run` runs.

    No token is older than `LEASE_S` when its call starts. After a 429 this pod starts no call of the method any more,
    those pods that listen stop as soon as they hear of it, and one that hears nothing at that moment stops after
    `LEASE_S` at the latest, since the database gives it no further tokens.

    Args:
        buckets: the tokens.
        clock: its monotonic time says how old they are.
        factor: what all of Slack's limits are multiplied by.
    """

    def __init__(self, *, buckets: Buckets, clock: Clock, factor: float = 1.0) -> None:
        self._buckets = buckets
        self._now_s = clock.monotonic_s
        self._factor = factor
        # Those that were used last are at the end.
        self._lines: OrderedDict[Key, Line] = OrderedDict()
        self._blocked_until_s: TtlCache[Key, float] = TtlCache(clock=clock, max_entries=MAX_BLOCKS)
        self._called = anyio.Event()

    async def take(
        self, connection: Connection, method: str, channel_id: str | None, *, urgency: Urgency, max_wait_s: float
    ) -> None:
        """Return as soon as the call may start; raises RateLimitedError, SlackUnavailableError."""
        limits = list_limits(connection, method, channel_id, factor=self._factor)
        until_s = self._now_s() + max_wait_s
        taken_s = dict.fromkeys(limits, float("-inf"))
        with anyio.move_on_after(max_wait_s):
            while True:
                await self._wait_for_block(connection, method, until_s)
                # A token that has become too old, while another was waited for, is not used any more.
                stale = next((each for each in limits if self._now_s() >= taken_s[each] + LEASE_S), None)
                if stale is None:
                    return
                taken_s[stale] = await self._take_one(connection, method, stale, urgency, until_s)
        raise _refuse(connection, method, 1 / min(each.per_s for each in limits))

    async def finish(self, connection: Connection, method: str) -> None:
        """Note that a call has ended; where a minute takes one call, the next minute begins now."""
        pause_s = get_pause_s(connection, method, factor=self._factor)
        if pause_s:
            await self.hold_back(connection, method, pause_s)

    async def hold_back(self, connection: Connection, method: str, retry_after_s: float) -> None:
        """Let no pod start the method in this workspace for so many seconds."""
        block = BucketBlock(connection_id=connection.connection_id, bucket=name_bucket(method), for_s=retry_after_s)
        self.hear(block)
        # It holds for all pods, and whoever asked this one may not be there any more.
        with anyio.move_on_after(BLOCK_TIMEOUT_S, shield=True):
            try:
                await self._buckets.block(block.connection_id, block.bucket, for_s=block.for_s)
            except StoreError as error:
                _log.warning("budget.block_not_shared", connection_id=connection.connection_id, error=error.code)

    def hear(self, block: BucketBlock) -> None:
        """Start nothing that takes of the bucket, from now on and for as long as it is blocked."""
        key = (block.connection_id, block.bucket)
        until_s = self._now_s() + block.for_s
        if until_s > (self._blocked_until_s.get(key) or 0.0):
            self._blocked_until_s.put(key, until_s, ttl_s=block.for_s)
        if key in self._lines:
            self._lines[key].drop_spare()

    async def run(self) -> None:
        """Fetch tokens for those who wait, until cancelled."""
        while True:
            now_s = self._now_s()
            waiting = [line for line in self._lines.values() if line.has_waiters]
            due = [line for line in waiting if line.ask_again_s <= now_s][:MAX_LINES_AT_ONCE]
            if due:
                await self._serve(due)
                self._forget_idle()
                continue
            self._called = anyio.Event()
            pause_s = min((line.ask_again_s for line in waiting), default=float("inf")) - now_s
            with anyio.move_on_after(pause_s):
                await self._called.wait()

    async def _wait_for_block(self, connection: Connection, method: str, until_s: float) -> None:
        """Return when the method is not blocked, as far as this pod has heard; raises RateLimitedError."""
        key = (connection.connection_id, name_bucket(method))
        while (blocked_until_s := self._blocked_until_s.get(key)) is not None:
            if blocked_until_s > until_s:
                raise _refuse(connection, method, blocked_until_s - self._now_s())
            await anyio.sleep(blocked_until_s - self._now_s())

    async def _take_one(
        self, connection: Connection, method: str, limit: Limit, urgency: Urgency, until_s: float
    ) -> float:
        """Return since when there is the token that is the call's now."""
        key = (connection.connection_id, limit.bucket)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(connection.connection_id, limit)
        line.limit = limit
        self._lines.move_to_end(key)
        taken_s = line.take_spare(self._now_s())
        if taken_s is not None:
            return taken_s
        waiter = line.join(urgency, until_s)
        self._called.set()
        try:
            await waiter.ended.wait()
        except BaseException:
            line.leave(urgency, waiter)
            raise
        if waiter.taken_s is not None:
            return waiter.taken_s
        if waiter.is_unknown:
            raise SlackUnavailableError(
                method, "budget_unavailable", f"The database that has the budget for {method} does not answer."
            )
        raise _refuse(connection, method, waiter.wait_s)

    async def _serve(self, lines: Sequence[Line]) -> None:
        asked_s = self._now_s()
        try:
            with anyio.fail_after(STORE_TIMEOUT_S):
                leases = await self._buckets.lease([line.make_request() for line in lines])
        except (StoreError, TimeoutError) as error:
            _log.warning("budget.unavailable", error=type(error).__name__)
            for line in lines:
                line.fail()
            return
        now_s = self._now_s()
        for line, lease in zip(lines, leases, strict=True):
            line.serve(lease, asked_s=asked_s, now_s=now_s)

    def _forget_idle(self) -> None:
        """Forget the lines that nobody has used for the life of a token, the oldest first."""
        now_s = self._now_s()
        while self._lines:
            key, line = next(iter(self._lines.items()))
            if not line.is_idle(now_s):
                return
            del self._lines[key]


def _refuse(connection: Connection, method: str, wait_s: float) -> RateLimitedError:
    _log.debug("budget.spent", connection_id=connection.connection_id, method=method, wait_s=round(wait_s, 3))
    return RateLimitedError(method, wait_s)
