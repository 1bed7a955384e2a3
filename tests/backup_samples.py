"""Backups as lists show them."""

from slack_mcp.backup.manifest import BackupFormat, BackupHead, BackupManifest
from slack_mcp.backup.names import make_name
from slack_mcp.backup.read import StoredBackup


def make_stored(started_at_ms: int, *, is_whole: bool = True) -> StoredBackup:
    """Return a backup of a moment, with both of its ends or with neither."""
    head = BackupHead(
        layout=1,
        backup_id="0a1b2c3d",
        started_at_ms=started_at_ms,
        version="0.1.0",
        revision="0001_first",
        dialect="sqlite",
        format=BackupFormat.PORTABLE,
        key_id=None,
        salt="00",
    )
    manifest = BackupManifest(finished_at_ms=started_at_ms, tables={}, sequences={}, sealed_values={}, clear_bytes=0)
    return StoredBackup(
        name=make_name(head.backup_id, started_at_ms),
        size=1,
        head=head if is_whole else None,
        manifest=manifest if is_whole else None,
    )
