"""What the tools of the MCP face need: the user's token, the granted scopes, API keys and the audit of writes.

And since when Mesh refuses a connection.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004_tool_access"
down_revision = "0003_journal"

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ADDED = ("user_token", "bot_scopes", "user_scopes")


def upgrade() -> None:
    """Add the columns and make the two tables."""
    for name in ADDED:
        op.add_column("slack_connections", sa.Column(name, sa.Text))
    op.add_column("slack_connections", sa.Column("mesh_refused_since_ms", sa.BigInteger))
    op.create_table(
        "slack_api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("connection_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_hash", sa.Text, nullable=False),
        sa.Column("access", sa.Text, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("revoked_at_ms", sa.BigInteger),
    )
    op.create_index("idx_slack_api_keys_connection", "slack_api_keys", ["connection_id"])
    op.create_table(
        "slack_audit",
        sa.Column("id", KEY, primary_key=True, autoincrement=True),
        sa.Column("connection_id", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("tool", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("result", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_slack_audit_connection", "slack_audit", ["connection_id", "id"])
    op.create_index("idx_slack_audit_at", "slack_audit", ["at_ms"])


def downgrade() -> None:
    """Drop the two tables and the columns."""
    op.drop_table("slack_audit")
    op.drop_table("slack_api_keys")
    op.drop_column("slack_connections", "mesh_refused_since_ms")
    for name in reversed(ADDED):
        op.drop_column("slack_connections", name)
