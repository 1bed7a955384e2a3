"""Backups of the configured database, for the commands."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slack_mcp import __version__
from slack_mcp.app.compose import make_key_ring, migrations
from slack_mcp.backup.bucket import SCHEME, open_bucket
from slack_mcp.backup.create import BackupCreation, Progress
from slack_mcp.backup.directory import DirectoryTarget
from slack_mcp.backup.manifest import BackupFormat, BackupManifest
from slack_mcp.backup.read import StoredBackup, find_backup, list_backups, verify_backup
from slack_mcp.backup.restore import BackupRestore
from slack_mcp.backup.retention import choose_expired
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.ports.backup import BackupTarget
from slack_mcp.sealing import KeyRing
from slack_mcp.settings import Settings
from slack_mcp.store.backup_source import SqlBackupSource
from slack_mcp.store.database import open_database
from slack_mcp.store.restore_target import SqlRestoreTarget

_MS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """What the backup commands work with.

    Args:
        settings: name the database and the keys.
        target: where backups lie.
        progress: is told how far each work is.
    """

    settings: Settings
    target: BackupTarget
    progress: Progress

    @property
    def key_ids(self) -> Sequence[str]:
        """The keys that there are, the sealing one first; none: backups are not sealed."""
        ring = self._ring
        return () if ring is None else ring.key_ids

    async def create(self, kind: BackupFormat) -> StoredBackup:
        """Return a new backup of the database, noted in it when it is whole."""
        async with self._open_source() as source:
            creation = BackupCreation(
                source=source,
                target=self.target,
                ring=self._ring,
                version=__version__,
                clock=SystemClock(),
                progress=self.progress,
            )
            return await creation.create(kind)

    async def note(self, made: StoredBackup) -> None:
        """Have the database remember a backup; raises StoreUnavailableError, as where it can only be read."""
        assert made.head is not None  # noqa: S101 - `create` made it
        assert made.manifest is not None  # noqa: S101 - the same
        async with self._open_source() as source:
            await source.note_backup(
                {
                    "backup_id": made.head.backup_id,
                    "format": made.head.format.value,
                    "target": self.target.describe(),
                    "started_at_ms": made.head.started_at_ms,
                    "finished_at_ms": made.manifest.finished_at_ms,
                    "size_bytes": made.size,
                    "key_id": made.head.key_id,
                }
            )

    async def list_all(self) -> Sequence[StoredBackup]:
        """Return what there is, the newest first."""
        return await list_backups(self.target)

    async def find(self, name: str) -> StoredBackup:
        """Return a backup by its name, or by `latest`."""
        return await find_backup(self.target, name)

    async def verify(self, backup: StoredBackup) -> BackupManifest:
        """Return the manifest of a backup, all of which was read and is as it was written."""
        return await verify_backup(self.target, backup, ring=self._ring, progress=self.progress)

    async def delete_expired(self, *, keep: int | None, keep_days: float | None) -> Sequence[str]:
        """Delete what neither rule keeps, and return the names; the newest whole one stays in any case."""
        now_ms = int(SystemClock().now_s() * _MS)
        expired = choose_expired(await self.list_all(), keep=keep, keep_days=keep_days, now_ms=now_ms)
        for backup in expired:
            await self.target.delete(backup.name)
        return [backup.name for backup in expired]

    async def restore(self, backup: StoredBackup, *, force: bool) -> BackupManifest:
        """Load a backup into the database, and return its manifest."""
        database = SqlRestoreTarget(
            self.settings.database,
            migrations(self.settings),
            connect_timeout_s=self.settings.database_connect_timeout_s,
            prepared_statements=self.settings.database_prepared_statements,
        )
        work = BackupRestore(
            target=self.target, backup=backup, database=database, ring=self._ring, progress=self.progress
        )
        return await work.restore(force=force)

    @property
    def _ring(self) -> KeyRing | None:
        return make_key_ring(self.settings)

    @asynccontextmanager
    async def _open_source(self) -> AsyncIterator[SqlBackupSource]:
        """Yield the database as a backup reads it: as patient as a large one needs."""
        settings = self.settings
        async with open_database(
            settings.database,
            pool_size=1,
            connect_timeout_s=settings.database_connect_timeout_s,
            statement_timeout_s=None,
            prepared_statements=settings.database_prepared_statements,
        ) as database:
            yield SqlBackupSource(database, settings.database)


def open_backups(settings: Settings, *, target: str | None, progress: Progress) -> Backups:
    """Return the backups of a target, or of the configured one.

    Raises:
        InvalidInputError: neither names one, or it is none.
        BackupUnavailableError: it cannot be used.
    """
    place = target or settings.backup_target
    if not place:
        raise InvalidInputError("Say where the backups are with --target, or set BACKUP_TARGET.")
    found: BackupTarget = (
        open_bucket(place) if place.startswith(f"{SCHEME}:") else DirectoryTarget(Path(place).expanduser())
    )
    return Backups(settings=settings, target=found, progress=progress)
