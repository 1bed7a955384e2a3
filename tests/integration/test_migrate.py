"""The migrations on both databases: together, alone, backwards, and failing."""

import sqlite3
import sys
import time
from pathlib import Path

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from anyio.streams.buffered import BufferedByteReceiveStream
from postgres import make_url
from sqlalchemy import Connection, inspect, text

from slack_mcp.core.errors import (
    InvalidInputError,
    MigrationFailedError,
    SchemaOutdatedError,
    StoreUnavailableError,
)
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations, MigrationState
from slack_mcp.store.revision import load_head_revision, load_revision
from slack_mcp.store.schema import metadata
from slack_mcp.store.url import DatabaseUrl
from slack_mcp.store.weeks import get_week

pytestmark = pytest.mark.anyio

ALL = [
    "0001_slack_connections",
    "0002_connection_details",
    "0003_journal",
    "0004_tool_access",
    "0005_triggers",
    "0006_questions",
    "0007_threads",
    "0008_conversations",
    "0009_replays",
    "0010_pods",
    "0011_duties",
    "0012_secrets",
    "0013_backups",
    "0014_weeks",
]

SEED_TABLE = """
CREATE TABLE slack_connections (
    connection_id TEXT PRIMARY KEY, organization_id TEXT NOT NULL, mesh_url TEXT NOT NULL, mesh_token TEXT,
    model_provider_id TEXT, model_id TEXT, agent_id TEXT, system_prompt TEXT, bot_token TEXT NOT NULL,
    signing_secret TEXT NOT NULL, team_id TEXT, bot_user_id TEXT,
    configured_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    team_name TEXT
)
"""
SEED_ROW = """
INSERT INTO slack_connections (connection_id, organization_id, mesh_url, bot_token, signing_secret, team_id, team_name)
VALUES ('conn_1', 'org_1', 'https://mesh.example', 'xoxb-1', 'secret-1', 'T1', 'Acme')
"""

# What is wrong, for each place in which a database may say so.
BROKEN = {
    "duplicate": "INSERT INTO things VALUES (1, 'xoxb-canary'), (1, 'xoxb-canary')",
    "bad_sql": "ALTER TABLE nowhere ADD COLUMN x INTEGER",
}
DAY_MS = 86_400_000


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    if request.param == "postgresql":
        return make_url(request.getfixturevalue("empty_postgres_url"))
    return make_url(f"sqlite:{tmp_path}/slack.db")


def write_migration(folder: Path, number: int, body: str) -> None:
    before = f"'{number - 1:04}_step'" if number > 1 else "None"
    lines = ["from alembic import op", f"revision = '{number:04}_step'", f"down_revision = {before}"]
    functions = [f"def upgrade():\n    {body}", "def downgrade():\n    pass"]
    folder.mkdir(exist_ok=True)
    folder.joinpath(f"{number:04}_step.py").write_text("\n".join(lines + functions) + "\n")


async def run_sql(url: DatabaseUrl, *statements: str) -> list[tuple[object, ...]]:
    """Return the rows of the last statement."""
    async with open_database(url) as database, database.transaction() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


async def list_tables(url: DatabaseUrl) -> set[str]:
    async with open_database(url) as database, database.reading() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


def is_no_partition(_object: object, name: str | None, kind: str, _reflected: bool, _compare_to: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith("slack_events_"))


def list_states(*, applied: int) -> list[MigrationState]:
    return [
        MigrationState(revision=revision[:4], name=revision[5:], applied=number < applied)
        for number, revision in enumerate(ALL)
    ]


async def test_status_up_and_down_tell_what_is_applied(url: DatabaseUrl) -> None:
    migrations = Migrations(url)
    assert await migrations.status() == list_states(applied=0)
    assert await migrations.up() == ALL
    assert await migrations.status() == list_states(applied=len(ALL))
    assert await migrations.up() == []
    assert await migrations.down("0001") == ALL[:0:-1]
    assert await migrations.status() == list_states(applied=1)
    assert await migrations.down("0002_connection_details") == []
    assert await migrations.up() == ALL[1:]
    assert await migrations.down("base") == ALL[::-1]
    assert await migrations.down("base") == []
    assert await list_tables(url) <= {"alembic_version", "sqlite_sequence"}


async def test_status_creates_nothing(url: DatabaseUrl) -> None:
    await Migrations(url).status()
    assert url.sqlite_path is None or not url.sqlite_path.exists()
    assert await list_tables(url) == set()
    await Migrations(url).status()
    assert await list_tables(url) == set()


async def test_migrated_tables_are_those_of_the_schema(url: DatabaseUrl) -> None:
    await Migrations(url).up()

    def compare(connection: Connection) -> list[object]:
        opts = {"compare_type": True, "compare_server_default": True, "include_object": is_no_partition}
        context = MigrationContext.configure(connection, opts=opts)
        return list(compare_metadata(context, metadata))

    async with open_database(url) as database, database.reading() as connection:
        assert await connection.run_sync(compare) == []


async def test_migrated_indexes_cover_the_same_rows_as_those_of_the_schema(url: DatabaseUrl) -> None:
    query = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        if url.dialect == "sqlite"
        # A table with partitions has "ONLY" in its indexes, and another key.
        else "SELECT indexname, replace(indexdef, ' ONLY ', ' ') FROM pg_indexes WHERE tablename LIKE 'slack_%' AND "
        "tablename NOT LIKE 'slack_events_%' AND indexname <> 'slack_events_pkey' ORDER BY indexname"
    )
    await Migrations(url).up()
    migrated = await run_sql(url, query)
    await Migrations(url).down("base")
    async with open_database(url) as database, database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    assert migrated == await run_sql(url, query)
    assert len(migrated) > 8


async def test_revision_is_that_of_the_database(url: DatabaseUrl) -> None:
    async with open_database(url) as database:
        assert await load_revision(database) == {"current": None, "head": ALL[-1]}
        await Migrations(url).up()
        assert await load_revision(database, head="9999_other") == {"current": ALL[-1], "head": "9999_other"}
    assert load_head_revision() == ALL[-1]


async def test_memory_is_migrated_on_its_own_connection() -> None:
    url = make_url(":memory:")
    async with open_database(url) as database:
        assert await Migrations(url, database=database).up() == ALL
        assert await load_revision(database) == {"current": ALL[-1], "head": ALL[-1]}


async def test_pods_that_start_together_migrate_once(url: DatabaseUrl) -> None:
    applied: list[list[str]] = []

    async def start() -> None:
        applied.append(list(await Migrations(url).up()))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as pods:
            for _ in range(5):
                pods.start_soon(start)
    assert sorted(applied) == [[], [], [], [], ALL]


async def test_a_pod_on_a_database_that_is_up_to_date_starts_without_alembic(tmp_path: Path) -> None:
    program = """
import sys, anyio
from slack_mcp.app import open_pod
from slack_mcp.settings import Settings

async def start():
    async with open_pod(Settings.from_env({"DATABASE_URL": sys.argv[1]}, dotenv=None)):
        print("alembic" in sys.modules)

anyio.run(start)
"""
    url = f"sqlite:{tmp_path}/slack.db"
    said = [(await anyio.run_process([sys.executable, "-c", program, url])).stdout.split()[-1] for _ in range(2)]
    assert said == [b"True", b"False"]


async def test_processes_that_start_together_on_one_file_migrate_once(tmp_path: Path) -> None:
    program = """
import sys, anyio
from pathlib import Path
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.url import parse_database_url

migrations = Migrations(parse_database_url(sys.argv[1], data_dir=Path()))
print("ready", flush=True)
sys.stdin.readline()
print(",".join(anyio.run(migrations.up)))
"""
    results: list[str] = []

    async def start(ready: anyio.Event, go: anyio.Event) -> None:
        arguments = [sys.executable, "-c", program, f"sqlite:{tmp_path}/slack.db"]
        async with await anyio.open_process(arguments, stderr=None) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            output = BufferedByteReceiveStream(process.stdout)
            assert await output.receive_until(b"\n", 100) == b"ready"
            ready.set()
            await go.wait()
            await process.stdin.send(b"\n")
            results.append((await output.receive_until(b"\n", 1000)).decode())
            assert await process.wait() == 0

    go = anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as pods:
            each = [anyio.Event() for _ in range(3)]
            for ready in each:
                pods.start_soon(start, ready, go)
            for ready in each:
                await ready.wait()
            go.set()
    assert sorted(results) == ["", "", ",".join(ALL)]


async def test_migration_waits_for_a_writer_and_then_says_so(tmp_path: Path) -> None:
    path = tmp_path / "slack.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA journal_mode = WAL")
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnavailableError, match="Another process"):
            await Migrations(make_url(f"sqlite:{path}"), lock_wait_s=0).up()
    finally:
        holder.close()
    assert await Migrations(make_url(f"sqlite:{path}"), lock_wait_s=0).up() == ALL


async def test_migration_on_postgresql_waits_for_the_lock_and_then_says_so(empty_postgres_url: str) -> None:
    url = make_url(empty_postgres_url)
    async with Migrations(url)._lock():
        with pytest.raises(StoreUnavailableError, match="Another process"):
            await Migrations(url, lock_wait_s=0.05).up()
    assert await Migrations(url, lock_wait_s=0.05).up() == ALL


@pytest.mark.parametrize("broken", BROKEN)
async def test_failing_migration_is_named_and_everything_before_it_undone(
    url: DatabaseUrl, tmp_path: Path, broken: str
) -> None:
    folder = tmp_path / "100%_versions"
    write_migration(folder, 1, "op.execute('CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)')")
    write_migration(folder, 2, f'op.execute("CREATE TABLE more (id INTEGER)"); op.execute("{BROKEN[broken]}")')
    write_migration(folder, 3, "op.execute('CREATE TABLE last (id INTEGER)')")
    await run_sql(url, "CREATE TABLE mine (id INTEGER)", "INSERT INTO mine VALUES (7)")

    with pytest.raises(MigrationFailedError) as caught:
        await Migrations(url, versions=folder).up()

    assert caught.value.migration == "0002_step"
    assert "Error" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert await list_tables(url) == {"mine"}
    assert await run_sql(url, "SELECT id FROM mine") == [(7,)]


async def test_failing_migration_leaves_the_ones_of_an_earlier_start(url: DatabaseUrl, tmp_path: Path) -> None:
    folder = tmp_path / "versions"
    write_migration(folder, 1, "op.execute('CREATE TABLE things (id INTEGER PRIMARY KEY)')")
    assert await Migrations(url, versions=folder).up() == ["0001_step"]
    write_migration(folder, 2, "op.execute('DROP TABLE things')")
    write_migration(folder, 3, "raise RuntimeError('xoxb-canary')")

    with pytest.raises(MigrationFailedError, match=r"0003_step failed.*RuntimeError") as caught:
        await Migrations(url, versions=folder).up()

    assert "canary" not in str(caught.value)
    assert "things" in await list_tables(url)
    assert [state.applied for state in await Migrations(url, versions=folder).status()] == [True, False, False]


async def test_message_of_a_bad_value_is_left_out(empty_postgres_url: str, tmp_path: Path) -> None:
    write_migration(tmp_path / "versions", 1, "op.execute(\"SELECT CAST('xoxb-canary' AS INTEGER)\")")
    with pytest.raises(MigrationFailedError, match="InvalidTextRepresentationError") as caught:
        await Migrations(make_url(empty_postgres_url), versions=tmp_path / "versions").up()
    assert "canary" not in str(caught.value)


async def test_table_that_a_deployment_brings_along_keeps_its_rows(url: DatabaseUrl) -> None:
    await run_sql(url, SEED_TABLE, SEED_ROW)
    assert await Migrations(url).up() == ALL
    query = "SELECT connection_id, bot_token, team_name, settings, version, disabled FROM slack_connections"
    assert await run_sql(url, query) == [("conn_1", "xoxb-1", "Acme", "{}", 1, False)]
    async with open_database(url) as database, database.reading() as connection:
        indexes = await connection.run_sync(lambda sync: inspect(sync).get_indexes("slack_connections"))
    assert {index["name"] for index in indexes} == {
        index.name for index in metadata.tables["slack_connections"].indexes
    }


EVERY = """
SELECT id, connection_id, event_id, lane, event_type, payload, state, attempts, retry_num, retry_reason, received_by,
  received_at_ms, next_attempt_at_ms, finished_at_ms, reason, detail, replayed_at_ms
FROM slack_events ORDER BY id
"""
EVENT = """
INSERT INTO slack_events (id, connection_id, event_id, lane, event_type, payload, state, attempts, retry_num,
                          retry_reason, received_by, received_at_ms, next_attempt_at_ms, finished_at_ms, reason, detail,
                          replayed_at_ms)
VALUES ({number}, 'conn_1', 'Ev{number}', 'C1:1', 'message', '', 'done', 2, 1, 'x', 'pod-a', {at_ms}, 5, 6, 'r', 'd', 7)
"""
NEXT_EVENT = """
INSERT INTO slack_events (connection_id, event_id, lane, event_type, payload, state, received_by, received_at_ms)
VALUES ('conn_1', 'Ev2', 'C1:1', 'message', '', 'done', 'pod-a', 8) RETURNING id
"""
TWIN = """
INSERT INTO slack_events (connection_id, event_id, lane, event_type, payload, state, received_by, received_at_ms,
                          event_time)
VALUES ('conn_1', 'Ev1', 'C1:1', 'message', '', 'done', 'pod-a', 8, 1) RETURNING id
"""
# As if later rows had been deleted: their numbers are not given again.
HIGHEST = {
    "sqlite": "UPDATE sqlite_sequence SET seq = 100 WHERE name = 'slack_events'",
    "postgresql": "SELECT setval('slack_events_id_seq', 100)",
}


async def test_events_stay_when_the_journal_is_divided_into_weeks_and_united_again(url: DatabaseUrl) -> None:
    now_ms = int(time.time() * 1000)
    old_ms, older_ms = now_ms - 10 * DAY_MS, now_ms - 400 * DAY_MS
    times = {1: now_ms, 3: old_ms, 4: older_ms, 9: 0}
    await Migrations(url).up()
    await Migrations(url).down("0013")
    await run_sql(url, *(EVENT.format(number=number, at_ms=at_ms) for number, at_ms in times.items()))
    await run_sql(url, HIGHEST[url.dialect])
    before = await run_sql(url, EVERY)
    assert [row[0] for row in before] == list(times)

    await Migrations(url).up()

    assert await run_sql(url, EVERY) == before
    of_times = "SELECT id, event_time FROM slack_events ORDER BY id"
    assert await run_sql(url, of_times) == [(number, at_ms // 1000) for number, at_ms in times.items()]
    if url.dialect == "postgresql":
        rows = await run_sql(url, "SELECT tableoid::regclass::text FROM slack_events ORDER BY id")
        weeks = [get_week(at_ms // 1000).name for at_ms in (now_ms, old_ms)]
        assert [row[0] for row in rows] == [*weeks, "slack_events_other", "slack_events_undated"]
    assert await run_sql(url, TWIN) == [(101,)]

    await Migrations(url).down("0013")

    after = await run_sql(url, EVERY)
    assert after[: len(before)] == before
    # The same event with another time has no room beside the first in the table of before.
    assert [row[2] for row in after[len(before) :]] == ["Ev1@101"]
    assert await run_sql(url, NEXT_EVENT) == [(102,)]
    with pytest.raises(Exception, match=r"(?i)unique"):
        await run_sql(url, NEXT_EVENT)
    every = await run_sql(url, EVERY)
    await Migrations(url).up()
    assert await run_sql(url, EVERY) == every


@pytest.mark.parametrize("to", ["0999", "00", "", "head", "0001_other"])
async def test_unknown_revision_is_refused_with_the_known_ones(url: DatabaseUrl, to: str) -> None:
    await Migrations(url).up()
    with pytest.raises(InvalidInputError, match="base, 0001_slack_connections"):
        await Migrations(url).down(to)
    assert await Migrations(url).status() == list_states(applied=len(ALL))


async def test_database_of_a_newer_version_is_refused_and_left_alone(url: DatabaseUrl) -> None:
    await Migrations(url).up()
    await run_sql(url, "UPDATE alembic_version SET version_num = '0099_future'")
    for work in (Migrations(url).up, Migrations(url).status):
        with pytest.raises(SchemaOutdatedError, match=r"0099_future.*newer version"):
            await work()
    with pytest.raises(SchemaOutdatedError, match="0099_future"):
        await Migrations(url).down("base")
    assert await run_sql(url, "SELECT version_num FROM alembic_version") == [("0099_future",)]


async def test_server_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    migrations = Migrations(make_url(f"postgresql://postgres@/x?host={tmp_path}"), connect_timeout_s=1)
    for work in (migrations.up, migrations.status):
        with pytest.raises(StoreUnavailableError):
            await work()
