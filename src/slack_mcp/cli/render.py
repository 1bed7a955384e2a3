"""What the commands print about connections and settings. No secret is in any of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from slack_mcp.core.model import Connection, ToolPolicy
from slack_mcp.core.secret import Secret

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

SET = "set"
NOT_SET = "not set"
MS_PER_S: Final = 1000


def render_connection(connection: Connection) -> dict[str, Any]:
    """Return a connection as plain data: a secret is `set` or `not set`."""
    choices = connection.settings
    return {
        "connection_id": connection.connection_id,
        "connection_name": connection.connection_name,
        "state": _render_state(connection),
        "mesh_refused_since": _render_refused_since(connection),
        "team_id": connection.team_id,
        "team_name": connection.team_name,
        "bot_user_id": connection.bot_user_id,
        "api_app_id": connection.api_app_id,
        "organization_id": connection.organization_id,
        "organization_slug": connection.organization_slug,
        "mesh_url": connection.mesh_url,
        "agent": choices.agent.value if choices.agent else None,
        "agent_id": connection.agent_id,
        "model_provider_id": connection.model_provider_id,
        "model_id": connection.model_id,
        "system_prompt": SET if connection.system_prompt else NOT_SET,
        "allowed_channels": list(choices.allowed_channels),
        "language": choices.language,
        "thread_timeout_min": choices.thread_timeout_min,
        "bot_token": _render_secret(connection.bot_token),
        "signing_secret": _render_secret(connection.signing_secret),
        "previous_signing_secret_until": _render_s(
            connection.previous_signing_secret_until_s if connection.previous_signing_secret else None
        ),
        "user_token": _render_secret(connection.user_token),
        "refresh_token": _render_secret(connection.refresh_token),
        "token_expires_at": _render_s(connection.token_expires_at_s),
        "client_id": connection.client_id,
        "client_secret": _render_secret(connection.client_secret),
        "mesh_token": _render_secret(connection.mesh_token),
        "mesh_api_key": _render_secret(connection.mesh_api_key),
        "version": connection.version,
        "configured_at": connection.configured_at,
        "updated_at": connection.updated_at,
    }


def render_policy(policy: ToolPolicy) -> dict[str, Any]:
    """Return a policy as plain data."""
    return {
        "read_only": policy.is_read_only,
        "allowed_tools": list(policy.allowed_tools) or "all",
        "denied_tools": list(policy.denied_tools),
        "write_channels": list(policy.write_channels) or "all",
        "denied_write_channels": list(policy.denied_write_channels),
        "approve_outside_thread": policy.approve_outside_thread,
    }


def _render_state(connection: Connection) -> str:
    """Return how a connection stands.

    It is `enabled`, `disabled` by the operator, `gone` because Mesh refused it for too long, or `disconnected` by
    Slack, which took its tokens back.
    """
    if connection.is_disconnected:
        return "disconnected"
    if connection.is_gone:
        return "gone"
    return "disabled" if connection.disabled else "enabled"


def _render_refused_since(connection: Connection) -> str | None:
    """Return since when Mesh refuses the connection, None when it is not known to."""
    refused_ms = connection.mesh_refused_since_ms
    return None if refused_ms is None else render_time(refused_ms)


def _render_s(at_s: float | None) -> str | None:
    """Return unix seconds as people and machines read them, None for none."""
    return None if at_s is None else render_time(int(at_s * MS_PER_S))


def render_time(at_ms: int) -> str:
    """Return unix milliseconds as people and machines read them."""
    return datetime.fromtimestamp(at_ms / MS_PER_S, UTC).isoformat(timespec="seconds")


def _render_secret(secret: Secret | None) -> str:
    """Return whether a secret is there, and nothing of it."""
    return SET if secret else NOT_SET


def render_list_row(connection: Connection) -> tuple[str, ...]:
    """Return a connection's cells for `connections list`."""
    agent, refused_since = connection.settings.agent, _render_refused_since(connection)
    return (
        connection.connection_id,
        connection.connection_name or "",
        connection.team_name or connection.team_id or "",
        agent.value if agent else "default",
        _render_state(connection) + (f", refused by Mesh since {refused_since}" if refused_since else ""),
        connection.updated_at,
    )


LIST_COLUMNS = ("connection", "name", "workspace", "agent", "state", "updated")


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; into a pipe, it is one line of tab separated cells per row."""
    import sys

    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # Text, because a name from Slack is not markup.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_fields(fields: dict[str, Any]) -> None:
    """Print plain data, one `name  value` per line."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{name:<{width}}  {'-' if shown is None or shown == '' else shown}")


def render_settings(settings: "Settings") -> Iterator[str]:
    """Yield a line for each setting that differs from its default, then what is worth knowing."""
    from slack_mcp.settings.kinds import get_name, is_secret

    yield f"Database: {settings.database.describe()}"
    for key, field in type(settings).model_fields.items():
        value = getattr(settings, key)
        if value != field.default:
            shown = SET if is_secret(field) else ",".join(value) if isinstance(value, tuple) else value
            yield f"{get_name(field)}={shown}"
    for notice in settings.notices:
        yield f"Note: {notice}"
    yield "The settings are good."
