"""POST /slack/events/{connection_id} and POST /slack/events: read the body, hand it over, answer.

A raw ASGI app in front of all others, because this is the route that has to be fast.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import anyio
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from slack_mcp.core.errors import BodyTooLargeError, ConnectionNotFoundError, DeliveryError, SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.inbox.receive import Receiver, SignedRequest
from slack_mcp.web.problems import get_status, render_problem

PATH: Final = "/slack/events"
# Slack itself gives up after 3 s.
BODY_TIMEOUT_S: Final = 10.0
MAX_ID_CHARS: Final = 200
MAX_REASON_CHARS: Final = 40
MAX_RETRY_DIGITS: Final = 3

_SLACK_HEADERS: Final = frozenset(
    {
        b"x-slack-request-timestamp",
        b"x-slack-signature",
        b"x-slack-retry-num",
        b"x-slack-retry-reason",
        b"content-length",
    }
)
_JSON: Final = (b"content-type", b"application/json")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
# A refused request is refused again: https://docs.slack.dev/apis/events-api/#retries
_NO_RETRY: Final = (b"x-slack-no-retry", b"1")

_log = structlog.get_logger(__name__)


class Webhook:
    """Answers Slack's deliveries and hands every other request to the app behind.

    Args:
        receiver: takes a delivery, and returns when 200 may be said.
        rest: the ASGI app for all other paths.
        max_body_bytes: larger bodies get a 413 and are not read.
    """

    def __init__(self, receiver: Receiver, *, rest: ASGIApp, max_body_bytes: int) -> None:
        self._receiver = receiver
        self._rest = rest
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._rest(scope, receive, send)
            return
        rest = scope["path"][len(PATH) :]
        if rest and rest[0] != "/":
            await self._rest(scope, receive, send)
        elif scope["method"] != "POST":
            await _answer(send, 405, b'{"error": "method_not_allowed"}', (_JSON, (b"allow", b"POST")))
        else:
            await self._deliver(rest[1:], scope, receive, send)

    async def _deliver(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        connection_id = ConnectionId(name)
        headers = {key: value for key, value in scope["headers"] if key in _SLACK_HEADERS}
        try:
            body = await _read_body(headers, receive, self._max_body_bytes)
            if body is None:
                await _answer(send, 408, b'{"error": "body_incomplete"}', (_JSON,))
                return
            request = _make_request(headers, body)
            if not name:
                challenge = await self._receiver.receive_shared(request)
            elif _is_id(name):
                challenge = await self._receiver.receive(connection_id, request)
            else:
                raise ConnectionNotFoundError(connection_id)
        except SlackMcpError as error:
            await self._refuse(error, connection_id, send)
            return
        await _answer(send, 200, challenge.encode() if challenge else b"", (_TEXT,))

    async def _refuse(self, error: SlackMcpError, connection_id: ConnectionId, send: Send) -> None:
        _log.warning(
            "delivery.refused",
            connection_id=connection_id[:MAX_ID_CHARS],
            code=error.code,
            status=get_status(error),
            skew_s=getattr(error, "skew_s", None),
        )
        is_final = isinstance(error, DeliveryError | ConnectionNotFoundError)
        headers = (_JSON, _NO_RETRY) if is_final else (_JSON,)
        await _answer(send, get_status(error), render_problem(error), headers)


def _is_id(name: str) -> bool:
    """Tell whether a path segment can be a connection's id at all."""
    return len(name) <= MAX_ID_CHARS and name.isprintable() and "/" not in name and unquote(name) == name


def _make_request(headers: dict[bytes, bytes], body: bytes) -> SignedRequest:
    retry_num = headers.get(b"x-slack-retry-num", b"")
    reason = headers.get(b"x-slack-retry-reason")
    return SignedRequest(
        timestamp=headers.get(b"x-slack-request-timestamp"),
        signature=headers.get(b"x-slack-signature"),
        body=body,
        retry_num=int(retry_num) if retry_num.isdigit() and len(retry_num) <= MAX_RETRY_DIGITS else 0,
        retry_reason=_render_reason(reason) if reason else None,
    )


def _render_reason(reason: bytes) -> str:
    """Return the reason as one of Slack's words would look; the header is not signed."""
    word = reason[:MAX_REASON_CHARS].decode("ascii", "replace")
    return word if word.replace("_", "").isalnum() and word.isascii() else "unreadable"


async def _read_body(headers: dict[bytes, bytes], receive: Receive, max_bytes: int) -> bytes | None:
    """Return the raw body, None when the caller hung up or fell silent; raises BodyTooLargeError."""
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > max_bytes:
        raise BodyTooLargeError(max_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= max_bytes:
        return body
    chunks, size = [], 0
    with anyio.move_on_after(BODY_TIMEOUT_S):
        while message["type"] != "http.disconnect":
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError(max_bytes)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)
            message = await receive()
    return None


async def _answer(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
