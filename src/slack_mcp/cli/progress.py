"""A line on standard error that tells how far a long work is, where somebody sits before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class ProgressLine:
    """Shows nothing."""

    def update(self, what: str, done: int, total: int) -> None:
        """Take word of how much of what is done."""


class _RichLine(ProgressLine):
    """Shows the newest word."""

    def __init__(self, show: "Progress") -> None:
        self._progress = show
        self._task = show.add_task("", total=None)

    def update(self, what: str, done: int, total: int) -> None:
        """Show how much of what is done."""
        self._progress.update(self._task, description=what, completed=done, total=total or None)


@contextmanager
def open_progress() -> Iterator[ProgressLine]:
    """Yield a line that goes away at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _RichLine(progress)
