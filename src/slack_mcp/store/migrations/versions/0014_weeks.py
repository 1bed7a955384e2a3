"""The journal's events by the time at which they happened: on PostgreSQL a partition for each week.

What is there gets the time at which it was received. A partition of its own takes what has no believable time, and
another one what is of no week.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014_weeks"
down_revision = "0013_backups"

DAY_S = 86_400
WEEK_S = 7 * DAY_S
MONDAY_S = 4 * DAY_S  # unix time began on a Thursday
WEEKS_BACK, WEEKS_AHEAD = 5, 1

COLUMNS = (
    "id, connection_id, event_id, lane, event_type, payload, state, attempts, retry_num, retry_reason, received_by, "
    "received_at_ms, next_attempt_at_ms, finished_at_ms, reason, detail, replayed_at_ms"
)
STORAGE = "WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02)"
CONSTRAINT = "uq_slack_events_event"
UNFINISHED = (
    "CREATE INDEX idx_slack_events_unfinished ON slack_events (connection_id, lane, id) "
    "WHERE state IN ('received', 'waiting')"
)
FINISHED = (
    "CREATE INDEX idx_slack_events_finished ON slack_events (state, finished_at_ms) WHERE finished_at_ms IS NOT NULL"
)
# Where an event came with two times, a table without the time has no room for the second one.
RENAME_TWINS = """
UPDATE slack_events SET event_id = event_id || '@' || id WHERE id IN (
  SELECT id FROM (
    SELECT id, row_number() OVER (PARTITION BY connection_id, event_id ORDER BY id) AS place FROM slack_events
  ) AS placed WHERE place > 1
)
"""


def upgrade() -> None:
    """Make the column, and on PostgreSQL the partitions; every row stays."""
    if op.get_bind().dialect.name == "postgresql":
        _divide()
        return
    # SQLite adds a column that is never null with a default alone.
    op.add_column("slack_events", sa.Column("event_time", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE slack_events SET event_time = received_at_ms / 1000")
    last = _load_last_number()
    with _rebuild_on_sqlite() as batch:
        batch.alter_column("event_time", server_default=None)
        batch.drop_constraint(CONSTRAINT, type_="unique")
        batch.create_unique_constraint(CONSTRAINT, ["connection_id", "event_id", "event_time"])
    _set_last_number(last)


def downgrade() -> None:
    """Make it one table without the column; every row stays."""
    op.execute(RENAME_TWINS)
    if op.get_bind().dialect.name == "postgresql":
        _unite()
        return
    last = _load_last_number()
    with _rebuild_on_sqlite() as batch:
        batch.drop_constraint(CONSTRAINT, type_="unique")
        batch.drop_column("event_time")
        batch.create_unique_constraint(CONSTRAINT, ["connection_id", "event_id"])
    _set_last_number(last)


def _divide() -> None:
    _set_aside()
    op.execute(
        "CREATE TABLE slack_events (LIKE slack_events_before INCLUDING DEFAULTS, event_time BIGINT NOT NULL) "
        "PARTITION BY RANGE (event_time)"
    )
    op.execute(f"CREATE TABLE slack_events_other PARTITION OF slack_events DEFAULT {STORAGE}")
    op.execute(
        f"CREATE TABLE slack_events_undated PARTITION OF slack_events FOR VALUES FROM (MINVALUE) TO (1) {STORAGE}"
    )
    now_s, oldest_s = _fetch_one(
        "SELECT extract(epoch FROM clock_timestamp())::bigint, min(received_at_ms) / 1000 FROM slack_events_before"
    )
    first = max(_get_week(now_s if oldest_s is None else oldest_s), _get_week(now_s) - WEEKS_BACK * WEEK_S)
    for start_s in range(first, _get_week(now_s) + WEEKS_AHEAD * WEEK_S + 1, WEEK_S):
        name = f"slack_events_{datetime.fromtimestamp(start_s, UTC):%Gw%V}"
        op.execute(
            f"CREATE TABLE {name} PARTITION OF slack_events FOR VALUES FROM ({start_s}) TO ({start_s + WEEK_S}) "
            f"{STORAGE}"
        )
    op.execute(
        f"INSERT INTO slack_events ({COLUMNS}, event_time) "  # noqa: S608 - words of ours
        f"SELECT {COLUMNS}, received_at_ms / 1000 FROM slack_events_before"
    )
    _complete("id, event_time", "connection_id, event_id, event_time")


def _unite() -> None:
    _set_aside()
    op.execute(f"CREATE TABLE slack_events (LIKE slack_events_before INCLUDING DEFAULTS) {STORAGE}")
    op.execute("ALTER TABLE slack_events DROP COLUMN event_time")
    op.execute(f"INSERT INTO slack_events ({COLUMNS}) SELECT {COLUMNS} FROM slack_events_before")  # noqa: S608
    _complete("id", "connection_id, event_id")


def _set_aside() -> None:
    """Give the table another name, and keep none of the names that the next one needs."""
    op.execute("ALTER TABLE slack_events RENAME TO slack_events_before")
    op.execute("DROP INDEX idx_slack_events_unfinished, idx_slack_events_finished")
    op.execute(f"ALTER TABLE slack_events_before DROP CONSTRAINT slack_events_pkey, DROP CONSTRAINT {CONSTRAINT}")


def _complete(key: str, unique: str) -> None:
    """Give the new table its indexes, which are made faster over its rows, and the sequence; the old one goes."""
    op.execute(
        f"ALTER TABLE slack_events ADD CONSTRAINT slack_events_pkey PRIMARY KEY ({key}), "
        f"ADD CONSTRAINT {CONSTRAINT} UNIQUE ({unique})"
    )
    op.execute(UNFINISHED)
    op.execute(FINISHED)
    op.execute("ALTER SEQUENCE slack_events_id_seq OWNED BY slack_events.id")
    op.execute("DROP TABLE slack_events_before")


def _get_week(at_s: int) -> int:
    """Return the Monday, unix seconds, with which a moment's week begins."""
    return at_s - (at_s - MONDAY_S) % WEEK_S


def _rebuild_on_sqlite() -> Any:
    return op.batch_alter_table("slack_events", recreate="always", table_kwargs={"sqlite_autoincrement": True})


def _load_last_number() -> int:
    row = op.get_bind().execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'slack_events'")).one_or_none()
    return 0 if row is None else int(row.seq)


def _set_last_number(last: int) -> None:
    """Have the table go on behind a number: those of rows that were deleted must not come again."""
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'slack_events'")
    op.execute(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('slack_events', {last})")  # noqa: S608 - a number


def _fetch_one(statement: str) -> Any:
    return op.get_bind().execute(sa.text(statement)).one()
