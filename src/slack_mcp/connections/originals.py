"""Connections as the original slack-mcp kept them: its table in Supabase or PostgreSQL, and its slack-kv.json. Pure.

A row of the table has the columns of `slack_connections`, an entry of the file the same in camel case, with `value` and
perhaps `expiresAt` around it: https://github.com/decocms/mcps/tree/main/slack-mcp/server/lib.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ConnectionId, TeamId, UserId
from slack_mcp.core.model import AgentBackend, Connection, ConnectionSettings
from slack_mcp.core.secret import Secret

# Older versions had the second prefix, and an even older one a file by workspace, without any connection's id.
KV_PREFIXES: Final = ("config:", "slack:connection:")
KV_TEAM_PREFIX: Final = "slack:team:"
_MS: Final = 1000

_NAMES: Final = {
    "connectionId": "connection_id",
    "organizationId": "organization_id",
    "meshUrl": "mesh_url",
    "meshToken": "mesh_token",
    "modelProviderId": "model_provider_id",
    "modelId": "model_id",
    "agentId": "agent_id",
    "systemPrompt": "system_prompt",
    "botToken": "bot_token",
    "signingSecret": "signing_secret",
    "teamId": "team_id",
    "teamName": "team_name",
    "botUserId": "bot_user_id",
    "connectionName": "connection_name",
    "responseConfig": "response_config",
    "configuredAt": "configured_at",
    "updatedAt": "updated_at",
}
_COLUMNS: Final = frozenset(_NAMES.values())
_SECRETS: Final = ("bot_token", "signing_secret", "mesh_token")
_PLAIN: Final = (
    "organization_id",
    "mesh_url",
    "model_provider_id",
    "model_id",
    "agent_id",
    "system_prompt",
    "team_name",
    "connection_name",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """One connection as it was found.

    Attributes:
        source: what it is called where it was found, for people.
        fields: by the names of the table; what was empty is left out.
        ignored: names of what this service has nothing for.
        refusal: why it cannot be taken at all, None when it may.
    """

    source: str
    fields: Mapping[str, Any]
    ignored: tuple[str, ...] = ()
    refusal: str | None = None


def parse_export(text: str, *, now_s: float) -> list[Original]:
    """Return the connections of a file: slack-kv.json, or the table as JSON or CSV.

    Args:
        text: what is in the file.
        now_s: entries that ended before are refused, unix seconds.

    Raises:
        InvalidInputError: it is none of these; nothing of it is repeated.
    """
    if text.lstrip("\ufeff \t\r\n")[:1] not in {"{", "["}:
        return _parse_csv(text.lstrip("\ufeff"))
    try:
        found = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise InvalidInputError("The file begins like JSON and is none: export it again.") from None
    if isinstance(found, list):
        return parse_rows(found)
    return [
        _parse_entry(key, entry, now_s=now_s)
        for key, entry in found.items()
        if key.startswith((*KV_PREFIXES, KV_TEAM_PREFIX))
    ]


def parse_rows(rows: Iterable[Any]) -> list[Original]:
    """Return the connections of a table's rows."""
    return [_make_original(f"row {number}", row) for number, row in enumerate(rows, 1)]


def _parse_csv(text: str) -> list[Original]:
    try:
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error:
        raise InvalidInputError("The file is neither JSON nor CSV: export the table slack_connections again.") from None
    if not rows or "connection_id" not in rows[0]:
        raise InvalidInputError(
            "The file holds no connections: give slack-kv.json, or the table slack_connections as JSON, or as CSV with "
            "the names of its columns in the first line."
        )
    return parse_rows({name: value for name, value in row.items() if isinstance(name, str)} for row in rows)


def _parse_entry(key: str, entry: Any, *, now_s: float) -> Original:
    """Return the connection of an entry of slack-kv.json."""
    if key.startswith(KV_TEAM_PREFIX):
        why = "It is kept by workspace, without a connection's id: save the connection in Mesh once."
        return Original(source=key, fields={}, refusal=why)
    if not isinstance(entry, dict):
        return Original(source=key, fields={}, refusal="The entry is no object.")
    ends_at_ms = entry.get("expiresAt")
    if isinstance(ends_at_ms, int | float) and ends_at_ms < now_s * _MS:
        return Original(source=key, fields={}, refusal="The entry had expired.")
    return _make_original(key, entry.get("value"))


def _make_original(source: str, row: Any) -> Original:
    if not isinstance(row, Mapping):
        return Original(source=source, fields={}, refusal="It is no object.")
    named = {_NAMES.get(name, name): value for name, value in row.items() if value is not None and value != ""}
    fields = {name: value for name, value in named.items() if name in _COLUMNS}
    ignored = tuple(sorted(str(name) for name in named if name not in _COLUMNS))
    texts = [name for name, value in fields.items() if name != "response_config" and not isinstance(value, str)]
    missing = [name for name in ("connection_id", "bot_token", "signing_secret") if name not in fields]
    problems = [f"{name} is no text" for name in texts] + [f"{name} is missing" for name in missing]
    return Original(
        source=source, fields=fields, ignored=ignored, refusal=f"{'; '.join(problems)}." if problems else None
    )


def apply_original(original: Original, stored: Connection | None) -> Connection:
    """Return a connection with what was found in it; what is stored and was not found stays.

    Args:
        original: one that is not refused.
        stored: what there is under its id.

    Raises:
        InvalidInputError: its choices cannot be read.
    """
    fields = original.fields
    base = stored or Connection(
        connection_id=ConnectionId(fields["connection_id"]),
        organization_id="",
        mesh_url="",
        bot_token=Secret(fields["bot_token"]),
        signing_secret=Secret(fields["signing_secret"]),
    )
    changes: dict[str, Any] = {name: fields[name] for name in _PLAIN if name in fields}
    changes |= {name: Secret(fields[name].strip()) for name in _SECRETS if name in fields}
    if "mesh_url" in changes:
        changes["mesh_url"] = changes["mesh_url"].rstrip("/")
    if "team_id" in fields:
        changes["team_id"] = TeamId(fields["team_id"])
    if "bot_user_id" in fields:
        changes["bot_user_id"] = UserId(fields["bot_user_id"])
    if stored is None and "configured_at" in fields:
        changes["configured_at"] = fields["configured_at"]
    return replace(base, **changes, settings=_apply_settings(fields, base.settings))


def _apply_settings(fields: Mapping[str, Any], settings: ConnectionSettings) -> ConnectionSettings:
    """Return settings with the choices of the original: its agents live in Mesh."""
    if "agent_id" in fields:
        settings = replace(settings, agent=AgentBackend.MESH)
    choices = fields.get("response_config")
    if choices is None:
        return settings
    try:
        found = json.loads(choices) if isinstance(choices, str) else choices
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise InvalidInputError("response_config is no object.")
    final_only = found.get("showOnlyFinalResponse") is True
    return replace(
        settings,
        final_only=final_only,
        streaming=found.get("enableStreaming", settings.streaming) is True and not final_only,
        show_thinking_message=found.get("showThinkingMessage", settings.show_thinking_message) is True
        and not final_only,
    )


def list_differences(connection: Connection, stored: Connection) -> list[str]:
    """Return the names of what an import changes in a stored connection."""
    names = (*_PLAIN, *_SECRETS, "team_id", "bot_user_id", "settings")
    return [name for name in names if getattr(connection, name) != getattr(stored, name)]
