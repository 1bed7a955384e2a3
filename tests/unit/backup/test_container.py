"""The file of a backup: what goes in comes out, and nothing that was touched does."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slack_mcp.backup.container import ContainerReader, ContainerWriter, RecordKind, split_head, split_manifest
from slack_mcp.backup.frames import FRAME_BYTES, LENGTH
from slack_mcp.backup.keys import find_backup_key
from slack_mcp.backup.manifest import BackupFormat, BackupHead, BackupManifest
from slack_mcp.core.errors import BackupDamagedError, SealingError
from slack_mcp.core.rows import TableSummary
from slack_mcp.sealing import KeyRing

RING = KeyRing({"k1": b"1" * 32, "k0": b"0" * 32})
MANIFEST = BackupManifest(
    finished_at_ms=2,
    tables={"things": TableSummary(rows=1, digest="00")},
    sequences={"things": 7},
    sealed_values={"k1": 3},
    clear_bytes=4,
)
Records = Sequence[tuple[RecordKind, bytes]]
RECORDS = st.lists(st.tuples(st.sampled_from([RecordKind.ROWS, RecordKind.DUMP]), st.binary(max_size=200)), max_size=5)


def make_head(key_id: str | None, salt: str = "ab" * 32) -> BackupHead:
    return BackupHead(
        layout=1,
        backup_id="0" * 8,
        started_at_ms=1,
        version="0.1.0",
        revision="0001_first",
        dialect="sqlite",
        format=BackupFormat.PORTABLE,
        key_id=key_id,
        salt=salt,
    )


def write(records: Records, head: BackupHead, *, ring: KeyRing = RING) -> bytes:
    writer = ContainerWriter(head, find_backup_key(ring, head))
    return b"".join([writer.begin(), *(writer.add(*record) for record in records), writer.finish(MANIFEST)])


def read(data: bytes, *, step: int = 10_000, ring: KeyRing | None = RING) -> tuple[Records, BackupManifest]:
    found = split_head(data)
    if found is None:
        raise BackupDamagedError("The file ends before its end.")
    head, raw_head, start = found
    reader = ContainerReader(raw_head, find_backup_key(ring, head))
    records: list[tuple[RecordKind, bytes]] = []
    for position in range(start, len(data), step):
        records += reader.feed(data[position : position + step])
    return records, reader.finish()


def split_frames(data: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return what stands before the frames, the frames with their lengths, and what stands behind."""
    found = split_head(data)
    assert found is not None
    position, frames = found[2], []
    while True:
        (word,) = LENGTH.unpack_from(data, position)
        end = position + LENGTH.size + (word & 0x7FFFFFFF)
        frames.append(data[position:end])
        position = end
        if word >> 31:
            return data[: found[2]], frames, data[position:]


@pytest.mark.parametrize("key_id", ["k1", "k0", None])
@given(records=RECORDS, step=st.integers(1, 500))
def test_what_goes_in_comes_out_however_it_is_cut(key_id: str | None, records: Records, step: int) -> None:
    data = write(records, make_head(key_id))
    assert read(data, step=step) == (records, MANIFEST)
    assert split_manifest(data[-400:]) == MANIFEST


@pytest.mark.parametrize("key_id", ["k1", None])
@settings(max_examples=60)
@given(records=RECORDS, data=st.data())
def test_any_changed_byte_is_found(key_id: str | None, records: Records, data: st.DataObject) -> None:
    whole = bytearray(write(records, make_head(key_id)))
    index = data.draw(st.integers(0, len(whole) - 1))
    whole[index] ^= data.draw(st.integers(1, 255))
    # In the head the change may also name another key, or none that there is.
    with pytest.raises((BackupDamagedError, SealingError)):
        read(bytes(whole))


@pytest.mark.parametrize("key_id", ["k1", None])
def test_a_file_that_is_cut_anywhere_is_found(key_id: str | None) -> None:
    data = write([(RecordKind.DUMP, b"text" * 20)], make_head(key_id))
    found = split_head(data)
    assert found is not None
    for end in range(found[2], len(data)):
        with pytest.raises(BackupDamagedError):
            read(data[:end])


def test_something_behind_the_end_is_found() -> None:
    with pytest.raises(BackupDamagedError):
        read(write([], make_head("k1")) + b"x")


@pytest.mark.parametrize("key_id", ["k1", None])
def test_frames_that_are_left_out_moved_repeated_or_of_another_backup_are_found(key_id: str | None) -> None:
    noise = random.Random(1).randbytes(4 * FRAME_BYTES)  # noqa: S311 - no secret
    records = [(RecordKind.DUMP, noise)]
    before, frames, behind = split_frames(write(records, make_head(key_id)))
    _, others, _ = split_frames(write(records, make_head(key_id, salt="cd" * 32)))
    assert len(frames) == len(others) > 3
    first, second, *rest = frames
    for changed in (
        [second, first, *rest],
        [first, *rest],
        [first, first, *rest],
        [others[0], second, *rest],
        [first, second, *others[2:]],
        frames[:-1],
        [*frames[:-2], frames[-1]],
    ):
        with pytest.raises(BackupDamagedError):
            read(before + b"".join(changed) + behind, step=FRAME_BYTES)
    assert read(before + b"".join(frames) + behind, step=FRAME_BYTES)[0] == records


def test_nothing_that_is_sealed_stands_in_the_file() -> None:
    secret = random.Random(2).randbytes(64)  # noqa: S311 - a canary
    assert secret not in write([(RecordKind.DUMP, secret)], make_head("k1"))
    assert secret in write([(RecordKind.DUMP, secret)], make_head(None))


def test_a_backup_whose_key_is_not_on_the_ring_says_which_it_is() -> None:
    data = write([], make_head("k0"))
    for ring in (KeyRing({"k1": b"1" * 32}), None):
        with pytest.raises(SealingError, match="'k0'"):
            read(data, ring=ring)


def test_another_key_of_the_same_name_opens_nothing() -> None:
    with pytest.raises(BackupDamagedError):
        read(write([], make_head("k1")), ring=KeyRing({"k1": b"x" * 32}))


@pytest.mark.parametrize("data", [b"SQLite format 3\x00", b"PGDMP\x01\x0e", b"<html>"])
def test_a_file_of_another_kind_is_no_backup(data: bytes) -> None:
    with pytest.raises(BackupDamagedError, match="no backup"):
        split_head(data)


def test_a_file_of_a_later_layout_says_so() -> None:
    head = ContainerWriter(make_head(None), None).begin().replace(b'"layout":1', b'"layout":2')
    with pytest.raises(BackupDamagedError, match="newer version"):
        split_head(head)
