"""Backups in a directory: written beside their name, and renamed when they are on the disk."""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from slack_mcp.backup.names import is_name
from slack_mcp.core.errors import BackupUnavailableError, InvalidInputError

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
PARTIAL: Final = ".partial"
# What a process that was killed has left; no backup takes that long.
PARTIAL_MAX_AGE_S: Final = 7 * 86_400
READ_BYTES: Final = 1024 * 1024


class DirectoryTarget:
    """`ports.backup.BackupTarget`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def describe(self) -> str:
        """Return the directory."""
        return str(self._path)

    async def write(self, name: str, chunks: AsyncIterator[bytes]) -> int:
        """Write a file and return its size; the directory is made."""
        draft = self._path / f".{name}{PARTIAL}"
        with self._translate():
            await anyio.to_thread.run_sync(self._prepare)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            size = 0
            async with anyio.wrap_file(os.fdopen(descriptor, "wb")) as file:
                async for chunk in chunks:
                    with self._translate():
                        size += await file.write(chunk)
                with self._translate():
                    await file.flush()
                    await anyio.to_thread.run_sync(os.fsync, descriptor)
            with self._translate():
                await anyio.to_thread.run_sync(self._publish, draft, name)
        finally:
            draft.unlink(missing_ok=True)
        return size

    async def list_files(self) -> Sequence[tuple[str, int]]:
        """Return (name, size) of each backup; none where there is no directory."""
        with self._translate():
            return await anyio.to_thread.run_sync(self._list)

    async def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return bytes of a file."""
        with self._translate():
            async with await anyio.open_file(self._find(name), "rb") as file:
                await file.seek(start)
                return await file.read(end - start)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file."""
        with self._translate():
            file = await anyio.open_file(self._find(name), "rb")
        async with file:
            while True:
                with self._translate():
                    chunk = await file.read(READ_BYTES)
                if not chunk:
                    return
                yield chunk

    async def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with self._translate():
            await anyio.Path(self._find(name)).unlink(missing_ok=True)

    def _find(self, name: str) -> Path:
        """Return where a backup lies; a name leads nowhere else."""
        if not is_name(name):
            raise InvalidInputError("This is no backup's name: `slack-mcp backup list` shows those that there are.")
        return self._path / name

    def _prepare(self) -> None:
        self._path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        for left in self._path.glob(f".*{PARTIAL}"):
            if is_name(left.name[1 : -len(PARTIAL)]) and time.time() - left.stat().st_mtime > PARTIAL_MAX_AGE_S:
                left.unlink(missing_ok=True)

    def _publish(self, draft: Path, name: str) -> None:
        """Give the file its name, and have the directory remember it even if the power fails."""
        draft.rename(self._path / name)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _list(self) -> Sequence[tuple[str, int]]:
        try:
            entries = sorted(os.scandir(self._path), key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
        return [(entry.name, entry.stat().st_size) for entry in entries if is_name(entry.name)]

    @contextmanager
    def _translate(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise InvalidInputError(
                f"There is no such backup in {self._path}: `slack-mcp backup list` shows those that there are."
            ) from error
        except OSError as error:
            raise BackupUnavailableError(f"{self._path}: {error.strerror}.") from error
