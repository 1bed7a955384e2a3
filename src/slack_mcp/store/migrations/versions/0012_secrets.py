"""Secrets: a data key for each connection, which is destroyed with it, and tokens of Slack's that expire."""

import sqlalchemy as sa
from alembic import op

revision = "0012_secrets"
down_revision = "0011_duties"

_TOKEN_COLUMNS = (
    ("refresh_token", sa.Text),
    ("token_expires_at_s", sa.Float(53)),
    ("client_id", sa.Text),
    ("client_secret", sa.Text),
)


def upgrade() -> None:
    """Make the table and the columns."""
    op.create_table(
        "slack_data_keys",
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("sealed_key", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    for name, kind in _TOKEN_COLUMNS:
        op.add_column("slack_connections", sa.Column(name, kind))
    op.create_index(
        "idx_slack_connections_token_expires",
        "slack_connections",
        ["token_expires_at_s"],
        postgresql_where=sa.text("token_expires_at_s IS NOT NULL"),
        sqlite_where=sa.text("token_expires_at_s IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop them, while nothing needs the keys: what was sealed with them would never open again."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM slack_data_keys LIMIT 1")).first() is not None:
        message = "connections have data keys: `slack-mcp secrets rotate --without-data-keys` does without them"
        raise RuntimeError(message)
    op.drop_index("idx_slack_connections_token_expires", "slack_connections")
    for name, _ in reversed(_TOKEN_COLUMNS):
        op.drop_column("slack_connections", name)
    op.drop_table("slack_data_keys")
