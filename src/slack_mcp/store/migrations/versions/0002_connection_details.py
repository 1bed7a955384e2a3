"""What a connection needs beyond the first table: identity, API key, settings, version, secret overlap."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002_connection_details"
down_revision = "0001_slack_connections"


def _make_columns() -> list[sa.Column[Any]]:
    """Return the columns; each belongs to one table only, so that they are made anew."""
    return [
        sa.Column("mesh_api_key", sa.Text),
        sa.Column("mesh_api_key_id", sa.Text),
        sa.Column("organization_slug", sa.Text),
        sa.Column("team_name", sa.Text),
        sa.Column("connection_name", sa.Text),
        sa.Column("bot_id", sa.Text),
        sa.Column("api_app_id", sa.Text),
        sa.Column("previous_signing_secret", sa.Text),
        sa.Column("previous_signing_secret_until_s", sa.Float(53)),
        sa.Column("settings", sa.Text, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    ]


def upgrade() -> None:
    """Add the columns that are not there yet."""
    existing = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("slack_connections")}
    for column in _make_columns():
        if column.name not in existing:
            op.add_column("slack_connections", column)


def downgrade() -> None:
    """Drop the columns with what is in them."""
    for column in reversed(_make_columns()):
        op.drop_column("slack_connections", str(column.name))
