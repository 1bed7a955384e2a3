import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import (
    AgentRateLimitedError,
    AgentUnavailableError,
    RateLimitedError,
    SlackMcpError,
    SlackRefusedError,
    SlackUnavailableError,
    TriggerRateLimitedError,
)
from slack_mcp.core.model import EventState
from slack_mcp.protocol.backoff import RetryLimits, plan_retry

LIMITS = RetryLimits()
UNAVAILABLE = SlackUnavailableError("chat.postMessage", "internal_error")


@given(attempts=st.integers(0, 6), chance=st.floats(0, 1), age_s=st.floats(0, 3000))
def test_a_retry_waits_between_half_and_three_halves_of_the_doubled_time(
    attempts: int, chance: float, age_s: float
) -> None:
    outcome = plan_retry(UNAVAILABLE, attempts=attempts, age_s=age_s, limits=LIMITS, chance=chance)
    assert outcome.state is EventState.WAITING
    assert 0.5 * 2**attempts <= outcome.retry_after_s <= 1.5 * 2**attempts
    assert outcome.counts


def test_all_attempts_fit_into_the_longest_age() -> None:
    waits = [
        plan_retry(UNAVAILABLE, attempts=attempts, age_s=0, limits=LIMITS, chance=1).retry_after_s
        for attempts in range(LIMITS.max_attempts - 1)
    ]
    assert sum(waits) < LIMITS.max_age_s


def test_the_last_attempt_gives_up() -> None:
    assert plan_retry(UNAVAILABLE, attempts=6, age_s=0, limits=LIMITS, chance=0).state is EventState.WAITING
    outcome = plan_retry(UNAVAILABLE, attempts=7, age_s=0, limits=LIMITS, chance=0)
    assert (outcome.state, outcome.reason) == (EventState.DEAD, "slack_unavailable")


def test_an_error_that_cannot_pass_gives_up_at_once() -> None:
    error = SlackRefusedError("chat.postMessage", "channel_not_found")
    outcome = plan_retry(error, attempts=0, age_s=0, limits=LIMITS, chance=0)
    assert (outcome.state, outcome.detail) == (EventState.DEAD, str(error))


@pytest.mark.parametrize(
    "error", [RateLimitedError("chat.update", 30), AgentRateLimitedError(30), TriggerRateLimitedError(30)]
)
def test_a_rate_limit_waits_as_told_and_does_not_count(error: SlackMcpError) -> None:
    outcome = plan_retry(error, attempts=7, age_s=0, limits=LIMITS, chance=0.5)
    assert (outcome.state, outcome.retry_after_s, outcome.counts) == (EventState.WAITING, 30.5, False)


@pytest.mark.parametrize("error", [AgentUnavailableError("down"), RateLimitedError("chat.update", 30)])
def test_an_event_that_would_be_too_old_is_given_up(error: SlackMcpError) -> None:
    outcome = plan_retry(error, attempts=0, age_s=LIMITS.max_age_s, limits=LIMITS, chance=0)
    assert outcome.state is EventState.DEAD
