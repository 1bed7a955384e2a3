"""Which backups have had their time. Pure."""

from collections.abc import Sequence
from typing import Final

from slack_mcp.backup.read import StoredBackup

MS_PER_DAY: Final = 86_400_000


def choose_expired(
    backups: Sequence[StoredBackup], *, keep: int | None, keep_days: float | None, now_ms: int
) -> Sequence[StoredBackup]:
    """Return the backups to delete.

    What either rule keeps is kept. The newest whole one stays whatever the rules say. One whose ends cannot be read
    counts as a backup for neither, and goes when all whole ones of its age would go.

    Args:
        backups: all there are, the newest first.
        keep: how many to keep; None has no such rule.
        keep_days: how old one may get; None has no such rule.
        now_ms: unix milliseconds.
    """
    if keep is None and keep_days is None:
        return []
    whole = [each for each in backups if each.is_whole]
    kept = {each.name for each in whole[: max(1, keep or 0)]}
    if keep_days is not None:
        oldest_ms = now_ms - keep_days * MS_PER_DAY
        kept |= {each.name for each in whole if each.head is not None and each.head.started_at_ms >= oldest_ms}
    # Names sort by time. What cannot be read may be the work of a newer version: it is left alone while it is young.
    oldest_kept = min(kept, default="")
    return [each for each in backups if each.name not in kept and (each.is_whole or each.name < oldest_kept)]
