"""Those of this process who wait for tokens of one bucket, and the tokens that are at hand for them."""

from collections import deque
from typing import Final

import anyio

from slack_mcp.budget.limits import LEASE_S, Limit
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import Lease, LeaseRequest, Urgency

KEPT_FOR_PEOPLE: Final = 0.5
"""The part of a bucket that work without anybody waiting leaves for people, whatever pod they come to."""
SPARE: Final = 1 / 8
"""The part of a bucket that a pod may have at hand beyond what was asked for."""
SHORTEST_PAUSE_S: Final = 0.005


class Waiter:
    """Somebody who waits for one token.

    Attributes:
        until_s: when the wait is over, on the line's clock.
        ended: set with one of the others.
        taken_s: since when there is a token for this one.
        wait_s: how long it would be, which is too long; while it waits, the last estimate.
        is_unknown: the database did not say.
    """

    __slots__ = ("ended", "is_unknown", "taken_s", "until_s", "wait_s")

    def __init__(self, until_s: float) -> None:
        self.until_s = until_s
        self.ended = anyio.Event()
        self.taken_s: float | None = None
        self.wait_s = 0.0
        self.is_unknown = False


class Line:
    """The line before one bucket: people before work that nobody waits for, and in the order in which they came.

    All times are seconds of one clock that the caller reads.
    """

    def __init__(self, connection_id: ConnectionId, limit: Limit) -> None:
        self.limit = limit  # another one when the connection's settings change
        self._connection_id = connection_id
        self._waiting: dict[Urgency, deque[Waiter]] = {Urgency.PERSON: deque(), Urgency.BATCH: deque()}
        self._spare = 0
        self._recent = 0
        self._asked_s = float("-inf")
        self._ask_again_s = float("-inf")

    @property
    def _kept(self) -> float:
        """Tokens that are left for people; a bucket of one has none to keep."""
        return min(KEPT_FOR_PEOPLE * self.limit.capacity, self.limit.capacity - 1)

    @property
    def has_waiters(self) -> bool:
        """Whether anybody waits."""
        return any(self._waiting.values())

    @property
    def ask_again_s(self) -> float:
        """When the database may have something for those who wait."""
        return self._ask_again_s

    def is_idle(self, now_s: float) -> bool:
        """Tell whether nothing is lost when the line is forgotten."""
        return not self.has_waiters and now_s >= self._asked_s + LEASE_S

    def take_spare(self, now_s: float) -> float | None:
        """Return since when there is the token that is the caller's now, None when there is none at hand."""
        if not self._spare or now_s >= self._asked_s + LEASE_S:
            return None
        self._spare -= 1
        self._recent += 1
        return self._asked_s

    def join(self, urgency: Urgency, until_s: float) -> Waiter:
        """Return a new waiter at its place in the line."""
        waiter = Waiter(until_s)
        self._waiting[urgency].append(waiter)
        self._ask_again_s = float("-inf")  # it may be had by this one, if not by those who waited
        return waiter

    def leave(self, urgency: Urgency, waiter: Waiter) -> None:
        """Take a waiter out that gave up; a token it got meanwhile is another's."""
        if waiter.taken_s is not None and waiter.taken_s == self._asked_s:
            self._spare += 1
        elif not waiter.ended.is_set():
            self._waiting[urgency].remove(waiter)

    def drop_spare(self) -> None:
        """Forget the tokens at hand."""
        self._spare = 0

    def make_request(self) -> LeaseRequest:
        """Return what to ask the database for: a token for each who waits.

        A pod that uses the bucket all the time asks for as many again as it used last, so that it need not ask for
        each call; it gets them where there is plenty. What it does not use in time is lost, and nobody exceeds
        anything by it.
        """
        people, batch = (len(self._waiting[each]) for each in Urgency)
        spare = min(self._recent, int(SPARE * self.limit.capacity))
        return LeaseRequest(
            connection_id=self._connection_id,
            bucket=self.limit.bucket,
            capacity=self.limit.capacity,
            per_s=self.limit.per_s,
            wanted=people,
            spare=batch + spare,
            kept=self._kept,
        )

    def serve(self, lease: Lease, *, asked_s: float, now_s: float) -> None:
        """Hand out what came, and tell those who wait longer than they would that it is too long.

        Args:
            lease: what the database said.
            asked_s: when it was asked: its tokens are at least as young.
            now_s: the time now.
        """
        was_recently = asked_s < self._asked_s + LEASE_S
        self._asked_s = asked_s
        left = lease.granted
        used = 0
        for queue in self._waiting.values():
            while queue and left:
                waiter = queue.popleft()
                waiter.taken_s = asked_s
                waiter.ended.set()
                left -= 1
                used += 1
        self._spare = left
        self._recent = used if was_recently else 0
        self._estimate(lease, now_s)

    def fail(self) -> None:
        """Tell everybody that the database did not answer."""
        for queue in self._waiting.values():
            while queue:
                waiter = queue.popleft()
                waiter.is_unknown = True
                waiter.ended.set()

    def _estimate(self, lease: Lease, now_s: float) -> None:
        """Tell each who still waits for how long at least, and end the wait of those for whom it is too long."""
        place = 0
        soonest_s = float("inf")
        for urgency, queue in self._waiting.items():
            kept = self._kept if urgency is Urgency.BATCH else 0.0
            for waiter in tuple(queue):
                missing = place + 1 + kept - lease.left
                # Who came while the database was asked may have what is left as soon as it is asked again.
                wait_s = max(missing / self.limit.per_s, SHORTEST_PAUSE_S) if missing > 0 else 0.0
                waiter.wait_s = max(wait_s, lease.blocked_s)
                place += 1  # also of those who are sent away, so that they do not all come back at one moment
                if now_s + waiter.wait_s > waiter.until_s:
                    queue.remove(waiter)
                    waiter.ended.set()
                else:
                    soonest_s = min(soonest_s, waiter.wait_s)
        self._ask_again_s = now_s + soonest_s
