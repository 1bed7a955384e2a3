"""Which migration a database is at, and which this version needs.

Apart from `store.migrate`, because a process that finds its database up to date, as nearly every start does, has no use
for Alembic: loading it takes 8 MB and a tenth of a second.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from sqlalchemy import Connection, inspect, text

from slack_mcp.store.database import Database

# Of whoever changes tables.
LOCK_KEY: Final = int.from_bytes(b"slackmcp")
VERSIONS: Final = "migrations/versions"
# Alembic's own: https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.migration.MigrationContext
_TABLE: Final = "alembic_version"
_CURRENT: Final = text("SELECT version_num FROM alembic_version")


def load_head_revision() -> str:
    """Return the id of the newest migration of this version, which is its file's name. Reads the folder."""
    names = (file.name for file in files("slack_mcp.store").joinpath(VERSIONS).iterdir())
    return max(name.removesuffix(".py") for name in names if name[0].isdigit())


async def load_revision(database: Database, *, head: str | None = None) -> Mapping[str, str | None]:
    """Return {"current": the newest migration that the database has, "head": the newest of this version}.

    Args:
        database: the open database.
        head: what `load_head_revision` returned, so that no folder is read.

    Raises:
        StoreUnavailableError: the database cannot be reached.
    """
    async with database.reading() as connection:
        current = await connection.run_sync(load_current)
    return {"current": current, "head": head or load_head_revision()}


def load_current(connection: Connection) -> str | None:
    """Return the id of the newest migration that the database has, or None. Creates nothing."""
    if not inspect(connection).has_table(_TABLE):
        return None
    current: str | None = connection.execute(_CURRENT).scalar_one_or_none()
    return current
