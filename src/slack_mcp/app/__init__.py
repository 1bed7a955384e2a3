"""The composition root: the settings become rooms, the rooms become one process. Nothing else knows every class."""

from typing import TYPE_CHECKING

from slack_mcp.app.compose import migrations, open_admin
from slack_mcp.app.originals import load_original_rows
from slack_mcp.app.pod import open_pod
from slack_mcp.app.serve import serve
from slack_mcp.app.stdio import serve_stdio

if TYPE_CHECKING:
    from slack_mcp.app.backup import Backups
    from slack_mcp.backup.create import Progress
    from slack_mcp.settings import Settings

__all__ = ["load_original_rows", "migrations", "open_admin", "open_backups", "open_pod", "serve", "serve_stdio"]


def open_backups(settings: "Settings", *, target: str | None, progress: "Progress") -> "Backups":
    """See `slack_mcp.app.backup.open_backups`."""
    from slack_mcp.app import backup  # noqa: PLC0415 - a pod has no use for it, nor for the migrations that it brings

    return backup.open_backups(settings, target=target, progress=progress)
