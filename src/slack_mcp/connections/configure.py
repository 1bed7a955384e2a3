"""From a configuration saved at Mesh to a connection."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from slack_mcp.connections.policy import check_tool_names
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.connections.state import MeshState, parse_state
from slack_mcp.core.errors import ConflictError, InvalidInputError, MeshApiError
from slack_mcp.core.model import AgentBackend, Connection
from slack_mcp.ports.mesh import MeshApi, MeshClaims
from slack_mcp.ports.store import ConnectionStore

MAX_KEY_NAME_CHARS: Final = 64  # Mesh refuses longer ones

_log = structlog.get_logger(__name__)


class Configurator:
    """Takes what Mesh says of a connection and saves it.

    Two saves of one connection at the same time, on two pods, each write the connection once and whole: the one that
    writes last stands, as if they had come one after the other. Where a new key was due, both may have made one; then
    one of the two is superfluous and is never used.

    Args:
        store: the connections that exist.
        saver: asks Slack, and writes.
        mesh_api: makes the API key.
        tool_names: the tools there are, which a policy may name.
    """

    def __init__(
        self, *, store: ConnectionStore, saver: ConnectionSaver, mesh_api: MeshApi, tool_names: Collection[str]
    ) -> None:
        self._store = store
        self._tool_names = tool_names
        self._saver = saver
        self._mesh_api = mesh_api

    async def configure(self, claims: MeshClaims, arguments: Mapping[str, Any]) -> Connection:
        """Return the connection as saved.

        Args:
            claims: of a verified token; connection, organization and state are taken from nowhere else.
            arguments: what the caller of ON_MCP_CONFIGURATION gave. An agent can call it too, with what it invents.

        Raises:
            InvalidInputError: the arguments are not what the token says, or the state has mistakes: all of them.
            ConflictError: the connection belongs to another organization.
            SlackApiError: Slack refused the bot token, or did not answer. Nothing was stored.
            StoreUnavailableError: the database.
        """
        check_arguments(claims, arguments)
        state = parse_state(claims.state)
        if state.tools is not None:
            check_tool_names(state.tools, self._tool_names)
        stored = await self._store.load_connection(claims.connection_id)
        _check_owner(claims, stored)
        # Slack first: a wrong bot token must not leave a key behind at Mesh.
        identified = await self._saver.identify(_build_connection(claims, state, stored))
        return await self._saver.store_identified(await self._with_api_key(claims, identified, stored))

    async def _with_api_key(self, claims: MeshClaims, connection: Connection, stored: Connection | None) -> Connection:
        """Return the connection with the key it has, or with a new one when it has none that is good for it."""
        if stored is not None and stored.mesh_api_key is not None and _may_keep_key(stored, connection):
            return replace(connection, mesh_api_key=stored.mesh_api_key, mesh_api_key_id=stored.mesh_api_key_id)
        try:
            made = await self._mesh_api.create_api_key(claims, name=_render_key_name(claims))
        except MeshApiError as error:
            # Saved all the same: the credentials are good, Slack's deliveries need them now, and Mesh shows nobody
            # an error of this call. The agent can be asked for as long as the token lives; the next save tries again.
            _log.warning("connection.api_key_missing", connection_id=connection.connection_id, code=error.code)
            return replace(connection, mesh_api_key=None, mesh_api_key_id=None)
        return replace(connection, mesh_api_key=made.key, mesh_api_key_id=made.id)


def _check_owner(claims: MeshClaims, stored: Connection | None) -> None:
    """Return when nobody else has the connection.

    Ids are Mesh's to give, but a Mesh may let its users choose them, and several Meshes may be trusted here: a good
    token of one organization must not take over what another one, or the operator, has connected.
    """
    if stored is not None and stored.organization_id != claims.organization_id:
        raise ConflictError(
            f"Connection {claims.connection_id} was not made by this organization: its operator can remove it with "
            f"`slack-mcp connections remove {claims.connection_id}`."
        )


def check_arguments(claims: MeshClaims, arguments: Mapping[str, Any]) -> None:
    """Return when the arguments say nothing but what the token says.

    Mesh's own call passes: the token was made with the state that the call carries. What else newer versions of Mesh
    send (`firstRun`, `vault`) is read over, except where it names the connection.

    Raises:
        InvalidInputError: they differ.
    """
    wrong = []
    if _strip_form_data(arguments.get("state")) != _strip_form_data(claims.state):
        wrong.append("state")
    vault = arguments.get("vault")
    subject = vault.get("subjectConnectionId") if isinstance(vault, Mapping) else None
    if subject not in (None, claims.connection_id):
        wrong.append("vault.subjectConnectionId")
    for name, claim in (("connectionId", claims.connection_id), ("organizationId", claims.organization_id)):
        if arguments.get(name) not in (None, claim):
            wrong.append(name)
    if wrong:
        raise InvalidInputError(
            f"Nothing was saved: {', '.join(wrong)} is not what the connection's Mesh token says. Only Mesh calls this "
            "tool; a configuration is changed by saving the connection's settings there."
        )


def _strip_form_data(state: Any) -> Any:
    """Return a state without what Mesh adds on one of the two ways.

    `__binding` belongs to the form and is dropped before the token is signed; `SELF` is put in for scopes.
    """
    if not isinstance(state, Mapping):
        return state
    return {key: _drop_binding(value) for key, value in state.items() if key not in {"SELF", "__binding"}}


def _drop_binding(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _drop_binding(inner) for key, inner in value.items() if key != "__binding"}
    if isinstance(value, list):
        return [_drop_binding(inner) for inner in value]
    return value


def _build_connection(claims: MeshClaims, state: MeshState, stored: Connection | None) -> Connection:
    """Return the connection as the state wants it; what Mesh does not know of stays as it is stored.

    A connection that its operator disabled stays so; one that was disabled because Mesh refused it, or because Slack
    took its tokens back, is enabled.
    """
    base = stored or Connection(
        connection_id=claims.connection_id,
        organization_id=claims.organization_id,
        mesh_url=claims.mesh_url,
        bot_token=state.credentials.bot_token,
        signing_secret=state.credentials.signing_secret,
    )
    return replace(
        base,
        organization_id=claims.organization_id,
        organization_slug=claims.organization_slug,
        mesh_url=claims.mesh_url,
        mesh_token=claims.token,
        # A token that expires was replaced since, and Mesh still has the first one.
        bot_token=state.credentials.bot_token if base.refresh_token is None else base.bot_token,
        signing_secret=state.credentials.signing_secret,
        user_token=state.credentials.user_token,
        model_provider_id=state.model_provider_id,
        model_id=state.model_id,
        agent_id=state.agent_id,
        system_prompt=state.system_prompt,
        connection_name=state.connection_name,
        disabled=base.disabled and not base.is_gone and not base.is_disconnected,
        mesh_refused_since_ms=None,
        settings=replace(
            state.apply_to(base.settings),
            agent=AgentBackend.MESH if state.agent_id else None,
        ),
    )


def _may_keep_key(stored: Connection, connection: Connection) -> bool:
    """Tell whether the key of the stored connection is good for this one of the same organization.

    One that Mesh refuses is good for nothing.

    It belongs to one Mesh, and newer versions of Mesh let a key reach only the agents that it was made for:
    `apps/api/src/auth/api-key-permissions.ts`.
    """
    is_refused = stored.mesh_refused_since_ms is not None
    return not is_refused and (stored.mesh_url, stored.agent_id) == (connection.mesh_url, connection.agent_id)


def _render_key_name(claims: MeshClaims) -> str:
    """Return how the key is listed at Mesh."""
    return f"slack-mcp {claims.connection_id}"[:MAX_KEY_NAME_CHARS]
