"""The databases' own ways to be copied: pg_dump and pg_restore, and SQLite's online backup."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosqlite
import anyio
from anyio.abc import Process

from slack_mcp.core.errors import BackupUnavailableError, InvalidInputError
from slack_mcp.store.url import DatabaseUrl

PIECE_BYTES: Final = 1024 * 1024
PAGES_AT_ONCE: Final = 2_000
FILE_MODE: Final = 0o600
TABLES: Final = ("slack_*", "alembic_version")
MAX_WORDS: Final = 300
# https://www.postgresql.org/docs/current/libpq-envars.html
_LIBPQ: Final = {"host": "PGHOST", "port": "PGPORT", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}


async def dump_postgresql(url: DatabaseUrl, *, snapshot_id: str, without_rows: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield what pg_dump writes, in its custom format, of a snapshot that another connection holds.

    Raises:
        InvalidInputError: pg_dump is not there.
        BackupUnavailableError: it failed.
    """
    arguments = [
        _find_tool("pg_dump"),
        "--format=custom",
        "--compress=0",  # what is packed already would not be packed again
        "--no-owner",
        "--no-privileges",
        f"--snapshot={snapshot_id}",
        *(f"--table={name}" for name in TABLES),
        *(f"--exclude-table-data={name}" for name in without_rows),
    ]
    async with _run(arguments, url, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        async for piece in process.stdout:
            yield piece


async def restore_postgresql(url: DatabaseUrl, pieces: AsyncIterator[bytes]) -> None:
    """Have pg_restore read a dump, in one transaction, in place of the tables that it names.

    Raises:
        InvalidInputError: pg_restore is not there.
        BackupUnavailableError: it failed, and nothing of the dump stays.
    """
    arguments = [
        _find_tool("pg_restore"),
        "--clean",
        "--if-exists",
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        f"--dbname={_render_environment(url).get('PGDATABASE', 'postgres')}",
    ]
    async with _run(arguments, url, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        async for piece in pieces:
            # It says itself why it no longer reads.
            with suppress(anyio.BrokenResourceError, BrokenPipeError, ConnectionResetError):
                await process.stdin.send(piece)
        await process.stdin.aclose()


async def dump_sqlite(driver: aiosqlite.Connection, path: Path | None) -> AsyncIterator[bytes]:
    """Yield a SQLite database as a file, of the moment that the connection's transaction sees.

    The copy lies beside the database meanwhile, as clear as that is, for its owner alone.

    Raises:
        InvalidInputError: the database is in memory.
    """
    if path is None:
        raise InvalidInputError("A database in memory has no file: choose the format portable.")
    for left in path.parent.glob(f".{path.name}.copy-*"):
        left.unlink(missing_ok=True)  # of a process that was killed
    draft = path.with_name(f".{path.name}.copy-{os.getpid()}")
    try:
        draft.touch(mode=FILE_MODE)
        # Used in the connection's own thread, and in this one when that has done with it.
        with closing(sqlite3.connect(draft, check_same_thread=False)) as copy:
            await driver.backup(copy, pages=PAGES_AT_ONCE)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        async with await anyio.open_file(draft, "rb") as file:
            while piece := await file.read(PIECE_BYTES):
                yield piece
    finally:
        draft.unlink(missing_ok=True)


def _find_tool(name: str) -> str:
    """Return the path of a client tool of PostgreSQL's; raises InvalidInputError."""
    found = shutil.which(name)
    if found is None:
        raise InvalidInputError(
            f"{name} is not on the PATH: install PostgreSQL's client tools, of the server's version or a later one, or "
            "choose the format portable, which needs none."
        )
    return found


@asynccontextmanager
async def _run(arguments: Sequence[str], url: DatabaseUrl, *, stdin: int, stdout: int) -> AsyncIterator[Process]:
    """Yield a running tool, and raise BackupUnavailableError when it ends with an error; it never outlives this."""
    # The password goes by the environment, because everybody sees arguments; and nothing of ours goes with it.
    environment = _render_environment(url)
    with tempfile.TemporaryFile() as words:
        process = await anyio.open_process(arguments, stdin=stdin, stdout=stdout, stderr=words, env=environment)
        try:
            yield process
            await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()
        if process.returncode != 0:
            words.seek(0)
            said = " ".join(words.read(MAX_WORDS).decode(errors="replace").split())
            raise BackupUnavailableError(f"{Path(arguments[0]).name} ended with {process.returncode}: {said}")


def _render_environment(url: DatabaseUrl) -> Mapping[str, str]:
    """Return what libpq takes out of the environment to reach a database."""
    parts = urlsplit(url.dsn or "")
    values = {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port) if parts.port else None,
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.path.lstrip("/"),
    }
    found = {name: unquote(value) for name, value in values.items() if value}
    return found | {_LIBPQ[name]: value for name, value in parse_qsl(parts.query) if name in _LIBPQ}
