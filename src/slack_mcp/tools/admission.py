"""Who may call which tool: the caller's access, the connection's policy, and what its tokens are good for."""

from collections.abc import Sequence
from typing import Any

from slack_mcp.core.errors import ForbiddenError, SlackMcpError
from slack_mcp.core.model import Connection
from slack_mcp.tools.caller import Principal, PrincipalKind
from slack_mcp.tools.policy import find_refusal
from slack_mcp.tools.tool import Tool


def admit(tool: Tool[Any, Any], principal: Principal, connection: Connection) -> None:
    """Return when the tool may be called for the connection.

    Raises:
        ForbiddenError, MissingScopeError, UserTokenMissingError: why it may not.
    """
    problem = find_problem(tool, principal, connection)
    if problem is not None:
        raise problem


def find_problem(tool: Tool[Any, Any], principal: Principal, connection: Connection) -> SlackMcpError | None:
    """Return why the tool may not be called, None when it may."""
    stranger = find_stranger(principal, connection)
    if stranger is not None:
        return stranger
    if connection.is_gone:
        return ForbiddenError(
            "Mesh refuses this connection: save its configuration in Mesh, which switches it on again."
        )
    if connection.disabled:
        return ForbiddenError("This connection is switched off: `slack-mcp connections enable` switches it on.")
    if principal.access < tool.access:
        return ForbiddenError(f"{tool.name} needs a caller with {tool.access.name.lower()} access.")
    refusal = find_refusal(connection.settings.tools, tool=tool.name, access=tool.access)
    return refusal or tool.needs.find_problem(tool.name, connection)


def find_stranger(principal: Principal, connection: Connection) -> ForbiddenError | None:
    """Return why the connection is none of the caller's, None when it is.

    Ids are Mesh's to give, but a Mesh may let its users choose them, and several Meshes may be trusted here: a good
    token of one organization must not act for what another one, or the operator, has connected.
    """
    claims = principal.claims
    if claims is None or claims.organization_id == connection.organization_id:
        return None
    return ForbiddenError("The connection that the Mesh token names was made by another organization.")


def find_tools(
    tools: Sequence[Tool[Any, Any]], principal: Principal, connection: Connection | None
) -> Sequence[Tool[Any, Any]]:
    """Return the tools that this caller can use.

    Those of the protocol with Mesh are for Mesh alone; a connection that is not configured yet has no others.
    """
    return tuple(
        tool
        for tool in tools
        if (
            principal.kind is PrincipalKind.MESH
            if tool.is_for_apps
            else connection is not None and find_problem(tool, principal, connection) is None
        )
    )
