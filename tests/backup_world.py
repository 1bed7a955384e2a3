"""Databases of both kinds with something in every table, and what takes and gives their backups."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from postgres import make_url
from sqlalchemy import text

from bench.backup_rows import fill
from slack_mcp.app.backup import Backups, open_backups
from slack_mcp.core.rows import TableSummary
from slack_mcp.sealing import Sealer
from slack_mcp.settings import Settings
from slack_mcp.store.backup_source import SqlBackupSource
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.restore_target import SqlTableLoader
from slack_mcp.store.table_rows import open_table_rows

KEYS = f"k1:{'A' * 43}="
OTHER_KEYS = f"k2:{'B' * 43}="


def make_settings(database_url: str, *, keys: str | None = KEYS) -> Settings:
    """Return settings for a database."""
    return Settings.from_env(
        {"DATABASE_URL": database_url} | ({} if keys is None else {"ENCRYPTION_KEYS": keys}), dotenv=None
    )


def open_at(target: Path | str, database_url: str, *, keys: str | None = KEYS) -> Backups:
    """Return the backups of a place, for a database."""
    return open_backups(
        make_settings(database_url, keys=keys), target=str(target), progress=lambda _what, _done, _total: None
    )


async def fill_database(database_url: str, *, rows: int = 20, counts: Mapping[str, int] | None = None) -> None:
    """Migrate a database, and put rows into every table that a backup has."""
    await fill(make_url(database_url), Sealer(make_settings(database_url).key_ring), counts or {}, otherwise=rows)


@asynccontextmanager
async def open_patiently(database_url: str) -> AsyncIterator[Database]:
    """Yield the database."""
    async with open_database(make_url(database_url), pool_size=2, statement_timeout_s=None) as database:
        yield database


async def summarize(database_url: str) -> Mapping[str, TableSummary]:
    """Return what each table comes to, as a backup would say it; nothing where there are no tables."""
    url = make_url(database_url)
    async with open_patiently(database_url) as database:
        source = SqlBackupSource(database, url)
        async with source.open_snapshot() as snapshot:
            loader = SqlTableLoader(open_table_rows(url.dialect, snapshot._driver))
            return {shape.name: await loader.summarize(shape) for shape in loader.tables}


async def count_rows(database_url: str) -> int:
    """Return the rows of all tables that a backup has."""
    return sum(summary.rows for summary in (await summarize(database_url)).values())


async def execute(database_url: str, *statements: str) -> list[tuple[object, ...]]:
    """Return the rows of the last statement."""
    async with open_patiently(database_url) as database, database.transaction() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []
