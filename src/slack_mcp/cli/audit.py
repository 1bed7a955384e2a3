"""`slack-mcp audit …`: what the tools wrote and the commands changed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from slack_mcp.cli.ask import choose_connection
from slack_mcp.cli.render import print_json, print_table, render_time
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.ports.audit import AuditEntry

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

COLUMNS = ("entry", "time", "connection", "actor", "tool", "target", "result")

cli = typer.Typer(help="Show what the tools wrote and the commands changed.", no_args_is_help=True)


@cli.callback()
def root() -> None:
    """Show what the tools wrote and the commands changed."""


@cli.command("list")
def list_(
    ctx: typer.Context,
    *,
    connection_id: Annotated[
        str | None, typer.Option("--connection", help="Of this connection only; also of one that was removed.")
    ] = None,
    before: Annotated[int | None, typer.Option(help="Only entries older than the one with this number.")] = None,
    limit: Annotated[int, typer.Option(help="Most entries to print.", min=1, max=10_000)] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what tools wrote and commands changed, newest first; what concerns no connection alone has none."""

    async def work(admin: Admin, _settings: "Settings") -> Sequence[AuditEntry]:
        if connection_id is None:
            return await admin.audit.list_all_entries(before_id=before, limit=limit)
        return await admin.audit.list_entries(choose_connection(connection_id), before_id=before, limit=limit)

    seam: Seam = ctx.obj
    found = seam.run_admin(work)
    if json:
        print_json([_render(entry) for entry in found])
    elif found:
        print_table(COLUMNS, [tuple(str(value or "") for value in _render(entry).values()) for entry in found])
    else:
        print("No tool has written anything, and no command has changed anything.")


def _render(entry: AuditEntry) -> dict[str, object]:
    return {
        "entry": entry.id,
        "time": render_time(entry.at_ms),
        "connection": entry.connection_id or None,
        "actor": entry.actor,
        "tool": entry.tool,
        "target": entry.target,
        "result": entry.result,
    }
