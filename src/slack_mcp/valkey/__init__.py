"""Valkey beside the database, where it is configured: never the truth, and its absence is no error."""
