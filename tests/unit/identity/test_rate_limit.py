import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_fakes import make_principal
from stepping_clock import SteppingClock

from slack_mcp.identity.rate_limit import RateLimiter


def test_a_minutes_worth_may_come_at_once_and_then_one_by_one() -> None:
    clock = SteppingClock()
    limiter, ann = RateLimiter(per_min=60, clock=clock), make_principal()
    assert [limiter.take(ann) for _ in range(60)] == [0.0] * 60
    assert limiter.take(ann) == pytest.approx(1.0)
    clock.time_s += 0.5
    assert limiter.take(ann) == pytest.approx(0.5)
    clock.time_s += 0.5
    assert limiter.take(ann) == 0.0
    assert limiter.take(ann) > 0


def test_callers_are_counted_apart_also_by_connection() -> None:
    limiter = RateLimiter(per_min=1, clock=SteppingClock())
    callers = [
        make_principal("conn_a"),
        make_principal("conn_b"),
        make_principal("conn_a", subject="oauth:other"),
    ]
    assert [limiter.take(each) for each in callers] == [0.0] * 3
    assert all(limiter.take(each) > 0 for each in callers)


def test_zero_counts_nothing() -> None:
    limiter = RateLimiter(per_min=0, clock=SteppingClock())
    assert {limiter.take(make_principal()) for _ in range(1000)} == {0.0}


def test_the_buckets_are_bounded() -> None:
    limiter = RateLimiter(per_min=1, clock=SteppingClock(), max_buckets=10)
    for number in range(100):
        limiter.take(make_principal(subject=f"key:{number}"))
    assert len(limiter._buckets) == 10


@given(st.lists(st.floats(min_value=0, max_value=90), max_size=60), st.integers(min_value=1, max_value=30))
def test_no_caller_gets_more_than_two_minutes_worth_in_any_minute(pauses_s: list[float], per_min: int) -> None:
    clock = SteppingClock()
    limiter, ann = RateLimiter(per_min=per_min, clock=clock), make_principal()
    allowed_s: list[float] = []
    for pause_s in pauses_s:
        clock.time_s += pause_s
        wait_s = limiter.take(ann)
        if wait_s == 0.0:
            allowed_s.append(clock.time_s)
        else:
            assert 0 < wait_s <= 60 / per_min + 1e-6
    for start_s in allowed_s:
        assert sum(start_s <= at_s < start_s + 60 for at_s in allowed_s) <= 2 * per_min
