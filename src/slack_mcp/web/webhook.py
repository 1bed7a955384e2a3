"""POST /slack/events/{connection_id} and POST /slack/events as a raw ASGI app: read the body, hand it over, answer.

Whole plain requests are answered before they come here, by `web.front`; here is the rest of HTTP.
"""

from collections.abc import Iterable
from typing import Final

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from slack_mcp.core.errors import BodyTooLargeError
from slack_mcp.web.intake import JSON, Intake, refuse

PATH: Final = "/slack/events"
# Slack itself gives up after 3 s.
BODY_TIMEOUT_S: Final = 10.0
HEAR_OUT_S: Final = 1.0

_READ_HEADERS: Final = frozenset(
    {
        b"x-slack-request-timestamp",
        b"x-slack-signature",
        b"x-slack-retry-num",
        b"x-slack-retry-reason",
        b"content-length",
    }
)


class Webhook:
    """Answers Slack's deliveries and hands every other request to the app behind.

    Args:
        intake: takes a delivery, and returns its answer.
        rest: the ASGI app for all other paths.
        max_body_bytes: larger bodies get a 413 and are not read.
        body_timeout_s: a body that takes longer gets a 408.
    """

    def __init__(
        self, intake: Intake, *, rest: ASGIApp, max_body_bytes: int, body_timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._intake = intake
        self._rest = rest
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._rest(scope, receive, send)
            return
        rest = scope["path"][len(PATH) :]
        if rest and rest[0] != "/":
            await self._rest(scope, receive, send)
        elif scope["method"] != "POST":
            await _answer(send, 405, (JSON, (b"allow", b"POST")), b'{"error": "method_not_allowed"}')
        else:
            await self._deliver(rest[1:], scope, receive, send)

    async def _deliver(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {key: value for key, value in scope["headers"] if key in _READ_HEADERS}
        body = None
        try:
            with anyio.move_on_after(self._body_timeout_s):
                body = await _read_body(headers, receive, self._max_body_bytes)
        except BodyTooLargeError as error:
            await _answer(send, *refuse(error, name))
            return
        if body is None:
            await _answer(send, 408, (JSON,), b'{"error": "body_incomplete"}')
        else:
            await _answer(send, *await self._intake.take(name, headers, body))


async def _read_body(headers: dict[bytes, bytes], receive: Receive, max_bytes: int) -> bytes | None:
    """Return the raw body, None when the caller hung up; raises BodyTooLargeError."""
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > max_bytes:
        raise BodyTooLargeError(max_bytes)
    chunks, size = [], 0
    while (message := await receive())["type"] != "http.disconnect":
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise BodyTooLargeError(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
    return None


async def _hear_out(receive: Receive, *, more: bool) -> None:
    """Read on for a moment, and keep nothing: the reset of a connection that is still sent to overtakes the answer."""
    with anyio.move_on_after(HEAR_OUT_S):
        while more:
            more = (await receive()).get("more_body", False)


async def _answer(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
