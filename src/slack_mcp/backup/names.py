"""What the files of backups are called: the moment, and something of chance, so that two never meet."""

import re
import secrets
from datetime import UTC, datetime
from typing import Final

PATTERN: Final = re.compile(r"slack-mcp-\d{8}T\d{6}Z-[0-9a-f]{8}\.backup")
_MS: Final = 1000


def make_backup_id() -> str:
    """Return a new id."""
    return secrets.token_hex(4)


def make_name(backup_id: str, started_at_ms: int) -> str:
    """Return the name of a backup's file; names sort by time."""
    started = datetime.fromtimestamp(started_at_ms / _MS, UTC)
    return f"slack-mcp-{started:%Y%m%dT%H%M%SZ}-{backup_id}.backup"


def is_name(name: str) -> bool:
    """Tell whether a file is a backup, by its name."""
    return PATTERN.fullmatch(name) is not None
