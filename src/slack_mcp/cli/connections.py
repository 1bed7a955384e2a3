"""`slack-mcp connections …`: the tenants of the service."""

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from slack_mcp.cli.acts import audited, name_changes
from slack_mcp.cli.ask import (
    check_bot_token,
    check_client_secret,
    check_connection_id,
    check_refresh_token,
    check_signing_secret,
    check_text,
    check_user_token,
    choose_connection,
    find_secret,
    read_json,
    read_text,
)
from slack_mcp.cli.render import (
    LIST_COLUMNS,
    print_fields,
    print_json,
    print_table,
    render_connection,
    render_list_row,
)
from slack_mcp.cli.rotate_secret import rotate_secret
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import ConflictError, ConnectionNotFoundError, InvalidInputError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import AgentBackend, Connection, ConnectionSettings
from slack_mcp.core.secret import Secret

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

T = TypeVar("T")

cli = typer.Typer(help="Add, list, show, set up, test, disable, enable or remove connections.", no_args_is_help=True)
cli.command("rotate-secret")(rotate_secret)

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
    user_token_file: Annotated[
        Path | None, typer.Option(help="File with the user token with which the tools search; may be left out.")
    ] = None,
    refresh_token_file: Annotated[
        Path | None, typer.Option(help="File with the refresh token, for a bot token that expires.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="The app's client id, if its tokens expire; SLACK_CLIENT_ID if not given.")
    ] = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(help="File with the app's client secret; SLACK_CLIENT_SECRET if not given.")
    ] = None,
    is_replacing: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Change the connection named by --id: what is given replaces what is stored; everything else and the "
            "conversations stay.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Connect a Slack workspace, or with --replace give a connection new secrets.

    The bot token and the signing secret are asked for, or come from SLACK_BOT_TOKEN and SLACK_SIGNING_SECRET, or from
    files; a user token comes from SLACK_USER_TOKEN or a file. For an app whose tokens expire a refresh token comes from
    SLACK_REFRESH_TOKEN or a file: from then on the service replaces the bot token by itself. A replaced signing secret
    is still accepted for SLACK_MCP_SIGNING_SECRET_OVERLAP_S.
    """
    from slack_mcp.core.clock import SystemClock

    seam: Seam = ctx.obj
    settings = seam.load_settings()
    if is_replacing and connection_id is None:
        raise InvalidInputError("--replace needs --id: `slack-mcp connections list` shows the ids.")
    new_id = check_connection_id(connection_id or f"conn_{secrets.token_hex(8)}")
    prompt = read_text("--system-prompt-file", system_prompt_file) if system_prompt_file else None
    given = Given(
        name=check_text("--name", name),
        agent=agent,
        model_id=check_text("--model-id", model_id),
        system_prompt=check_text("--system-prompt-file", prompt),
        bot_token=find_secret(
            "Bot token (xoxb-…)",
            file=bot_token_file,
            environment=settings.slack_bot_token,
            is_terminal=seam.is_terminal,
            may_skip=is_replacing,
        ),
        signing_secret=find_secret(
            "Signing secret",
            file=signing_secret_file,
            environment=settings.slack_signing_secret,
            is_terminal=seam.is_terminal,
            may_skip=is_replacing,
        ),
        user_token=find_secret(
            "User token (xoxp-…)",
            file=user_token_file,
            environment=settings.slack_user_token,
            is_terminal=False,  # most connections have none: nobody is asked for it
        ),
        refresh_token=find_secret(
            "Refresh token (xoxe-…)",
            file=refresh_token_file,
            environment=settings.slack_refresh_token,
            is_terminal=False,
        ),
        client_id=check_text("--client-id", client_id),
        # What the service has for all connections is not copied into one.
        client_secret=find_secret("Client secret", file=client_secret_file, environment=None, is_terminal=False),
        now_s=SystemClock().now_s(),
    )
    new = None if is_replacing else given.make(new_id)

    async def work(admin: Admin, _settings: "Settings") -> Connection:
        stored = await admin.connections.load_connection(new_id)
        if new is None:
            if stored is None:
                raise ConnectionNotFoundError(new_id)
            changed = given.change(stored)
            async with audited(
                admin.audit,
                "connections add --replace",
                connection_id=new_id,
                target=name_changes(stored, changed),
            ):
                return await admin.saver.save(changed)
        if stored is not None:
            raise ConflictError(
                f"Connection {new_id} exists already: `slack-mcp connections add --replace --id {new_id}` changes it, "
                "and its conversations stay."
            )
        async with audited(admin.audit, "connections add", connection_id=new_id):
            return await admin.saver.save(new)

    saved = seam.run_admin(work)
    path = f"/slack/events/{saved.connection_id}"
    request_url = f"{settings.public_url}{path}" if settings.public_url else None
    if json:
        print_json({**render_connection(saved), "request_url": request_url, "request_path": path})
        return
    workspace = saved.team_name or saved.team_id
    print(f"Changed {saved.connection_id} ({workspace})." if is_replacing else f"Connected {workspace} as {new_id}.")
    print(f"Set as the app's Request URL (Event Subscriptions): {request_url or 'https://<this service>' + path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the user said of a connection, and when; None is what was not said."""

    name: str | None
    agent: AgentBackend | None
    model_id: str | None
    system_prompt: str | None
    bot_token: Secret | None
    signing_secret: Secret | None
    user_token: Secret | None
    refresh_token: Secret | None
    client_id: str | None
    client_secret: Secret | None
    now_s: float

    def __post_init__(self) -> None:
        if self.user_token is not None:
            check_user_token(self.user_token)
        if self.bot_token is not None:
            check_bot_token(self.bot_token)
        if self.signing_secret is not None:
            check_signing_secret(self.signing_secret)
        if self.refresh_token is not None:
            check_refresh_token(self.refresh_token)
        if self.client_secret is not None:
            check_client_secret(self.client_secret)
        if self.refresh_token is not None and self.bot_token is None:
            raise InvalidInputError("A refresh token comes with its bot token: give both.")

    def make(self, connection_id: ConnectionId) -> Connection:
        """Return a new connection; raises InvalidInputError when a secret is missing."""
        if self.bot_token is None:
            raise InvalidInputError("The bot token is missing: set SLACK_BOT_TOKEN, or give --bot-token-file.")
        if self.signing_secret is None:
            raise InvalidInputError(
                "The signing secret is missing: set SLACK_SIGNING_SECRET, or give --signing-secret-file."
            )
        return Connection(
            connection_id=connection_id,
            organization_id="",
            mesh_url="",
            bot_token=self.bot_token,
            signing_secret=self.signing_secret,
            user_token=self.user_token,
            refresh_token=self.refresh_token,
            # Nobody says when it expires: it is replaced at once, and Slack says so then.
            token_expires_at_s=None if self.refresh_token is None else self.now_s,
            client_id=self.client_id,
            client_secret=self.client_secret,
            connection_name=self.name,
            model_id=self.model_id,
            system_prompt=self.system_prompt,
            settings=ConnectionSettings(agent=self.agent),
        )

    def change(self, stored: Connection) -> Connection:
        """Return the connection with what was said, and everything else as it was."""
        return replace(
            stored,
            bot_token=self.bot_token or stored.bot_token,
            signing_secret=self.signing_secret or stored.signing_secret,
            user_token=self.user_token or stored.user_token,
            # The refresh token belongs to the bot token, and goes with it.
            refresh_token=self.refresh_token if self.bot_token else stored.refresh_token,
            token_expires_at_s=self._find_expiry(stored),
            client_id=self.client_id or stored.client_id,
            client_secret=self.client_secret or stored.client_secret,
            connection_name=stored.connection_name if self.name is None else self.name,
            model_id=stored.model_id if self.model_id is None else self.model_id,
            system_prompt=stored.system_prompt if self.system_prompt is None else self.system_prompt,
            settings=replace(stored.settings, agent=self.agent or stored.settings.agent),
            # With a new token it speaks again; what its operator had silenced stays so.
            disabled=stored.disabled and not (stored.is_disconnected and self.bot_token),
        )

    def _find_expiry(self, stored: Connection) -> float | None:
        if self.bot_token is None:
            return stored.token_expires_at_s
        return None if self.refresh_token is None else self.now_s


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
    seam: Seam = ctx.obj
    fields = render_connection(seam.run_on_connection(connection_id, _load))
    print_json(fields) if json else print_fields(fields)


@cli.command()
def settings(
    ctx: typer.Context,
    connection_id: Id,
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="File with the new settings as JSON: what it does not name gets its default."),
    ] = None,
) -> None:
    """Print a connection's settings as JSON, or with --file replace them by those in a file.

    They are the sections of the form in Mesh, where the next save of a connection replaces them again. The tools'
    policy stays when the file has no TOOLS_CONFIG.
    """
    from slack_mcp.connections.choices import parse_choices, render_choices
    from slack_mcp.connections.policy import check_tool_names
    from slack_mcp.tools.registry import TOOLS

    chosen = None if file is None else parse_choices(read_json("--file", file))
    if chosen is not None and chosen.tools is not None:
        check_tool_names(chosen.tools, {tool.name for tool in TOOLS})

    async def work(admin: Admin, connection: Connection) -> ConnectionSettings:
        if chosen is None:
            return connection.settings
        changed = chosen.apply_to(connection.settings)
        async with audited(
            admin.audit,
            "connections settings",
            connection_id=connection.connection_id,
            target=name_changes(connection.settings, changed),
        ):
            return (await admin.connections.save_connection(replace(connection, settings=changed))).settings

    seam: Seam = ctx.obj
    print_json(render_choices(seam.run_on_connection(connection_id, work)))


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

    seam: Seam = ctx.obj
    result = seam.run_on_connection(connection_id, work)
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
    seam: Seam = ctx.obj
    chosen = choose_connection(connection_id)
    if not yes:
        typer.confirm(f"Delete {connection_id} with its secrets and conversations?", abort=True)

    async def work(admin: Admin, _settings: "Settings") -> None:
        # Not loaded before: one whose key is lost cannot be, and this is the way to be rid of it.
        async with audited(admin.audit, "connections remove", connection_id=chosen):
            if not await admin.connections.remove_connection(chosen):
                raise ConnectionNotFoundError(chosen)

    seam.run_admin(work)
    print(f"Removed {chosen}.")


def _switch(ctx: typer.Context, connection_id: str, *, disabled: bool) -> None:
    """Save a connection as disabled or enabled, and say so."""

    async def work(admin: Admin, connection: Connection) -> None:
        if connection.is_disconnected and not disabled:
            raise ConflictError(
                f"Slack took the tokens of {connection_id} back: `slack-mcp connections add --replace --id "
                f"{connection_id}` gives it a new one, and enables it."
            )
        # The operator's word stands above what was found out: nothing but another one changes it.
        said = replace(connection, disabled=disabled, mesh_refused_since_ms=None)
        if said != connection:
            command = f"connections {'disable' if disabled else 'enable'}"
            async with audited(admin.audit, command, connection_id=connection.connection_id):
                await admin.connections.save_connection(said)

    seam: Seam = ctx.obj
    seam.run_on_connection(connection_id, work)
    print(f"{connection_id} is {'disabled' if disabled else 'enabled'}.")


async def _load(_admin: Admin, connection: Connection) -> Connection:
    """Return the connection as it is."""
    return connection
