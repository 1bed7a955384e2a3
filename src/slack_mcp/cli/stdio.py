"""`slack-mcp stdio`: the tools for one MCP client on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from slack_mcp.cli.ask import check_bot_token
from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access

if TYPE_CHECKING:
    from slack_mcp.cli.seam import Seam


def stdio(
    ctx: typer.Context,
    *,
    connection_id: Annotated[
        str | None,
        typer.Option(
            "--connection", help="A connection of the configured database; without it SLACK_BOT_TOKEN says which Slack."
        ),
    ] = None,
    is_read_only: Annotated[bool, typer.Option("--read-only", help="Offer no tool that writes.")] = False,
) -> None:
    """Offer the tools on standard input and output, for an MCP client that starts this command.

    With SLACK_BOT_TOKEN alone no database is needed. The log goes to standard error.
    """
    if connection_id is not None and not connection_id.isprintable():
        raise ConnectionNotFoundError(ConnectionId(connection_id))
    seam: Seam = ctx.obj
    settings = seam.load_settings()
    if connection_id is None and settings.slack_bot_token:
        check_bot_token(settings.slack_bot_token)
    seam.load_composition().serve_stdio(
        settings,
        connection_id=None if connection_id is None else ConnectionId(connection_id),
        access=Access.READ if is_read_only else Access.ADMIN,
    )
