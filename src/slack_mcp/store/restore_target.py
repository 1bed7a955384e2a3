"""The database as a backup is loaded into it: `ports.backup.RestoreTarget`."""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
from sqlalchemy import inspect, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import BackupDamagedError, ConflictError, InvalidInputError
from slack_mcp.core.rows import Row, RowEncoder, TableDigest, TableShape, TableSummary
from slack_mcp.ports.backup import TableLoader
from slack_mcp.ports.pods import SILENT_AFTER_S
from slack_mcp.store.backup_tables import LEFT_OUT, OF_THE_OLD_LIFE, SEQUENCE_STRIDE, list_numbered, list_shapes
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.database_tools import FILE_MODE, restore_postgresql
from slack_mcp.store.lockfile import hold_database
from slack_mcp.store.migrate import BASE, Migrations
from slack_mcp.store.pods import SqlPods
from slack_mcp.store.schema import metadata, pods
from slack_mcp.store.table_rows import TableRows, open_table_rows
from slack_mcp.store.url import DatabaseUrl
from slack_mcp.store.weeks import list_weeks, make_weeks

Sequences = Mapping[str, int]
Load = Callable[[TableLoader], Awaitable[Sequences]]

# Events that were given up are kept for so long, unless an operator wants it otherwise.
WEEKS_RESTORED: Final = 5

# Whoever loads for minutes must not be taken for a process that is frozen.
_PATIENT: Final = ("SET LOCAL idle_in_transaction_session_timeout = 0", "SET LOCAL statement_timeout = 0")


class SqlTableLoader:
    """`ports.backup.TableLoader`, over one connection in one transaction."""

    def __init__(self, rows: TableRows) -> None:
        self._rows = rows

    @property
    def tables(self) -> Sequence[TableShape]:
        """The tables that a backup of this version has."""
        return list_shapes()

    async def load_rows(self, shape: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows."""
        await self._rows.write(shape, rows)

    async def summarize(self, shape: TableShape) -> TableSummary:
        """Return what the table now comes to."""
        encoder, digest = RowEncoder(shape), TableDigest(shape)
        async for rows in self._rows.read(shape):
            digest.add(encoder.encode(rows))
        return digest.summarize()


class SqlRestoreTarget:
    """`ports.backup.RestoreTarget`.

    Args:
        url: the database.
        migrations: of the same one.
        connect_timeout_s: longest wait for a connection.
        prepared_statements: False behind PgBouncer in transaction mode.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        migrations: Migrations,
        *,
        connect_timeout_s: float = 5.0,
        prepared_statements: bool = True,
    ) -> None:
        self._url = url
        self._migrations = migrations
        self._connect_timeout_s = connect_timeout_s
        self._prepared_statements = prepared_statements

    async def check_may_restore(self, revision: str, *, force: bool) -> None:
        """Return when a backup of this revision may be loaded."""
        await self._migrations.check_revision(revision)
        if self._url.sqlite_path is not None and not self._url.sqlite_path.exists():
            return
        async with self._open() as database:
            if self._url.dialect == "postgresql":
                await _check_unserved(database)
            if not force:
                async with database.reading() as connection:
                    await _check_empty(connection)

    async def restore_rows(self, revision: str, load: Load, *, force: bool) -> None:
        """Make the tables of a revision, have them filled, and bring them to this version; one transaction."""
        sequences: dict[str, int] = {}

        async def check(connection: AsyncConnection) -> None:
            if self._url.dialect == "postgresql":
                for statement in _PATIENT:
                    await connection.execute(text(statement))
            if not force:
                await _check_empty(connection)
            await _delete_rows(connection)

        async def fill(connection: AsyncConnection) -> None:
            if self._url.dialect == "postgresql":
                await _make_weeks(connection)
            rows = await _open_rows(connection)
            sequences.update(await load(SqlTableLoader(rows)))

        async def finish(connection: AsyncConnection) -> None:
            await _begin_new_life(connection, sequences)

        with self._hold():
            await self._migrations.rebuild(revision, check=check, load=fill, finish=finish)

    async def restore_dump(
        self, revision: str, pieces: AsyncIterator[bytes], *, dialect: str, check: Load, force: bool
    ) -> None:
        """Have the database's own tool read a dump, and bring the tables to this version."""
        if dialect != self._url.dialect:
            raise InvalidInputError(
                f"The backup is a dump of {dialect}, and this database is {self._url.dialect}: only the format "
                "portable goes from one to the other."
            )
        with self._hold():
            await self.check_may_restore(revision, force=force)
            if self._url.dialect == "postgresql":
                # What later migrations made is not in the dump, and would stand in the way of making it again.
                async with self._open() as database, database.transaction() as connection:
                    await _delete_rows(connection)
                await self._migrations.down(BASE)
                await restore_postgresql(self._url, pieces)
                await _complete(self._url, self._migrations, self._open, check)
            else:
                await self._restore_file(pieces, check)

    async def _restore_file(self, pieces: AsyncIterator[bytes], check: Load) -> None:
        """Write the file beside the database's, make it complete, and only then put it in its place."""
        path = self._url.sqlite_path
        if path is None:
            raise InvalidInputError("A database in memory cannot become a file: restore into one.")
        for left in path.parent.glob(f".{path.name}.restored-*"):
            left.unlink(missing_ok=True)  # of a process that was killed
        draft = path.with_name(f".{path.name}.restored-{os.getpid()}")
        url = replace(self._url, sqlite_path=draft, sqlalchemy_url=f"sqlite+aiosqlite:///{draft}")
        try:
            await _write_file(draft, pieces)
            await anyio.to_thread.run_sync(_check_file, draft)
            await _complete(url, Migrations(url), lambda: open_database(url), check)
            await anyio.to_thread.run_sync(_replace, draft, path)
        finally:
            for left in path.parent.glob(f"{draft.name}*"):
                left.unlink(missing_ok=True)

    def _open(self) -> Any:
        return open_database(
            self._url,
            pool_size=1,
            connect_timeout_s=self._connect_timeout_s,
            statement_timeout_s=None,
            prepared_statements=self._prepared_statements,
        )

    def _hold(self) -> AbstractContextManager[None]:
        """Keep a service from serving a file that is being loaded; raises SettingsError when one does."""
        return nullcontext() if self._url.sqlite_path is None else hold_database(self._url.sqlite_path)


async def _complete(url: DatabaseUrl, migrations: Migrations, open_it: Callable[[], Any], check: Load) -> None:
    """Check the tables as the dump has brought them, migrate them, and begin their new life."""
    database: Database
    async with open_it() as database, database.transaction() as connection:
        if url.dialect == "postgresql":
            for statement in _PATIENT:
                await connection.execute(text(statement))
        sequences = await check(SqlTableLoader(await _open_rows(connection)))
    await migrations.up()
    async with open_it() as database, database.transaction() as connection:
        await _begin_new_life(connection, sequences)


async def _begin_new_life(connection: AsyncConnection, sequences: Sequences) -> None:
    """Let nothing that was held before the backup, or numbered since, reach into what comes now."""
    for name in LEFT_OUT:  # what a database's own tool copies all the same
        await connection.execute(metadata.tables[name].delete())
    for table, values in OF_THE_OLD_LIFE.items():
        await connection.execute(update(table).values(**values))
    rows = await _open_rows(connection)
    for name, column in list_numbered().items():
        largest = await connection.scalar(text(f'SELECT max("{column}") FROM "{name}"'))  # noqa: S608 - names of ours
        await rows.set_sequence(name, column, max(largest or 0, sequences.get(name, 0)) + SEQUENCE_STRIDE)


async def _check_unserved(database: Database) -> None:
    """Return when no pod has been on the database lately; raises ConflictError. A SQLite file has a lock for that."""
    async with database.reading() as connection:
        if pods.name not in await connection.run_sync(_list_tables):
            return
    present = [
        pod.presence.pod_id for pod in await SqlPods(database, clock=SystemClock()).list_pods() if not pod.is_silent
    ]
    if present:
        raise ConflictError(
            f"Pods serve the database ({', '.join(present)}): stop them first. One that was killed counts for "
            f"{SILENT_AFTER_S:.0f} s."
        )


async def _check_empty(connection: AsyncConnection) -> None:
    """Return when no table of ours has a row; raises ConflictError."""
    rows = await _open_rows(connection)
    backed_up = {shape.name for shape in list_shapes()}
    full = [name for name in await connection.run_sync(_list_tables) if name in backed_up and await rows.has_rows(name)]
    if full:
        raise ConflictError(
            f"The database has rows in {', '.join(full)}: restore into an empty one, or say --force to delete all that "
            "is in it."
        )


async def _delete_rows(connection: AsyncConnection) -> None:
    """Empty all tables of ours. A migration that would lose what is in its table is not undone, and so this goes first.

    A table that another deployment made, too, stays through all migrations with what is in it.
    """
    for name in await connection.run_sync(_list_tables):
        await connection.execute(metadata.tables[name].delete())


def _list_tables(connection: Any) -> Sequence[str]:
    """Return which of our tables there are."""
    there = set(inspect(connection).get_table_names())
    return [table.name for table in metadata.sorted_tables if table.name in there]


async def _open_rows(connection: AsyncConnection) -> TableRows:
    """Return what works on the driver's connection, in the transaction that this one is in."""
    raw = await connection.get_raw_connection()
    return open_table_rows(connection.dialect.name, raw.driver_connection)


async def _make_weeks(connection: AsyncConnection) -> None:
    """Have the weeks that the backup's events are of, as far as they are kept; a table of before has none."""
    driver = (await connection.get_raw_connection()).driver_connection
    if await list_weeks(driver):
        await make_weeks(driver, back=WEEKS_RESTORED)


async def _write_file(path: Path, pieces: AsyncIterator[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    async with anyio.wrap_file(os.fdopen(descriptor, "wb")) as file:
        async for piece in pieces:
            await file.write(piece)
        await file.flush()
        await anyio.to_thread.run_sync(os.fsync, descriptor)


def _check_file(path: Path) -> None:
    """Return when SQLite finds nothing wrong with its file; raises BackupDamagedError."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupDamagedError("The file in the backup is no SQLite database.") from error
    if said != "ok":
        raise BackupDamagedError("SQLite finds the file in the backup damaged.")


def _replace(draft: Path, path: Path) -> None:
    """Put a file in the place of another one, whose log must not be taken for the new one's."""
    for each in (draft, path):
        if each.exists():
            with closing(sqlite3.connect(each)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
