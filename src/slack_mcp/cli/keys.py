"""`slack-mcp keys …`: API keys with which MCP clients call `/mcp`."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slack_mcp.cli.acts import audited
from slack_mcp.cli.ask import check_text, choose_connection
from slack_mcp.cli.render import print_json, print_table, render_time
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.core.errors import ConnectionNotFoundError, InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.ports.identity import ApiKey

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

MAX_NAME_CHARS = 200
MAX_DAYS = 36_500
S_PER_DAY = 86_400
MS_PER_S = 1000
LIST_COLUMNS = ("key", "connection", "name", "access", "created", "expires", "state")

cli = typer.Typer(help="Create, list or revoke API keys for MCP clients.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class AccessName(StrEnum):
    """How much a key allows, each with all before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@cli.command()
def create(
    ctx: typer.Context,
    *,
    connection_id: Annotated[str, typer.Option("--connection", help="The connection that the key opens.")],
    name: Annotated[str, typer.Option(help="A name for people, such as who uses it.")],
    access: Annotated[AccessName, typer.Option(help="How much it allows.")] = AccessName.READ,
    expires_days: Annotated[
        float | None, typer.Option(help="Days until it opens nothing any more; it does not expire if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """Make an API key and print it. It is shown this once: nobody can read it again."""
    from slack_mcp.core.clock import SystemClock
    from slack_mcp.identity.api_keys import make_key

    made = make_key(
        choose_connection(connection_id),
        name=_check_name(name),
        access=Access[access.name],
        expires_in_s=_read_days(expires_days),
        clock=SystemClock(),
    )

    async def work(admin: Admin, _settings: "Settings") -> None:
        async with audited(admin.audit, "keys create", connection_id=made.kept.connection_id, target=made.kept.key_id):
            await admin.keys.add_key(made.kept)

    seam: Seam = ctx.obj
    seam.run_admin(work)
    if json:
        print_json({**_render(made.kept), "key": made.shown.reveal()})
        return
    # The key alone on standard output, so that it can be piped to where it is needed.
    print(made.shown.reveal())
    typer.echo(f"Made {access} key {made.kept.key_id}. Keep it now: it is not shown again.", err=True)


@cli.command("list")
def list_(
    ctx: typer.Context,
    *,
    connection_id: Annotated[str | None, typer.Option("--connection", help="Of this connection only.")] = None,
    json: Json = False,
) -> None:
    """List the API keys; of a key itself, nothing is shown."""
    chosen = None if connection_id is None else choose_connection(connection_id)

    async def work(admin: Admin, _settings: "Settings") -> list[ApiKey]:
        if chosen is not None and await admin.connections.load_connection(chosen) is None:
            raise ConnectionNotFoundError(chosen)
        return list(await admin.keys.list_keys(chosen))

    seam: Seam = ctx.obj
    rendered = [_render(key) for key in seam.run_admin(work)]
    if json:
        print_json(rendered)
    elif rendered:
        rows = [[row[column] or "never" for column in _FIELDS] for row in rendered]
        print_table(LIST_COLUMNS, rows)
    else:
        print("No API keys: `slack-mcp keys create` makes one.")


@cli.command()
def revoke(
    ctx: typer.Context, key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `list` shows it.")]
) -> None:
    """Let an API key open nothing any more; every process heeds it within 5 s."""
    from slack_mcp.core.clock import SystemClock
    from slack_mcp.identity.api_keys import is_key_id

    async def work(admin: Admin, _settings: "Settings") -> ApiKey | None:
        key = next((key for key in await admin.keys.list_keys(None) if key.key_id == key_id), None)
        if key is None:
            return None
        async with audited(admin.audit, "keys revoke", connection_id=key.connection_id, target=key_id):
            return await admin.keys.revoke_key(key_id, now_ms=round(SystemClock().now_s() * MS_PER_S))

    seam: Seam = ctx.obj
    # What is no id is not looked for, and not repeated: it may be a whole key.
    revoked = seam.run_admin(work) if is_key_id(key_id) else None
    if revoked is None:
        raise InvalidInputError("No API key has this id: `slack-mcp keys list` shows those that exist.")
    print(f"Revoked {revoked.key_id} ({revoked.name}).")


_FIELDS = ("key_id", "connection_id", "name", "access", "created", "expires", "state")


def _render(key: ApiKey) -> dict[str, Any]:
    """Return a key as plain data, without anything that opens something."""
    return {
        "key_id": key.key_id,
        "connection_id": key.connection_id,
        "name": key.name,
        "access": key.access.name.lower(),
        "created": render_time(key.created_at_ms),
        "expires": None if key.expires_at_ms is None else render_time(key.expires_at_ms),
        "state": _find_state(key),
    }


def _find_state(key: ApiKey) -> str:
    """Return whether a key opens something."""
    if key.revoked_at_ms is not None:
        return "revoked"
    is_expired = key.expires_at_ms is not None and key.expires_at_ms <= datetime.now(UTC).timestamp() * MS_PER_S
    return "expired" if is_expired else "active"


def _check_name(name: str) -> str:
    """Return the name of a key; raises InvalidInputError."""
    text = (check_text("--name", name) or "").strip()
    if not text or len(text) > MAX_NAME_CHARS or not text.isprintable():
        raise InvalidInputError(f"--name must have 1 to {MAX_NAME_CHARS} printable characters.")
    return text


def _read_days(days: float | None) -> float | None:
    """Return days in seconds; raises InvalidInputError."""
    if days is None:
        return None
    if not 0 < days <= MAX_DAYS:
        raise InvalidInputError(f"--expires-days must be above 0, and {MAX_DAYS} at most.")
    return days * S_PER_DAY
