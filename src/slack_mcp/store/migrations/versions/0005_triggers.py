"""Who is told of Slack's events: Mesh's automations and subscribers over HTTPS."""

import sqlalchemy as sa
from alembic import op

revision = "0005_triggers"
down_revision = "0004_tool_access"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "slack_triggers",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("trigger_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("filters", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("refused_at_ms", sa.BigInteger),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table with every subscription in it."""
    op.drop_table("slack_triggers")
