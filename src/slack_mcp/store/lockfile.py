"""One process per SQLite database: what it remembers of the file stays true because nobody else serves it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slack_mcp.core.errors import SettingsError


@contextmanager
def hold_database(path: Path) -> Iterator[None]:
    """Hold the database for this process; the operating system lets go of it when the process ends in any way.

    The lock lies beside the database, because SQLite's own locks on the file must not be disturbed.

    Raises:
        SettingsError: another process serves it, or the file cannot be made.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise SettingsError([f"{lock} cannot be made ({error.strerror}): make its directory writable."]) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingsError(
                [f"Another process serves {path}: stop it, or set DATABASE_URL=postgresql://… to run several."]
            ) from error
        yield
