"""The database on its bad days: connections ended, statements cancelled or too slow, servers and files that refuse."""

import socket
import sqlite3
import sys
import threading
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import asyncpg
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from postgres import Postgres, make_url
from sqlalchemy import exc, text
from stepping_clock import SteppingClock
from store_samples import claim_lane, make_connection

from slack_mcp.core.errors import SchemaOutdatedError, StoreError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.sealing import Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.url import DatabaseUrl

pytestmark = pytest.mark.anyio

CANARY = "canary-value"
HOLD = "SELECT hold()"
OTHERS = "FROM pg_stat_activity WHERE datname = $1"

# Holds the database that it is told until its input ends.
LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["sqlite_file", "sqlite_memory", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    if request.param == "postgresql":
        return make_url(request.getfixturevalue("empty_postgres_url"))
    return make_url(f"sqlite:{tmp_path}/slack.db" if request.param == "sqlite_file" else ":memory:")


@pytest.fixture
async def admin(postgres: Postgres, anyio_backend: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to another database of the same server."""
    connection = await asyncpg.connect(postgres.get_url("postgres"), timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


def get_name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def enter(database: Database, way: str) -> AbstractAsyncContextManager[Any]:
    """Return what `database.<way>()` does."""
    way_in: AbstractAsyncContextManager[Any] = getattr(database, way)()
    return way_in


def say(statement: str, way: str) -> Any:
    """Return the statement as a connection of this way takes it."""
    return statement if way == "driver" else text(statement)


async def wait_until(admin: asyncpg.Connection, url: str, condition: str) -> None:
    """Return when the condition on the backends of the URL's database is true."""
    with anyio.fail_after(5):
        while not await admin.fetchval(f"SELECT {condition} {OTHERS}", get_name(url)):
            pass


async def get_pid(database: Database) -> int:
    async with database.driver() as connection:
        pid: int = connection.get_server_pid()
        return pid


async def count_things(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM things"))).scalar_one())


async def make_things(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE things (id INTEGER)"))


async def end_backend(database: Database, admin: asyncpg.Connection) -> int:
    """Let the server end the pool's connection; returns its number when the driver has noticed."""
    ended = anyio.Event()
    async with database.driver() as connection:
        connection.add_termination_listener(lambda _connection: ended.set())
        pid: int = connection.get_server_pid()
    await admin.execute("SELECT pg_terminate_backend($1)", pid)
    with anyio.fail_after(5):
        await ended.wait()
    return pid


@pytest.mark.parametrize("way", ["transaction", "reading", "driver"])
async def test_connection_that_the_server_ended_is_replaced_unnoticed(
    postgres_url: str, admin: asyncpg.Connection, way: str
) -> None:
    async with open_database(make_url(postgres_url), pool_size=1) as database:
        pid = await end_backend(database, admin)
        async with enter(database, way) as connection:
            await connection.execute(say("SELECT 1", way))
        assert await get_pid(database) != pid


async def test_driver_has_its_own_connection_until_the_server_ends_it(
    postgres_url: str, admin: asyncpg.Connection
) -> None:
    async with open_database(make_url(postgres_url), pool_size=2) as database:
        pid = await end_backend(database, admin)
        second = await get_pid(database)
        async with database.transaction() as connection:  # takes the pool's turn, and not the driver's
            await connection.execute(text("SELECT 1"))
        assert pid != second == await get_pid(database)


async def test_driver_is_used_by_two_at_once_on_connections_of_their_own(postgres_url: str) -> None:
    async with open_database(make_url(postgres_url), pool_size=2) as database:
        async with database.driver() as one, database.driver() as other:
            assert one.get_server_pid() != other.get_server_pid()
        await database.ping()  # one of them is the pool's again


async def test_connection_that_is_left_in_a_transaction_is_not_kept(url: DatabaseUrl) -> None:
    async with open_database(url) as database:
        await make_things(database)
        async with database.driver() as connection:
            await connection.execute("BEGIN")
            await connection.execute("INSERT INTO things VALUES (1)")
        async with database.driver() as connection:
            assert not (connection.in_transaction if url.dialect == "sqlite" else connection.is_in_transaction())
        assert await count_things(database) == 0


@pytest.mark.parametrize("way", ["transaction", "reading", "driver"])
async def test_connection_that_ends_in_the_middle_is_an_error_once(
    postgres_url: str, admin: asyncpg.Connection, way: str
) -> None:
    async with open_database(make_url(postgres_url), pool_size=1) as database:
        pid = await get_pid(database)

        async def lose_it() -> None:
            async with enter(database, way) as connection:
                await admin.execute("SELECT pg_terminate_backend($1)", pid)
                await connection.execute(say("SELECT pg_sleep(60)", way))

        with pytest.raises(StoreUnavailableError):
            await lose_it()
        await database.ping()


@asynccontextmanager
async def cancelled_when(
    is_running: Callable[[], Awaitable[None]], *, then: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Cancel the body once what it waits for is running, and do something after that."""
    with anyio.fail_after(10), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await is_running()
                scope.cancel()
                then()

            tasks.start_soon(cancel)
            yield
    assert scope.cancelled_caught


async def test_cancelled_statement_of_the_driver_leaves_no_transaction_in_the_pool(
    empty_postgres_url: str, admin: asyncpg.Connection
) -> None:
    url = empty_postgres_url
    async with open_database(make_url(url), pool_size=1) as database:
        await make_things(database)
        async with (
            cancelled_when(lambda: wait_until(admin, url, "count(*) FILTER (WHERE wait_event = 'PgSleep') = 1")),
            database.driver() as connection,
        ):
            await connection.execute("BEGIN")
            await connection.execute("INSERT INTO things VALUES (1)")
            await connection.fetch("SELECT pg_sleep(60)")
        await wait_until(admin, url, "count(*) FILTER (WHERE wait_event = 'PgSleep' OR state LIKE 'idle in%') = 0")
        async with database.driver() as connection:
            assert not connection.is_in_transaction()
        assert await count_things(database) == 0


@pytest.mark.parametrize("way", ["transaction", "reading"])
async def test_cancelled_statement_is_rolled_back_and_its_locks_are_free(
    empty_postgres_url: str, admin: asyncpg.Connection, way: str
) -> None:
    url = empty_postgres_url
    async with open_database(make_url(url), pool_size=1) as database:
        await make_things(database)
        async with (
            cancelled_when(lambda: wait_until(admin, url, "count(*) FILTER (WHERE wait_event = 'PgSleep') = 1")),
            enter(database, way) as connection,
        ):
            if way == "transaction":
                await connection.execute(text("LOCK TABLE things"))
            await connection.execute(text("SELECT pg_sleep(60)"))
        await wait_until(admin, url, "count(*) FILTER (WHERE wait_event = 'PgSleep' OR state LIKE 'idle in%') = 0")
        assert await count_things(database) == 0


@pytest.mark.parametrize("way", ["transaction", "reading", "driver"])
async def test_no_connection_is_lost_to_the_pool_wherever_somebody_is_cancelled(url: DatabaseUrl, way: str) -> None:
    async def work() -> None:
        async with enter(database, way) as connection:
            await connection.execute(say("SELECT 1", way))

    async with open_database(url) as database:
        await database.ping()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", exc.SAWarning)  # what the pool says of a connection that was dropped
            for steps in range(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(work)
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                await database.ping()
        assert [str(each.message) for each in said] == []
        assert database.get_pool_stats().in_use == 0


class Brake:
    """An SQL function that does not return before it is told to."""

    def __init__(self) -> None:
        self._token = anyio.lowlevel.current_token()
        self.entered = anyio.Event()
        self.may_go_on = threading.Event()

    def hold(self) -> int:
        anyio.from_thread.run_sync(self.entered.set, token=self._token)
        return int(self.may_go_on.wait(10))


@pytest.mark.parametrize("way", ["transaction", "reading", "driver"])
@pytest.mark.parametrize("place", ["slack.db", ":memory:"])
async def test_cancelled_statement_of_sqlite_is_rolled_back_and_the_database_stays(
    tmp_path: Path, place: str, way: str
) -> None:
    url = make_url(place if place == ":memory:" else f"sqlite:{tmp_path}/{place}")
    async with open_database(url) as database:
        await make_things(database)
        brake = Brake()
        async with cancelled_when(brake.entered.wait, then=brake.may_go_on.set), enter(database, way) as connection:
            raw = connection if way == "driver" else (await connection.get_raw_connection()).driver_connection
            await raw.create_function("hold", 0, brake.hold)
            if way == "driver":
                await raw.execute("BEGIN IMMEDIATE")
            if way != "reading":
                await connection.execute(say("INSERT INTO things VALUES (1)", way))
            await connection.execute(say(HOLD, way))
        assert await count_things(database) == 0
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO things VALUES (2)"))
        assert await count_things(database) == 1


@pytest.mark.parametrize("way", ["transaction", "driver"])
async def test_error_of_the_caller_rolls_back(url: DatabaseUrl, way: str) -> None:
    async with open_database(url) as database:
        await make_things(database)

        async def fail() -> None:
            async with enter(database, way) as connection:
                if way == "driver":
                    await connection.execute("BEGIN")
                await connection.execute(say("INSERT INTO things VALUES (1)", way))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await count_things(database) == 0


@pytest.mark.parametrize("way", ["transaction", "reading", "driver"])
async def test_statement_that_takes_too_long_is_ended_here_and_on_the_server(
    postgres_url: str, admin: asyncpg.Connection, way: str
) -> None:
    async with open_database(make_url(postgres_url), pool_size=1, statement_timeout_s=0.1) as database:
        with anyio.fail_after(5), pytest.raises(StoreUnavailableError):
            async with enter(database, way) as connection:
                await connection.execute(say("SELECT pg_sleep(60)", way))
        await wait_until(admin, postgres_url, "count(*) FILTER (WHERE wait_event = 'PgSleep') = 0")
        await database.ping()


async def test_pool_without_a_free_connection_is_an_unavailable_database(postgres_url: str) -> None:
    async with open_database(make_url(postgres_url), pool_size=1, connect_timeout_s=0.2) as database:
        async with database.transaction():
            with anyio.fail_after(5), pytest.raises(StoreUnavailableError, match="busy"):
                await database.ping()
        await database.ping()


async def expect_unavailable(url: DatabaseUrl) -> StoreUnavailableError:
    """Return the error with which every way to the database fails."""
    async with open_database(url, connect_timeout_s=2) as database:
        for way in ("transaction", "reading", "driver"):
            with anyio.fail_after(10), pytest.raises(StoreUnavailableError) as caught:
                async with enter(database, way) as connection:
                    await connection.execute(say("CREATE TABLE other (id INTEGER)", way))
        return caught.value


async def test_server_that_is_not_there_or_refuses_is_an_unavailable_database(
    postgres: Postgres, tmp_path: Path
) -> None:
    directory = postgres.get_url("x").partition("host=")[2]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens on it
        places = [
            f"postgresql://app:{CANARY}@127.0.0.1:{taken.getsockname()[1]}/slack",
            f"postgresql://app:{CANARY}@/slack?host={tmp_path}",
            f"postgresql://postgres:{CANARY}@/no_such_database?host={directory}",
            f"postgresql://no_such_user:{CANARY}@/postgres?host={directory}",
        ]
        for place in places:
            error = await expect_unavailable(make_url(place))
            assert CANARY not in "".join(traceback.format_exception(error))
            assert CANARY not in repr(make_url(place)) + make_url(place).describe()


async def test_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = make_url(f"postgresql://app:{CANARY}@127.0.0.1:{silent.getsockname()[1]}/slack")
        async with open_database(url, connect_timeout_s=0.2) as database:
            with anyio.fail_after(5), pytest.raises(StoreUnavailableError):
                await database.ping()


async def test_server_that_takes_no_writes_is_an_unavailable_database(
    empty_postgres_url: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(f"ALTER DATABASE {get_name(empty_postgres_url)} SET default_transaction_read_only = on")
    await expect_unavailable(make_url(empty_postgres_url))


async def test_sqlite_file_that_cannot_be_used_is_an_unavailable_database(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    garbage = tmp_path / "garbage.db"
    garbage.write_text(f"{CANARY} is no database\n" * 100)
    for path in (directory, garbage):
        error = await expect_unavailable(make_url(f"sqlite:{path}"))
        assert CANARY not in "".join(traceback.format_exception(error))


async def test_directory_that_cannot_be_made_is_an_unavailable_database(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StoreUnavailableError):
        async with open_database(make_url(f"sqlite:{file}/slack.db")):
            pytest.fail("opened")


async def test_read_only_sqlite_file_is_an_unavailable_database(tmp_path: Path) -> None:
    path = tmp_path / "slack.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
    connection.close()
    # To everybody, root included: a write version that SQLite does not know. https://www.sqlite.org/fileformat.html
    content = bytearray(path.read_bytes())
    content[18] = 3
    path.write_bytes(content)
    async with open_database(make_url(f"sqlite:{path}")) as database:
        with pytest.raises(StoreUnavailableError):
            async with database.transaction() as writer:
                await writer.execute(text("INSERT INTO things VALUES (1)"))


async def test_sqlite_file_that_another_process_holds_is_unavailable_until_it_is_free(tmp_path: Path) -> None:
    url = make_url(f"sqlite:{tmp_path}/slack.db")
    async with open_database(url) as database:
        await make_things(database)
        async with database.driver() as connection:
            await connection.execute("PRAGMA busy_timeout = 50")  # as long as a test may take
        async with await anyio.open_process([sys.executable, "-c", LOCKER, str(url.sqlite_path)], stderr=None) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            with anyio.fail_after(10):
                assert await BufferedByteReceiveStream(other.stdout).receive_until(b"\n", 100) == b"locked"
            with pytest.raises(StoreUnavailableError):
                async with database.transaction():
                    pytest.fail("began")
            await other.stdin.aclose()
            with anyio.fail_after(10):
                await other.wait()
        async with database.transaction() as writer:
            await writer.execute(text("INSERT INTO things VALUES (1)"))
        assert await count_things(database) == 1


async def test_missing_table_is_an_outdated_schema(url: DatabaseUrl) -> None:
    async with open_database(url) as database:
        with pytest.raises(SchemaOutdatedError, match="migrate up"):
            await count_things(database)


async def test_mistakes_in_a_statement_are_no_bad_day_of_the_database(url: DatabaseUrl) -> None:
    async with open_database(url) as database:
        for way in ("transaction", "reading", "driver"):
            with pytest.raises(Exception, match="syntax error") as caught:
                async with enter(database, way) as connection:
                    await connection.execute(say("SELEKT 1", way))
            assert not isinstance(caught.value, StoreError)


async def test_value_that_does_not_fit_is_no_bad_day_of_the_database(postgres_url: str) -> None:
    async with open_database(make_url(postgres_url)) as database:
        with pytest.raises(asyncpg.DataError):
            async with database.driver() as connection:
                await connection.fetch("SELECT $1::text[]", ["\ud800"])
        with pytest.raises(Exception, match="invalid input") as caught:
            async with database.reading() as reader:
                await reader.execute(text("SELECT cast(:value AS integer)"), {"value": "one"})
        assert not isinstance(caught.value, StoreError)


async def test_error_of_a_statement_does_not_hold_its_values(url: DatabaseUrl) -> None:
    async with open_database(url) as database:
        with pytest.raises(StoreError) as caught:
            async with database.transaction() as connection:
                await connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": CANARY})
        assert isinstance(caught.value.__cause__, exc.DBAPIError)
        assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("prepared_statements", [True, False])
async def test_nothing_is_left_prepared_on_the_server_when_a_pooler_is_in_between(
    postgres_url: str, *, prepared_statements: bool
) -> None:
    url = make_url(postgres_url)
    async with open_database(url, pool_size=1, prepared_statements=prepared_statements) as database:
        store = SqlConnectionStore(database, Sealer(None), clock=SteppingClock())
        await store.save_connection(make_connection())
        assert await store.load_connection(ConnectionId("conn_1"))
        await claim_lane(database)
        async with database.driver() as connection:
            left = await connection.execute("CREATE TEMP TABLE left_over AS SELECT name FROM pg_prepared_statements")
        assert (left == "SELECT 0") is not prepared_statements
