"""Conversations: what was said, how far an answer stands in Slack, ratings, files for a while, and shared budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0008_conversations"
down_revision = "0007_threads"

_TURN_COLUMNS = (
    ("parts", sa.Text),
    ("opening", sa.Text),
    ("trace", sa.Text),
    ("stop_requested_at_ms", sa.BigInteger),
)
_THREAD_COLUMNS = (
    ("filled_at_ms", sa.BigInteger),
    ("summary", sa.Text),
    ("summarized_until_ts", sa.Text),
    ("viewed_channel_id", sa.Text),
    ("greeted_at_ms", sa.BigInteger),
    ("updated_at_ms", sa.BigInteger),
)


def upgrade() -> None:
    """Make the tables and columns."""
    for name, kind in _TURN_COLUMNS:
        op.add_column("slack_turns", sa.Column(name, kind))
    op.add_column("slack_turns", sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index(
        "idx_slack_turns_unfinished",
        "slack_turns",
        ["connection_id", "channel_id"],
        postgresql_where=sa.text("state <> 'finished'"),
        sqlite_where=sa.text("state <> 'finished'"),
    )
    for name, kind in _THREAD_COLUMNS:
        op.add_column("slack_threads", sa.Column(name, kind))
    op.add_column("slack_questions", sa.Column("used_at_ms", sa.BigInteger))
    op.create_index("idx_slack_threads_updated_at", "slack_threads", ["updated_at_ms"])
    op.create_table(
        "slack_messages",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("channel_id", sa.Text, primary_key=True),
        sa.Column("message_ts", sa.Text, primary_key=True),
        sa.Column("thread_ts", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("bot_id", sa.Text),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "idx_slack_messages_thread", "slack_messages", ["connection_id", "channel_id", "thread_ts", "message_ts"]
    )
    op.create_index("idx_slack_messages_created_at", "slack_messages", ["created_at_ms"])
    op.create_table(
        "slack_ratings",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("channel_id", sa.Text, primary_key=True),
        sa.Column("message_ts", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("rating", sa.Text, nullable=False),
        sa.Column("rated_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_slack_ratings_rated_at", "slack_ratings", ["rated_at_ms"])
    op.create_table(
        "slack_temp_files",
        sa.Column("file_id", sa.Text, primary_key=True),
        sa.Column("connection_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("mimetype", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_slack_temp_files_expires_at", "slack_temp_files", ["expires_at_ms"])
    op.create_index("idx_slack_temp_files_connection", "slack_temp_files", ["connection_id"])
    op.create_table(
        "slack_buckets",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("bucket", sa.Text, primary_key=True),
        sa.Column("tokens", sa.Float(53), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
        sa.Column("blocked_until_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_slack_buckets_updated_at", "slack_buckets", ["updated_at_ms"])


def downgrade() -> None:
    """Drop them."""
    for table in ("slack_buckets", "slack_temp_files", "slack_ratings", "slack_messages"):
        op.drop_table(table)
    op.drop_index("idx_slack_threads_updated_at", "slack_threads")
    op.drop_column("slack_questions", "used_at_ms")
    for name, _ in reversed(_THREAD_COLUMNS):
        op.drop_column("slack_threads", name)
    op.drop_index("idx_slack_turns_unfinished", "slack_turns")
    op.drop_column("slack_turns", "settled")
    for name, _ in reversed(_TURN_COLUMNS):
        op.drop_column("slack_turns", name)
