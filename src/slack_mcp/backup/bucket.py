"""Backups in a bucket that speaks S3: one object each, which is there when all of its parts are.

Where credentials, region and endpoint come from is the library's own: `AWS_ACCESS_KEY_ID` and its neighbours, the
token of a Kubernetes service account, or the machine's role.
https://developmentseed.org/obstore/latest/api/store/aws/
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from slack_mcp.backup.names import is_name
from slack_mcp.core.errors import BackupUnavailableError, InvalidInputError

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME: Final = "s3"
# S3 takes 10,000 parts at most: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES: Final = 16 * 1024 * 1024
PARTS_AT_ONCE: Final = 3
READ_BYTES: Final = 4 * 1024 * 1024


def open_bucket(url: str) -> "BucketTarget":
    """Return the bucket of `s3://bucket/prefix`.

    Raises:
        InvalidInputError: the URL is not of this form, or the extra `s3` is not installed.
        BackupUnavailableError: the environment says what no bucket can be reached with.
    """
    parts = urlsplit(url)
    if parts.scheme != SCHEME or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInputError("Write a bucket as s3://bucket/prefix; credentials come from the environment.")
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise InvalidInputError("A bucket needs the extra s3: `pip install 'slack-mcp[s3]'`.") from error
    prefix = parts.path.strip("/")
    with _translate(url):
        # To delete many in one request is what not every server takes that speaks S3.
        store = S3Store(parts.netloc, prefix=prefix or None, disable_bulk_delete=True)
    return BucketTarget(store, f"{SCHEME}://{parts.netloc}/{prefix}".rstrip("/"))


class BucketTarget:
    """`ports.backup.BackupTarget`. Made by `open_bucket`."""

    def __init__(self, store: "S3Store", url: str) -> None:
        self._store = store
        self._url = url

    def describe(self) -> str:
        """Return bucket and prefix."""
        return self._url

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Upload a file in parts and return its size; on an error the parts are given up."""
        import obstore  # noqa: PLC0415

        size = 0
        failed: Exception | None = None

        async def count() -> AsyncIterator[bytes]:
            nonlocal size, failed
            try:
                async for chunk in chunks:
                    if chunk:
                        size += len(chunk)
                        yield chunk
            except Exception as error:
                failed = error  # the library would wrap it in an error of its own
                raise

        try:
            await obstore.put_async(
                self._store,
                name,
                count(),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        except Exception as error:
            if failed is not None:
                raise failed from error
            with _translate(self._url):
                raise
        return size

    async def list_files(self) -> Sequence[tuple[str, int]]:
        """Return (name, size) of each backup."""
        import obstore  # noqa: PLC0415

        found: list[tuple[str, int]] = []
        with _translate(self._url):
            async for page in obstore.list(self._store):
                found += [(meta["path"], meta["size"]) for meta in page if is_name(meta["path"])]
        return sorted(found)

    async def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return bytes of an object."""
        import obstore  # noqa: PLC0415

        with _translate(self._url):
            return bytes(await obstore.get_range_async(self._store, _check(name), start=start, end=end))

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an object."""
        import obstore  # noqa: PLC0415

        with _translate(self._url):
            stream = (await obstore.get_async(self._store, _check(name))).stream(min_chunk_size=READ_BYTES)
        while True:
            with _translate(self._url):
                try:
                    chunk = bytes(await anext(stream))
                except StopAsyncIteration:
                    return
            yield chunk

    async def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        import obstore  # noqa: PLC0415

        with _translate(self._url):
            await obstore.delete_async(self._store, _check(name))


def _check(name: str) -> str:
    """Return the name, unless it is none of a backup."""
    if not is_name(name):
        raise InvalidInputError("This is no backup's name: `slack-mcp backup list` shows those that there are.")
    return name


@contextmanager
def _translate(url: str) -> Iterator[None]:
    """Turn what the library raises into errors of ours; its words name requests, and are not repeated."""
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        yield
    except FileNotFoundError as error:
        raise InvalidInputError(f"There is no such backup, or no such bucket: {url}.") from error
    except (BaseError, OSError, ValueError) as error:
        raise BackupUnavailableError(
            f"{url} cannot be used ({type(error).__name__}): look at the bucket's name, at AWS_REGION and "
            "AWS_ENDPOINT_URL, and whether the credentials may list, read, write and delete there."
        ) from error
