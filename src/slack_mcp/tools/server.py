"""The MCP server: tools/list and tools/call over the registry, on the SDK's low-level Server."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

import anyio
import structlog
from mcp import MCPError, types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from slack_mcp import __version__
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.tools.caller import Caller, current_caller
from slack_mcp.tools.errors import render_crash, render_error, render_timeout
from slack_mcp.tools.tool import Services, Tool

CALL_TIMEOUT_S: Final = 120.0  # Mesh waits 300 s; the rooms' own deadlines are shorter

_log = structlog.get_logger(__name__)


def build_server(
    services: Services, tools: Sequence[Tool[Any, Any]], *, call_timeout_s: float = CALL_TIMEOUT_S
) -> Server[Any]:
    """Return the server.

    Prompts and resources are not offered, so their methods answer -32601, which Mesh takes as none.
    """
    by_name = {tool.name: tool for tool in tools}
    listed = types.ListToolsResult(tools=[tool.describe() for tool in tools])
    schemas = {tool.name: tool.input_schema for tool in listed.tools}

    async def list_tools(
        _ctx: ServerRequestContext[Any], _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listed

    async def call_tool(_ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = by_name.get(params.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, "Unknown tool: tools/list names those that exist.")
        return await _call(tool, services, params.arguments or {}, call_timeout_s)

    return Server(
        "slack-mcp",
        version=__version__,
        title="Slack",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=schemas.get,  # without it the SDK lists the tools at each call
    )


async def _call(
    tool: Tool[Any, Any], services: Services, arguments: dict[str, Any], timeout_s: float
) -> types.CallToolResult:
    """Return the tool's result, or the error as a result: what a low-level handler raises, the SDK sends verbatim."""
    caller = current_caller.get()
    started_s = anyio.current_time()
    detail: str | None = None
    outcome, result = "timeout", _fail(render_timeout(timeout_s))
    try:
        with anyio.move_on_after(timeout_s):
            result = await tool.call(services, caller, arguments)
            outcome = "ok"
    except SlackMcpError as error:
        # Mesh shows nobody what came of ON_MCP_CONFIGURATION: the log is where a mistake in the form can be read.
        outcome, detail, result = error.code, str(error), _fail(render_error(error))
    except Exception:  # noqa: BLE001 - the last door: told under a reference, logged in full, and the pod goes on
        reference = secrets.token_hex(4)
        _log.exception("tool.crashed", tool=tool.name, reference=reference)
        outcome, result = "crash", _fail(render_crash(reference))
    _log.info(
        "tool.finished",
        tool=tool.name,
        outcome=outcome,
        detail=detail,
        connection_id=_get_connection_id(caller),
        duration_ms=round((anyio.current_time() - started_s) * 1000, 1),
    )
    return result


def _get_connection_id(caller: Caller) -> str | None:
    """Return the connection that the call was for, if that was proven."""
    return caller.verified.connection_id if caller.verified else None


def _fail(text: str) -> types.CallToolResult:
    """Return an error result."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)
