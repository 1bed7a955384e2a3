"""POST /slack/events, /slack/commands and /slack/interactive, each also with `/{connection_id}`, as a raw ASGI app.

It reads the body, hands it over, and answers. Whole plain deliveries of events are answered before they come here, by
`web.front`; here is the rest of HTTP.
"""

from collections.abc import Mapping
from time import perf_counter
from typing import Final, Protocol

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from slack_mcp.core.errors import BodyTooLargeError, InternalError
from slack_mcp.ports.metrics import NoteAnswer
from slack_mcp.web.forms import PATHS as FORM_PATHS
from slack_mcp.web.intake import JSON, Answer, refuse

PATH: Final = "/slack/events"
# Slack itself gives up after 3 s.
BODY_TIMEOUT_S: Final = 10.0

INCOMPLETE: Final = Answer(408, (JSON,), b'{"error": "body_incomplete"}', "body_incomplete")

_READ_HEADERS: Final = frozenset(
    {
        b"x-slack-request-timestamp",
        b"x-slack-signature",
        b"x-slack-retry-num",
        b"x-slack-retry-reason",
        b"content-length",
    }
)


class Door(Protocol):
    """Takes what Slack sends.

    Attributes:
        note: hears of each answer.
    """

    note: NoteAnswer

    async def take(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Answer:
        """Return the answer; `name` is what stands in the path behind the door's own."""
        ...


class Webhook:
    """Answers Slack's deliveries and hands every other request to the app behind.

    Args:
        intake: takes a delivery of an event, and returns its answer.
        forms: the same for commands and interactions; None leaves them to the app behind.
        rest: the ASGI app for all other paths.
        max_body_bytes: larger bodies get a 413 and are not read.
        body_timeout_s: a body that takes longer gets a 408.
    """

    def __init__(
        self,
        intake: Door,
        *,
        rest: ASGIApp,
        max_body_bytes: int,
        forms: Door | None = None,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._doors = {PATH: intake} | ({} if forms is None else dict.fromkeys(FORM_PATHS, forms))
        self._rest = rest
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        for path, door in self._doors.items():
            if scope["type"] == "http" and _is_below(scope["path"], path):
                await self._serve(door, scope["path"][len(path) + 1 :], scope, receive, send)
                return
        await self._rest(scope, receive, send)

    async def _serve(self, door: Door, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await _answer(send, await self._deliver(door, name, scope, receive))
        else:
            await _answer(send, Answer(405, (JSON, (b"allow", b"POST")), b'{"error": "method_not_allowed"}'))

    async def _deliver(self, door: Door, name: str, scope: Scope, receive: Receive) -> Answer:
        headers = {key: value for key, value in scope["headers"] if key in _READ_HEADERS}
        body = refusal = None
        try:
            with anyio.move_on_after(self._body_timeout_s):
                body = await _read_body(headers, receive, self._max_body_bytes)
        except BodyTooLargeError as error:
            refusal = refuse(error, name)
        begun_s = perf_counter()
        outcome = InternalError.code  # should a bug be met
        try:
            answer = refusal or (INCOMPLETE if body is None else await door.take(name, headers, body))
            outcome = answer.outcome
        finally:
            door.note(outcome, perf_counter() - begun_s)
        return answer


def _is_below(path: str, door: str) -> bool:
    """Tell whether a path is the door's own, or one below it."""
    return path.startswith(door) and path[len(door) : len(door) + 1] in {"", "/"}


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


async def _answer(send: Send, answer: Answer) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [*answer.headers, (b"content-length", str(len(answer.body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})
