"""Which pod does what one of them does for all."""

import sqlalchemy as sa
from alembic import op

revision = "0011_duties"
down_revision = "0010_pods"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "slack_duties",
        sa.Column("duty", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("slack_duties")
