"""The original slack-mcp's database, for the import of its connections."""

from collections.abc import Mapping, Sequence
from typing import Any

from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings
from slack_mcp.store import originals
from slack_mcp.store.url import parse_database_url


async def load_original_rows(settings: Settings, url: Secret) -> Sequence[Mapping[str, Any]]:
    """Return the rows of the original's table, in the PostgreSQL of a URL.

    Raises:
        SettingsError: the URL cannot be read.
        InvalidInputError, StoreUnavailableError: there is no such table, or no such database.
    """
    parsed = parse_database_url(url.reveal(), data_dir=settings.data_dir, name="The URL of the original's database")
    return await originals.load_original_rows(parsed, connect_timeout_s=settings.database_connect_timeout_s)
