"""The database as a backup reads it: `ports.backup.BackupSource`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import delete, func, insert, select

from slack_mcp.core.errors import InvalidInputError, SchemaOutdatedError
from slack_mcp.core.rows import Row, TableShape
from slack_mcp.store.backup_tables import LEFT_OUT, list_numbered, list_shapes
from slack_mcp.store.database import Database, translate_errors
from slack_mcp.store.database_tools import dump_postgresql, dump_sqlite
from slack_mcp.store.revision import load_head_revision, load_revision
from slack_mcp.store.schema import backups
from slack_mcp.store.table_rows import TableRows, open_table_rows
from slack_mcp.store.url import DatabaseUrl

# More tell nobody anything: the newest is what is watched.
KEPT_FACTS: Final = 100
_REVISION: Final = "SELECT version_num FROM alembic_version"


class SqlSnapshot:
    """`ports.backup.Snapshot`, over one connection in one transaction."""

    def __init__(self, url: DatabaseUrl, driver: Any, rows: TableRows, revision: str) -> None:
        self._url = url
        self._driver = driver
        self._rows = rows
        self._revision = revision
        self._shapes = list_shapes()

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._url.dialect

    @property
    def revision(self) -> str:
        """The newest migration that the database has."""
        return self._revision

    @property
    def tables(self) -> Sequence[TableShape]:
        """The tables that a backup has."""
        return self._shapes

    async def count_rows(self, shape: TableShape) -> int:
        """Return how many rows a table has."""
        with translate_errors():
            return await self._rows.count(shape.name)

    async def read_rows(self, shape: TableShape) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows of a table."""
        with translate_errors():
            async for rows in self._rows.read(shape):
                yield rows

    async def load_sequences(self) -> Mapping[str, int]:
        """Return the last number that each numbered table has given."""
        with translate_errors():
            return await self._rows.load_sequences(list_numbered())

    async def dump(self, dialect: str) -> AsyncIterator[bytes]:
        """Yield what the database's own tool writes of this moment."""
        if dialect != self._url.dialect:
            raise InvalidInputError(
                f"This database is {self._url.dialect}, and has no dump of {dialect}: choose the format portable."
            )
        if dialect == "postgresql":
            snapshot_id = await self._driver.fetchval("SELECT pg_export_snapshot()")
            pieces = dump_postgresql(self._url, snapshot_id=snapshot_id, without_rows=tuple(LEFT_OUT))
        else:
            pieces = dump_sqlite(self._driver, self._url.sqlite_path)
        async for piece in pieces:
            yield piece


class SqlBackupSource:
    """`ports.backup.BackupSource`.

    Args:
        database: open, without a limit on the time of a statement.
        url: of the same database.
    """

    def __init__(self, database: Database, url: DatabaseUrl) -> None:
        self._database = database
        self._url = url

    @asynccontextmanager
    async def open_snapshot(self) -> AsyncIterator[SqlSnapshot]:
        """Yield one moment of the database."""
        head = load_head_revision()
        if (await load_revision(self._database, head=head))["current"] is None:
            raise SchemaOutdatedError("The database has no tables: there is nothing to back up.")
        async with self._database.driver() as driver, _begin(self._url, driver) as current:
            if current != head:
                raise SchemaOutdatedError(
                    f"The database is at migration {current} and this version backs up {head}: back up with the "
                    "version that serves it, or run `slack-mcp migrate up`."
                )
            yield SqlSnapshot(self._url, driver, open_table_rows(self._url.dialect, driver), current)

    async def note_backup(self, fact: Mapping[str, Any]) -> None:
        """Remember that a backup was made."""
        async with self._database.transaction() as connection:
            await connection.execute(insert(backups).values(**fact))
            newest = select(backups.c.backup_id).order_by(backups.c.finished_at_ms.desc()).limit(KEPT_FACTS)
            await connection.execute(delete(backups).where(backups.c.backup_id.not_in(newest)))


async def load_last_backup_ms(database: Database) -> int | None:
    """Return when the last good backup of this database ended, in unix milliseconds; None when there was none."""
    async with database.reading() as connection:
        found = await connection.scalar(select(func.max(backups.c.finished_at_ms)))
    return None if found is None else int(found)


@asynccontextmanager
async def _begin(url: DatabaseUrl, driver: Any) -> AsyncIterator[str]:
    """Begin a transaction that sees one moment, and keeps nobody from writing; yields the revision of that moment.

    To begin is not to see yet: either kind of database takes its snapshot with the first reading statement.
    """
    if url.dialect == "postgresql":
        async with driver.transaction(isolation="repeatable_read", readonly=True):
            # A slow bucket must not cost the snapshot.
            await driver.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await driver.execute("SET LOCAL statement_timeout = 0")
            # A week that is dropped would take along what has moved out of it: later than this moment, and not seen.
            await driver.execute("LOCK TABLE slack_events IN ACCESS SHARE MODE")
            yield str(await driver.fetchval(_REVISION))
        return
    await driver.execute("BEGIN")
    try:
        async with driver.execute(_REVISION) as cursor:
            (current,) = await cursor.fetchone()
        yield str(current)
    finally:
        await driver.rollback()
