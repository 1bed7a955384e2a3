"""Threads that were told to forget what was said in them."""

import sqlalchemy as sa
from alembic import op

revision = "0007_threads"
down_revision = "0006_questions"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "slack_threads",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("channel_id", sa.Text, primary_key=True),
        sa.Column("thread_ts", sa.Text, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("reset_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_slack_threads_reset_at", "slack_threads", ["reset_at_ms"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("slack_threads")
