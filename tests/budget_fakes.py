"""Token buckets in memory, and a budget that writes down what it is asked."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from slack_mcp.budget.shared import SharedBudget
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import RateLimitedError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.ports.budget import Buckets, Lease, LeaseRequest, Urgency
from slack_mcp.store.buckets import share_out

Key = tuple[str, str]


@dataclass
class Bucket:
    tokens: float
    updated_s: float
    blocked_until_s: float = 0.0


class FakeBuckets:
    """`ports.budget.Buckets`; a test can hold its answers back, or let it fail."""

    def __init__(self, clock: Clock) -> None:
        self.buckets: dict[Key, Bucket] = {}
        self.statements: list[Sequence[LeaseRequest]] = []
        self.asked = anyio.Event()
        self.answers = anyio.Event()
        self.answers.set()
        self.is_gone = False
        self._now_s = clock.monotonic_s

    async def take(
        self, connection_id: ConnectionId, bucket: str, *, capacity: float, per_s: float, cost: float = 1.0
    ) -> float:
        raise NotImplementedError

    async def lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Lease]:
        self.statements.append(requests)
        leases = [self._lease(each) for each in requests]
        self.asked.set()
        await self.answers.wait()
        if self.is_gone:
            raise StoreUnavailableError("The database is not available.")
        return leases

    async def block(self, connection_id: ConnectionId, bucket: str, *, for_s: float) -> None:
        if self.is_gone:
            raise StoreUnavailableError("The database is not available.")
        self.buckets[connection_id, bucket] = Bucket(0.0, self._now_s(), self._now_s() + for_s)

    async def delete_idle(self, *, before_s: float, limit: int) -> int:
        raise NotImplementedError

    def _lease(self, request: LeaseRequest) -> Lease:
        now_s = self._now_s()
        key = (request.connection_id, request.bucket)
        bucket = self.buckets.setdefault(key, Bucket(request.capacity, now_s))
        available = min(request.capacity, bucket.tokens + (now_s - bucket.updated_s) * request.per_s)
        blocked_s = max(0.0, bucket.blocked_until_s - now_s)
        granted = 0 if blocked_s else share_out(available, request)
        self.buckets[key] = Bucket(available - granted, now_s, bucket.blocked_until_s)
        return Lease(granted=granted, left=available - granted, blocked_s=blocked_s)


@asynccontextmanager
async def open_call_budget(*, buckets: Buckets, clock: Clock, factor: float = 1.0) -> AsyncIterator[SharedBudget]:
    """Yield a budget that runs."""
    budget = SharedBudget(buckets=buckets, clock=clock, factor=factor)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(budget.run)
        yield budget
        tasks.cancel_scope.cancel()


@dataclass
class NotedBudget:
    """A `CallBudget` that refuses the methods of `refused`, and notes what it was asked and told."""

    refused: dict[str, float] = field(default_factory=dict)
    taken: list[tuple[str, str, str | None, Urgency, float]] = field(default_factory=list)
    held_back: list[tuple[str, str, float]] = field(default_factory=list)
    finished: list[tuple[str, str]] = field(default_factory=list)

    async def take(
        self, connection: Connection, method: str, channel_id: str | None, *, urgency: Urgency, max_wait_s: float
    ) -> None:
        self.taken.append((connection.connection_id, method, channel_id, urgency, max_wait_s))
        if method in self.refused:
            raise RateLimitedError(method, self.refused[method])

    async def hold_back(self, connection: Connection, method: str, retry_after_s: float) -> None:
        self.held_back.append((connection.connection_id, method, retry_after_s))

    async def finish(self, connection: Connection, method: str) -> None:
        self.finished.append((connection.connection_id, method))
