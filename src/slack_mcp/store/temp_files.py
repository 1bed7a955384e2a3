"""Files for a while in the database, sealed; see `ports.attachments.TempFileStore`."""

from typing import Final

import structlog
from sqlalchemy import delete, select

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.attachments import TempFile
from slack_mcp.protocol.temp_links import make_file_id
from slack_mcp.sealing import Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.schema import temp_files

_NAME: Final = "temp_file_name"
_CONTENT: Final = "temp_file_content"
_MS: Final = 1000

_log = structlog.get_logger(__name__)


class SqlTempFileStore:
    """`ports.attachments.TempFileStore`."""

    def __init__(self, database: Database, sealer: Sealer, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._clock = clock

    async def add_temp_file(self, connection_id: ConnectionId, file: TempFile, *, ttl_s: float) -> str:
        """Insert the file and return its new id."""
        file_id = make_file_id()
        sealer = await self._keys.of(connection_id)
        statement = self._database.insert(temp_files).values(
            file_id=file_id,
            connection_id=connection_id,
            name=sealer.seal(_NAME, file.name),
            mimetype=file.mimetype,
            content=sealer.seal_bytes(_CONTENT, file.content),
            expires_at_ms=self._now_ms() + int(ttl_s * _MS),
        )
        async with self._database.transaction() as database:
            await database.execute(statement)
        return file_id

    async def load_temp_file(self, file_id: str) -> TempFile | None:
        """Return the file, None when there is none, its time is over, or it does not open any more."""
        statement = select(temp_files).where(
            temp_files.c.file_id == file_id, temp_files.c.expires_at_ms > self._now_ms()
        )
        async with self._database.reading() as database:
            row = (await database.execute(statement)).mappings().one_or_none()
        if row is None:
            return None
        connection_id = ConnectionId(row["connection_id"])
        sealer = await self._keys.of(connection_id, row["name"], row["content"])
        try:
            return TempFile(
                name=sealer.open(_NAME, row["name"]),
                mimetype=row["mimetype"],
                content=sealer.open_bytes(_CONTENT, row["content"]),
            )
        except SealingError as error:
            _log.error("temp_file.unreadable", connection_id=connection_id, error=str(error))
            return None

    async def remove_temp_file(self, connection_id: ConnectionId, file_id: str) -> None:
        """Delete the file, if it is the connection's."""
        statement = delete(temp_files).where(
            temp_files.c.file_id == file_id, temp_files.c.connection_id == connection_id
        )
        async with self._database.transaction() as database:
            await database.execute(statement)

    async def delete_expired(self, *, limit: int) -> int:
        """Delete up to `limit` files whose time is over; returns how many."""
        over = (
            select(temp_files.c.file_id)
            .where(temp_files.c.expires_at_ms <= self._now_ms())
            .order_by(temp_files.c.expires_at_ms)
            .limit(limit)
        )
        async with self._database.transaction() as database:
            return (await database.execute(delete(temp_files).where(temp_files.c.file_id.in_(over)))).rowcount

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)
