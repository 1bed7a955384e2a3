"""Makes a backup: a snapshot of the database, read, packed, sealed and written in one stream."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from slack_mcp.backup.container import LAYOUT, ContainerWriter, RecordKind
from slack_mcp.backup.keys import find_backup_key, make_salt
from slack_mcp.backup.manifest import BackupFormat, BackupHead, BackupManifest
from slack_mcp.backup.names import make_backup_id, make_name
from slack_mcp.backup.read import StoredBackup
from slack_mcp.core.clock import Clock
from slack_mcp.core.rows import ColumnKind, Row, RowEncoder, TableDigest, TableShape, TableSummary
from slack_mcp.ports.backup import BackupSource, BackupTarget, Snapshot
from slack_mcp.sealing import KeyRing, find_ring_key_id

RECORD_BYTES: Final = 1024 * 1024
_MS: Final = 1000

_DIALECTS: Final = {BackupFormat.PG_DUMP: "postgresql", BackupFormat.SQLITE: "sqlite"}

Progress = Callable[[str, int, int], None]
"""Is told (what is being done, how much of it is done, how much there is)."""


class BackupCreation:
    """Makes one backup.

    Args:
        source: the database.
        target: where it goes.
        ring: seals it with its first key; None leaves it clear.
        version: of this service.
        progress: is told how far it is.
    """

    def __init__(
        self,
        *,
        source: BackupSource,
        target: BackupTarget,
        ring: KeyRing | None,
        version: str,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._source = source
        self._target = target
        self._ring = ring
        self._version = version
        self._clock = clock
        self._progress = progress
        self._sealed: Counter[str] = Counter()
        self._tables: dict[str, TableSummary] = {}
        self._manifest: BackupManifest | None = None

    async def create(self, kind: BackupFormat) -> StoredBackup:
        """Return the backup, which is whole and under its name; raises what source and target do."""
        async with self._source.open_snapshot() as snapshot:
            head = BackupHead(
                layout=LAYOUT,
                backup_id=make_backup_id(),
                started_at_ms=self._now_ms(),
                version=self._version,
                revision=snapshot.revision,
                dialect=snapshot.dialect,
                format=kind,
                key_id=None if self._ring is None else self._ring.active_key_id,
                salt=make_salt(),
            )
            name = make_name(head.backup_id, head.started_at_ms)
            size = await self._target.write(name, self._write(snapshot, head))
        assert self._manifest is not None  # noqa: S101 - the stream has ended with it
        return StoredBackup(name=name, size=size, head=head, manifest=self._manifest)

    async def _write(self, snapshot: Snapshot, head: BackupHead) -> AsyncIterator[bytes]:
        """Yield the bytes of the file."""
        writer = ContainerWriter(head, find_backup_key(self._ring, head))
        yield writer.begin()
        if head.format is not BackupFormat.PORTABLE:
            async for piece in snapshot.dump(_DIALECTS[head.format]):
                yield writer.add(RecordKind.DUMP, piece)
        for shape in snapshot.tables:
            if head.format is BackupFormat.PORTABLE:
                yield writer.add(RecordKind.TABLE, msgspec.msgpack.encode(shape))
            async for encoded in self._read(snapshot, shape):
                if head.format is BackupFormat.PORTABLE:
                    for record in _pack(encoded):
                        yield writer.add(RecordKind.ROWS, record)
        self._manifest = BackupManifest(
            finished_at_ms=self._now_ms(),
            tables=self._tables,
            sequences=await snapshot.load_sequences(),
            sealed_values=dict(sorted(self._sealed.items())),
            clear_bytes=writer.clear_bytes,
        )
        yield writer.finish(self._manifest)

    async def _read(self, snapshot: Snapshot, shape: TableShape) -> AsyncIterator[list[bytes]]:
        """Yield a table's rows, encoded, while they are counted and added up."""
        total = await snapshot.count_rows(shape)
        encoder, digest = RowEncoder(shape), TableDigest(shape)
        indexes = [index for index, column in enumerate(shape.columns) if column.kind in _SEALABLE]
        async for rows in snapshot.read_rows(shape):
            encoded = encoder.encode(rows)
            digest.add(encoded)
            self._sealed.update(_list_key_ids(rows, indexes))
            self._progress(shape.name, digest.rows, total)
            yield encoded
        self._tables[shape.name] = digest.summarize()

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)


_SEALABLE: Final = frozenset({ColumnKind.TEXT, ColumnKind.BYTES})


def _list_key_ids(rows: Iterable[Row], indexes: Sequence[int]) -> Iterator[str]:
    """Yield the id of the key of each sealed value."""
    for row in rows:
        for index in indexes:
            value = row[index]
            if value and (key_id := find_ring_key_id(value)) is not None:
                yield key_id


def _pack(encoded: Sequence[bytes]) -> Iterator[bytes]:
    """Yield records of rows, none much larger than it has to be."""
    batch: list[msgspec.Raw] = []
    size = 0
    for row in encoded:
        batch.append(msgspec.Raw(row))
        size += len(row)
        if size >= RECORD_BYTES:
            yield msgspec.msgpack.encode(batch)
            batch, size = [], 0
    if batch:
        yield msgspec.msgpack.encode(batch)
