"""When a failed event is tried again, and when it is given up. Chance is an argument."""

from dataclasses import dataclass
from typing import Final

from slack_mcp.core.errors import AgentRateLimitedError, RateLimitedError, SlackMcpError, TriggerRateLimitedError
from slack_mcp.core.model import EventState, Outcome

_TOLD_TO_WAIT: Final = (RateLimitedError, AgentRateLimitedError, TriggerRateLimitedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """How long to go on.

    Attributes:
        max_attempts: attempts that failed, after which an event is given up.
        max_age_s: seconds after its arrival at which an event is not tried again.
        base_s: seconds to wait after the first failure; each one more doubles it.
    """

    max_attempts: int = 8
    max_age_s: float = 3600.0
    base_s: float = 1.0


def plan_retry(error: SlackMcpError, *, attempts: int, age_s: float, limits: RetryLimits, chance: float) -> Outcome:
    """Return WAITING with the time to wait, or DEAD.

    A rate limit waits as long as it was told to and does not count as an attempt.

    Args:
        error: why this attempt failed.
        attempts: how often the event had failed before.
        age_s: seconds since the event arrived.
        limits: how long to go on.
        chance: from 0 to 1, spreads the attempts of events that failed together.
    """
    told_s = error.retry_after_s if isinstance(error, _TOLD_TO_WAIT) else None
    wait_s = limits.base_s * 2**attempts * (0.5 + chance) if told_s is None else max(0.0, told_s) + chance
    may_retry = error.retryable and (told_s is not None or attempts + 1 < limits.max_attempts)
    if not may_retry or age_s + wait_s > limits.max_age_s:
        return Outcome(state=EventState.DEAD, reason=error.code, detail=str(error))
    return Outcome(
        state=EventState.WAITING,
        reason=error.code,
        detail=str(error),
        retry_after_s=wait_s,
        counts=told_s is None,
    )
