"""How the databases look for events: never through all that is finished, however much that is."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from postgres import make_url

from slack_mcp.store import journal_postgresql, journal_sqlite
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.weeks import NOW_S, WEEK_S

pytestmark = pytest.mark.anyio

ROWS = 3_000
UNFINISHED = "_connection_id_lane_id_idx"
NUMBERS = list(range(1, 33))
POSTGRESQL: dict[str, list[Any]] = {
    "APPEND": [["conn_1"], ["Ev1"], ["C1:1"], ["message"], [b"x"], [0], [None], [None], [1_800_000_000], "pod-a"],
    "CLAIM": ["", 64, 16, "pod-a", 15_000, 16],
    "SETTLE": [
        NUMBERS,
        *([value] * len(NUMBERS) for value in ("done", True, 0, "answered", None)),
        NUMBERS,
        *([value] * len(NUMBERS) for value in (True, None, True)),
        16,
        15_000,
        NUMBERS,
    ],
    "BACKLOG": [],
    "DELETE_FINISHED": ["done", 7 * 86_400_000, 1_000, 7 * 86_400],
}
SQLITE = ("APPEND", "CLAIMED", "SETTLE", "FOLLOWING", "BACKLOG", "DELETE_FINISHED")
# As many as the service has in work, beside what is finished in a partition.
FILL = """
INSERT INTO slack_events (connection_id, event_id, event_time, lane, event_type, payload, state, received_by,
                          received_at_ms, finished_at_ms)
SELECT 'conn_' || n % 50, 'Ev' || n, $1::bigint, 'C' || n % 20 || ':' || n, 'message', repeat('x', 500)::bytea,
  CASE WHEN n <= 50 THEN 'received' WHEN n <= 100 THEN 'dead' WHEN n % 2 = 0 THEN 'done' ELSE 'skipped' END, 'pod-a',
  $2::bigint - n, CASE WHEN n > 50 THEN $2::bigint - n END
FROM generate_series(1, $3::int) n
"""
OPEN = """
INSERT INTO slack_lanes (connection_id, lane, ready_at_ms)
SELECT DISTINCT connection_id, lane, 0 FROM slack_events WHERE state = 'received'
"""


def walk(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all parts of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from walk(part)


def find_read_through(plan: Mapping[str, Any]) -> list[str]:
    """Return what is read in a plan from beginning to end, but for the indexes of what is unfinished."""
    found = []
    for part in walk(plan):
        index = part.get("Index Name", "")
        if part["Node Type"] == "Seq Scan" and part["Relation Name"].startswith("slack_events"):
            found.append(part["Relation Name"])
        elif index.startswith("slack_events") and "Index Cond" not in part and not index.endswith(UNFINISHED):
            found.append(index)
    return found


@pytest.fixture
async def filled(postgres_url: str, anyio_backend: str) -> AsyncIterator[asyncpg.Connection]:
    """A journal with much that is finished in each partition but the next week's, which nobody has looked at yet."""
    connection = await asyncpg.connect(postgres_url)
    try:
        now_s = await connection.fetchval(NOW_S)
        for event_time in (now_s, now_s - WEEK_S, 0, 1):
            await connection.execute(FILL, event_time, now_s * 1000, ROWS)
        await connection.execute(OPEN)
        # As autovacuum does it: the table that has the partitions is not looked at.
        for name in await connection.fetch("SELECT DISTINCT tableoid::regclass::text FROM slack_events"):
            await connection.execute(f"ANALYZE {name[0]}")
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("name", POSTGRESQL)
async def test_no_statement_on_postgresql_reads_a_partition_through(filled: asyncpg.Connection, name: str) -> None:
    statement = getattr(journal_postgresql, name)
    arguments = POSTGRESQL[name]
    with_values = await filled.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    # A statement that is used often is planned once for all values.
    await filled.execute("SET plan_cache_mode = force_generic_plan")
    await filled.execute(f"PREPARE planned AS {statement}")
    nulls = f"({', '.join(['NULL'] * len(arguments))})" if arguments else ""
    for_all = await filled.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE planned {nulls}")
    for plan in (json.loads(said)[0]["Plan"] for said in (with_values, for_all)):
        assert find_read_through(plan) == []
        assert any(part.get("Relation Name", "").startswith("slack_events") for part in walk(plan))


@pytest.mark.parametrize("name", SQLITE)
async def test_no_statement_on_sqlite_reads_the_table_through(tmp_path: Path, name: str) -> None:
    path = tmp_path / "slack.db"
    await Migrations(make_url(f"sqlite:{path}")).up()
    statement = getattr(journal_sqlite, name).format(rows=journal_sqlite._NEW_EVENT)
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * statement.count("?")).fetchall()
    read = [detail for *_, detail in plan if "slack_events" in detail or " e " in detail]
    assert [detail for detail in read if "SCAN" in detail and "USING" not in detail] == []
    # Through a whole index only where that has nothing but what is unfinished.
    whole = [detail for detail in read if "SCAN" in detail and "idx_slack_events_unfinished" not in detail]
    assert whole == []
    assert read or name == "APPEND"
