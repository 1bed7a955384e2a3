"""The schema's history: what is applied, what is missing, and the way from one to the other.

All missing migrations run in one transaction under one lock, so that pods that start together migrate once, and a
failure leaves the database as it was.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.errors import (
    InvalidInputError,
    MigrationFailedError,
    SchemaOutdatedError,
    StoreUnavailableError,
)
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.revision import LOCK_KEY, load_current
from slack_mcp.store.url import DatabaseUrl

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationInfo

Work = Callable[[AsyncConnection], Awaitable[None]]

SCRIPTS: Final = "slack_mcp.store:migrations"  # a package and a folder in it: Alembic finds it wherever it is installed
BASE: Final = "base"
# How long a change of a table waits for those who use it: everybody else waits behind it meanwhile.
TABLE_LOCK_WAIT_S: Final = 30
SQLITE_PAUSE_S: Final = 0.05
_DATA_EXCEPTION: Final = "22"  # the class of errors whose message quotes the value


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationState:
    """One migration.

    Attributes:
        revision: its number, such as `0001`.
        name: the rest of its id, such as `slack_connections`.
        applied: whether the database has it.
    """

    revision: str
    name: str
    applied: bool


class Migrations:
    """Lists, applies and rolls back the migrations of one database.

    A database that a newer version has migrated is refused with `SchemaOutdatedError`, so that an old pod does not
    start on it; pods that run already go on during a rolling deploy.

    Args:
        url: the database; each call opens a connection of its own, without a limit on the time of a statement.
        database: the open database, needed with SQLite in memory, which only its own connection can see.
        versions: the folder with the migrations, unless it is this package's own.
        connect_timeout_s: longest wait for the connection.
        prepared_statements: False behind PgBouncer in transaction mode.
        lock_wait_s: longest wait for another process that is migrating.
    """

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        database: Database | None = None,
        versions: Path | None = None,
        connect_timeout_s: float = 5.0,
        prepared_statements: bool = True,
        lock_wait_s: float = 300.0,
    ) -> None:
        self._url = url
        self._database = database
        self._versions = versions
        self._connect_timeout_s = connect_timeout_s
        self._prepared_statements = prepared_statements
        self._lock_wait_s = lock_wait_s

    async def status(self) -> Sequence[MigrationState]:
        """Return all migrations, oldest first. Creates nothing, not even the file of a SQLite database.

        Raises:
            StoreUnavailableError: the database cannot be reached.
            SchemaOutdatedError: a newer version has migrated the database.
        """
        history = _load_history(_make_config(self._versions))
        path = self._url.sqlite_path
        current = None
        if path is None or await anyio.Path(path).exists():
            async with self._open() as database, database.reading() as connection:
                current = await connection.run_sync(load_current)
        applied = _list_applied(history, current)
        return [
            MigrationState(revision=number, name=name, applied=revision in applied)
            for revision, (number, _, name) in ((revision, revision.partition("_")) for revision in history)
        ]

    async def up(self) -> Sequence[str]:
        """Apply what is missing and return its ids, such as `0001_slack_connections`, in order.

        Raises:
            StoreUnavailableError: the database cannot be reached, or another process has been migrating for too long.
            SchemaOutdatedError: a newer version has migrated the database.
            MigrationFailedError: one failed, and all were rolled back.
        """
        config = _make_config(self._versions)
        history = _load_history(config)
        async with self._lock() as connection:
            current = await connection.run_sync(load_current)
            pending = history[len(_list_applied(history, current)) :]
            await connection.run_sync(_run, config, lambda: command.upgrade(config, "head"), pending)
        return pending

    async def down(self, to: str) -> Sequence[str]:
        """Roll back everything after revision `to` and return the ids, newest first.

        Args:
            to: a number such as `0001`, an id, or `base` for everything.

        Raises:
            InvalidInputError: there is no such revision.
            StoreUnavailableError, SchemaOutdatedError, MigrationFailedError: as `up` does.
        """
        config = _make_config(self._versions)
        history = _load_history(config)
        kept = _count_kept(history, to)
        async with self._lock() as connection:
            applied = _list_applied(history, await connection.run_sync(load_current))
            undone = applied[kept:][::-1]
            target = history[kept - 1] if kept else BASE
            await connection.run_sync(_run, config, lambda: command.downgrade(config, target), undone)
        return undone

    async def check_revision(self, revision: str) -> None:
        """Return when this version can make the tables of a revision, and knows those that there are.

        Raises:
            SchemaOutdatedError: a newer version made the revision, or has migrated the database.
            StoreUnavailableError: the database cannot be reached.
        """
        if revision not in _load_history(_make_config(self._versions)):
            raise SchemaOutdatedError(
                f"The backup is of migration {revision}, which this version does not know: a newer version made it. "
                "Restore it with that version."
            )
        await self.status()

    async def rebuild(
        self,
        revision: str,
        *,
        check: Work,
        load: Work,
        finish: Work,
    ) -> None:
        """Make all tables anew as a revision has them, fill them, and migrate them to the newest; one transaction.

        Args:
            revision: as `check_revision` takes it.
            check: runs first, on the tables that there are; what it raises leaves everything as it was.
            load: runs on the tables of the revision.
            finish: runs on the newest tables.

        Raises:
            StoreUnavailableError, SchemaOutdatedError, MigrationFailedError: as `up` does.
        """
        config = _make_config(self._versions)
        history = _load_history(config)
        until = history.index(revision) + 1
        async with self._lock() as connection:
            applied = _list_applied(history, await connection.run_sync(load_current))
            await check(connection)
            await connection.run_sync(_run, config, lambda: command.downgrade(config, BASE), applied[::-1])
            await connection.run_sync(_run, config, lambda: command.upgrade(config, revision), history[:until])
            await load(connection)
            await connection.run_sync(_run, config, lambda: command.upgrade(config, "head"), history[until:])
            await finish(connection)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Database]:
        """Yield the database to work on."""
        if self._database is not None and self._url.dialect == "sqlite" and self._url.sqlite_path is None:
            yield self._database
            return
        async with open_database(
            self._url,
            pool_size=1,
            connect_timeout_s=self._connect_timeout_s,
            statement_timeout_s=None,
            prepared_statements=self._prepared_statements,
        ) as database:
            yield database

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that no other process of ours migrates beside."""
        async with self._open() as database, AsyncExitStack() as stack:
            if database.dialect == "sqlite":
                connection = await self._begin_sqlite(stack, database)
            else:
                connection = await stack.enter_async_context(database.transaction())
                await self._lock_postgresql(connection)
            yield connection

    async def _lock_postgresql(self, connection: AsyncConnection) -> None:
        """Take the lock that ends with the transaction: the only kind that holds behind a transaction pooler."""
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text(f"SET LOCAL lock_timeout = {int(self._lock_wait_s * 1000)}"))
        try:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        except DBAPIError as error:
            if isinstance(_get_driver_error(error), asyncpg.LockNotAvailableError):
                raise self._refuse_to_wait() from error
            raise
        await connection.execute(text(f"SET LOCAL lock_timeout = '{TABLE_LOCK_WAIT_S}s'"))

    async def _begin_sqlite(self, stack: AsyncExitStack, database: Database) -> AsyncConnection:
        """Begin a transaction as the only writer, waiting for the others longer than SQLite itself does."""
        deadline_s = anyio.current_time() + self._lock_wait_s
        while True:
            try:
                return await stack.enter_async_context(database.transaction())
            except StoreUnavailableError as error:
                if not _is_busy(error):
                    raise
                if anyio.current_time() >= deadline_s:
                    raise self._refuse_to_wait() from error
            await anyio.sleep(SQLITE_PAUSE_S)

    def _refuse_to_wait(self) -> StoreUnavailableError:
        """Return the error for a lock that did not come free."""
        return StoreUnavailableError(f"Another process has held the database for {self._lock_wait_s:.0f} s.")


def _make_config(versions: Path | None) -> Config:
    """Return Alembic's configuration."""
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    if versions is not None:
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    return config


def _load_history(config: Config) -> Sequence[str]:
    """Return the ids of all migrations, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def _list_applied(history: Sequence[str], current: str | None) -> Sequence[str]:
    """Return the ids up to the current one; raises SchemaOutdatedError when this version does not know it."""
    if current is None:
        return []
    if current not in history:
        raise SchemaOutdatedError(
            f"The database is at {current}, which this version does not know: a newer version has migrated it. "
            "Start that version, or roll the database back with it."
        )
    return history[: history.index(current) + 1]


def _count_kept(history: Sequence[str], to: str) -> int:
    """Return how many migrations stay; raises InvalidInputError."""
    if to == BASE:
        return 0
    for count, revision in enumerate(history, 1):
        if to in {revision, revision.partition("_")[0]}:
            return count
    raise InvalidInputError(f"There is no revision {to!r}. Known are {BASE}, {', '.join(history)}.")


def _run(connection: Connection, config: Config, work: Callable[[], None], revisions: Sequence[str]) -> None:
    """Run Alembic on the connection, in the transaction that it is in.

    Args:
        connection: holds the lock.
        config: goes to `migrations/env.py`.
        work: the Alembic command.
        revisions: what it is going to apply or roll back, in order.

    Raises:
        MigrationFailedError: one of them failed.
    """
    if not revisions:
        return
    done: list[MigrationInfo] = []
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = lambda *, step, **_: done.append(step)
    try:
        work()
    except Exception as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise  # the database went away, which says nothing about the migration
        raise MigrationFailedError(revisions[len(done)], _render_cause(error)) from error


def _render_cause(error: Exception) -> str:
    """Return what the database said, without any value out of its rows."""
    cause = _get_driver_error(error)
    if isinstance(cause, asyncpg.PostgresError):
        # The driver's text goes on with DETAIL, which quotes rows.
        said = "" if str(cause.sqlstate).startswith(_DATA_EXCEPTION) else str(cause).partition("\n")[0]
    else:
        said = str(cause) if isinstance(cause, sqlite3.Error) else ""
    return f"{type(cause).__name__}: {said}." if said else f"{type(cause).__name__}."


def _get_driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error beneath those of SQLAlchemy, or the error itself."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        # SQLAlchemy's asyncpg dialect has a class of its own in between.
        return error.orig.__cause__ or error.orig
    return error


def _is_busy(error: StoreUnavailableError) -> bool:
    """Tell whether another process is writing to the SQLite database."""
    cause = _get_driver_error(error.__cause__ or error)
    # The low byte is the primary code: https://www.sqlite.org/rescode.html
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
