"""The databases that every guarantee of the store's ports is tested on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from database_kinds import choose_database

from slack_mcp.store.database import Database, open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.url import DatabaseUrl


@pytest.fixture(params=["sqlite_file", "sqlite_memory", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    """Each kind of database; PostgreSQL starts only when its turn comes."""
    return choose_database(request.param, request, tmp_path)


@pytest.fixture
async def database(database_url: DatabaseUrl, anyio_backend: str) -> AsyncIterator[Database]:
    """The database, migrated and open."""
    async with open_database(database_url) as database:
        await Migrations(database_url, database=database).up()
        yield database


@pytest.fixture
async def other_database(database: Database, database_url: DatabaseUrl, anyio_backend: str) -> AsyncIterator[Database]:
    """The same data as another pod has it: through a pool of its own, where there can be one."""
    if database_url.dialect == "sqlite" and database_url.sqlite_path is None:
        yield database
        return
    async with open_database(database_url) as other:
        yield other
