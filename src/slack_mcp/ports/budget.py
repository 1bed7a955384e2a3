"""Budgets that all pods share: tokens in one place, and what of them a call to Slack may spend."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection


class Urgency(StrEnum):
    """Who waits for a call: a person, or work that nobody looks at. People go first, on every pod."""

    PERSON = "person"
    BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Tokens that somebody wants of one bucket.

    Attributes:
        capacity: tokens that the bucket holds at most; a bucket that nobody has used is full.
        per_s: tokens that come back in a second.
        wanted: whole tokens wanted.
        spare: whole tokens wanted beyond those, as far as `kept` tokens remain in the bucket for others.
    """

    connection_id: ConnectionId
    bucket: str
    capacity: float
    per_s: float
    wanted: int
    spare: int = 0
    kept: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What came of a request.

    Attributes:
        granted: whole tokens that are the caller's now.
        left: tokens in the bucket after that.
        blocked_s: seconds for which nobody gets any; 0 when the bucket is not blocked.
    """

    granted: int
    left: float
    blocked_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketBlock:
    """A bucket of which nobody gets anything from now on.

    Attributes:
        for_s: seconds that this lasts.
    """

    connection_id: ConnectionId
    bucket: str
    for_s: float


class Buckets(Protocol):
    """Token buckets, the same ones for all pods. Every method may raise `StoreUnavailableError`.

    Between any two moments no more tokens are given out than the bucket holds plus what came back in the meantime.
    """

    async def take(
        self, connection_id: ConnectionId, bucket: str, *, capacity: float, per_s: float, cost: float = 1.0
    ) -> float:
        """Take `cost` tokens and return 0.0, or take nothing and return the seconds until there are that many.

        Args:
            connection_id: whose bucket it is.
            bucket: its name, such as `ask:user:U1`.
            capacity: tokens that it holds at most; one that nobody has used is full. At least `cost`.
            per_s: tokens that come back in a second, more than 0.
            cost: tokens that are taken.
        """
        ...

    async def lease(self, requests: Sequence[LeaseRequest]) -> Sequence[Lease]:
        """Take what can be had for each request, in one go; the answers have the order of the requests.

        No two requests may name the same bucket.
        """
        ...

    async def block(self, connection_id: ConnectionId, bucket: str, *, for_s: float) -> None:
        """Empty the bucket, let nobody have anything of it for `for_s` seconds, and tell all pods."""
        ...

    async def delete_idle(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` buckets that nobody has used for `before_s` seconds; returns how many there were.

        `before_s` has to be longer than any bucket takes to fill up, since one that is used again begins full.
        """
        ...


class FastBuckets(Buckets, Protocol):
    """Buckets that a server has beside the database, and may forget."""

    async def begin(self) -> None:
        """Let all buckets be empty from now on, and fill: tokens were taken elsewhere, or may have been."""
        ...


class LastingBuckets(Buckets, Protocol):
    """Buckets that the database has."""

    async def empty(self, keys: Sequence[tuple[ConnectionId, str]]) -> None:
        """Let these buckets have no tokens now, whether they were used before or not. No two keys may be the same."""
        ...


class CallBudget(Protocol):
    """What the Slack client asks before each call, and tells of each refusal."""

    async def take(
        self, connection: Connection, method: str, channel_id: str | None, *, urgency: Urgency, max_wait_s: float
    ) -> None:
        """Return as soon as the call may start, after `max_wait_s` seconds at most.

        Args:
            connection: whose workspace it is.
            method: the Web API method.
            channel_id: the channel that the call names, if it does.
            urgency: who waits.
            max_wait_s: the longest wait; when it is plain that it would not do, the error comes at once.

        Raises:
            RateLimitedError: the budget is spent; it says for how long.
            SlackUnavailableError: the database that has the budget cannot be reached.
        """
        ...

    async def hold_back(self, connection: Connection, method: str, retry_after_s: float) -> None:
        """Let no pod start the method in this workspace for so many seconds: Slack has said 429. Raises nothing."""
        ...

    async def finish(self, connection: Connection, method: str) -> None:
        """Note that a call that was started has ended, in any other way than with a 429. Raises nothing."""
        ...


class FreeBudget:
    """A `CallBudget` that lets everything pass: for one process that calls rarely, and for calls that cannot wait."""

    async def take(
        self, connection: Connection, method: str, channel_id: str | None, *, urgency: Urgency, max_wait_s: float
    ) -> None:
        """Return at once."""

    async def hold_back(self, connection: Connection, method: str, retry_after_s: float) -> None:
        """Return at once: Slack refuses the next call too, and says so."""

    async def finish(self, connection: Connection, method: str) -> None:
        """Nothing to note."""
