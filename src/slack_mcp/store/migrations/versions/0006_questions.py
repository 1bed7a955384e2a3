"""Questions to people, and their answers."""

import sqlalchemy as sa
from alembic import op

revision = "0006_questions"
down_revision = "0005_triggers"


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "slack_questions",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("question_id", sa.Text, primary_key=True),
        sa.Column("channel_id", sa.Text, nullable=False),
        sa.Column("thread_ts", sa.Text),
        sa.Column("message_ts", sa.Text),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("answerers", sa.Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("quorum", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("idx_slack_questions_updated_at", "slack_questions", ["updated_at_ms"])
    op.create_index(
        "idx_slack_questions_due",
        "slack_questions",
        ["due_at_ms"],
        postgresql_where=sa.text("due_at_ms IS NOT NULL"),
        sqlite_where=sa.text("due_at_ms IS NOT NULL"),
    )
    op.create_table(
        "slack_answers",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("question_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("answered_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the two tables."""
    op.drop_table("slack_answers")
    op.drop_table("slack_questions")
