import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.retry_after import parse_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 30 ", 30.0), ("0", 1.0), ("99999", 600.0), (None, 10.0), ("", 10.0), ("-1", 10.0), ("1.5", 10.0)],
)
def test_seconds_are_read_and_bounded(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value) == seconds


def test_date_is_read_as_none() -> None:
    assert parse_retry_after("Wed, 21 Oct 2026 07:28:00 GMT") == 10.0


@given(st.text() | st.integers().map(str))
def test_wait_is_always_between_one_second_and_ten_minutes(value: str) -> None:
    assert 1.0 <= parse_retry_after(value) <= 600.0
