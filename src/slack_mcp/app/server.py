"""The HTTP server inside the process's own task group: uvicorn, told when to stop instead of listening for signals."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slack_mcp.web.crowd import Crowd
from slack_mcp.web.front import FrontProtocol, render_answer
from slack_mcp.web.intake import JSON, Answer, Intake

BACKLOG: Final = 2048
# What may come that is no part of a body before something is made of it: a head with more is refused.
MAX_UNREAD_BYTES: Final = 163_840
# With every answer: nothing here is a page, and none of it is to be run, framed or guessed at by a browser.
# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
BROWSER_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDeadlines:
    """How long the server waits for what.

    Attributes:
        keep_alive_s: the next request; longer than a load balancer keeps an idle connection, so that it is never the
            server that closes first.
        patience_s: the rest of a delivery, before its connection is the general server's.
        head_s: the head of a request, there.
        finish_s: the requests in hand, when the server stops.
    """

    keep_alive_s: int = 75
    patience_s: float = 1.0
    head_s: float = 10.0
    finish_s: int = 5


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError when the port is taken, or the host is none of this machine's."""
    if not host.isascii():
        raise OSError(errno.EINVAL, "not a host name")  # the socket would raise a TypeError
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sends at once only on such
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def render_url(listener: socket.socket) -> str:
    """Return the address that a socket listens on as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class GeneralProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to how long and how large a head may be: uvicorn itself keeps and awaits it all.

    Args:
        head_timeout_s: how long a head may take.
        crowd: the server's connections, of which this is one.
        arguments: uvicorn's.
    """

    def __init__(self, *, head_timeout_s: float, crowd: Crowd, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._crowd = crowd
        self._head_timeout_s = head_timeout_s
        self._unread_bytes = 0
        self._is_refused = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to listen, to a head first."""
        super().connection_made(transport)
        self._crowd.rest(self)
        self._head_timer = self.loop.call_later(self._head_timeout_s, self._close_when_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._crowd.wake(self)
        super().connection_lost(exc)

    def give_way(self) -> None:
        """Close at once, for another connection's sake."""
        self.transport.abort()
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Read what came; refuse what does not come to an end."""
        if self._is_refused:
            return
        self._unread_bytes += len(data)
        super().data_received(data)
        if self._unread_bytes > MAX_UNREAD_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._crowd.wake(self)
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_timeout_s, self._close_when_late)

    def on_headers_complete(self) -> None:
        """Take the head."""
        self._unread_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unread_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Rest, unless the next request is there already."""
        super().on_response_complete()
        if self._owes_nothing() and not self.transport.is_closing():
            self._crowd.rest(self)

    def _refuse(self) -> None:
        """Answer, and hear the caller out for a while: a connection closed while it sends loses it the answer."""
        self._is_refused = True
        if self._owes_nothing():
            self.transport.write(_HEAD_TOO_LARGE)
            self.transport.write_eof()
            self._stop_timer()
            self._head_timer = self.loop.call_later(self._head_timeout_s, self.transport.close)
        else:
            self.transport.close()

    def _owes_nothing(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first

    def _close_when_late(self) -> None:
        self._head_timer = None
        if self._owes_nothing():
            self.transport.close()
        else:  # the head may wait behind what is not answered yet
            self._head_timer = self.loop.call_later(self._head_timeout_s, self._close_when_late)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class HttpServer(uvicorn.Server):
    """Serves on a socket until `stop`: deliveries in front, an ASGI app behind.

    Args:
        app: answers everything, deliveries too.
        intake: answers the deliveries that come as whole plain requests.
        max_body_bytes: the largest body of a delivery.
        max_connections: how many may be open at once.
        deadlines: how long it waits for what.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        intake: Intake,
        max_body_bytes: int,
        max_connections: int = 2_000,
        deadlines: HttpDeadlines | None = None,
    ) -> None:
        self._intake = intake
        self._crowd = Crowd(max_connections)
        self._max_body_bytes = max_body_bytes
        self._deadlines = deadlines = deadlines or HttpDeadlines()
        self._tasks: anyio.abc.TaskGroup | None = None
        super().__init__(
            uvicorn.Config(
                app,
                http=self._make_protocol,  # type: ignore[arg-type]  # a factory serves as well as a class
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                headers=list(BROWSER_HEADERS),
                timeout_keep_alive=deadlines.keep_alive_s,
                timeout_graceful_shutdown=deadlines.finish_s,
            )
        )
        self.listening = anyio.Event()

    async def run_on(self, listener: socket.socket) -> None:
        """Serve until `stop`; then take no new connection, finish the requests in hand and return.

        What takes longer than the deadline for that is ended, with its connection.
        """
        try:
            async with anyio.create_task_group() as self._tasks:
                await self.serve([listener])
                self._tasks.cancel_scope.cancel()
        finally:
            for connection in list(self.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()

    def stop(self) -> None:
        """Let `run_on` come to its end."""
        self.should_exit = True

    def _make_protocol(self, **arguments: Any) -> FrontProtocol:
        return FrontProtocol(
            intake=self._intake,
            start=self._start,
            general=partial(GeneralProtocol, head_timeout_s=self._deadlines.head_s, crowd=self._crowd, **arguments),
            server_state=arguments["server_state"],
            crowd=self._crowd,
            max_body_bytes=self._max_body_bytes,
            keep_alive_s=self._deadlines.keep_alive_s,
            patience_s=self._deadlines.patience_s,
        )

    def _start(self, answer: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._tasks is None:
            raise RuntimeError("the server is not running")
        self._tasks.start_soon(answer, name="delivery")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets=sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the process."""
        yield


_HEAD_TOO_LARGE: Final = render_answer(
    Answer(431, (JSON,), b'{"error": "head_too_large"}'),
    [(name.lower().encode(), value.encode()) for name, value in BROWSER_HEADERS],
    closes=True,
)
