"""Loads a backup into a database: read, checked, loaded and read back before anything is committed."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from slack_mcp.backup.container import RecordKind
from slack_mcp.backup.create import Progress
from slack_mcp.backup.keys import find_backup_key
from slack_mcp.backup.manifest import BackupFormat, BackupHead, BackupManifest
from slack_mcp.backup.read import StoredBackup, TableReader, check_tables, read_records
from slack_mcp.core.errors import BackupDamagedError
from slack_mcp.core.rows import TableShape
from slack_mcp.ports.backup import BackupTarget, RestoreTarget, TableLoader
from slack_mcp.sealing import KeyRing


@dataclass(slots=True, kw_only=True)
class BackupRestore:
    """Loads one backup.

    Args:
        target: where it lies.
        backup: which one.
        database: what it is loaded into.
        ring: has the key that it is sealed with.
        progress: is told how far it is.
    """

    target: BackupTarget
    backup: StoredBackup
    database: RestoreTarget
    ring: KeyRing | None
    progress: Progress
    _manifest: BackupManifest | None = field(default=None, init=False)

    async def restore(self, *, force: bool) -> BackupManifest:
        """Return the backup's manifest, when the database has all of it.

        Raises:
            SealingError: the backup's key is not on the ring; nothing was touched.
            BackupDamagedError: the backup is not what was written, or the database does not give back what it took.
            ConflictError, SchemaOutdatedError, StoreUnavailableError, BackupUnavailableError: what the database and
                the place of the backup raise.
        """
        head = self.backup.head
        if head is None:
            raise BackupDamagedError("The head of the file cannot be read.")
        find_backup_key(self.ring, head)
        await self.database.check_may_restore(head.revision, force=force)
        if head.format is BackupFormat.PORTABLE:
            await self.database.restore_rows(head.revision, self._load, force=force)
        else:
            async with aclosing(self._read_dump()) as pieces:
                await self.database.restore_dump(
                    head.revision, pieces, dialect=head.dialect, check=self._check_dump, force=force
                )
        return self._get_manifest()

    async def _load(self, loader: TableLoader) -> Mapping[str, int]:
        """Fill the tables, then read them back."""
        tables = TableReader()
        async with aclosing(self._read_records()) as records:
            async for kind, payload in records:
                rows = tables.read(kind, payload)
                if rows:
                    await loader.load_rows(tables.shapes[-1], [msgspec.msgpack.decode(row) for row in rows])
        manifest = self._get_manifest()
        check_tables(tables.summarize(), manifest)
        await self._read_back(loader, tables.shapes)
        return manifest.sequences

    async def _check_dump(self, loader: TableLoader) -> Mapping[str, int]:
        await self._read_back(loader, loader.tables)
        return self._get_manifest().sequences

    async def _read_back(self, loader: TableLoader, shapes: Sequence[TableShape]) -> None:
        found = {}
        for number, shape in enumerate(shapes):
            self.progress("read back", number, len(shapes))
            found[shape.name] = await loader.summarize(shape)
        self.progress("read back", len(shapes), len(shapes))
        check_tables(found, self._get_manifest())

    async def _read_dump(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._read_records()) as records:
            async for kind, payload in records:
                if kind is RecordKind.DUMP:
                    yield payload

    def _read_records(self) -> AsyncGenerator[tuple[RecordKind, Any], None]:
        return read_records(
            self.target,
            self.backup.name,
            ring=self.ring,
            on_manifest=self._take_manifest,
            on_bytes=lambda count: self.progress("restore", count, self.backup.size),
        )

    def _take_manifest(self, _head: BackupHead, manifest: BackupManifest) -> None:
        self._manifest = manifest

    def _get_manifest(self) -> BackupManifest:
        if self._manifest is None:
            raise BackupDamagedError("The file ends before its end.")
        return self._manifest
