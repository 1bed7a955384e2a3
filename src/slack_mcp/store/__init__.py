"""The database, PostgreSQL or SQLite: the only room that knows SQL."""
