"""A client that sends bytes as a test wants them and reads the answers, and what stands behind the server."""

import json
from asyncio import Future, get_running_loop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from slack_mcp.app.server import HttpDeadlines, HttpServer, bind
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.inbox.receive import Receipt, Taken
from slack_mcp.inbox.verify import SignedRequest
from slack_mcp.web.intake import Intake
from slack_mcp.web.webhook import Webhook

PATH = "/slack/events/conn_1"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
MAX_BODY = 65_536
WAIT_S = 10


class FakeReceiver:
    """Commits at once, unless a test says otherwise.

    Attributes:
        taken: the bodies, as they came.
        commits: those that are held back until the test sets their result.
        slow: what `receive` raises or returns; None while everything can begin at once.
        released: what `receive` waits for.
    """

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.commits: list[Future[bool]] = []
        self.is_held = False
        self.error: Exception | None = None
        self.slow: str | Exception | None = None
        self.begun = anyio.Event()
        self.released = anyio.Event()

    def begin(self, _connection_id: ConnectionId, request: SignedRequest) -> Future[bool] | None:
        if self.slow is not None:
            return None
        if self.error is not None and not isinstance(self.error, SlackMcpError):
            raise self.error
        self.taken.append(request.body)
        commit: Future[bool] = get_running_loop().create_future()
        if self.is_held:
            self.commits.append(commit)
        elif self.error is not None:
            commit.set_exception(self.error)
        else:
            commit.set_result(True)
        self.begun.set()
        return commit

    async def receive(self, _connection_id: ConnectionId, request: SignedRequest) -> Receipt:
        self.taken.append(request.body)
        self.begun.set()
        await self.released.wait()
        if isinstance(self.slow, Exception):
            raise self.slow
        return Receipt(Taken.CHALLENGE, self.slow or "")

    async def receive_shared(self, request: SignedRequest) -> Receipt:
        self.taken.append(request.body)
        return Receipt(Taken.CHALLENGE, "shared")


class Reply(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"])


class Caller:
    """One connection to the server."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._reader = BufferedByteReceiveStream(stream)

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def read(self) -> Reply:
        head = await self._reader.receive_until(b"\r\n\r\n", 65_536)
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self._reader.receive_exactly(int(headers.get("content-length", "0")))
        return Reply(int(status.split()[1]), headers, body)

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.read()

    async def is_closed(self) -> bool:
        """Tell that the server has closed the connection and sent nothing more."""
        try:
            await self._reader.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return True
        return False


class Served:
    """A server that runs."""

    def __init__(self, server: HttpServer, port: int) -> None:
        self.server = server
        self._port = port

    @property
    def connections(self) -> set[Any]:
        return self.server.server_state.connections

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Caller]:
        async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
            yield Caller(stream)


async def rest(scope: Any, _receive: Any, send: Any) -> None:
    body = f"{scope['method']} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serve_front(
    receiver: FakeReceiver,
    *,
    deadlines: HttpDeadlines | None = None,
    body_timeout_s: float = WAIT_S,
    max_connections: int = 2_000,
) -> AsyncIterator[Served]:
    """Yield a running server; it comes to its end by itself, and with no connection left."""
    intake = Intake(receiver)  # type: ignore[arg-type]
    app = Webhook(intake, rest=rest, max_body_bytes=MAX_BODY, body_timeout_s=body_timeout_s)
    server = HttpServer(
        app, intake=intake, max_body_bytes=MAX_BODY, max_connections=max_connections, deadlines=deadlines
    )
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    with anyio.fail_after(3 * WAIT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.run_on, listener)
            await server.listening.wait()
            with anyio.fail_after(WAIT_S):
                yield Served(server, port)
            server.stop()
    await anyio.wait_all_tasks_blocked()
    assert server.server_state.connections == set()
    assert server.server_state.tasks == set()


def render_post(body: bytes = b"{}", *headers: bytes, path: str = PATH) -> bytes:
    lines = (b"POST %s HTTP/1.1" % path.encode(), b"Host: x", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join([*lines, b"", body])
