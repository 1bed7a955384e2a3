"""Reads backups: what there is, and whether one is whole."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from slack_mcp.backup.container import END_BYTES, ContainerReader, RecordKind, split_head, split_manifest
from slack_mcp.backup.keys import find_backup_key
from slack_mcp.backup.manifest import BackupFormat, BackupHead, BackupManifest
from slack_mcp.core.errors import BackupDamagedError, InvalidInputError
from slack_mcp.core.rows import TableDigest, TableShape, TableSummary
from slack_mcp.ports.backup import BackupTarget
from slack_mcp.sealing import KeyRing

LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBackup:
    """A backup as a list shows it; nothing of it has been checked.

    Attributes:
        name: of its file.
        size: in bytes.
        head: what stands before its data, None when that cannot be read.
        manifest: what stands behind them, None when that cannot be read.
    """

    name: str
    size: int
    head: BackupHead | None
    manifest: BackupManifest | None

    @property
    def is_whole(self) -> bool:
        """Whether both ends can be read."""
        return self.head is not None and self.manifest is not None


async def list_backups(target: BackupTarget) -> Sequence[StoredBackup]:
    """Return what there is, the newest first; raises BackupUnavailableError."""
    found = [await _look_at(target, name, size) for name, size in await target.list_files()]
    return sorted(found, key=lambda each: each.name, reverse=True)


async def find_backup(target: BackupTarget, name: str) -> StoredBackup:
    """Return a backup by its name, or the newest by `latest`; raises InvalidInputError, BackupUnavailableError."""
    found = await list_backups(target)
    for backup in found:
        if name == backup.name or (name == LATEST and backup.is_whole):
            return backup
    raise InvalidInputError(
        f"There is no backup in {target.describe()}."
        if not found or name == LATEST
        else f"There is no backup of this name in {target.describe()}: `slack-mcp backup list` shows those that are."
    )


async def _look_at(target: BackupTarget, name: str, size: int) -> StoredBackup:
    """Return what a backup says of itself at both ends."""
    head = manifest = None
    try:
        found = split_head(await target.read_range(name, 0, min(size, END_BYTES)))
        head = None if found is None else found[0]
        manifest = split_manifest(await target.read_range(name, max(0, size - END_BYTES), size))
    except BackupDamagedError:
        pass
    return StoredBackup(name=name, size=size, head=head, manifest=manifest)


async def read_records(
    target: BackupTarget,
    name: str,
    *,
    ring: KeyRing | None,
    on_manifest: Callable[[BackupHead, BackupManifest], None],
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> AsyncGenerator[tuple[RecordKind, bytes], None]:
    """Yield a backup's records, each checked before it is handed on.

    Args:
        target: where it lies.
        name: of its file.
        ring: has its key.
        on_manifest: takes head and manifest, when everything was read and found to be as it was written.
        on_bytes: is told how many bytes have been read so far.

    Raises:
        SealingError: its key is not on the ring.
        BackupDamagedError: it is not what was written.
        InvalidInputError, BackupUnavailableError: it cannot be had.
    """
    held = b""
    reader: ContainerReader | None = None
    head: BackupHead | None = None
    count = 0
    async with aclosing(target.read(name)) as chunks:
        async for chunk in chunks:
            count += len(chunk)
            on_bytes(count)
            data = chunk
            if reader is None:
                held += chunk
                found = split_head(held)
                if found is None:
                    continue
                head, raw_head, start = found
                reader = ContainerReader(raw_head, find_backup_key(ring, head))
                data, held = held[start:], b""
            for record in reader.feed(data):
                yield record
    if reader is None or head is None:
        raise BackupDamagedError("The file ends before its end.")
    on_manifest(head, reader.finish())


class TableReader:
    """Follows the tables of a portable backup, and adds up what it has."""

    def __init__(self) -> None:
        self.shapes: list[TableShape] = []
        self._digests: dict[str, TableDigest] = {}

    def read(self, kind: RecordKind, payload: bytes) -> Sequence[Any] | None:
        """Return rows that are encoded yet, or None when the record begins a table or is of a dump."""
        if kind is RecordKind.DUMP:
            return None
        try:
            if kind is RecordKind.TABLE:
                shape = msgspec.msgpack.decode(payload, type=TableShape)
                self.shapes.append(shape)
                self._digests[shape.name] = TableDigest(shape)
                return None
            rows = msgspec.msgpack.decode(payload, type=list[msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BackupDamagedError("A record cannot be read.") from error
        if not self.shapes:
            raise BackupDamagedError("Rows stand before the first table.")
        self._digests[self.shapes[-1].name].add(bytes(row) for row in rows)
        return rows

    def summarize(self) -> Mapping[str, TableSummary]:
        """Return what the tables come to."""
        return {name: digest.summarize() for name, digest in self._digests.items()}


async def verify_backup(
    target: BackupTarget, backup: StoredBackup, *, ring: KeyRing | None, progress: Callable[[str, int, int], None]
) -> BackupManifest:
    """Read all of a backup, and return its manifest when everything in it is as it was written.

    No database takes part. Of a dump the rows cannot be counted without one: its bytes are checked.

    Raises:
        BackupDamagedError: it is not what was written.
        SealingError, InvalidInputError, BackupUnavailableError: it cannot be read.
    """
    tables = TableReader()
    found: list[tuple[BackupHead, BackupManifest]] = []
    async with aclosing(
        read_records(
            target,
            backup.name,
            ring=ring,
            on_manifest=lambda head, manifest: found.append((head, manifest)),
            on_bytes=lambda count: progress("verify", count, backup.size),
        )
    ) as records:
        async for kind, payload in records:
            tables.read(kind, payload)
    ((head, manifest),) = found
    if head.format is BackupFormat.PORTABLE:
        check_tables(tables.summarize(), manifest)
    return manifest


def check_tables(found: Mapping[str, TableSummary], manifest: BackupManifest) -> None:
    """Return when tables come to what the manifest says; raises BackupDamagedError."""
    different = [name for name in sorted({*found, *manifest.tables}) if found.get(name) != manifest.tables.get(name)]
    if different:
        raise BackupDamagedError(f"Rows are missing or changed in {', '.join(different)}.")
