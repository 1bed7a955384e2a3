"""The partitions of the journal's table on PostgreSQL: one for each week, so that what is old is dropped as a whole.

The `event_time` of an event says which week it is of, so that it has one place, to which its repetitions come as well.
What has no believable time is in a partition of its own. Another one takes what is of no week: what lived on when its
week was dropped, and what came while its week was not made. It stays small, whatever tenants send, because PostgreSQL
looks through all of it to make a week (https://www.postgresql.org/docs/current/sql-altertable.html).

Everybody waits behind whoever makes or drops a week: it takes a moment, or is left for the next time.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from slack_mcp.protocol.events import MAX_EVENT_AGE_S
from slack_mcp.store.journal import MS
from slack_mcp.store.revision import LOCK_KEY

DAY_S: Final = 86_400
WEEK_S: Final = 7 * DAY_S
MONDAY_S: Final = 4 * DAY_S  # unix time began on a Thursday
WEEKS_AHEAD: Final = 1
LOCK_WAIT_MS: Final = 200
STATEMENT_WAIT_MS: Final = 2_000
# Rows that are moved while everybody waits.
MAX_MOVED: Final = 5_000

NOW_S: Final = "SELECT extract(epoch FROM clock_timestamp())::bigint"
PARTITIONS: Final = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('slack_events')
"""
CREATE: Final = """
CREATE TABLE {name} (LIKE slack_events INCLUDING ALL) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02)
"""
OF_WEEK: Final = "SELECT 1 FROM slack_events_other WHERE event_time >= {start_s} AND event_time < {end_s}"
LOCK_OTHER: Final = "LOCK TABLE slack_events_other IN ACCESS EXCLUSIVE MODE"
FETCH: Final = """
WITH fetched AS (
  DELETE FROM slack_events_other WHERE event_time >= {start_s} AND event_time < {end_s} RETURNING *
)
INSERT INTO {name} SELECT * FROM fetched
"""
ATTACH: Final = "ALTER TABLE slack_events ATTACH PARTITION {name} FOR VALUES FROM ({start_s}) TO ({end_s})"
# Each part in the words of an index.
LIVING: Final = """
SELECT * FROM {name} WHERE state IN ('received', 'waiting')
UNION ALL SELECT * FROM {name} WHERE state IN ('done', 'skipped') AND finished_at_ms > {done_after_ms}
UNION ALL SELECT * FROM {name} WHERE state = 'dead' AND finished_at_ms > {dead_after_ms}
"""
DETACH: Final = "ALTER TABLE slack_events DETACH PARTITION {name}"
MOVE: Final = "INSERT INTO slack_events "
DROP: Final = "DROP TABLE {name}"

_NAME: Final = re.compile(r"slack_events_(\d{4})w(\d{2})")
_FIRST_DAY: Final = date(1970, 1, 1)
_NOT_NOW: Final = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientPrivilegeError,  # who serves may be another one than who migrated, and may not
)
_log = structlog.get_logger(__name__)


class Week(NamedTuple):
    """A partition: its name, and its times, unix seconds, from one Monday to before the next."""

    name: str
    start_s: int
    end_s: int


def get_week(at_s: int) -> Week:
    """Return the week of a moment, unix seconds."""
    start_s = at_s - (at_s - MONDAY_S) % WEEK_S
    return Week(f"slack_events_{datetime.fromtimestamp(start_s, UTC):%Gw%V}", start_s, start_s + WEEK_S)


async def list_weeks(driver: Any) -> Sequence[Week]:
    """Return the weeks that there are, the oldest first; none where the table has no partitions."""
    names = [_NAME.fullmatch(row["relname"]) for row in await driver.fetch(PARTITIONS)]
    mondays = sorted(date.fromisocalendar(int(name[1]), int(name[2]), 1) for name in names if name is not None)
    return [get_week((monday - _FIRST_DAY).days * DAY_S) for monday in mondays]


async def make_weeks(driver: Any, *, back: int) -> None:
    """Make the present week, the next ones and `back` earlier ones, as far as they are missing; in a transaction."""
    now_s = await driver.fetchval(NOW_S)
    for number in range(-back, WEEKS_AHEAD + 1):
        await _make(driver, get_week(now_s + number * WEEK_S))


async def tend_weeks(driver: Any, *, done_before_s: float, dead_before_s: float) -> int:
    """Make the weeks to come, drop those that are over, and return how many were dropped.

    What of a week has to live on is moved. What cannot be done in a moment is left as it is.

    Args:
        driver: outside of any transaction.
        done_before_s: for how long events are kept that are done or skipped.
        dead_before_s: for how long those that were given up.
    """
    now_s = await driver.fetchval(NOW_S)
    there = await list_weeks(driver)
    for number in range(WEEKS_AHEAD + 1):
        coming = get_week(now_s + number * WEEK_S)
        if coming not in there and await _attempt(driver, coming, partial(_make, driver, coming)):
            _log.info("journal.week_made", week=coming.name)
    dropped = 0
    # A week of which events may still come stays, so that they are not of no week.
    kept_s = max(MAX_EVENT_AGE_S, min(done_before_s, dead_before_s))
    for week in there:
        if week.end_s <= now_s - kept_s:
            living = LIVING.format(
                name=week.name,
                done_after_ms=int((now_s - done_before_s) * MS),
                dead_after_ms=int((now_s - dead_before_s) * MS),
            )
            if await _attempt(driver, week, partial(_drop, driver, week, living)):
                _log.info("journal.week_dropped", week=week.name)
                dropped += 1
    return dropped


async def _attempt(driver: Any, week: Week, step: Callable[[], Awaitable[bool]]) -> bool:
    """Do a step in a transaction of its own, and tell whether it was done."""
    why = "not_now"
    try:
        async with driver.transaction():
            await driver.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
            await driver.execute(f"SET LOCAL statement_timeout = {STATEMENT_WAIT_MS}")
            # The lock of those who migrate: nobody else changes tables meanwhile.
            if await driver.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK_KEY) and await step():
                return True
    except _NOT_NOW as error:
        why = type(error).__name__
    _log.info("journal.week_left", week=week.name, why=why)
    return False


async def _make(driver: Any, week: Week) -> bool:
    """Make a week with what has come of it; False when it is there, or when that would be too much to move."""
    places = week._asdict()
    if week in await list_weeks(driver) or await _count(driver, OF_WEEK.format(**places)) > MAX_MOVED:
        return False
    for statement in (CREATE, LOCK_OTHER, FETCH, ATTACH):
        await driver.execute(statement.format(**places))
    return True


async def _drop(driver: Any, week: Week, living: str) -> bool:
    """Drop a week, but for what has to live on; False when it is gone, or when that would be too much to move."""
    if week not in await list_weeks(driver) or await _count(driver, living) > MAX_MOVED:
        return False
    for statement in (DETACH.format(name=week.name), MOVE + living, DROP.format(name=week.name)):
        await driver.execute(statement)
    return True


async def _count(driver: Any, rows: str) -> int:
    """Return how many rows a query gives, as far as it matters."""
    return int(await driver.fetchval(f"SELECT count(*) FROM ({rows} LIMIT {MAX_MOVED + 1}) AS found"))  # noqa: S608
