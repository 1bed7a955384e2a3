"""Buckets in Valkey, and in the database while Valkey does not answer.

Whoever changes the place begins with empty buckets in the new one, so that a change never gives a burst. What remains:
while some pods use the one and some the other, both fill. So in any time the pods together start at most as many calls
as one budget allows for that time, and as many again as come back in that part of it in which they did not agree: at
most twice the rate. They agree again as soon as all have noticed, which takes each its next call and a second at most.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import BucketBlock, FastBuckets, LastingBuckets, Lease, LeaseRequest

MAX_EMPTIED: Final = 10_000

_log = structlog.get_logger(__name__)


class BucketsWithFallback:
    """`ports.budget.Buckets` in one place, and in another while that is lost.

    Args:
        fast: where they are; it may be lost, and nobody sees an error.
        lasting: where they are meanwhile.
        clock: for how long it is remembered what was emptied.
        tell: tells the other pods of a block beside what `lasting` does; must not wait.
    """

    def __init__(
        self,
        *,
        fast: FastBuckets,
        lasting: LastingBuckets,
        clock: Clock,
        tell: Callable[[BucketBlock], None] = lambda _block: None,
    ) -> None:
        self._fast = fast
        self._lasting = lasting
        self._tell = tell
        self._is_away = False
        # One that is forgotten is emptied again: nobody exceeds anything by it.
        self._emptied: TtlCache[tuple[ConnectionId, str], bool] = TtlCache(clock=clock, max_entries=MAX_EMPTIED)

    async def take(
        self, connection_id: ConnectionId, bucket: str, *, capacity: float, per_s: float, cost: float = 1.0
    ) -> float:
        """Take `cost` tokens and return 0.0, or take nothing and return the seconds until there are that many."""
        try:
            await self._come_back()
            return await self._fast.take(connection_id, bucket, capacity=capacity, per_s=per_s, cost=cost)
        except StoreUnavailableError:
            await self._go_away([(connection_id, bucket)])
        return await self._lasting.take(connection_id, bucket, capacity=capacity, per_s=per_s, cost=cost)

    async def lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Lease]:
        """Take what can be had for each request; the answers have the order of the requests."""
        try:
            await self._come_back()
            return await self._fast.lease(requests)
        except StoreUnavailableError:
            await self._go_away([(each.connection_id, each.bucket) for each in requests])
        return await self._lasting.lease(requests)

    async def block(self, connection_id: ConnectionId, bucket: str, *, for_s: float) -> None:
        """Let nobody have anything of the bucket for `for_s` seconds, in both places, and tell all pods."""
        self._tell(BucketBlock(connection_id=connection_id, bucket=bucket, for_s=for_s))
        try:
            await self._fast.block(connection_id, bucket, for_s=for_s)
        except StoreUnavailableError:
            _log.debug("budget.block_in_database_only", connection_id=connection_id)
        await self._lasting.block(connection_id, bucket, for_s=for_s)

    async def delete_idle(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` buckets that nobody has used for `before_s` seconds; returns how many there were."""
        return await self._lasting.delete_idle(before_s=before_s, limit=limit)

    async def _come_back(self) -> None:
        """Begin anew where it is fast, if the last tokens were taken elsewhere."""
        if self._is_away:
            await self._fast.begin()
            self._is_away = False
            self._emptied.clear()
            _log.info("budget.in_valkey")

    async def _go_away(self, keys: Sequence[tuple[ConnectionId, str]]) -> None:
        """Empty what nobody has emptied since the fast place was lost."""
        if not self._is_away:
            self._is_away = True
            _log.warning("budget.in_database")
        fresh = [key for key in keys if self._emptied.get(key) is None]
        if fresh:
            await self._lasting.empty(fresh)
            for key in fresh:
                self._emptied.put(key, value=True, ttl_s=float("inf"))
