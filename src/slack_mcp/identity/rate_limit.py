"""How many requests a caller may send: a token bucket for each, in this process."""

from typing import Final

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.identity import Principal

MAX_BUCKETS: Final = 10_000
S_PER_MIN: Final = 60.0


class RateLimiter:
    """Counts the requests of each caller.

    A bucket holds a minute's worth, so that a burst after a pause is no fault; it fills evenly.

    Args:
        per_min: requests per minute; 0 counts nothing.
        clock: its monotonic time fills the buckets.
        max_buckets: how many callers are counted; the one that was silent for longest makes room.
    """

    def __init__(self, *, per_min: int, clock: Clock, max_buckets: int = MAX_BUCKETS) -> None:
        self._per_min = per_min
        self._clock = clock
        # (how many requests are left, when that was so). After a minute of silence a bucket is full, as a new one is.
        self._buckets = TtlCache[tuple[ConnectionId, str], tuple[float, float]](clock=clock, max_entries=max_buckets)

    def take(self, principal: Principal) -> float:
        """Count one request; returns 0, or the seconds after which the next one will do: then it was one too many."""
        if not self._per_min:
            return 0.0
        key, now_s = (principal.connection_id, principal.subject), self._clock.monotonic_s()
        left, at_s = self._buckets.get(key) or (float(self._per_min), now_s)
        left = min(float(self._per_min), left + (now_s - at_s) * self._per_min / S_PER_MIN)
        is_allowed = left >= 1
        if is_allowed:
            left -= 1
        self._buckets.put(key, (left, now_s), ttl_s=S_PER_MIN)
        return 0.0 if is_allowed else (1 - left) * S_PER_MIN / self._per_min
