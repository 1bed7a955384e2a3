"""`slack-mcp connections …`: the tenants of the service."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from slack_mcp.cli.ask import check_bot_token, get_secret
from slack_mcp.cli.render import (
    LIST_COLUMNS,
    print_fields,
    print_json,
    print_table,
    render_connection,
    render_list_row,
)
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import ConflictError, ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import AgentBackend, Connection, ConnectionSettings

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

T = TypeVar("T")

cli = typer.Typer(help="Add, list, show, test, disable, enable or remove connections.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="CONNECTION_ID", help="The connection's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@cli.command()
def add(
    ctx: typer.Context,
    *,
    connection_id: Annotated[
        str | None, typer.Option("--id", help="The connection's id; made up if not given.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    agent: Annotated[AgentBackend | None, typer.Option(help="Who answers; DEFAULT_AGENT if not given.")] = None,
    model_id: Annotated[str | None, typer.Option(help="The agent's model.")] = None,
    system_prompt_file: Annotated[Path | None, typer.Option(help="File with the agent's instructions.")] = None,
    bot_token_file: Annotated[Path | None, typer.Option(help="File with the bot token.")] = None,
    signing_secret_file: Annotated[Path | None, typer.Option(help="File with the signing secret.")] = None,
    json: Json = False,
) -> None:
    """Connect a Slack workspace.

    The bot token and the signing secret are asked for, or come from SLACK_BOT_TOKEN and SLACK_SIGNING_SECRET, or from
    files.
    """
    seam: Seam = ctx.obj
    settings = seam.load_settings()
    bot_token = get_secret(
        "Bot token (xoxb-…)",
        option="--bot-token-file",
        variable="SLACK_BOT_TOKEN",
        file=bot_token_file,
        environment=settings.slack_bot_token,
        is_terminal=seam.is_terminal,
    )
    signing_secret = get_secret(
        "Signing secret",
        option="--signing-secret-file",
        variable="SLACK_SIGNING_SECRET",
        file=signing_secret_file,
        environment=settings.slack_signing_secret,
        is_terminal=seam.is_terminal,
    )
    connection = Connection(
        connection_id=ConnectionId(connection_id or f"conn_{secrets.token_hex(8)}"),
        organization_id="",
        mesh_url="",
        bot_token=check_bot_token(bot_token),
        signing_secret=signing_secret,
        connection_name=name,
        model_id=model_id,
        system_prompt=system_prompt_file.read_text(encoding="utf-8") if system_prompt_file else None,
        settings=ConnectionSettings(agent=agent),
    )

    async def work(admin: Admin, _settings: "Settings") -> Connection:
        if await admin.connections.load_connection(connection.connection_id) is not None:
            raise ConflictError(f"Connection {connection.connection_id} exists already: remove it first.")
        return await admin.saver.save(connection)

    saved = seam.run_admin(work)
    path = f"/slack/events/{saved.connection_id}"
    request_url = f"{settings.public_url}{path}" if settings.public_url else None
    if json:
        print_json({**render_connection(saved), "request_url": request_url, "request_path": path})
        return
    print(f"Connected {saved.team_name or saved.team_id} as {saved.connection_id}.")
    print(f"Set as the app's Request URL (Event Subscriptions): {request_url or 'https://<this service>' + path}")


@cli.command("list")
def list_(ctx: typer.Context, *, json: Json = False) -> None:
    """List all connections."""

    async def work(admin: Admin, _settings: "Settings") -> list[Connection]:
        return list(await admin.connections.list_connections())

    seam: Seam = ctx.obj
    found = seam.run_admin(work)
    if json:
        print_json([render_connection(connection) for connection in found])
    elif found:
        print_table(LIST_COLUMNS, [render_list_row(connection) for connection in found])
    else:
        print("No connections yet: `slack-mcp connections add` makes one.")


@cli.command()
def show(ctx: typer.Context, connection_id: Id, *, json: Json = False) -> None:
    """Show one connection; of its secrets, only whether they are set."""
    fields = render_connection(_run(ctx, connection_id, _load))
    print_json(fields) if json else print_fields(fields)


@cli.command("test")
def check_token(ctx: typer.Context, connection_id: Id, *, json: Json = False) -> None:
    """Ask Slack whose the bot token is, and which scopes it lacks (exit code 1 if any)."""
    from slack_mcp.connections.scopes import REQUIRED_SCOPES, find_missing_scopes

    async def work(admin: Admin, connection: Connection) -> dict[str, object]:
        identity = await admin.slack.open(connection).fetch_identity()
        return {
            "connection_id": connection.connection_id,
            "team_id": identity.team_id,
            "team_name": identity.team_name,
            "bot_user_id": identity.bot_user_id,
            "api_app_id": identity.api_app_id,
            "scopes": None if identity.scopes is None else sorted(identity.scopes),
            "missing_scopes": list(find_missing_scopes(identity.scopes)),
        }

    result = _run(ctx, connection_id, work)
    missing = [str(scope) for scope in result["missing_scopes"]] if isinstance(result["missing_scopes"], list) else []
    if json:
        print_json(result)
    else:
        print_fields(result)
        for scope in missing:
            print(f"Missing scope {scope}: without it the bot cannot {REQUIRED_SCOPES[scope]}.")
    if missing:
        raise typer.Exit(1)


@cli.command()
def disable(ctx: typer.Context, connection_id: Id) -> None:
    """Silence the bot of a connection; Slack's deliveries are still answered."""
    _switch(ctx, connection_id, disabled=True)


@cli.command()
def enable(ctx: typer.Context, connection_id: Id) -> None:
    """Let the bot of a connection speak again."""
    _switch(ctx, connection_id, disabled=False)


@cli.command()
def remove(
    ctx: typer.Context,
    connection_id: Id,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a connection with its secrets and conversations."""
    if not yes:
        typer.confirm(f"Delete {connection_id} with its secrets and conversations?", abort=True)

    async def work(admin: Admin, connection: Connection) -> None:
        if not await admin.connections.remove_connection(connection.connection_id):
            raise ConnectionNotFoundError(connection.connection_id)

    _run(ctx, connection_id, work)
    print(f"Removed {connection_id}.")


def _switch(ctx: typer.Context, connection_id: str, *, disabled: bool) -> None:
    """Save a connection as disabled or enabled, and say so."""

    async def work(admin: Admin, connection: Connection) -> None:
        if connection.disabled != disabled:
            await admin.connections.save_connection(replace(connection, disabled=disabled))

    _run(ctx, connection_id, work)
    print(f"{connection_id} is {'disabled' if disabled else 'enabled'}.")


async def _load(_admin: Admin, connection: Connection) -> Connection:
    """Return the connection as it is."""
    return connection


def _run(ctx: typer.Context, connection_id: str, work: Callable[[Admin, Connection], Awaitable[T]]) -> T:
    """Run work on one connection and return what it returns; raises ConnectionNotFoundError."""
    seam: Seam = ctx.obj

    async def find_and_work(admin: Admin, _settings: "Settings") -> T:
        connection = await admin.connections.load_connection(ConnectionId(connection_id))
        if connection is None:
            raise ConnectionNotFoundError(ConnectionId(connection_id))
        return await work(admin, connection)

    return seam.run_admin(find_and_work)
