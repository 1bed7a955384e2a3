"""What the health routes ask of the database."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from slack_mcp.ports.store import StoreCondition
from slack_mcp.store.announcements import Listener
from slack_mcp.store.database import Database
from slack_mcp.store.revision import load_head_revision, load_revision

_CONDITION: Final = text(
    "SELECT current_setting('transaction_read_only') AS read_only, extract(epoch FROM clock_timestamp()) AS now_s"
)


class SqlStoreHealth:
    """`ports.store.StoreHealth`.

    Args:
        listener: None where there is nobody to listen to, or no way to.
    """

    def __init__(self, database: Database, *, listener: Listener | None) -> None:
        self._database = database
        self._listener = listener
        self._head: str | None = None

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._database.dialect

    async def load_condition(self) -> StoreCondition:
        """Return how the database stands; raises StoreUnavailableError."""
        if self._database.dialect == "sqlite":
            await self._database.ping()
            return StoreCondition(is_read_only=False, now_s=None)
        async with self._database.reading() as connection:
            row = (await connection.execute(_CONDITION)).one()
        return StoreCondition(is_read_only=row.read_only == "on", now_s=float(row.now_s))

    async def load_schema_revision(self) -> Mapping[str, str | None]:
        """Return {"current": …, "head": …}."""
        if self._head is None:
            # Read from a folder, which a probe each second should not do again.
            self._head = load_head_revision()
        return await load_revision(self._database, head=self._head)

    @property
    def listening(self) -> bool:
        """Whether changes announced by other pods are being heard, where they can be."""
        return self._listener is None or self._listener.listening
