"""Backups in a bucket: signed requests, whole objects or none, and the same guarantees as in a directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backup_world import fill_database, open_at, summarize
from fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, FakeS3, serve_bucket

from slack_mcp.backup.bucket import PART_BYTES
from slack_mcp.backup.manifest import BackupFormat
from slack_mcp.core.errors import BackupUnavailableError, InvalidInputError, StoreError

pytestmark = pytest.mark.anyio

TARGET = f"s3://{BUCKET}/team/slack"
NAME = "slack-mcp-20260101T000000Z-00000000.backup"


@pytest.fixture
async def bucket(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeS3]:
    """A bucket that the environment leads to, with the credentials that it takes."""
    made = FakeS3()
    async with serve_bucket(made) as url:
        for name, value in {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield made


async def test_a_backup_goes_to_a_bucket_and_comes_back(bucket: FakeS3, tmp_path: Path) -> None:
    source, into = f"sqlite:{tmp_path}/source.db", f"sqlite:{tmp_path}/into.db"
    await fill_database(source)
    backups = open_at(TARGET, source)
    bucket.objects["team/slack/notes.txt"] = b"mine"
    bucket.objects[f"team/{NAME}"] = b"of another prefix"
    first, second = [await backups.create(BackupFormat.PORTABLE) for _ in range(2)]
    assert sorted(each.name for each in await backups.list_all()) == sorted([first.name, second.name])
    assert await backups.verify(first) == first.manifest
    restored = open_at(TARGET, into)
    await restored.restore(await restored.find(first.name), force=False)
    assert (await summarize(into))["slack_turns"] == (await summarize(source))["slack_turns"]
    await backups.delete_expired(keep=1, keep_days=None)
    (left,) = await backups.list_all()
    assert left.name == max(first.name, second.name)
    assert len(bucket.objects) == 3
    assert bucket.uploads == {}


async def test_a_large_backup_goes_in_parts_and_is_not_there_before_the_last(bucket: FakeS3, tmp_path: Path) -> None:
    target = open_at(TARGET, f"sqlite:{tmp_path}/slack.db").target
    seen = []
    pieces = 3 * PART_BYTES // 2**20 + 1

    async def pour() -> AsyncIterator[bytes]:
        for number in range(pieces):
            yield bytes([number]) * 2**20
        seen.append(await target.list_files())

    assert await target.write(NAME, pour()) == pieces * 2**20
    assert seen == [[]]
    assert await target.list_files() == [(NAME, pieces * 2**20)]
    assert bucket.largest_part <= PART_BYTES
    assert [chunk async for chunk in target.read(NAME)]
    assert await target.read_range(NAME, 2**20 - 1, 2**20 + 1) == b"\x00\x01"


async def test_a_backup_that_fails_leaves_no_object_and_no_parts(bucket: FakeS3, tmp_path: Path) -> None:
    target = open_at(TARGET, f"sqlite:{tmp_path}/slack.db").target

    async def fail() -> AsyncIterator[bytes]:
        for _ in range(2 * PART_BYTES // 2**20):
            yield bytes(2**20)
        message = "the database went away"
        raise StoreError(message)

    with pytest.raises(StoreError, match="went away"):
        await target.write(NAME, fail())
    assert bucket.objects == {}
    assert bucket.uploads == {}


async def test_a_bucket_that_stops_taking_parts_is_told_and_leaves_nothing(bucket: FakeS3, tmp_path: Path) -> None:
    target = open_at(TARGET, f"sqlite:{tmp_path}/slack.db").target
    bucket.refuse_parts_after = 1

    async def pour() -> AsyncIterator[bytes]:
        for _ in range(4 * PART_BYTES // 2**20):
            yield bytes(2**20)

    with pytest.raises(BackupUnavailableError, match="credentials"):
        await target.write(NAME, pour())
    assert bucket.objects == {}
    assert bucket.uploads == {}


async def test_wrong_credentials_are_told_without_them(
    bucket: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-wrong")
    with pytest.raises(BackupUnavailableError) as caught:
        await open_at(TARGET, f"sqlite:{tmp_path}/slack.db").list_all()
    assert "canary" not in str(caught.value)
    assert TARGET in str(caught.value)


async def test_an_object_that_is_not_there_is_told(bucket: FakeS3, tmp_path: Path) -> None:
    target = open_at(TARGET, f"sqlite:{tmp_path}/slack.db").target
    with pytest.raises(InvalidInputError, match="no such backup"):
        await target.read_range(NAME, 0, 10)
    with pytest.raises(InvalidInputError, match="no such backup"):
        [chunk async for chunk in target.read(NAME)]


@pytest.mark.parametrize("url", ["s3:bucket", "s3://", "s3://key:secret@bucket/x", "s3://bucket/x?region=y"])
async def test_a_url_that_names_no_bucket_is_refused_without_being_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_at(url, f"sqlite:{tmp_path}/slack.db")
    assert "secret" not in str(caught.value)
