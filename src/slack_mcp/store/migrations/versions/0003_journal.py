"""The journal of events, the lanes that claims are made on, and the turns."""

import sqlalchemy as sa
from alembic import op

revision = "0003_journal"
down_revision = "0002_connection_details"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _partial_index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "slack_events",
        sa.Column("id", KEY, primary_key=True, autoincrement=True),
        sa.Column("connection_id", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("retry_num", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("retry_reason", sa.Text),
        sa.Column("received_by", sa.Text, nullable=False),
        sa.Column("received_at_ms", sa.BigInteger, nullable=False),
        sa.Column("next_attempt_at_ms", sa.BigInteger),
        sa.Column("finished_at_ms", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.UniqueConstraint("connection_id", "event_id", name="uq_slack_events_event"),
        sqlite_autoincrement=True,
    )
    unfinished = "state IN ('received', 'waiting')"
    _partial_index("idx_slack_events_unfinished", "slack_events", ["connection_id", "lane", "id"], unfinished)
    finished = "finished_at_ms IS NOT NULL"
    _partial_index("idx_slack_events_finished", "slack_events", ["state", "finished_at_ms"], finished)

    op.create_table(
        "slack_lanes",
        sa.Column("lane_id", KEY, primary_key=True, autoincrement=True),
        sa.Column("connection_id", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("ready_at_ms", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("lease_until_ms", sa.BigInteger),
        sa.Column("takeovers", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.UniqueConstraint("connection_id", "lane", name="uq_slack_lanes_lane"),
        sqlite_autoincrement=True,
    )
    _partial_index("idx_slack_lanes_free", "slack_lanes", ["connection_id", "ready_at_ms"], "holder IS NULL")
    _partial_index("idx_slack_lanes_held", "slack_lanes", ["connection_id", "lease_until_ms"], "holder IS NOT NULL")

    if op.get_bind().dialect.name == "postgresql":
        # Rows here live for milliseconds: vacuum by their number, not by a share of a table that is empty in between.
        op.execute(
            "ALTER TABLE slack_lanes SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, "
            "autovacuum_vacuum_threshold = 2000)"
        )
        op.execute("ALTER TABLE slack_events SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02)")

    op.create_table(
        "slack_turns",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("channel_id", sa.Text, primary_key=True),
        sa.Column("message_ts", sa.Text, primary_key=True),
        sa.Column("thread_ts", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("answer_ts", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("notice", sa.Text),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_slack_turns_thread", "slack_turns", ["connection_id", "channel_id", "thread_ts", "message_ts"])
    op.create_index("idx_slack_turns_updated_at", "slack_turns", ["updated_at_ms"])


def downgrade() -> None:
    """Drop the three tables with every event in them."""
    op.drop_table("slack_turns")
    op.drop_table("slack_lanes")
    op.drop_table("slack_events")
