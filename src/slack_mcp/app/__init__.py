"""The composition root: the settings become rooms, the rooms become one process. Nothing else knows every class."""

from slack_mcp.app.backup import open_backups
from slack_mcp.app.compose import migrations, open_admin
from slack_mcp.app.originals import load_original_rows
from slack_mcp.app.pod import open_pod
from slack_mcp.app.serve import serve
from slack_mcp.app.stdio import serve_stdio

__all__ = ["load_original_rows", "migrations", "open_admin", "open_backups", "open_pod", "serve", "serve_stdio"]
