"""Who serves: each pod notes itself here while it runs."""

import sqlalchemy as sa
from alembic import op

revision = "0010_pods"
down_revision = "0009_replays"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "slack_pods",
        sa.Column("pod_id", sa.Text, primary_key=True),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
        sa.Column("clock_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("slack_pods")
