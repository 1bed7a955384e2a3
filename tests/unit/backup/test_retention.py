from typing import Any

from backup_samples import make_stored
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.backup.retention import MS_PER_DAY, choose_expired

NOW_MS = 1_800_000_000_000
DAY_0, DAY_1, DAY_2, DAY_9 = (make_stored(NOW_MS - days * MS_PER_DAY - 1) for days in (0, 1, 2, 9))
BROKEN_NEW = make_stored(NOW_MS, is_whole=False)
BROKEN_OLD = make_stored(NOW_MS - 20 * MS_PER_DAY, is_whole=False)
ALL = [DAY_0, DAY_1, DAY_2, DAY_9]


def choose(*backups: Any, keep: int | None = None, keep_days: float | None = None) -> list[Any]:
    return list(choose_expired(backups, keep=keep, keep_days=keep_days, now_ms=NOW_MS))


def test_without_a_rule_nothing_is_deleted() -> None:
    assert choose(*ALL) == []


def test_the_newest_are_kept() -> None:
    assert choose(*ALL, keep=2) == [DAY_2, DAY_9]


def test_the_young_are_kept() -> None:
    assert choose(*ALL, keep_days=1.5) == [DAY_2, DAY_9]


def test_what_either_rule_keeps_is_kept() -> None:
    assert choose(*ALL, keep=3, keep_days=0.5) == [DAY_9]
    assert choose(*ALL, keep=1, keep_days=5) == [DAY_9]


def test_the_last_good_one_stays_however_old_it_is() -> None:
    assert choose(DAY_9, keep_days=1) == []
    assert choose(BROKEN_NEW, DAY_9, keep=1) == []


def test_one_that_cannot_be_read_goes_with_those_of_its_age() -> None:
    assert choose(BROKEN_NEW, *ALL, BROKEN_OLD, keep=2) == [DAY_2, DAY_9, BROKEN_OLD]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), unique_by=lambda each: each[0], max_size=8),
    st.none() | st.integers(1, 4),
    st.none() | st.floats(0.1, 30),
)
def test_a_good_backup_is_left_whenever_there_was_one(
    ages: list[tuple[int, bool]], keep: int | None, keep_days: float | None
) -> None:
    there = [make_stored(NOW_MS - days * MS_PER_DAY, is_whole=whole) for days, whole in sorted(ages)]
    left = [each for each in there if each not in choose(*there, keep=keep, keep_days=keep_days)]
    assert any(each.is_whole for each in left) == any(each.is_whole for each in there)
