"""Serves a simulator on loopback."""

import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from slack_mcp.simulator.control import control_routes
from slack_mcp.simulator.control_people import control_people_routes
from slack_mcp.simulator.file_server import file_routes
from slack_mcp.simulator.guard import Guard
from slack_mcp.simulator.page import page_routes
from slack_mcp.simulator.response_server import response_routes
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.webapi import WebApi

CLOSE_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a simulator answers."""

    base_url: str

    @property
    def api_url(self) -> str:
        """The Web API's base URL, as slack_sdk's `base_url` wants it."""
        return f"{self.base_url}/api/"


def build_app(simulator: Simulator) -> ASGIApp:
    """Return the whole simulator as one ASGI app: Web API, control, page."""
    web_api = WebApi(simulator=simulator)
    rest = Starlette(
        routes=[
            *control_routes(simulator),
            *control_people_routes(simulator),
            *page_routes(simulator),
            *file_routes(simulator),
            *response_routes(simulator),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            await web_api(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return Guard(app)


class _Server(uvicorn.Server):
    """uvicorn that says when it listens and leaves the signals to the process it runs in."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()
        self.closed = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets=sockets)
        self.closed.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serve_app(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve any ASGI app on loopback and yield its base URL. Raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        bound = listener.getsockname()[1]
        server = _Server(
            uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener], name="simulator server")
            await server.listening.wait()
            try:
                yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
            finally:
                server.should_exit = True
                # Before an error of the caller's cancels it: a socket that is left open can hang the event loop's end.
                with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                    await server.closed.wait()


@asynccontextmanager
async def serve(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Address]:
    """Serve a simulator and yield its address; port 0 takes a free one. Raises OSError when the port is taken."""
    async with serve_app(build_app(simulator), host=host, port=port) as base_url, simulator.running():
        simulator.base_url = base_url
        yield Address(base_url=base_url)
