"""Alembic's entry point: runs on the connection that `store.migrate` hands over, inside its transaction."""

from alembic import context

from slack_mcp.store.schema import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    on_version_apply=attributes["on_version_apply"],
)
context.run_migrations()
