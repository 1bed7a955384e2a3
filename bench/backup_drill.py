"""The disaster drill: a large database is backed up, lost, and restored into the other kind, and back.

    python -m bench.backup_drill --connections 100000 --events 1000000

Everything is done by the commands, as an operator does it, each in a process of its own whose time and memory are
measured. A restore is killed in the middle, too: the database has to be empty then.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any, Final, NamedTuple

import anyio
import asyncpg

from bench.backup_rows import fill
from bench.errors import BenchError
from bench.postgres import run_postgres
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.database import open_database
from slack_mcp.store.table_rows import open_table_rows
from slack_mcp.store.url import parse_database_url

KEYS: Final = f"k1:{'A' * 43}="
MIB: Final = 2**20
KIB: Final = 1024
# What a restore changes on purpose.
CHANGED: Final = "slack_lanes"
POLL_S: Final = 0.02
MIDDLE_TIMEOUT_S: Final = 600.0


class Measured(NamedTuple):
    """What a command did: its JSON, how long it took, and the most memory that it had."""

    said: Any
    took_s: float
    peak_mib: float


class Drill:
    """One drill, in a directory."""

    def __init__(self, directory: Path, postgres_url: str) -> None:
        self._directory = directory
        self._postgres_url = postgres_url

    def get_url(self, kind: str, number: int = 0) -> str:
        """Return the URL of a database."""
        return self._postgres_url if kind == "postgresql" else f"sqlite:{self._directory}/slack-{number}.db"

    def start(self, url: str, *arguments: str) -> Popen[bytes]:
        """Start a command of the backups."""
        environ = {
            **os.environ,
            "DATABASE_URL": url,
            "ENCRYPTION_KEYS": KEYS,
            "BACKUP_TARGET": str(self._directory / "backups"),
        }
        command = [sys.executable, "-m", "slack_mcp", "backup", *arguments]
        return Popen(command, env=environ, cwd=self._directory, stdout=PIPE, stderr=DEVNULL)  # noqa: S603 - our own

    def run(self, title: str, url: str, *arguments: str) -> Measured:
        """Run a command to its end, and print what it took."""
        started = time.monotonic()
        with self.start(url, *arguments, "--json") as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.monotonic() - started
        if process.returncode != 0:
            raise BenchError(f"{title} ended with {process.returncode}")
        measured = Measured(json.loads(said), took_s, usage.ru_maxrss / KIB)
        size_mib = measured.said["size_bytes"] / MIB
        print(
            f"{title:<34} {took_s:8.1f} s {measured.said['rows'] / took_s:10,.0f} rows/s "
            f"{size_mib:9.1f} MiB {size_mib / took_s:7.1f} MiB/s {measured.peak_mib:7.0f} MiB of memory"
        )
        return measured

    def kill_in_the_middle(self, url: str, name: str) -> None:
        """Kill a restore while rows are on their way, and look that none of them is there."""
        process = self.start(url, "restore", name)
        anyio.run(_wait_for_the_middle, url)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            raise BenchError("the restore had ended before it was killed")
        assert process.stdout is not None
        process.stdout.close()
        left = anyio.run(_count_rows, url)
        if left:
            raise BenchError(f"a restore that was killed left {left} rows")
        print("a restore killed in the middle     left no row")


async def _wait_for_the_middle(url: str) -> None:
    """Return while the rows of the largest table are being written."""
    parsed = parse_database_url(url, data_dir=Path())
    with anyio.fail_after(MIDDLE_TIMEOUT_S):
        connection = await asyncpg.connect(parsed.dsn)
        try:
            seen = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%slack_events%'"
            while not await connection.fetchval(seen):  # noqa: ASYNC110 - of another process
                await anyio.sleep(POLL_S)
        finally:
            await connection.close()


async def _count_rows(url: str) -> int:
    """Return how many rows the tables of connections and events have, once the killed one's session has ended."""
    parsed = parse_database_url(url, data_dir=Path())
    async with open_database(parsed, statement_timeout_s=None) as database, database.transaction() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        await connection.exec_driver_sql("SELECT 1")
        rows = open_table_rows(parsed.dialect, driver)
        found = await connection.exec_driver_sql("SELECT to_regclass('slack_events')::text")
        if found.scalar() is None:
            return 0
        return await rows.count("slack_events") + await rows.count("slack_connections")


def compare(first: Measured, second: Measured) -> None:
    """Return when two backups have the same rows; raises BenchError."""
    one, other = (_leave_out(each.said["tables"]) for each in (first, second))
    if one != other:
        raise BenchError(f"rows differ in {sorted(name for name in one if one[name] != other.get(name))}")
    print(f"{'digests of all tables':<34} equal, {first.said['rows']:,} rows")


def _leave_out(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables that a restore leaves as they were."""
    return {name: value for name, value in tables.items() if name != CHANGED}


def drill(run: Drill, *, connections: int, events: int) -> None:
    """Back up SQLite, restore into PostgreSQL with a kill before it, back that up, and restore into SQLite again."""
    source, middle, last = run.get_url("sqlite"), run.get_url("postgresql"), run.get_url("sqlite", 1)
    counts = {"slack_connections": connections, "slack_events": events, "slack_lanes": events // 100}
    sealer = Sealer(KeyRing.parse(KEYS))
    started = time.monotonic()
    anyio.run(lambda: fill(parse_database_url(source, data_dir=Path()), sealer, counts, otherwise=1_000))
    print(f"{connections:,} connections and {events:,} events made in {time.monotonic() - started:.0f} s")

    first = run.run("create, of SQLite", source, "create")
    run.run("verify", source, "verify", first.said["name"])
    run.kill_in_the_middle(middle, first.said["name"])
    run.run("restore, into PostgreSQL", middle, "restore", first.said["name"])
    second = run.run("create, of PostgreSQL", middle, "create")
    compare(first, second)
    run.run("restore, into SQLite", last, "restore", second.said["name"])
    third = run.run("create, of SQLite again", last, "create")
    compare(first, third)


@contextmanager
def open_drill() -> Iterator[Drill]:
    """Yield a drill in a directory of its own, with a PostgreSQL beside it."""
    with tempfile.TemporaryDirectory(prefix="drill-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # the server's own user has to enter it when root runs this
        with run_postgres(directory) as postgres:
            postgres.fetch_value("CREATE DATABASE drill")
            yield Drill(directory, postgres.get_url("drill"))


def main() -> None:
    """Run the drill with the sizes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    sizes = parser.parse_args()
    with open_drill() as run:
        drill(run, connections=sizes.connections, events=sizes.events)


if __name__ == "__main__":
    main()
