"""Whatever comes over the network gets its status and leaves no trace of a secret in the log."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest
from anyio.abc import ByteStream, SocketStream
from processes import Fleet, PodProcess, make_workspace, open_fleet, open_http

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Simulator, Workspace, serve, sign

pytestmark = pytest.mark.anyio

# In every token, secret, header value and text of these tests, and in nothing else.
CANARY = "canary"
CONN_1 = ConnectionId("conn_1")
PATH = f"/slack/events/{CONN_1}"
CHALLENGE = json.dumps({"type": "url_verification", "challenge": f"{CANARY}-challenge", "token": CANARY}).encode()
TEN_MIB = 10 * 1024 * 1024
WAIT_S = 60


class World:
    """One service with one connection, and what a stranger or Slack may send it."""

    def __init__(self, fleet: Fleet, http: httpx2.AsyncClient, simulator: Simulator, workspace: Workspace) -> None:
        self.fleet = fleet
        self.http = http
        self.simulator = simulator
        self.workspace = workspace

    @property
    def pod(self) -> PodProcess:
        return self.fleet.pods[0]

    def sign(self, body: bytes, *, secret: str | None = None, age_s: int = 0) -> dict[str, str]:
        return sign(body, secret or self.workspace.signing_secret, int(self.simulator.clock.now_s()) - age_s)

    async def post(self, body: bytes, *, path: str = PATH, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """Post a body: signed, unless the headers are given."""
        return await self.http.post(
            self.pod.url + path,
            content=body,
            headers={"Content-Type": "application/json", **(self.sign(body) if headers is None else headers)},
        )

    async def connect(self) -> SocketStream:
        parts = urlsplit(self.pod.url)
        return await anyio.connect_tcp(str(parts.hostname), int(parts.port or 0))

    async def post_raw(self, body: bytes, *headers: bytes, length: int | None = None) -> int | None:
        """Post bytes that no client library would send, and return the status; None when there was no answer."""
        async with await self.connect() as stream:
            await stream.send(render_head(*headers, b"Content-Length: %d" % (len(body) if length is None else length)))
            await stream.send(body)
            return await read_status(stream)

    async def check_health(self) -> None:
        while (await self.http.get(f"{self.pod.url}/readyz")).status_code != 200:
            await anyio.lowlevel.checkpoint()
        for path in ("/health", "/livez"):
            answer = await self.http.get(self.pod.url + path)
            assert answer.status_code == 200, (path, answer.text)


def render_head(*headers: bytes, closes: bool = True) -> bytes:
    last = [b"Connection: close"] if closes else []
    return b"\r\n".join([b"POST %s HTTP/1.1" % PATH.encode(), b"Host: x", *last, *headers, b"", b""])


async def read_status(stream: SocketStream) -> int | None:
    answer = b""
    with anyio.fail_after(10):
        while b"\r\n" not in answer:
            try:
                answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return None
    return int(answer.split(b" ", 2)[1])


@asynccontextmanager
async def open_world(directory: Path, *, database_url: str | None = None, **environ: str) -> AsyncIterator[World]:
    """Yield a service that logs all it can; at the end it is healthy and its log is clean."""
    workspace = make_workspace()
    simulator = Simulator(workspace)
    with anyio.fail_after(120):
        async with (
            serve(simulator) as address,
            open_fleet(
                directory,
                database_url=database_url or f"sqlite:{directory}/slack.db",
                slack_api_url=address.api_url,
                LOG_LEVEL="debug",
                SLACK_MCP_POLL_S="0.2",
                **environ,
            ) as fleet,
            open_http() as http,
        ):
            await fleet.connect(workspace)
            (pod,) = await fleet.add()
            simulator.deliverer.targets = [pod.url]
            world = World(fleet, http, simulator, workspace)
            yield world
            await world.check_health()
            assert await pod.stop() == 0
            await pod.wait_until(lambda: bool(pod.find("pod.stopped")))
        assert [line for line in pod.raw.splitlines() if CANARY in line] == []
        assert "Traceback" not in pod.raw


def make_event(**changes: Any) -> dict[str, Any]:
    event = {"type": "message", "channel": "C1", "user": "U0", "ts": "1.000001", "text": f"{CANARY} text"}
    return {
        "type": "event_callback",
        "team_id": "T1",
        "api_app_id": "A1",
        "event_id": "Ev1",
        "event": event,
        "token": CANARY,
    } | changes


async def test_a_request_that_is_not_signed_by_the_app_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        good = world.sign(CHALLENGE)
        timestamp, signature = good["X-Slack-Request-Timestamp"], good["X-Slack-Signature"]
        for headers in (
            {},
            {"X-Slack-Signature": signature},
            {"X-Slack-Request-Timestamp": timestamp},
            {"X-Slack-Request-Timestamp": "", "X-Slack-Signature": ""},
            world.sign(CHALLENGE, secret=f"{CANARY} of somebody else"),
            world.sign(CHALLENGE + b" "),
            world.sign(CHALLENGE, age_s=301),
            world.sign(CHALLENGE, age_s=-302),
            world.sign(CHALLENGE, age_s=10**9),
            good | {"X-Slack-Request-Timestamp": str(int(timestamp) + 1)},
            good | {"X-Slack-Request-Timestamp": f"{timestamp}.0"},
            good | {"X-Slack-Request-Timestamp": f"-{timestamp}"},
            good | {"X-Slack-Request-Timestamp": CANARY},
            good | {"X-Slack-Request-Timestamp": "9" * 10_000},
            good | {"X-Slack-Signature": signature.replace("v0=", "v1=")},
            good | {"X-Slack-Signature": signature[:-1]},
            good | {"X-Slack-Signature": f"v0={CANARY}"},
            good | {"X-Slack-Signature": "v0=" + "f" * 10_000},
        ):
            answer = await world.post(CHALLENGE, headers=headers)
            assert answer.status_code == 401, headers
            assert "x-slack-no-retry" not in answer.headers  # the secret may be saved until Slack comes again
            assert CANARY not in answer.text
        answer = await world.post(CHALLENGE)
        assert (answer.status_code, answer.text) == (200, f"{CANARY}-challenge")
        assert len(world.pod.find("delivery.refused")) == 18


async def test_header_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        good = [f"{name}: {value}".encode() for name, value in world.sign(CHALLENGE).items()]
        timestamp, signature = good
        assert await world.post_raw(CHALLENGE, *good) == 200
        for headers, status in (
            ([timestamp, b"X-Slack-Signature: v0=\xff\xfe" + CANARY.encode()], 401),
            ([timestamp, b"X-Slack-Signature: \xc3\xa9" * 64], 401),
            ([b"X-Slack-Request-Timestamp: \xd9\xa1\xd9\xa2", signature], 401),
            ([b"X-Slack-Request-Timestamp: \xb2", signature], 401),
            ([*good, b"X-Slack-Retry-Num: \xff" + CANARY.encode(), b"X-Slack-Retry-Reason: \xff\xff"], 200),
            ([*good, b"X-Slack-Retry-Num: " + b"9" * 5_000], 200),
            ([timestamp, b"X-Slack-Signature: v0=\x00" + CANARY.encode()], 400),
            ([*good, b"no header at all " + CANARY.encode()], 400),
        ):
            assert await world.post_raw(CHALLENGE, *headers) == status, headers[-1][:60]
        assert await world.post_raw(CHALLENGE, *good, b"X-Long: " + CANARY.encode() * 100_000) in {200, 400, 431}


async def test_a_body_that_does_not_end_or_is_too_large_holds_nobody_up(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        good = [f"{name}: {value}".encode() for name, value in world.sign(CHALLENGE).items()]
        async with await world.connect() as stream:
            await stream.send(render_head(*good, b"Content-Length: 1000") + CHALLENGE)
        async with await world.connect() as stream:
            await stream.send(render_head(*good, b"Content-Length: 1000") + CHALLENGE)
            await stream.send_eof()
            assert await read_status(stream) is None
        assert await world.post_raw(b"", *good, length=TEN_MIB) == 413
        assert await world.post_raw(b"", *good, length=10**30) in {400, 413}
        async with await world.connect() as stream:
            # Whoever asks for a close and goes on to send may lose the answer with the connection.
            await stream.send(render_head(*good, b"Transfer-Encoding: chunked", closes=False))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send_chunks, stream, TEN_MIB)
                assert await read_status(stream) == 413
                tasks.cancel_scope.cancel()
        answer = await world.post(CHALLENGE)
        assert answer.status_code == 200


async def send_chunks(stream: SocketStream, size: int) -> None:
    chunk = CANARY.encode() * 10_000
    try:
        for _ in range(size // len(chunk)):
            await stream.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return  # the service has answered and does not want the rest


async def test_a_signed_body_that_is_no_envelope_is_refused(tmp_path: Path) -> None:
    event = make_event()["event"]
    async with open_world(tmp_path) as world:
        for body in (
            b"",
            b"canary",
            b'{"type": "event_callback"',
            b'{"type": "url_verification", "challenge": "\xff\xfe canary"}',
            b'"canary"',
            b"[]",
            b"null",
            b"7",
            b"[" * 100_000,
            b'{"type": "x", "event": ' + b'{"a": ' * 50_000 + b"1" + b"}" * 50_000 + b"}",
            b"{}",
            json.dumps({"type": 7}).encode(),
            json.dumps({"type": "url_verification"}).encode(),
            json.dumps({"type": "url_verification", "challenge": [CANARY]}).encode(),
            json.dumps(make_event(event=None)).encode(),
            json.dumps(make_event(event=[])).encode(),
            json.dumps(make_event(event={})).encode(),
            json.dumps(make_event(event={"type": {"canary": 1}})).encode(),
            json.dumps(make_event(event_id=None)).encode(),
            json.dumps(make_event(event_id=7)).encode(),
            json.dumps(make_event(event_id="x" * 10_000)).encode(),
            json.dumps(make_event(event=event | {"channel": None})).encode(),
            json.dumps(make_event(event=event | {"channel": ["C1"]})).encode(),
            json.dumps(make_event(event=event | {"ts": 1.5})).encode(),
        ):
            answer = await world.post(body)
            assert answer.status_code == 400, body[:80]
            assert answer.json()["error"] == "malformed_body"
            assert CANARY not in answer.text
        # Kinds that are of no interest, or not known yet, are Slack's own and are acknowledged.
        for envelope in (
            make_event(type="brand_new"),
            make_event(event={"type": "brand_new"}, event_id="Ev2"),
            make_event(event=event | {"text": {"canary": 1}}, event_id="Ev3"),
            make_event(event=event | {"user": "U\u0000"}, event_id="Ev4"),
        ):
            assert (await world.post(json.dumps(envelope).encode())).status_code == 200


async def test_what_is_not_there_is_not_found_and_what_is_not_allowed_is_said(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for path in ("conn_2", "conn_1/more", "x" * 5_000, "%00", "%2e%2e%2fconn_1", "conn_1%2f", "%ff", "' OR 1=1 --"):
            answer = await world.post(CHALLENGE, path=f"/slack/events/{path}")
            assert (answer.status_code, answer.json()) == (404, {"error": "connection_not_found"}), path[:80]
        for path in ("/nothing", "/slack", "/slack/eventsource", "/livez/x"):
            assert (await world.post(CHALLENGE, path=path)).status_code == 404, path
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await world.http.request(method, world.pod.url + PATH)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
        for path in ("/health", "/livez", "/readyz"):
            assert (await world.post(CHALLENGE, path=path)).status_code == 405, path


async def test_mcp_takes_posts_alone_and_garbage_is_an_error_of_the_client(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for method in ("GET", "DELETE", "PUT"):
            assert (await world.http.request(method, f"{world.pod.url}/mcp")).status_code == 405, method
        good = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        for body in (b"", b"canary", b"\xff\xfe", b"[" * 100_000, b"[]", b"7", b"null", b'{"canary": 1}'):
            assert (await world.post(body, path="/mcp", headers={})).status_code == 400, body[:20]
        assert (await world.post(b"x" * TEN_MIB, path="/mcp", headers={})).status_code == 413
        for token in ("canary", "canary.canary.canary", "e30.e30.", "x" * 20_000):
            answer = await world.post(json.dumps(good).encode(), path="/mcp", headers={"x-mesh-token": token})
            assert answer.status_code in {200, 401}, token[:20]
            assert CANARY not in answer.text
        strange = {"Host": "evil.example"}
        assert (await world.post(json.dumps(good).encode(), path="/mcp", headers=strange)).status_code == 421
        assert (await world.post(json.dumps(good).encode(), path="/mcp", headers={})).status_code == 200


async def test_a_delivery_that_comes_again_is_acknowledged_and_answered_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        posted = world.workspace.say("U0", "C1", f"<@UBOT> {CANARY} question")
        bodies = [json.dumps(envelope).encode() for envelope in posted.envelopes]
        statuses: list[int] = []

        async def send(body: bytes, number: int) -> None:
            again = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": "http_timeout"} if number else {}
            statuses.append((await world.post(body, headers=world.sign(body) | again)).status_code)

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                for body in bodies:
                    tasks.start_soon(send, body, number)
        await world.simulator.wait_for_answer("T1", "C1", posted.message.ts, text="question", timeout_s=WAIT_S)
        for body in bodies:
            await send(body, 3)
        assert set(statuses) == {200}
        assert sum(each.bot_id is not None for each in world.workspace.thread("C1", posted.message.ts)) == 1


async def test_the_shared_address_finds_the_connection_by_workspace_and_app(tmp_path: Path) -> None:
    shared = "/slack/events"
    async with open_world(tmp_path) as world:
        posted = world.workspace.say("U0", "C1", "<@UBOT> who is there?")
        for envelope in posted.envelopes:
            assert (await world.post(json.dumps(envelope).encode(), path=shared)).status_code == 200
        await world.simulator.wait_for_answer("T1", "C1", posted.message.ts, text="who is there?", timeout_s=WAIT_S)
        for changes, secret, status in (
            ({}, f"{CANARY} of somebody else", 401),
            ({"team_id": "T2"}, None, 404),
            ({"team_id": None}, None, 404),
            ({"api_app_id": "A2"}, None, 404),
            ({"event": None}, None, 400),
        ):
            body = json.dumps(make_event(**changes)).encode()
            answer = await world.post(body, path=shared, headers=world.sign(body, secret=secret))
            assert answer.status_code == status, changes
        for body in (b"canary", b"[" * 100_000, CHALLENGE):
            assert (await world.post(body, path=shared)).status_code == 404


async def test_the_shared_address_with_a_secret_of_its_own_acknowledges_what_has_no_connection(tmp_path: Path) -> None:
    secret = f"{CANARY}-shared-secret"
    async with open_world(tmp_path, SLACK_SIGNING_SECRET=secret) as world:
        stray = json.dumps(make_event(team_id="T2")).encode()
        for body, status, text in ((CHALLENGE, 200, f"{CANARY}-challenge"), (stray, 200, "")):
            answer = await world.post(body, path="/slack/events", headers=world.sign(body, secret=secret))
            assert (answer.status_code, answer.text) == (status, text)
        assert (await world.post(CHALLENGE, path="/slack/events", headers={})).status_code == 401
        wrong = world.sign(CHALLENGE, secret=f"{CANARY} of somebody else")
        assert (await world.post(CHALLENGE, path="/slack/events", headers=wrong)).status_code == 401


async def test_a_connection_that_is_disabled_is_acknowledged_and_a_removed_one_is_not_found(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, open_admin(world.fleet.settings) as admin:
        stored = await admin.connections.load_connection(CONN_1)
        assert stored is not None
        # With a new secret, which shows when the service has seen the change.
        world.workspace.signing_secret = f"{CANARY}-new-secret"
        await admin.connections.save_connection(
            replace(stored, disabled=True, signing_secret=Secret(world.workspace.signing_secret))
        )
        while (await world.post(CHALLENGE)).status_code != 200:
            await anyio.lowlevel.checkpoint()
        body = json.dumps(make_event(event=make_event()["event"] | {"type": "app_mention"})).encode()
        assert (await world.post(body)).status_code == 200
        while (await world.http.get(f"{world.pod.url}/health")).json()["journal"]["backlog"]:
            await anyio.lowlevel.checkpoint()
        assert world.simulator.calls.select("chat.postMessage") == []
        await admin.connections.remove_connection(CONN_1)
        with anyio.fail_after(5):
            while (await world.post(body)).status_code != 404:
                await anyio.lowlevel.checkpoint()


class Proxy:
    """A loopback port in front of PostgreSQL's unix socket, which can be cut and mended."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._is_cut = False
        self._open: set[anyio.CancelScope] = set()
        self.port = 0

    def cut(self) -> None:
        self._is_cut = True
        for scope in self._open:
            scope.cancel()

    def mend(self) -> None:
        self._is_cut = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            self.port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - not Django's
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, self._serve)
                yield self
                tasks.cancel_scope.cancel()

    async def _serve(self, client: ByteStream) -> None:
        async with client:
            if self._is_cut:
                return
            with anyio.CancelScope() as scope:
                self._open.add(scope)
                try:
                    async with await anyio.connect_unix(self._socket_path) as server, anyio.create_task_group() as both:
                        both.start_soon(copy, client, server, both.cancel_scope)
                        both.start_soon(copy, server, client, both.cancel_scope)
                finally:
                    self._open.discard(scope)


async def copy(source: ByteStream, target: ByteStream, scope: anyio.CancelScope) -> None:
    """Copy until one side is gone, then let go of both."""
    try:
        async for chunk in source:
            await target.send(chunk)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    scope.cancel()


async def test_a_database_that_is_gone_is_told_and_its_return_needs_no_restart(
    postgres_url: str, tmp_path: Path
) -> None:
    parts = urlsplit(postgres_url)
    proxy = Proxy(f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432")
    async with proxy.running():
        url = f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}?sslmode=disable"
        async with open_world(tmp_path, database_url=url) as world:
            await world.check_health()
            body = json.dumps(make_event()).encode()
            assert (await world.post(body)).status_code == 200
            proxy.cut()
            answer = await world.http.get(f"{world.pod.url}/health")
            assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
            assert answer.json()["database"]["connected"] is False
            assert (await world.http.get(f"{world.pod.url}/readyz")).status_code == 503
            assert (await world.http.get(f"{world.pod.url}/livez")).status_code == 200
            for envelope in (CHALLENGE, json.dumps(make_event(event_id="Ev2")).encode()):
                answer = await world.post(envelope)
                assert answer.status_code == 503
                assert answer.json() == {"error": "store_unavailable"}
                assert "x-slack-no-retry" not in answer.headers  # Slack is to send it again
            proxy.mend()
            posted = world.simulator.say("T1", "U0", "C1", "<@UBOT> are you back?")
            await world.simulator.wait_for_answer("T1", "C1", posted.message.ts, text="are you back?", timeout_s=WAIT_S)
            while (await world.http.get(f"{world.pod.url}/readyz")).status_code != 200:
                await anyio.lowlevel.checkpoint()
            assert len(world.pod.find("pod.listening")) == 1
