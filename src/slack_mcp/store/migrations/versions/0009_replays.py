"""When an operator put an event back to be worked on again."""

import sqlalchemy as sa
from alembic import op

revision = "0009_replays"
down_revision = "0008_conversations"


def upgrade() -> None:
    """Make the column: it is null in every row that stands, so that none is written anew."""
    op.add_column("slack_events", sa.Column("replayed_at_ms", sa.BigInteger))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("slack_events", "replayed_at_ms")
