"""The table of connections, column for column as existing deployments of slack-mcp have it."""

import sqlalchemy as sa
from alembic import op

revision = "0001_slack_connections"
down_revision = None


def upgrade() -> None:
    """Make the table, unless a deployment that is moving here brings it along."""
    if sa.inspect(op.get_bind()).has_table("slack_connections"):
        return
    op.create_table(
        "slack_connections",
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
    op.create_index("idx_slack_connections_team_id", "slack_connections", ["team_id"])
    op.create_index("idx_slack_connections_updated_at", "slack_connections", ["updated_at"])
    op.create_index("idx_slack_connections_organization_id", "slack_connections", ["organization_id"])


def downgrade() -> None:
    """Drop the table with every connection in it."""
    op.drop_table("slack_connections")
