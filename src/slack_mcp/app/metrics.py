"""The metrics of one process, and the place that several processes of one service share."""

import fcntl
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from slack_mcp import __version__
from slack_mcp.core.ids import PodId
from slack_mcp.metrics import catalogue
from slack_mcp.metrics.exporter import Exporter
from slack_mcp.metrics.shared import open_shared_figures
from slack_mcp.metrics.values import Values

PREFIX: Final = "slack-mcp-metrics-"
IN_USE: Final = "in-use"
# A directory that is younger may have been made a moment ago by a service that has yet to lock it.
ABANDONED_AFTER_S: Final = 60.0


@contextmanager
def make_shared_directory(*, parent: Path | None = None) -> Iterator[Path]:
    """Yield a new directory for the figures of several processes: what an earlier service counted is not in it.

    What a service left behind that was killed is removed.

    Args:
        parent: where directories are made; the system's own place for them unless given.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    for left in parent.glob(f"{PREFIX}*"):
        if _is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as directory,
        (Path(directory) / IN_USE).open("w") as in_use,
    ):
        fcntl.flock(in_use, fcntl.LOCK_EX)  # held by the processes that are forked from this one, too
        yield Path(directory)


def _is_abandoned(directory: Path) -> bool:
    with suppress(OSError):
        if time.time() - directory.stat().st_mtime < ABANDONED_AFTER_S:
            return False
        with (directory / IN_USE).open() as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False  # somebody holds it, or it is not ours


@contextmanager
def open_exporter(values: Values, pod_id: PodId, directory: Path | None, *, database: str) -> Iterator[Exporter]:
    """Yield what writes down the figures: with a directory, those of all processes that share it."""
    values.gauge(catalogue.BUILD_INFO).set(1, __version__, platform.python_version(), database)
    if directory is None:
        yield Exporter(values)
        return
    with open_shared_figures(directory, pod_id) as shared:
        yield Exporter(values, shared=shared)
