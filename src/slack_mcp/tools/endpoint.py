"""`/mcp`: the MCP server over streamable HTTP, stateless, for any number of tenants on any number of pods."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types.version import KNOWN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from slack_mcp.connections.configure import Configurator
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshTokens
from slack_mcp.tools.caller import current_caller
from slack_mcp.tools.guard import Guard
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Services, Tool

MAX_BODY_BYTES: Final = 1_048_576
BODY_TIMEOUT_S: Final = 10.0
_VERSION_HEADER: Final = b"mcp-protocol-version"
_KNOWN_VERSIONS: Final = frozenset(version.encode("ascii") for version in KNOWN_PROTOCOL_VERSIONS)


class McpEndpoint:
    """The ASGI app for `/mcp`. Serve it inside `running()`.

    Args:
        configurator: saves what Mesh configures.
        tokens: verifies Mesh tokens.
        auth_token: a secret that callers without a good Mesh token must show; None asks for none.
        auth_header: the header that carries it.
        allowed_hosts: names under which the service may be called, beside this machine's and that of `public_url`.
        public_url: where Slack and Mesh reach the service, None when the operator did not say.
        tools: what is offered.
        body_timeout_s: how long a request's body may take to arrive.
    """

    def __init__(
        self,
        *,
        configurator: Configurator,
        tokens: MeshTokens,
        auth_token: Secret | None,
        auth_header: str,
        allowed_hosts: Sequence[str],
        public_url: str | None,
        tools: Sequence[Tool[Any, Any]] = TOOLS,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._server = build_server(Services(configurator=configurator, public_url=public_url), tools)
        self._guard = Guard(
            tokens=tokens,
            auth_token=auth_token,
            auth_header=auth_header,
            allowed_hosts=[*allowed_hosts, *([public_url] if public_url else [])],
        )
        self._body_timeout_s = body_timeout_s
        self._sessions: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests for as long as the context is open; calls in hand at its end are cancelled."""
        sessions = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, max_request_body_size=MAX_BODY_BYTES
        )
        async with sessions.run():
            self._sessions = sessions
            try:
                yield
            finally:
                self._sessions = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if self._sessions is None:
            raise RuntimeError("the MCP endpoint is not running")
        headers = Headers(scope=scope)
        refusal = self._guard.check_request(scope["method"], headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        caller = await self._guard.find_caller(headers)
        if isinstance(caller, Response):
            await caller(scope, receive, send)
            return
        body = _Body(receive, timeout_s=self._body_timeout_s)
        token = current_caller.set(caller)
        try:
            await self._sessions.handle_request(_tolerate(scope), body.receive, send)
        except TimeoutError:
            await Response(status_code=408)(scope, receive, send)
        finally:
            current_caller.reset(token)


class _Body:
    """A request's body with a deadline, so that nobody holds a connection by sending it byte by byte."""

    def __init__(self, receive: Receive, *, timeout_s: float) -> None:
        self._receive = receive
        self._is_complete = False
        self._deadline_s = anyio.current_time() + timeout_s

    async def receive(self) -> Message:
        """Return the next message. Raises TimeoutError while the body is not complete and its time is over."""
        if self._is_complete:
            return await self._receive()
        with anyio.fail_after(self._deadline_s - anyio.current_time()):
            message = await self._receive()
        self._is_complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def _tolerate(scope: Scope) -> Scope:
    """Return the request as the SDK takes it.

    The answer is JSON whatever `Accept` asks for, so a client that names only one of the two types, or none, is not
    turned away. A protocol version that the SDK does not know is read as none: the answers are the same.
    """
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"accept" and not (name == _VERSION_HEADER and value not in _KNOWN_VERSIONS)
    ]
    return {**scope, "headers": [*headers, (b"accept", b"application/json, text/event-stream")]}
