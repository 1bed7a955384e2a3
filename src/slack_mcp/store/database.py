"""The database behind one factory: PostgreSQL or SQLite, told by the URL.

Core statements run on a SQLAlchemy connection; the journal's hot statements take the raw driver connection out of the
same pool. Every failure of the database itself leaves here as `StoreUnavailableError`.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from time import monotonic
from typing import Any, Final, TypeVar

import anyio
import asyncpg
from sqlalchemy import Table, event, text
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool, StaticPool

from slack_mcp.core.errors import SchemaOutdatedError, StoreError, StoreUnavailableError
from slack_mcp.core.model import PoolStats
from slack_mcp.store.url import DatabaseUrl, Dialect

Result = TypeVar("Result")

BUSY_TIMEOUT_MS: Final = 5_000
SQLITE_POOL_SIZE: Final = 4
# How long saying goodbye may take: a server that is gone does not answer it.
CLOSE_TIMEOUT_S: Final = 6.0
# The same after a reading, which leaves nothing behind: whoever gave up waiting is not to wait much longer for that.
READ_CLOSE_TIMEOUT_S: Final = 0.4

# The server, too, forgets a pod that vanished: its row locks would otherwise outlive it by the kernel's two hours.
# https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-TCP-KEEPALIVES-IDLE
KEEPALIVES: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}

# A process that is frozen in the middle of a transaction would keep its locks for ever; and what the journal relies on
# must not depend on how a server is set up.
SESSION: Final = {
    "idle_in_transaction_session_timeout": "3s",
    "default_transaction_isolation": "read committed",
}

# Errors that say something about the state of the server, the network or the disk, and nothing about the statement.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresSystemError,
    sqlite3.OperationalError,
    sqlite3.DatabaseError,
    OSError,
    TimeoutError,
)
_DRIVER: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_OUTDATED: Final = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_OUTDATED_SQLITE: Final = ("no such table", "no such column", "has no column")


class Database:
    """One database, opened. Made by `open_database`."""

    def __init__(self, engine: AsyncEngine, url: DatabaseUrl, *, keeps_one: bool) -> None:
        self._engine = engine
        self._keeps_one = keeps_one
        self._kept: tuple[AsyncConnection, Any] | None = None
        self._waits = 0
        self._waited_s = 0.0
        # On SQLite all connections are like that: to change one takes a hop to its thread, and whoever is cancelled in
        # the middle of it would leave it lost to the pool.
        self._reader = engine if url.dialect == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")
        self._url = url
        self._shared: dict[object, Any] = {}
        # SQLite has one writer; waiting in line here is fair, waiting inside SQLite is not.
        self._writing = anyio.Lock() if url.dialect == "sqlite" else None
        # A database in memory is one connection, so that reading waits for the writer too.
        self._reading = self._writing if url.dialect == "sqlite" and url.sqlite_path is None else None

    @property
    def dialect(self) -> Dialect:
        """`postgresql` or `sqlite`."""
        return self._url.dialect

    def share(self, key: object, make: Callable[[], Result]) -> Result:
        """Return what was made for the key before, else make it: the stores have it in common."""
        if key not in self._shared:
            self._shared[key] = make()
        shared: Result = self._shared[key]
        return shared

    def describe(self) -> str:
        """Return one phrase for logs and errors, without user and password."""
        return self._url.describe()

    def get_pool_stats(self) -> PoolStats:
        """Return how the pool is used; a database in memory has one connection, and no line before it."""
        pool = self._engine.pool
        size, taken = (pool.size(), pool.checkedout()) if isinstance(pool, QueuePool) else (1, 0)
        # What is only kept at hand is free for whoever comes.
        return PoolStats(
            size=size, in_use=max(0, taken - (self._kept is not None)), waits=self._waits, waited_s=self._waited_s
        )

    @contextmanager
    def _watch_wait(self) -> Iterator[None]:
        """Count the wait for a connection, where there is one to wait for."""
        pool = self._engine.pool
        if not isinstance(pool, QueuePool) or pool.checkedout() < pool.size():
            yield
            return
        self._waits += 1
        begun_s = monotonic()
        try:
            yield
        finally:
            self._waited_s += monotonic() - begun_s

    def insert(self, table: Table) -> postgresql.Insert:
        """Return an INSERT that knows ON CONFLICT, which both dialects spell alike and Core has only by dialect."""
        insert: Any = postgresql.insert if self.dialect == "postgresql" else sqlite.insert
        statement: postgresql.Insert = insert(table)
        return statement

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction, committed at the end and rolled back on any error.

        Raises:
            StoreUnavailableError: the database cannot be reached, refuses, or takes too long.
            SchemaOutdatedError: the tables are not those of this version.
        """
        async with self._writing or nullcontext(), self._connect(self._engine) as connection:
            if self.dialect == "sqlite":
                # Deferred transactions fail when two of them turn to writing; this one waits its turn.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            await connection.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection on which every statement stands alone. Raises what `transaction` does."""
        async with self._reading or nullcontext(), self._connect(self._reader) as connection:
            yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Any]:
        """Yield the driver's own connection, outside of any transaction, for statements that have to be fast.

        On SQLite it is the only writer while it is held. Raises what `transaction` does.
        """
        async with self._writing or nullcontext():
            with translate_errors():
                connection, driver = await self._take()
                try:
                    yield driver
                except BaseException:
                    await self._give_up(connection)
                    raise
                await self._keep(connection, driver)

    async def _take(self) -> tuple[AsyncConnection, Any]:
        """Return the connection that was kept, or one of the pool, and the driver's own in it."""
        kept, self._kept = self._kept, None
        if kept is not None:
            if self.dialect == "sqlite" or not kept[1].is_closed():
                return kept
            await self._give_up(kept[0])  # the server has closed it
        with self._watch_wait():
            connection = await self._engine.connect()
        return connection, (await connection.get_raw_connection()).driver_connection

    async def _keep(self, connection: AsyncConnection, driver: Any) -> None:
        """Have one connection at hand: to give it back to the pool and take it again costs more than a statement."""
        is_open = driver.in_transaction if self.dialect == "sqlite" else driver.is_in_transaction()
        if is_open:
            await self._give_up(connection)  # the pool would not see it
        elif self._keeps_one and self._kept is None:
            self._kept = connection, driver
        else:
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await connection.close()

    async def close(self) -> None:
        """Give back the connection that was kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept[0].close()

    async def run_in_sqlite(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what `work` returns, run as one transaction in the SQLite connection's own thread.

        A hop to that thread and back for each statement would cost many times what the statement does.
        """
        async with self.driver() as connection:
            # What every method of the driver calls; the public ones are a statement each.
            result: Result = await connection._execute(_run_in_transaction, connection._conn, work)  # noqa: SLF001
        return result

    @asynccontextmanager
    async def _connect(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """Yield a connection of the pool. After an error or a cancellation nothing of it is left open or running."""
        with translate_errors():
            async with AsyncExitStack() as stack:
                with self._watch_wait():
                    connection = await stack.enter_async_context(engine.connect())
                try:
                    yield connection
                except BaseException:
                    await self._give_up(connection, is_reading=engine is self._reader)
                    raise

    async def _give_up(self, connection: AsyncConnection, *, is_reading: bool = False) -> None:
        """Roll back what was begun, also what only the driver knows of."""
        is_quick = is_reading and self.dialect == "postgresql"
        with anyio.move_on_after(READ_CLOSE_TIMEOUT_S if is_quick else CLOSE_TIMEOUT_S, shield=True):
            if self.dialect == "postgresql":
                # Who knows how far it came: the driver asks the server to end the statement, and then closes.
                await connection.invalidate()
            # SQLite's thread finishes the statement first, and its connection stays: a database in memory would end
            # with it.
            await connection.close()

    async def ping(self) -> None:
        """Return when the database answers; raises StoreUnavailableError."""
        async with self.reading() as connection:
            await connection.execute(text("SELECT 1"))


@asynccontextmanager
async def open_database(
    url: DatabaseUrl,
    *,
    pool_size: int = 10,
    connect_timeout_s: float = 5.0,
    statement_timeout_s: float | None = 10.0,
    prepared_statements: bool = True,
) -> AsyncIterator[Database]:
    """Yield the database of a URL, and close its connections at the end. Nothing connects before the first statement.

    Args:
        url: from `parse_database_url`.
        pool_size: connections to PostgreSQL at most; SQLite takes a few of its own.
        connect_timeout_s: longest wait for a new connection, and for one from the pool.
        statement_timeout_s: longest wait for one statement of PostgreSQL; None waits for ever.
        prepared_statements: False behind PgBouncer in transaction mode.
    """
    if url.dialect == "sqlite":
        engine = _create_sqlite_engine(url)
    else:
        engine = create_async_engine(
            url.sqlalchemy_url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=connect_timeout_s,
            hide_parameters=True,
            connect_args={
                "timeout": connect_timeout_s,
                "command_timeout": statement_timeout_s,
                **_render_pooler_arguments(prepared_statements=prepared_statements),
            },
        )
        event.listen(engine.sync_engine, "checkout", _check_open)
    event.listen(engine.sync_engine, "handle_error", _keep_when_cancelled)
    # Never the only one there is.
    has_more = pool_size > 1 if url.dialect == "postgresql" else url.sqlite_path is not None
    database = Database(engine, url, keeps_one=has_more)
    try:
        yield database
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await database.close()
            await engine.dispose()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn what the driver, the network and the disk raise into errors of ours."""
    try:
        yield
    except sa_exc.DBAPIError as error:
        raise _translate(error.orig or error) from error
    except sa_exc.TimeoutError as error:
        raise StoreUnavailableError("No connection of the pool came free: the database is busy.") from error
    except (*_OUTDATED, *_UNAVAILABLE) as error:
        raise _translate(error) from error


def _translate(error: BaseException) -> BaseException:
    """Return our error for the driver's, or the driver's own when it is a programming mistake."""
    # SQLAlchemy wraps the driver's errors once more.
    cause = error.__cause__ if isinstance(error.__cause__, _DRIVER) else error
    if isinstance(cause, StoreError):
        return cause
    is_outdated = isinstance(cause, _OUTDATED) or (
        isinstance(cause, sqlite3.OperationalError) and any(words in str(cause) for words in _OUTDATED_SQLITE)
    )
    if is_outdated:
        return SchemaOutdatedError("The database lacks tables or columns: run `slack-mcp migrate up`.")
    if isinstance(cause, _UNAVAILABLE) and not _is_mistake(cause):
        # The driver's words name servers and files, and never values.
        return StoreUnavailableError(f"The database is not available ({type(cause).__name__}).")
    return error


def _is_mistake(cause: BaseException) -> bool:
    """Tell whether an error of a broad class is about the statement or its values: no database would take them."""
    if isinstance(cause, sqlite3.OperationalError):
        # SQLITE_ERROR is "a generic error code that is used when no other more specific error code is available": the
        # locks, the disk and the file have codes of their own. https://www.sqlite.org/rescode.html#error
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return isinstance(cause, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError)


def _run_in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return result


def _create_sqlite_engine(url: DatabaseUrl) -> AsyncEngine:
    """Return an engine whose connections are set up for a journal that survives a power cut."""
    if url.sqlite_path is None:
        pool: dict[str, Any] = {"poolclass": StaticPool}
    else:
        with translate_errors():
            url.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
        pool = {"pool_size": SQLITE_POOL_SIZE, "max_overflow": 0}
    engine = create_async_engine(url.sqlalchemy_url, isolation_level="AUTOCOMMIT", hide_parameters=True, **pool)
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(dbapi_connection: Any, _record: object) -> None:
    """Set up a new SQLite connection. Source: https://www.sqlite.org/pragma.html."""
    cursor = dbapi_connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # in WAL mode anything less may lose the last commits, and a commit is what is acked
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _keep_when_cancelled(context: ExceptionContext) -> None:
    """Leave the connection of a cancelled statement to `_give_up`.

    SQLAlchemy would cut it off at once, and the server would go on with the statement, its locks held.
    """
    if isinstance(context.original_exception, asyncio.CancelledError):
        context.is_disconnect = False


def _check_open(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Let the pool replace a connection that the server has closed, at no round trip."""
    if dbapi_connection.driver_connection.is_closed():
        raise sa_exc.DisconnectionError


def _render_pooler_arguments(*, prepared_statements: bool) -> dict[str, Any]:
    """Return what differs behind PgBouncer in transaction mode.

    A statement prepared on one server connection is unknown on the next, so that none is kept. The unnamed one needs
    no name that another pod must not use, is not left behind on the server, and is parsed and executed in one go, which
    the pooler does not tear apart: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY.
    Start-up parameters that the pooler does not know are refused.
    """
    if prepared_statements:
        return {"server_settings": {"application_name": "slack-mcp", **KEEPALIVES, **SESSION}}
    return {
        "server_settings": {"application_name": "slack-mcp"},
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }
