"""The table of connections, column for column as existing deployments of slack-mcp have it."""

import sqlalchemy as sa
from alembic import op

revision = "0001_slack_connections"
down_revision = None


TABLE = "slack_connections"
INDEXED = ("team_id", "updated_at", "organization_id")


def upgrade() -> None:
    """Make the table and its indexes, unless a deployment that is moving here brings them along."""
    if not sa.inspect(op.get_bind()).has_table(TABLE):
        _create_table()
    existing = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(TABLE)}
    for column in INDEXED:
        name = f"idx_{TABLE}_{column}"
        if name not in existing:
            op.create_index(name, TABLE, [column])


def _create_table() -> None:
    op.create_table(
        TABLE,
        sa.Column("connection_id", sa.Text, primary_key=True),
        sa.Column("organization_id", sa.Text, nullable=False),
        sa.Column("mesh_url", sa.Text, nullable=False),
        sa.Column("mesh_token", sa.Text),
        sa.Column("model_provider_id", sa.Text),
        sa.Column("model_id", sa.Text),
        sa.Column("agent_id", sa.Text),
        sa.Column("system_prompt", sa.Text),
        sa.Column("bot_token", sa.Text, nullable=False),
        sa.Column("signing_secret", sa.Text, nullable=False),
        sa.Column("team_id", sa.Text),
        sa.Column("bot_user_id", sa.Text),
        sa.Column("configured_at", sa.Text, nullable=False, server_default=sa.text("CURRENT_TIMESTAMP")),
        sa.Column("updated_at", sa.Text, nullable=False, server_default=sa.text("CURRENT_TIMESTAMP")),
    )


def downgrade() -> None:
    """Drop the table with every connection in it."""
    op.drop_table(TABLE)
