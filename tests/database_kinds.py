"""The kinds of database that a guarantee of the store's ports is tested on."""

from pathlib import Path

import pytest
from postgres import make_url

from slack_mcp.store.url import DatabaseUrl


def choose_database(kind: str, request: pytest.FixtureRequest, directory: Path) -> DatabaseUrl:
    """Return an empty database of a kind; PostgreSQL starts only when its turn comes."""
    if kind == "postgresql":
        return make_url(request.getfixturevalue("postgres_url"))
    return make_url(f"sqlite:{directory}/slack.db" if kind == "sqlite_file" else ":memory:")
