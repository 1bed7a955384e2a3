"""The facts of backups: that there are some, for whoever watches it."""

import sqlalchemy as sa
from alembic import op

revision = "0013_backups"
down_revision = "0012_secrets"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "slack_backups",
        sa.Column("backup_id", sa.Text, primary_key=True),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.Text),
    )
    op.create_index("idx_slack_backups_finished_at", "slack_backups", ["finished_at_ms"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("slack_backups")
