"""What backups need of a database and of the place where they lie."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from slack_mcp.core.rows import Row, TableShape, TableSummary


class Snapshot(Protocol):
    """One moment of a database, read while others go on writing. Every method may raise StoreUnavailableError."""

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        ...

    @property
    def revision(self) -> str:
        """The newest migration that the database has."""
        ...

    @property
    def tables(self) -> Sequence[TableShape]:
        """The tables that a backup has, in the order in which they can be loaded."""
        ...

    async def count_rows(self, shape: TableShape) -> int:
        """Return how many rows a table has."""
        ...

    def read_rows(self, shape: TableShape) -> AsyncIterator[Sequence[Row]]:
        """Yield all rows of a table, some hundreds at a time, in any order."""
        ...

    async def load_sequences(self) -> Mapping[str, int]:
        """Return the last number that each numbered table has given."""
        ...

    def dump(self, dialect: str) -> AsyncIterator[bytes]:
        """Yield what the own tool of a kind of database writes of this moment.

        Raises:
            InvalidInputError: the database is of the other kind, or the tool is not there.
            BackupUnavailableError: it failed.
        """
        ...


class TableLoader(Protocol):
    """Takes the rows of a backup, in the transaction that they are committed in."""

    @property
    def tables(self) -> Sequence[TableShape]:
        """The tables that a backup of this version has."""
        ...

    async def load_rows(self, shape: TableShape, rows: Sequence[Row]) -> None:
        """Insert rows; raises StoreError where the database does not take them."""
        ...

    async def summarize(self, shape: TableShape) -> TableSummary:
        """Return what the table now comes to, read back."""
        ...


class BackupSource(Protocol):
    """The database that backups are made of."""

    def open_snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open one moment of the database.

        Raises:
            SchemaOutdatedError: it has other tables than this version knows.
            StoreUnavailableError: it cannot be reached.
        """
        ...

    async def note_backup(self, fact: Mapping[str, Any]) -> None:
        """Remember that a backup was made, for whoever watches that there are some; raises StoreUnavailableError."""
        ...


class RestoreTarget(Protocol):
    """The database that a backup is loaded into.

    Every method raises ConflictError where there are rows already and `force` is not given, SchemaOutdatedError for the
    backup or the database of a newer version, and StoreUnavailableError. However a process ends in one of them, the
    database is afterwards as it was, or empty, or complete.
    """

    async def check_may_restore(self, revision: str, *, force: bool) -> None:
        """Return when a backup of this revision may be loaded."""
        ...

    async def restore_rows(
        self,
        revision: str,
        load: Callable[[TableLoader], Awaitable[Mapping[str, int]]],
        *,
        force: bool,
    ) -> None:
        """Make the tables of a revision, have `load` fill them, and bring them to this version; one transaction.

        Args:
            revision: of the backup.
            load: fills and checks the tables, and returns the last number that each numbered table had given.
            force: what is there is deleted, in the same transaction.
        """
        ...

    async def restore_dump(
        self,
        revision: str,
        pieces: AsyncIterator[bytes],
        *,
        dialect: str,
        check: Callable[[TableLoader], Awaitable[Mapping[str, int]]],
        force: bool,
    ) -> None:
        """Have the database's own tool read a dump, and bring the tables to this version.

        Args:
            revision: of the backup.
            pieces: of the dump; when they raise, nothing of it stays.
            dialect: the kind of database that it is of.
            check: compares what is there now, and returns what `load` does for `restore_rows`.
            force: what is there is deleted.

        Raises:
            InvalidInputError: it is of the other kind of database, or the tool is not there.
            BackupUnavailableError: the tool failed.
        """
        ...


class BackupTarget(Protocol):
    """Where backups lie: a directory or a bucket. Every method may raise BackupUnavailableError."""

    def describe(self) -> str:
        """Return one phrase for people, without anything secret."""
        ...

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Write a file and return its size. Until all of it is there, nothing of it is under its name."""
        ...

    async def list_files(self) -> Sequence[tuple[str, int]]:
        """Return (name, size) of each backup."""
        ...

    async def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` to before `end`; raises InvalidInputError when there is no such file."""
        ...

    def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file, closed with the generator; raises InvalidInputError when there is no such file."""
        ...

    async def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        ...
