"""Alembic's scripts: one file per step of the schema, run in order under a lock."""
