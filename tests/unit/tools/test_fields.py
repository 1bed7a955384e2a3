import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.fields import parse_moment, render_time

NOW_S = 1_700_000_000.25


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("1699999999.000100", "1699999999.000100"),
        ("1699999999", "1699999999"),
        ("0", "0"),
        ("90s", "1699999910.250000"),
        ("2h", "1699992800.250000"),
        ("1w", "1699395200.250000"),
        ("99999w", "0.000000"),
        ("2023-11-14", "1699920000.000000"),
        ("2023-11-14T22:13:20", "1700000000.000000"),
        ("2023-11-14T22:13:20Z", "1700000000.000000"),
        ("2023-11-14T23:13:20+01:00", "1700000000.000000"),
        ("1960-01-01", "0.000000"),
    ],
)
def test_moments_are_taken_as_ts_date_or_age(text: str | None, moment: str | None) -> None:
    assert parse_moment("oldest", text, now_s=NOW_S) == moment


@pytest.mark.parametrize(
    "text", ["yesterday", "2h30m", "-1h", "2023-13-01", "5", "17e8", "0001-01-01T00:00+23:59x", ""]
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInputError, match="oldest: give a ts, an ISO date"):
        parse_moment("oldest", text, now_s=NOW_S)


@given(st.text(max_size=40))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        moment = parse_moment("latest", text, now_s=NOW_S)
    except InvalidInputError:
        return
    assert moment is not None
    assert float(moment) >= 0


def test_time_of_a_ts_is_told_in_utc() -> None:
    assert render_time("1700000000.000100") == "2023-11-14 22:13Z"
    assert render_time("never") == "never"
    assert render_time("9" * 30) == "9" * 30
