"""Saving triggers: what Mesh configures for its automations, and what an operator adds over HTTPS."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import httpx2
import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ConflictError, ConnectionNotFoundError, InvalidInputError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, Trigger, TriggerKind
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshClaims
from slack_mcp.ports.store import ConnectionStore
from slack_mcp.ports.triggers import TriggerStore
from slack_mcp.triggers.data import render_sample, render_time
from slack_mcp.triggers.kinds import KINDS
from slack_mcp.triggers.plan import MESH
from slack_mcp.triggers.send import TriggerSender
from slack_mcp.triggers.sign import make_secret
from slack_mcp.triggers.target import MAX_URL_CHARS, Targets, get_port

MAX_TRIGGERS: Final = 50
MAX_TOKEN_CHARS: Final = 4096
MAX_VALUE_CHARS: Final = 256

_log = structlog.get_logger(__name__)


class MeshTriggers:
    """The triggers of Mesh's automations.

    Mesh has one callback token for a connection and makes a new one with every trigger, so that each configuration
    replaces the credentials of all of them. It filters itself; what no automation of it asks for is not sent.

    Args:
        connections: tells whose a connection is.
        triggers: keeps the triggers.
        mesh_urls: the Meshes that may be told beside the connection's own.
    """

    def __init__(self, *, connections: ConnectionStore, triggers: TriggerStore, mesh_urls: Iterable[str]) -> None:
        self._connections = connections
        self._triggers = triggers
        self._mesh_origins = frozenset(origin for url in mesh_urls if (origin := _read_origin(url)) is not None)

    async def enable(
        self, claims: MeshClaims, event_type: str, params: Mapping[str, Any], *, url: str, token: Secret
    ) -> None:
        """Tell Mesh of this kind of event from now on.

        Args:
            claims: of a verified token.
            event_type: a kind of event.
            params: values that an automation asks for. Those that are no strings, too long for what an event has, or
                not known, are left to Mesh.
            url: Mesh's callback.
            token: its bearer.

        Raises:
            InvalidInputError: no such kind of event, or the callback is not the connection's Mesh.
            ConflictError: the connection belongs to another organization.
            ConnectionNotFoundError: the connection is not configured yet.
        """
        kind = KINDS.get(event_type)
        if kind is None:
            raise InvalidInputError(f"There is no event {event_type!r}; there are {', '.join(KINDS)}.")
        allowed = {_read_origin(claims.mesh_url), *self._mesh_origins} - {None}
        if len(url) > MAX_URL_CHARS or _read_origin(url) not in allowed:
            raise InvalidInputError(
                "callbackUrl is not at the connection's Mesh; the operator can allow another with MESH_ALLOWED_URLS."
            )
        text = token.reveal()
        if not (0 < len(text) <= MAX_TOKEN_CHARS and text.isascii() and text.isprintable() and " " not in text):
            raise InvalidInputError("callbackToken cannot be used as a bearer token.")
        await self._check_owner(claims)
        added = Trigger(
            trigger_id=_render_id(event_type, params),
            kind=TriggerKind.MESH,
            event_type=event_type,
            url=url,
            secret=token,
            filters={
                key: value
                for key, value in params.items()
                if key in {*kind.filters, "is_dm"} and isinstance(value, str) and len(value) <= MAX_VALUE_CHARS
            },
        )

        def change(standing: tuple[Trigger, ...]) -> Sequence[Trigger]:
            kept = [each for each in standing if each.trigger_id != added.trigger_id]
            if sum(each.event_type == event_type and each.kind is TriggerKind.MESH for each in kept) >= MAX_TRIGGERS:
                # So many choices: Mesh makes them all.
                kept = [each for each in kept if each.event_type != event_type or each.kind is not TriggerKind.MESH]
                renewed = replace(added, trigger_id=_render_id(event_type, {}), filters={})
            else:
                renewed = added
            return [
                replace(each, url=url, secret=token, refused_at_ms=None) if each.kind is TriggerKind.MESH else each
                for each in [*kept, renewed]
            ]

        await self._triggers.update_triggers(claims.connection_id, change)
        _log.info("trigger.configured", connection_id=claims.connection_id, type=event_type)

    async def disable(self, claims: MeshClaims, event_type: str, params: Mapping[str, Any]) -> None:
        """Tell Mesh no more of what these values ask for; where nothing was asked for with them, of the whole kind.

        Raises:
            ConflictError: the connection belongs to another organization.
        """
        try:
            await self._check_owner(claims)
        except ConnectionNotFoundError:
            return  # with the connection, its triggers went
        removed = _render_id(event_type, params)

        def change(standing: tuple[Trigger, ...]) -> Sequence[Trigger]:
            left = [each for each in standing if each.trigger_id != removed]
            if len(left) < len(standing):
                return left
            return [each for each in standing if each.kind is not TriggerKind.MESH or each.event_type != event_type]

        await self._triggers.update_triggers(claims.connection_id, change)
        _log.info("trigger.removed", connection_id=claims.connection_id, type=event_type)

    async def _check_owner(self, claims: MeshClaims) -> None:
        stored = await self._connections.load_connection(claims.connection_id)
        if stored is None:
            raise ConnectionNotFoundError(claims.connection_id)
        if stored.organization_id != claims.organization_id:
            raise ConflictError(f"Connection {claims.connection_id} was not made by this organization.")


class Subscriptions:
    """The receivers that an operator adds.

    Args:
        connections: the connections that there are.
        triggers: keeps the triggers.
        targets: says which addresses are allowed.
        sender: tells a receiver that is to be tried.
        clock: the time of a trial.
    """

    def __init__(
        self,
        *,
        connections: ConnectionStore,
        triggers: TriggerStore,
        targets: Targets,
        sender: TriggerSender,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._triggers = triggers
        self._targets = targets
        self._sender = sender
        self._clock = clock

    async def add(self, connection_id: ConnectionId, event_type: str, url: str, filters: Mapping[str, str]) -> Trigger:
        """Return the new trigger, with the key by which its receiver knows the deliveries.

        Raises:
            InvalidInputError: no such kind of event, a filter that it does not have, a URL that is not allowed, or too
                many triggers.
            ConnectionNotFoundError: no such connection.
        """
        check_filters(event_type, filters)
        await self._targets.check(url)
        added = Trigger(
            trigger_id=f"trg_{secrets.token_hex(6)}",
            kind=TriggerKind.HTTPS,
            event_type=event_type,
            url=url,
            secret=make_secret(),
            filters={key: value for key, value in filters.items() if value},
        )

        def change(standing: tuple[Trigger, ...]) -> Sequence[Trigger]:
            if sum(each.kind is TriggerKind.HTTPS for each in standing) >= MAX_TRIGGERS:
                raise InvalidInputError(f"A connection has at most {MAX_TRIGGERS} receivers: remove one first.")
            return [*standing, added]

        await self._triggers.update_triggers(connection_id, change)
        return added

    async def list_triggers(self, connection_id: ConnectionId) -> Sequence[Trigger]:
        """Return all triggers of a connection, those of Mesh too; raises ConnectionNotFoundError."""
        return (await self._load(connection_id)).triggers

    async def remove(self, connection_id: ConnectionId, trigger_id: str) -> bool:
        """Remove a trigger; False when there was none with this id. Raises ConnectionNotFoundError."""
        found: list[Trigger] = []

        def change(standing: tuple[Trigger, ...]) -> Sequence[Trigger]:
            found.extend(each for each in standing if each.trigger_id == trigger_id)
            return [each for each in standing if each.trigger_id != trigger_id]

        await self._triggers.update_triggers(connection_id, change)
        return bool(found)

    async def send_test(self, connection_id: ConnectionId, trigger_id: str) -> int:
        """Tell a trigger's receiver of an event that did not happen, and return the status of its answer.

        Raises:
            InvalidInputError: there is no such trigger.
            TriggerError: one of its classes.
            ConnectionNotFoundError: no such connection.
        """
        connection = await self._load(connection_id)
        trigger = next((each for each in connection.triggers if each.trigger_id == trigger_id), None)
        if trigger is None:
            raise InvalidInputError(
                f"There is no trigger {trigger_id!r}: `slack-mcp triggers list` shows those there are."
            )
        now_ms = int(1000 * self._clock.now_s())
        data = render_sample(trigger.event_type, connection, at_ms=now_ms)
        if trigger.kind is TriggerKind.MESH:
            return await self._sender.send_to_mesh(trigger, data)
        return await self._sender.send_to_subscriber(
            trigger, data, message_id=f"test_{secrets.token_hex(8)}", timestamp=render_time(now_ms)
        )

    async def _load(self, connection_id: ConnectionId) -> Connection:
        connection = await self._connections.load_connection(connection_id)
        if connection is None:
            raise ConnectionNotFoundError(connection_id)
        return connection


def check_filters(event_type: str, filters: Mapping[str, str]) -> None:
    """Return when the kind of event has these filters and values; raises InvalidInputError."""
    kind = KINDS.get(event_type)
    if kind is None:
        raise InvalidInputError(f"There is no event {event_type!r}; there are {', '.join(KINDS)}.")
    for key, value in filters.items():
        known = kind.filters.get(key)
        if known is None:
            names = ", ".join(kind.filters) or "none"
            raise InvalidInputError(f"{event_type} cannot be filtered by {key!r}; its filters: {names}.")
        if value and known.values and value not in known.values:
            raise InvalidInputError(f"{key} must be one of {', '.join(known.values)}.")


def _render_id(event_type: str, params: Mapping[str, Any]) -> str:
    """Return the id of a trigger of Mesh: one for each kind of event and each set of values."""
    if not params:
        return f"{MESH}.{event_type}"
    text = json.dumps(params, sort_keys=True)
    return f"{MESH}.{event_type}.{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _read_origin(text: str) -> tuple[str, str, int] | None:
    """Return (scheme, host, port), None for what is no URL of the web, or holds a user.

    Read as the sender reads it: two readers that differ would let a foreign host through.
    """
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        return None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        return None
    return url.scheme, url.host, get_port(url)
