"""The table of the original slack-mcp, read where it lies."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from slack_mcp.core.errors import InvalidInputError, SchemaOutdatedError
from slack_mcp.store.database import open_database
from slack_mcp.store.url import DatabaseUrl


async def load_original_rows(url: DatabaseUrl, *, connect_timeout_s: float) -> Sequence[Mapping[str, Any]]:
    """Return all rows of `slack_connections` with whatever columns they have; nothing is written there.

    Raises:
        InvalidInputError: there is no such table.
        StoreUnavailableError: the database cannot be reached.
    """
    async with open_database(url, pool_size=1, connect_timeout_s=connect_timeout_s) as database:
        try:
            async with database.reading() as connection:
                rows = await connection.execute(text("SELECT * FROM slack_connections ORDER BY connection_id"))
                return [dict(row) for row in rows.mappings()]
        except SchemaOutdatedError as error:
            raise InvalidInputError(f"There is no table slack_connections in {url.describe()}.") from error
