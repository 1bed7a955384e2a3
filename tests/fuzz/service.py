"""The service that is fuzzed: a whole pod in this process, on SQLite, with a Slack behind it that says yes."""

import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
from processes import make_connection, make_workspace
from sqlalchemy import delete
from starlette.applications import Starlette
from starlette.requests import Request as SlackRequest
from starlette.responses import JSONResponse
from starlette.routing import Route

from fuzz.doors import Request
from fuzz.mutate import CANARY
from slack_mcp.app import open_admin, open_pod
from slack_mcp.app.pod import Pod
from slack_mcp.app.server import bind
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.model import Access
from slack_mcp.identity.api_keys import make_key
from slack_mcp.protocol.signature import SigningKey
from slack_mcp.settings import Settings
from slack_mcp.simulator.server import serve_app
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.schema import audit, events, lanes, turns

SIGNING_SECRET: Final = f"{CANARY}-signing-secret-1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status is 0 when nothing did."""

    status: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The running pod."""

    pod: Pod
    port: int
    key: str
    database: Database
    signing: SigningKey

    async def ask(self, request: Request) -> Answer:
        """Return the answer to a request, without a socket in between."""
        headers = list(request.headers)
        if request.signs:
            timestamp = str(int(time.time())).encode()
            signature = self.signing.render_signature(timestamp, request.body)
            headers += [(b"x-slack-request-timestamp", timestamp), (b"x-slack-signature", signature)]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode("utf-8", "replace"),
            "root_path": "",
            "query_string": b"",
            "headers": [*headers, (b"content-length", str(len(request.body)).encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[bytes] = []
        messages = iter([{"type": "http.request", "body": request.body, "more_body": False}])
        over = anyio.Event()
        status = 0

        async def receive() -> Any:
            for message in messages:
                return message
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent.extend(b"%b: %b\n" % pair for pair in message["headers"])
            else:
                sent.append(message.get("body", b""))
                if not message.get("more_body", False):
                    over.set()

        await self.pod.app(scope, receive, send)
        return Answer(status, b"".join(sent).decode("utf-8", "replace"))

    async def send(self, data: bytes, *, patience_s: float) -> Answer:
        """Return the answer to raw bytes over a socket; nothing more is sent, so that an answer is owed or none."""
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            answer = bytearray()
            try:
                await stream.send(data)
                await stream.send_eof()
                with anyio.move_on_after(patience_s) as patience:
                    async for chunk in stream:
                        answer += chunk
                if patience.cancelled_caught:
                    return Answer(-1, answer.decode("latin-1"))
            except (anyio.BrokenResourceError, ConnectionError):
                pass  # the server has hung up, as it may on nonsense
        status = answer[9:12]
        return Answer(int(status) if status.isdigit() else 0, answer.decode("latin-1"))

    async def clear(self) -> None:
        """Forget what has come: what is kept grows, and is not what is measured."""
        async with self.database.transaction() as database:
            for table in (events, lanes, turns, audit):
                await database.execute(delete(table))


async def _say_yes(_request: SlackRequest) -> JSONResponse:
    """Answer any method, as if all was well."""
    stamp = f"{time.time():.6f}"
    answer: Mapping[str, Any] = {
        "ok": True,
        "ts": stamp,
        "channel": "C1",
        "message": {"ts": stamp},
        "team_id": "T1",
        "user_id": "UBOT",
        "team": "Acme",
        "channels": [],
        "members": [],
        "messages": [],
        "user": {"id": "U0", "name": "ann"},
    }
    return JSONResponse(answer)


@asynccontextmanager
async def open_service(directory: Path) -> AsyncIterator[Service]:
    """Yield a pod that takes requests and works on what they bring."""
    slack = Starlette(routes=[Route("/api/{method}", _say_yes, methods=["GET", "POST"])])
    async with serve_app(slack) as slack_url:
        settings = Settings.from_env(
            {
                "DATABASE_URL": f"sqlite:{directory / 'fuzz.db'}",
                "SLACK_API_URL": f"{slack_url}/api/",
                "DEFAULT_AGENT": "echo",
                "SLACK_BUDGET": "false",
                "MCP_RATE_LIMIT_PER_MIN": "0",
                "SLACK_SIGNING_SECRET": SIGNING_SECRET,
                "MESH_JWT_SECRET": f"{CANARY}-mesh-secret-{CANARY}-mesh-secret",
                "SLACK_MCP_RETRY_MAX_ATTEMPTS": "1",
                "SLACK_MCP_DRAIN_TIMEOUT_S": "1",
            },
            dotenv=None,
        )
        connection = make_connection(make_workspace())
        made = make_key(
            connection.connection_id, name="fuzz", access=Access.ADMIN, expires_in_s=None, clock=SystemClock()
        )
        async with open_admin(settings) as admin:
            await admin.connections.save_connection(connection)
            await admin.keys.add_key(made.kept)
        stop = anyio.Event()
        with bind("127.0.0.1", 0) as listener:
            async with (
                open_database(settings.database) as database,
                open_pod(settings) as pod,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(pod.run, listener, stop)
                yield Service(
                    pod=pod,
                    port=listener.getsockname()[1],
                    key=made.shown.reveal(),
                    database=database,
                    signing=SigningKey(connection.signing_secret.reveal().encode()),
                )
                stop.set()


def make_raw(chance: random.Random, request: Request) -> bytes:
    """Return the bytes of a request as they may come over a socket, whole or not."""
    lines = [b"%b: %b" % pair for pair in request.headers]
    lines.append(b"Content-Length: %d" % chance.choice([len(request.body)] * 8 + [0, len(request.body) + 5]))
    path = request.path.encode("ascii", "ignore")
    return b"\r\n".join([b"%b %b HTTP/1.1" % (request.method.encode(), path), b"Host: x", *lines, b"", request.body])
