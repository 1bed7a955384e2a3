"""The file of a backup, without any I/O: bytes out of records, and records out of bytes.

    magic, length, head (JSON) ─▶ frames, each with its length ─▶ manifest (JSON), length, magic

The frames, opened and put together, are one zstd stream of records: a table's shape, its rows, another table's; or
pieces of a dump; and the manifest as the last. The first bit of a frame's length says that it is the last one. The
manifest stands once more behind the frames, so that a list needs the two ends of a file alone; whoever reads the whole
compares both.
"""

import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, TypeVar

import msgspec

from slack_mcp.backup.frames import CHECK_BYTES, FRAME_BYTES, LENGTH, FrameSeal
from slack_mcp.backup.manifest import BackupHead, BackupManifest
from slack_mcp.core.errors import BackupDamagedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

LAYOUT: Final = 1
MAGIC: Final = b"SLKMCPB1"
END_MAGIC: Final = b"SLKMCPE1"
# Enough for either end of any backup.
END_BYTES: Final = 64 * 1024
MAX_RECORD_BYTES: Final = 256 * 1024 * 1024
ZSTD_LEVEL: Final = 3
_LAST: Final = 1 << 31
_RECORD: Final = LENGTH.size + 1
_PIECE_BYTES: Final = 1024 * 1024


class RecordKind(IntEnum):
    """What a record holds."""

    TABLE = 1
    ROWS = 2
    DUMP = 3
    MANIFEST = 4


class ContainerWriter:
    """Makes the bytes of one backup.

    Args:
        head: what stands before the data.
        key: what `FrameSeal` takes.
    """

    def __init__(self, head: BackupHead, key: bytes | None) -> None:
        self._head = msgspec.json.encode(head)
        self._seal = FrameSeal(key, self._head)
        self._compressor = zstd.ZstdCompressor(level=ZSTD_LEVEL)
        self._pending = bytearray()
        self.clear_bytes = 0

    def begin(self) -> bytes:
        """Return what stands before the data."""
        return MAGIC + LENGTH.pack(len(self._head)) + self._head

    def add(self, kind: RecordKind, payload: bytes) -> bytes:
        """Return the frames that a record has filled: none, as long as it fits into the last one's rest."""
        record = LENGTH.pack(len(payload)) + bytes([kind]) + payload
        self.clear_bytes += len(record)
        self._pending += self._compressor.compress(record)
        made = bytearray()
        while len(self._pending) > FRAME_BYTES:
            made += self._make_frame(bytes(self._pending[:FRAME_BYTES]), is_last=False)
            del self._pending[:FRAME_BYTES]
        return bytes(made)

    def finish(self, manifest: BackupManifest) -> bytes:
        """Return the rest of the file."""
        encoded = msgspec.json.encode(manifest)
        made = bytearray(self.add(RecordKind.MANIFEST, encoded))
        self._pending += self._compressor.flush()
        while len(self._pending) > FRAME_BYTES:
            made += self._make_frame(bytes(self._pending[:FRAME_BYTES]), is_last=False)
            del self._pending[:FRAME_BYTES]
        made += self._make_frame(bytes(self._pending), is_last=True)
        return bytes(made) + encoded + LENGTH.pack(len(encoded)) + END_MAGIC

    def _make_frame(self, clear: bytes, *, is_last: bool) -> bytes:
        frame = self._seal.seal(clear, is_last=is_last)
        return LENGTH.pack(len(frame) | (_LAST if is_last else 0)) + frame


class ContainerReader:
    """Makes records of the bytes behind a backup's head; every byte is checked before anything of it is handed on.

    Args:
        head: the bytes of the head, as `split_head` gives them.
        key: what `FrameSeal` takes.
    """

    def __init__(self, head: bytes, key: bytes | None) -> None:
        self._seal = FrameSeal(key, head)
        self._decompressor = zstd.ZstdDecompressor()
        self._raw = bytearray()
        self._clear = bytearray()
        self._is_last_read = False
        self.manifest: BackupManifest | None = None

    def feed(self, data: bytes) -> Iterator[tuple[RecordKind, bytes]]:
        """Yield the records that the bytes complete, the manifest not among them; raises BackupDamagedError."""
        self._raw += data
        while not self._is_last_read and len(self._raw) >= LENGTH.size:
            (word,) = LENGTH.unpack_from(self._raw)
            size, is_last = word & ~_LAST, bool(word & _LAST)
            if size > FRAME_BYTES + CHECK_BYTES:
                raise BackupDamagedError("A piece says that it is larger than any is.")
            if len(self._raw) < LENGTH.size + size:
                return
            frame = bytes(self._raw[LENGTH.size : LENGTH.size + size])
            del self._raw[: LENGTH.size + size]
            self._is_last_read = is_last
            yield from self._decompress(self._seal.open(frame, is_last=is_last))

    def finish(self) -> BackupManifest:
        """Return the manifest, after the file's last byte; raises BackupDamagedError."""
        if not self._is_last_read or self._clear or self.manifest is None or not self._decompressor.eof:
            raise BackupDamagedError("The file ends before its end.")
        if split_manifest(bytes(self._raw)) != self.manifest or not _is_exact(self._raw):
            raise BackupDamagedError("What the file says at its end is not what it says under its seal.")
        return self.manifest

    def _decompress(self, data: bytes) -> Iterator[tuple[RecordKind, bytes]]:
        """Yield the records, never holding more than one and a piece."""
        is_done = False
        while not is_done:
            try:
                self._clear += self._decompressor.decompress(data, max_length=_PIECE_BYTES)
            except (zstd.ZstdError, EOFError) as error:
                raise BackupDamagedError("The data do not decompress, or go on behind their end.") from error
            if self._decompressor.unused_data:
                raise BackupDamagedError("Something stands behind the end of the data.")
            data = b""
            is_done = self._decompressor.eof or self._decompressor.needs_input
            yield from self._split()

    def _split(self) -> Iterator[tuple[RecordKind, bytes]]:
        start = 0
        while len(self._clear) - start >= _RECORD:
            (size,) = LENGTH.unpack_from(self._clear, start)
            if size > MAX_RECORD_BYTES or self.manifest is not None:
                raise BackupDamagedError("A record is larger than any is, or stands behind the last.")
            end = start + _RECORD + size
            if len(self._clear) < end:
                break
            kind, payload = self._clear[start + LENGTH.size], bytes(self._clear[start + _RECORD : end])
            start = end
            if kind == RecordKind.MANIFEST:
                self.manifest = _decode(payload, BackupManifest)
            elif kind in set(RecordKind):
                yield RecordKind(kind), payload
            else:
                raise BackupDamagedError("A record is of a kind that this version does not know.")
        del self._clear[:start]


def split_head(data: bytes) -> tuple[BackupHead, bytes, int] | None:
    """Return (head, its bytes, where the data begin) out of a file's first bytes, or None when it takes more of them.

    Raises:
        BackupDamagedError: it is no backup, or of a later layout.
    """
    start = len(MAGIC) + LENGTH.size
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise BackupDamagedError("The file is no backup of slack-mcp.")
    if len(data) < start:
        return None
    (size,) = LENGTH.unpack_from(data, len(MAGIC))
    if size > END_BYTES:
        raise BackupDamagedError("The head of the file is larger than any is.")
    if len(data) < start + size:
        return None
    head = _decode(data[start : start + size], BackupHead)
    if head.layout != LAYOUT:
        raise BackupDamagedError(f"The file has layout {head.layout}: a newer version made it.")
    return head, data[start : start + size], start + size


def split_manifest(data: bytes) -> BackupManifest:
    """Return the manifest out of a file's last bytes; raises BackupDamagedError."""
    tail = LENGTH.size + len(END_MAGIC)
    if len(data) < tail or not data.endswith(END_MAGIC):
        raise BackupDamagedError("The file ends before its end.")
    (size,) = LENGTH.unpack_from(data, len(data) - tail)
    if size > len(data) - tail:
        raise BackupDamagedError("The end of the file is not whole.")
    return _decode(data[len(data) - tail - size : len(data) - tail], BackupManifest)


def _is_exact(data: bytes | bytearray) -> bool:
    """Tell whether nothing stands before the manifest."""
    tail = LENGTH.size + len(END_MAGIC)
    return bool(LENGTH.unpack_from(data, len(data) - tail)[0] == len(data) - tail)


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupDamagedError("The head or the end of the file cannot be read.") from error
