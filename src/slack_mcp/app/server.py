"""The HTTP server inside the process's own task group: uvicorn, told when to stop instead of listening for signals."""

import errno
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import anyio
import uvicorn
from starlette.types import ASGIApp

BACKLOG: Final = 2048
# Longer than a load balancer keeps an idle connection, so that it is never the server that closes first.
KEEP_ALIVE_S: Final = 75
FINISH_REQUESTS_S: Final = 5


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


class HttpServer(uvicorn.Server):
    """Serves an ASGI app on a socket until `stop`."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=FINISH_REQUESTS_S,
            )
        )
        self.listening = anyio.Event()

    async def run_on(self, listener: socket.socket) -> None:
        """Serve until `stop`; then take no new connection, finish the requests in hand and return."""
        await self.serve([listener])

    def stop(self) -> None:
        """Let `run_on` come to its end."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets=sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the process."""
        yield
