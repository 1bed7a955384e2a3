"""`/mcp`: the MCP server over streamable HTTP, stateless, for any number of tenants on any number of pods."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types.version import KNOWN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from slack_mcp.ports.identity import ProtectedResource
from slack_mcp.tools.call import Services
from slack_mcp.tools.caller import current_caller
from slack_mcp.tools.direct import answer_request
from slack_mcp.tools.guard import Guard
from slack_mcp.tools.refusal import METADATA_PATH, Message, read_message, refuse, render_metadata
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.server import build_server
from slack_mcp.tools.tool import Tool
from slack_mcp.tools.unquoted import UnquotedSend

PATH: Final = "/mcp"
MAX_BODY_BYTES: Final = 4_194_304
BODY_TIMEOUT_S: Final = 10.0
_VERSION_HEADER: Final = b"mcp-protocol-version"
_METHOD_HEADER: Final = b"mcp-method"
_KNOWN_VERSIONS: Final = frozenset(version.encode("ascii") for version in KNOWN_PROTOCOL_VERSIONS)


class McpEndpoint:
    """The ASGI app for `/mcp`. Serve it inside `running()`.

    Args:
        services: what the tools work with.
        guard: decides who is let in.
        tools: what is offered.
        body_timeout_s: how long a request's body may take to arrive.
    """

    def __init__(
        self,
        *,
        services: Services,
        guard: Guard,
        tools: Sequence[Tool[Any, Any]] = TOOLS,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._server = build_server(services, tools)
        self._guard = guard
        self._body_timeout_s = body_timeout_s
        self._sessions: StreamableHTTPSessionManager | None = None
        self._calls: set[anyio.CancelScope] = set()

    def routes(self) -> list[Route]:
        """Return the endpoint's routes; with an issuer, those where clients find it too."""
        resource = self._guard.resource
        routes = [Route(PATH, self)]
        if resource is not None:
            document = _serve_metadata(resource)
            # At the root for clients that do not read the challenge: https://www.rfc-editor.org/rfc/rfc9728#section-3.1
            routes += [Route(path, document, methods=["GET"]) for path in (METADATA_PATH, f"{METADATA_PATH}{PATH}")]
        return routes

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
                for call in self._calls:
                    call.cancel()

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
        body = await self._read_body(headers, receive)
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        message = read_message(body)
        refusal = await self._guard.admit(caller, message)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope = _tolerate(scope)
        token = current_caller.set(caller)
        try:
            answer = await self._answer(Headers(scope=scope), message)
            if answer is None:
                await self._sessions.handle_request(scope, _Replay(body, receive).receive, UnquotedSend(send))
                return
        finally:
            current_caller.reset(token)
        await answer(scope, receive, send)

    async def _answer(self, headers: Headers, message: Message) -> Response | None:
        """Return the answer where it needs no session, else None; at the end of `running` that it is over."""
        with anyio.CancelScope() as call:
            self._calls.add(call)
            try:
                return await answer_request(self._server, headers, message)
            finally:
                self._calls.discard(call)
        return refuse(503, "The server is stopping: send it again.", message=message)

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes | Response:
        """Return the body, or the refusal: of one that is too large, or takes too long."""
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > MAX_BODY_BYTES:
            return _refuse_size()
        body = bytearray()
        # Nobody holds a connection by sending its body byte by byte.
        with anyio.move_on_after(self._body_timeout_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return Response(status_code=400)  # to nobody: the sender is gone
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    return _refuse_size()
                if not message.get("more_body", False):
                    return bytes(body)
        return Response(status_code=408)


class _Replay:
    """A body that was read already, and then whatever else comes: the end of the connection."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> AsgiMessage:
        """Return the next message."""
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _serve_metadata(resource: ProtectedResource) -> Any:
    """Return the route's function."""
    document = render_metadata(resource)

    async def show(_request: Request) -> Response:
        # Read by pages in browsers too, and nothing in it is secret.
        return JSONResponse(document, headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=3600"})

    return show


def _refuse_size() -> Response:
    return refuse(413, f"A request may have {MAX_BODY_BYTES} bytes at most.")


def _tolerate(scope: Scope) -> Scope:
    """Return the request as the SDK takes it.

    The answer is JSON whatever `Accept` asks for, so a client that names only one of the two types, or none, is not
    turned away. A protocol version that the SDK does not know is read as none: the answers are the same. Not so in a
    request of the stateless protocol, which names its method in a header: there the version decides what the answer is,
    and one that is not known MUST get a 400 that lists those that are:
    https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning

    Blanks around a value are no part of it, and the parser leaves those behind it:
    https://www.rfc-editor.org/rfc/rfc9110#section-5.5
    """
    headers = [(name, value.strip(b" \t")) for name, value in scope["headers"] if name != b"accept"]
    if all(name != _METHOD_HEADER for name, _ in headers):
        headers = [(name, value) for name, value in headers if name != _VERSION_HEADER or value in _KNOWN_VERSIONS]
    return {**scope, "headers": [*headers, (b"accept", b"application/json, text/event-stream")]}
