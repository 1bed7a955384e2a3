"""How much of requests is in memory at once: above the limit a request is refused before more of it is read."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slack_mcp.core.errors import OverloadedError
from slack_mcp.web.intake import JSON
from slack_mcp.web.problems import get_status, render_problem


class BoundedBodies:
    """An ASGI app before another one, which counts the bodies that the other one has read and not answered yet.

    Slow senders, and large requests whose answers take long, would otherwise fill the memory together, each within its
    own limits.

    Args:
        app: what answers.
        max_bytes: of all bodies together.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much is in memory now."""
        return self._bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(receive, send)
        try:
            await self._app(scope, lambda: self._receive(request), request.send)
        finally:
            self._bytes -= request.bytes

    async def _receive(self, request: "_Request") -> Message:
        """Return the next message; to a request that is too much, that its sender has left."""
        if request.is_refused:
            return {"type": "http.disconnect"}
        message = await request.receive()
        size = len(message.get("body", b""))
        if self._bytes + size > self._max_bytes:
            await request.refuse()
            return {"type": "http.disconnect"}
        request.bytes += size
        self._bytes += size
        return message


class _Request:
    """One request under way.

    Attributes:
        bytes: how much of its body was read.
        is_refused: it was answered here, and what the app says to it is for nobody.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self.bytes = 0
        self.is_refused = False
        self._send = send
        self._is_begun = False

    async def send(self, message: Message) -> None:
        """Pass on a part of the app's answer."""
        self._is_begun = True
        if not self.is_refused:
            await self._send(message)

    async def refuse(self) -> None:
        """Answer that it is too much now, and close the connection: the rest of the body is still on its way."""
        self.is_refused = True
        if self._is_begun:
            return
        error = OverloadedError("Too many requests are being read.")
        body = render_problem(error)
        headers = [
            JSON,
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"retry-after", b"1"),
        ]
        await self._send({"type": "http.response.start", "status": get_status(error), "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
