"""The fast way in: deliveries that arrive as one plain request are answered without a task or an ASGI call for each.

A connection begins here. As long as whole plain POSTs to `/slack/events` come, one after the other, they are answered
here; the first request of any other kind takes its connection to the general HTTP server for good. Nothing is decided
here that `web.webhook` would decide otherwise: both ask `web.intake`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, Final, Protocol, cast

import structlog

from slack_mcp.core.errors import InternalError, OverloadedError, SlackMcpError
from slack_mcp.protocol.http import MAX_REQUEST_BYTES, NotPlainError, Post, read_post
from slack_mcp.web.crowd import Crowd, Place
from slack_mcp.web.intake import ACCEPTED, JSON, REPEATED, Answer, Intake, refuse
from slack_mcp.web.problems import render_problem

PATH: Final = b"/slack/events"

_log = structlog.get_logger(__name__)


class ServerState(Protocol):
    """What the general server keeps: the open connections, to end them, and the headers of every answer."""

    connections: set[Any]
    default_headers: list[tuple[bytes, bytes]]


class FrontProtocol(asyncio.Protocol):
    """One connection.

    Args:
        intake: takes the deliveries.
        start: runs the answer to a delivery that something has to be waited for.
        general: makes the general server's protocol, for a connection that is handed over.
        server_state: the general server's.
        crowd: the server's connections, of which this becomes one.
        max_body_bytes: larger bodies are the general server's to refuse.
        keep_alive_s: how long a connection may be idle.
        patience_s: how long the rest of a request is waited for; whoever sends slowly is left to the general server's
            deadlines.

    Attributes:
        transport: None before the connection is made, and when it is lost or somebody else's.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        start: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
        general: Callable[[], asyncio.Protocol],
        server_state: ServerState,
        crowd: Crowd,
        max_body_bytes: int,
        keep_alive_s: float,
        patience_s: float,
    ) -> None:
        self._intake = intake
        self._start = start
        self._general = general
        self._server_state = server_state
        self._crowd = crowd
        self._place = Place.FREE
        self._max_body_bytes = max_body_bytes
        self._keep_alive_s = keep_alive_s
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_busy = False
        self._is_closing = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._accepted = b""
        self._accepted_headers: list[tuple[bytes, bytes]] | None = None
        self._active_s = 0.0
        self._begun_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to a new connection."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class, of the same shape
        self._place = self._crowd.admit(self, others=len(self._server_state.connections))
        if self._place is Place.NONE:
            self.transport.abort()
            return
        self._server_state.connections.add(self)
        self._active_s = self._loop.time()
        self._timer = self._loop.call_later(self._keep_alive_s, self._close_when_idle)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; what was begun for it goes on."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Read what came, unless an answer is still owed."""
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()
        if not self._is_read_paused and len(self._buffer) > MAX_REQUEST_BYTES and self.transport is not None:
            self._is_read_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Return whether the connection stays open: until the answer that is owed, to a caller that only listens."""
        self._is_closing = True
        return self._is_busy

    def pause_writing(self) -> None:
        """Begin nothing more for a caller that does not read its answers."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """Go on when the answers are read."""
        self._is_write_paused = False
        self._advance()

    def shutdown(self) -> None:
        """Take no further request: the general server's word for its connections too."""
        self._is_closing = True
        if not self._is_busy and self.transport is not None:
            self.transport.close()

    def give_way(self) -> None:
        """Close at once, for another connection's sake."""
        if self.transport is not None:
            self.transport.abort()
        self._leave()

    def _advance(self) -> None:
        """Begin the next request if there is one, and nothing that has to come before it."""
        if self._is_busy or self._is_write_paused or not self._buffer:
            return
        if self.transport is None or self.transport.is_closing():
            return
        try:
            post = read_post(self._buffer)
        except NotPlainError:
            self._hand_over()
            return
        if post is None:
            self._patience = self._patience or self._loop.call_later(self._patience_s, self._hand_over)
        elif self._is_delivery(post):
            self._stop_patience()
            self._buffer = self._buffer[post.end :]
            self._is_busy = True
            self._active_s = self._loop.time()
            self._crowd.wake(self)
            self._begun_s = perf_counter()  # the loop's own clock stands still while it works
            self._answer(post)
        else:
            self._hand_over()

    def _is_delivery(self, post: Post) -> bool:
        rest = post.path[len(PATH) :]
        return post.path.startswith(PATH) and rest[:1] in {b"", b"/"} and len(post.body) <= self._max_body_bytes

    def _answer(self, post: Post) -> None:
        name = post.path[len(PATH) + 1 :].decode("ascii")
        if self._place is Place.RESERVED:
            self._is_closing = True
            self._respond(refuse(OverloadedError("Too many connections are open."), name))
            return
        try:
            commit = self._intake.begin(name, post.headers, post.body)
            if commit is None:
                self._start(partial(self._answer_slowly, name, post))
            else:
                commit.add_done_callback(partial(self._answer_committed, name))
        except OverloadedError as error:
            self._respond(refuse(error, name))
        except Exception:  # noqa: BLE001 - logged, and the caller is told
            self._crash()

    async def _answer_slowly(self, name: str, post: Post) -> None:
        try:
            answer = await self._intake.take(name, post.headers, post.body)
        except Exception:  # noqa: BLE001 - as in `_answer`; raised here it would end all other deliveries
            self._crash()
        else:
            self._respond(answer)

    def _answer_committed(self, name: str, commit: "asyncio.Future[bool]") -> None:
        try:
            is_new = commit.result()
        except SlackMcpError as error:
            self._respond(refuse(error, name))
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - as in `_answer`; nobody else hears of it
            self._crash()
        else:
            self._respond(ACCEPTED if is_new else REPEATED)

    def _crash(self) -> None:
        """Answer for a bug, and close the connection: nobody knows what is left of it."""
        _log.exception("delivery.crashed")
        self._is_closing = True
        self._respond(_CRASHED)

    def _respond(self, answer: Answer) -> None:
        self._is_busy = False
        self._intake.note(answer.outcome, perf_counter() - self._begun_s)
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(self._render(answer))
        if self._is_closing:
            transport.close()
            return
        self._active_s = self._loop.time()
        self._crowd.rest(self)
        if self._buffer:
            self._resume_reading()
            self._loop.call_soon(self._advance)

    def _render(self, answer: Answer) -> bytes:
        """Return the bytes of an answer: the same for nearly all until the server makes new headers, each second."""
        headers = self._server_state.default_headers
        if answer is not ACCEPTED or self._is_closing:
            return render_answer(answer, headers, closes=self._is_closing)
        if self._accepted_headers is not headers:
            self._accepted, self._accepted_headers = render_answer(answer, headers, closes=False), headers
        return self._accepted

    def _resume_reading(self) -> None:
        if self._is_read_paused and len(self._buffer) <= MAX_REQUEST_BYTES and self.transport is not None:
            self._is_read_paused = False
            self.transport.resume_reading()

    def _hand_over(self) -> None:
        """Give the connection, and what has come of it, to the general server."""
        transport, data = self.transport, self._buffer
        self._leave()
        if transport is None or transport.is_closing():
            return
        general = self._general()
        transport.set_protocol(general)
        general.connection_made(transport)
        if self._is_read_paused:
            transport.resume_reading()
        if data:
            general.data_received(data)

    def _leave(self) -> None:
        self._server_state.connections.discard(self)
        self._crowd.wake(self)
        self.transport = None
        self._buffer = b""
        self._stop_patience()
        if self._timer is not None:
            self._timer.cancel()

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _close_when_idle(self) -> None:
        """Close the connection when nothing has happened for too long; look again when its time would be over.

        An answer never takes that long: what is still owed, or not read, by then never will be.
        """
        if self.transport is None:
            return
        rest_s = self._active_s + self._keep_alive_s - self._loop.time()
        if rest_s > 0 or self._patience is not None:
            self._timer = self._loop.call_later(max(rest_s, self._patience_s), self._close_when_idle)
        else:
            self.transport.abort()


def render_answer(answer: Answer, default_headers: list[tuple[bytes, bytes]], *, closes: bool) -> bytes:
    """Return the bytes of an HTTP/1.1 response."""
    headers = [*default_headers, *answer.headers, (b"content-length", str(len(answer.body)).encode())]
    if closes:
        headers.append((b"connection", b"close"))
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join((_STATUS_LINES[answer.status], *lines, b"\r\n", answer.body))


_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus
}
_BUG: Final = InternalError("A bug was met; the log has its traceback.")
_CRASHED: Final = Answer(500, (JSON,), render_problem(_BUG), _BUG.code)
