"""A process that restores is killed in the middle, for real: the database is empty afterwards, or as it was."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
import asyncpg
import pytest
from anyio.abc import Process
from backup_world import KEYS, count_rows, fill_database, open_at, summarize
from postgres import Postgres, make_url

from slack_mcp.backup.manifest import BackupFormat
from slack_mcp.backup.read import StoredBackup
from slack_mcp.store.migrate import Migrations

pytestmark = pytest.mark.anyio

EVENTS = 25_000
WAL_BYTES = (500_000, 6_000_000)
COPIES = (1, 20)


@pytest.fixture
def into(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, of the kind that the parameter names."""
    with ExitStack() as stack:
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            yield stack.enter_context(postgres.database(migrated=False))
        else:
            yield f"sqlite:{tmp_path}/into.db"


async def start_restore(backup: StoredBackup, into: str, directory: Path, *arguments: str) -> Process:
    environ = {**os.environ, "DATABASE_URL": into, "ENCRYPTION_KEYS": KEYS, "BACKUP_TARGET": str(directory)}
    command = [sys.executable, "-m", "slack_mcp", "backup", "restore", backup.name, *arguments]
    return await anyio.open_process(command, env=environ, cwd=directory, stdout=DEVNULL, stderr=PIPE)


async def wait_for_the_middle(into: str, step: int) -> None:
    """Return when the rows of the largest table are on their way."""
    url = make_url(into)
    if url.sqlite_path is not None:
        log = anyio.Path(f"{url.sqlite_path}-wal")
        while not await log.exists() or (await log.stat()).st_size < WAL_BYTES[step]:  # noqa: ASYNC110 - of another process
            await anyio.sleep(0.01)
        return
    connection = await asyncpg.connect(url.dsn)
    try:
        copies = 0
        while copies < COPIES[step]:
            copies += await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%slack_events%' AND "
                "backend_xid IS NOT NULL"
            )
            await anyio.sleep(0.01)
    finally:
        await connection.close()


async def kill_in_the_middle(backup: StoredBackup, into: str, directory: Path, step: int, *arguments: str) -> None:
    with anyio.fail_after(60):
        process = await start_restore(backup, into, directory, *arguments)
        await wait_for_the_middle(into, step)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("into", ["sqlite", "postgresql"], indirect=True)
async def test_a_restore_that_is_killed_leaves_the_database_empty_or_as_it_was(into: str, tmp_path: Path) -> None:
    source = f"sqlite:{tmp_path}/source.db"
    await fill_database(source, rows=50, counts={"slack_events": EVENTS})
    made = await open_at(tmp_path, source).create(BackupFormat.PORTABLE)
    await Migrations(make_url(into)).up()

    for step in range(2):
        await kill_in_the_middle(made, into, tmp_path, step)
        assert await count_rows(into) == 0

    process = await start_restore(made, into, tmp_path)
    assert await process.wait() == 0
    complete = await summarize(into)
    assert complete["slack_events"].rows == EVENTS

    await kill_in_the_middle(made, into, tmp_path, 1, "--force")
    assert await summarize(into) == complete
