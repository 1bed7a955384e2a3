"""Whole tables over the driver's own connection: read, filled and numbered, on either kind of database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol

from slack_mcp.core.errors import StoreError
from slack_mcp.core.rows import Row, TableShape

# A row may be as large as a delivery, so that more at a time could be a lot.
FETCH_ROWS: Final = 250


class TableRows(Protocol):
    """One connection, in a transaction."""

    async def count(self, name: str) -> int:
        """Return how many rows a table has."""
        ...

    async def has_rows(self, name: str) -> bool:
        """Tell whether a table has any."""
        ...

    def read(self, shape: TableShape) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows, in any order."""
        ...

    async def write(self, shape: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows."""
        ...

    async def load_sequences(self, numbered: Mapping[str, str]) -> Mapping[str, int]:
        """Return the last number given, for each table that has given one."""
        ...

    async def set_sequence(self, name: str, column: str, last: int) -> None:
        """Have a table go on behind a number."""
        ...


def open_table_rows(dialect: str, driver: Any) -> TableRows:
    """Return what works on the driver's connection."""
    return PostgresqlTableRows(driver) if dialect == "postgresql" else SqliteTableRows(driver)


class PostgresqlTableRows:
    """`TableRows` over asyncpg."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def count(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(await self._driver.fetchval(f"SELECT count(*) FROM {_quote(name)}"))

    async def has_rows(self, name: str) -> bool:
        """Tell whether a table has any."""
        return bool(await self._driver.fetchval(f"SELECT EXISTS (SELECT 1 FROM {_quote(name)})"))

    async def read(self, shape: TableShape) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows through a cursor of the server's."""
        # The driver's own cursors stay open until the transaction ends, and keep the table from being migrated in it.
        # A name for each table: the driver remembers what a statement gives.
        cursor = _quote(f"backup of {shape.name}")
        await self._driver.execute(f"DECLARE {cursor} NO SCROLL CURSOR FOR {_select(shape)}")
        while rows := await self._driver.fetch(f"FETCH {FETCH_ROWS} FROM {cursor}"):
            yield [tuple(row) for row in rows]
        await self._driver.execute(f"CLOSE {cursor}")

    async def write(self, shape: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows by COPY."""
        import asyncpg  # noqa: PLC0415 - not where SQLite is all there is

        try:
            await self._driver.copy_records_to_table(shape.name, records=rows, columns=shape.column_names)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, UnicodeError) as error:
            # The driver's words would quote the row.
            raise _refuse(shape, error) from None

    async def load_sequences(self, numbered: Mapping[str, str]) -> Mapping[str, int]:
        """Return the last number given."""
        found = {}
        for name, column in numbered.items():
            sequence = await self._find_sequence(name, column)
            row = await self._driver.fetchrow(f"SELECT last_value, is_called FROM {sequence}")
            if row["is_called"]:
                found[name] = int(row["last_value"])
        return found

    async def set_sequence(self, name: str, column: str, last: int) -> None:
        """Have a table go on behind a number."""
        await self._driver.execute(
            "SELECT setval($1::text::regclass, $2)", await self._find_sequence(name, column), last
        )

    async def _find_sequence(self, name: str, column: str) -> str:
        """Return the name of the sequence behind a column, as SQL takes it."""
        return str(await self._driver.fetchval("SELECT pg_get_serial_sequence($1, $2)", _quote(name), column))


class SqliteTableRows:
    """`TableRows` over aiosqlite."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def count(self, name: str) -> int:
        """Return how many rows a table has."""
        return int(await self._fetch_value(f"SELECT count(*) FROM {_quote(name)}"))

    async def has_rows(self, name: str) -> bool:
        """Tell whether a table has any."""
        return bool(await self._fetch_value(f"SELECT EXISTS (SELECT 1 FROM {_quote(name)})"))

    async def read(self, shape: TableShape) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows."""
        async with self._driver.execute(_select(shape)) as cursor:
            while rows := await cursor.fetchmany(FETCH_ROWS):
                yield rows

    async def write(self, shape: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows."""
        import sqlite3  # noqa: PLC0415 - for its errors alone

        columns = ", ".join(map(_quote, shape.column_names))
        places = ", ".join("?" for _ in shape.columns)
        try:
            await self._driver.executemany(f"INSERT INTO {_quote(shape.name)} ({columns}) VALUES ({places})", rows)
        except (sqlite3.IntegrityError, OverflowError, UnicodeError) as error:
            raise _refuse(shape, error) from None

    async def load_sequences(self, numbered: Mapping[str, str]) -> Mapping[str, int]:
        """Return the last number given."""
        async with self._driver.execute("SELECT name, seq FROM sqlite_sequence") as cursor:
            return {name: last for name, last in await cursor.fetchall() if name in numbered}

    async def set_sequence(self, name: str, column: str, last: int) -> None:  # noqa: ARG002 - SQLite has one per table
        """Have a table go on behind a number."""
        await self._driver.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
        await self._driver.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))

    async def _fetch_value(self, statement: str) -> Any:
        async with self._driver.execute(statement) as cursor:
            return (await cursor.fetchone())[0]


def _select(shape: TableShape) -> str:
    return f"SELECT {', '.join(map(_quote, shape.column_names))} FROM {_quote(shape.name)}"


def _quote(name: str) -> str:
    """Return a name as SQL takes it, whatever stands in it: names come out of backups, too."""
    return '"' + name.replace('"', '""') + '"'


def _refuse(shape: TableShape, error: Exception) -> StoreError:
    return StoreError(
        f"The table {shape.name} does not take a row of the backup ({type(error).__name__}); nothing was restored. "
        "PostgreSQL takes no text with a NUL character, which SQLite does."
    )
