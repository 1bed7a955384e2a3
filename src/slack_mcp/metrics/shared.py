"""How the processes of one service see each other's figures: a file of each, in a directory that is theirs alone.

Whether a process still runs is told by its lock, which the operating system takes back however the process ends.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Self

from slack_mcp.metrics.merge import drop_gauges, merge
from slack_mcp.metrics.values import Snapshot

GONE: Final = "gone.json"
FOLD_LOCK: Final = "fold.lock"


class SharedFigures:
    """One process's place among the others; `open_shared_figures` makes it.

    Args:
        directory: the same one for all of them, new with each start of the service.
        name: of this process, unlike all others.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name

    def publish(self, snapshot: Snapshot) -> None:
        """Let the others see the figures; whoever reads meanwhile sees the ones before."""
        _write(self._directory / f"{self._name}.json", snapshot)

    def load_others(self) -> tuple[Sequence[Snapshot], Sequence[Snapshot]]:
        """Return the figures of (those that run, those that have ended), this process left out."""
        live: list[Snapshot] = []
        gone: list[Snapshot] = []
        with self._hold(fcntl.LOCK_SH):
            for path in self._directory.glob("*.json"):
                if path.stem != self._name:
                    (live if self._is_alive(path.stem) else gone).append(_read(path))
        return live, gone

    def fold(self) -> None:
        """Put the figures of all that have ended into one file: a service whose processes die often keeps few."""
        with self._hold(fcntl.LOCK_EX):
            ended = [path for path in self._directory.glob("*.json") if not self._is_alive(path.stem)]
            _write(self._directory / GONE, drop_gauges(merge([], [_read(path) for path in ended])))
            for path in ended:
                if path.name != GONE:
                    path.unlink()
                    path.with_suffix(".alive").unlink(missing_ok=True)

    @contextmanager
    def hold(self) -> Iterator[Self]:
        """Be alive for as long as the context lasts."""
        with (self._directory / f"{self._name}.alive").open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield self

    def _is_alive(self, name: str) -> bool:
        with suppress(FileNotFoundError), (self._directory / f"{name}.alive").open() as alive:
            return _is_locked(alive)
        return False

    @contextmanager
    def _hold(self, mode: int) -> Iterator[None]:
        """Keep what is read from being folded away meanwhile."""
        with (self._directory / FOLD_LOCK).open("a") as lock:
            fcntl.flock(lock, mode)
            yield


@contextmanager
def open_shared_figures(directory: Path, name: str) -> Iterator[SharedFigures]:
    """Yield the place of the process of that name."""
    figures = SharedFigures(directory, name)
    with figures.hold():
        figures.fold()
        yield figures


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _write(path: Path, snapshot: Snapshot) -> None:
    rows = {name: [[labels, row] for labels, row in each.items()] for name, each in snapshot.items()}
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(rows), encoding="utf-8")
    new.replace(path)


def _read(path: Path) -> Snapshot:
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {name: {tuple(labels): tuple(row) for labels, row in each} for name, each in rows.items()}
