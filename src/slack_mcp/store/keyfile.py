"""The key file that stands beside a SQLite database, so that secrets are sealed without anyone setting up keys."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from slack_mcp.core.errors import SettingsError
from slack_mcp.sealing import KeyRing

FILE_MODE = 0o600


def get_key_file(sqlite_path: Path) -> Path:
    """Return where the key of a SQLite database lies: `slack.db` has `slack.db.key`."""
    return sqlite_path.with_name(sqlite_path.name + ".key")


def load_or_create_key_file(path: Path) -> KeyRing:
    """Return the ring of the key file, which is made with mode 0600 when there is none.

    Processes that start together agree on one key: the file appears under its name complete, or not at all.

    Raises:
        SettingsError: the file cannot be read, cannot be made, or holds no keys.
    """
    try:
        return load_key_file(path)
    except FileNotFoundError:
        pass
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _create(path)
        return load_key_file(path)
    except OSError as error:
        message = f"The key file {path} cannot be made ({error.strerror}): make its directory writable, or set "
        raise SettingsError([message + "ENCRYPTION_KEYS."]) from error


def load_key_file(path: Path) -> KeyRing:
    """Return the ring in the file; raises FileNotFoundError, and SettingsError when it cannot be read."""
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"The key file {path} cannot be read: {type(error).__name__}."]) from error
    return KeyRing.parse(text, name=f"The key file {path}")


def _create(path: Path) -> None:
    """Write a new key to the file, unless another process was first."""
    # The random id tells a lost key file from a damaged value: the error names a key that is not on the ring.
    ring = KeyRing.generate(f"file-{secrets.token_hex(4)}")
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(ring.reveal() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces what another process has put there.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
