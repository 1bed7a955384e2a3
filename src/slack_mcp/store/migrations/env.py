"""Alembic's entry point: runs on the connection that `store.migrate` hands over, inside its transaction."""

from alembic import context

from slack_mcp.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
