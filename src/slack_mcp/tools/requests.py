"""What lists, resources, prompts and completions have in common: who asks, what he can use, how a failure is told."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
import structlog
from mcp import MCPError, types

from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    InvalidInputError,
    MeshUnavailableError,
    MissingScopeError,
    RequestError,
    SlackMcpError,
    SlackRefusedError,
    StoreUnavailableError,
)
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.tools.admission import find_stranger, find_tools
from slack_mcp.tools.call import Services
from slack_mcp.tools.caller import Principal, current_caller
from slack_mcp.tools.errors import render_crash, render_error
from slack_mcp.tools.tool import Tool

# Those of the request itself: sent again it fails again.
_OF_THE_REQUEST: Final = (RequestError, MissingScopeError, SlackRefusedError)

_log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks.

    Attributes:
        tools: those that he can use, by name.
    """

    principal: Principal
    connection: Connection
    tools: dict[str, Tool[Any, Any]]


class Requests:
    """Answers the requests that are no calls of tools.

    Args:
        services: what the tools work with.
        tools: those there are.
        timeout_s: the longest time for one request.
    """

    def __init__(self, services: Services, tools: Sequence[Tool[Any, Any]], *, timeout_s: float) -> None:
        self._services = services
        self._tools = tuple(tools)
        self._timeout_s = timeout_s

    async def find_tools(self) -> Sequence[Tool[Any, Any]]:
        """Return the tools that the caller can use; all of them to somebody who does not say who he is.

        Raises:
            SlackMcpError: what he says of himself is not believed.
        """
        caller = current_caller.get()
        if not caller.has_credentials:
            return self._tools
        try:
            principal = await caller.identify()
            connection = await self._find_connection(principal.connection_id)
        except (MeshUnavailableError, StoreUnavailableError) as error:
            # Mesh keeps what it lists for a long time: rather too much than nothing.
            _log.warning("tools.listed_unfiltered", code=error.code)
            return self._tools
        return find_tools(self._tools, principal, connection)

    async def find_visitor(self) -> Visitor | None:
        """Return who asks; None for somebody who does not say, and for a connection that is not configured yet.

        Raises:
            SlackMcpError: what he says of himself is not believed, or that cannot be found out now.
        """
        if not current_caller.get().has_credentials:
            return None
        try:
            return await self.identify()
        except ConnectionNotFoundError:
            return None

    async def identify(self) -> Visitor:
        """Return who asks, proven; raises SlackMcpError."""
        principal = await current_caller.get().identify()
        connection = await self._services.directory.load(principal.connection_id)
        stranger = find_stranger(principal, connection)
        if stranger is not None:
            raise stranger
        usable = find_tools(self._tools, principal, connection)
        return Visitor(principal=principal, connection=connection, tools={tool.name: tool for tool in usable})

    async def answer(self, method: str, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Return what the work returns: what else a handler raises, the SDK would send verbatim.

        Raises:
            MCPError: it failed; says what happened and what to do next.
        """
        caller = current_caller.get()
        started_s = anyio.current_time()
        outcome = "timeout"
        result: ResultT | MCPError = MCPError(
            types.INTERNAL_ERROR, f"The answer did not come within {self._timeout_s:.0f} s. Try again in a moment."
        )
        try:
            with anyio.move_on_after(self._timeout_s):
                result = await work()
                outcome = "ok"
        except SlackMcpError as error:
            outcome, result = error.code, make_error(error)
        except MCPError as error:
            outcome, result = "refused", error
        except Exception:  # noqa: BLE001 - the last door: told under a reference, logged in full, and the pod goes on
            reference = secrets.token_hex(4)
            _log.exception("request.crashed", method=method, reference=reference)
            outcome, result = "crash", MCPError(types.INTERNAL_ERROR, render_crash(reference))
        _log.info(
            "request.finished",
            method=method,
            outcome=outcome,
            actor=caller.known.subject if caller.known else None,
            connection_id=caller.known.connection_id if caller.known else None,
            duration_ms=round((anyio.current_time() - started_s) * 1000, 1),
        )
        if isinstance(result, MCPError):
            raise result
        return result

    async def _find_connection(self, connection_id: ConnectionId) -> Connection | None:
        """Return the connection, None when it is not configured yet."""
        try:
            return await self._services.directory.load(connection_id)
        except ConnectionNotFoundError:
            return None


def make_error(error: SlackMcpError) -> MCPError:
    """Return the error as it goes over the wire."""
    if isinstance(error, InvalidInputError):
        code = types.INVALID_PARAMS
    elif isinstance(error, _OF_THE_REQUEST):
        code = types.INVALID_REQUEST
    else:
        code = types.INTERNAL_ERROR
    return MCPError(code, render_error(error))
