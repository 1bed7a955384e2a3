"""The key of one backup, made out of a key of the ring."""

import secrets
from typing import Final

from slack_mcp.backup.manifest import BackupHead
from slack_mcp.core.errors import SealingError
from slack_mcp.sealing import KeyRing

SALT_BYTES: Final = 32


def make_salt() -> str:
    """Return what makes a backup's key its own."""
    return secrets.token_hex(SALT_BYTES)


def find_backup_key(ring: KeyRing | None, head: BackupHead) -> bytes | None:
    """Return the key that a backup is sealed with, None when it is not sealed.

    Raises:
        SealingError: its key is not on the ring.
    """
    if head.key_id is None:
        return None
    ids = () if ring is None else ring.key_ids
    if ring is None or head.key_id not in ids:
        there = f"only {', '.join(ids)}" if ids else "no keys"
        raise SealingError(
            f"The backup is sealed with key {head.key_id!r}, and the ring has {there}: add that key to "
            "ENCRYPTION_KEYS, behind the one that seals; of a SQLite database it is in the file with `.key` behind its "
            "name."
        )
    return ring.derive(f"backup {head.salt}")[list(ids).index(head.key_id)]
