"""Triggers, events and fakes for what tells the receivers, importable from everywhere below tests/."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio.lowlevel
import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from stepping_clock import SteppingClock

from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, UserId
from slack_mcp.core.model import Claim, Connection, JournalledEvent, Trigger, TriggerKind
from slack_mcp.core.secret import Secret
from slack_mcp.ports.names import NameKind, Suggestions
from slack_mcp.ports.slack import SlackFile
from slack_mcp.protocol.events import EventCallback, parse_envelope
from slack_mcp.simulator.server import serve_app
from slack_mcp.triggers.plan import plan
from slack_mcp.triggers.send import TriggerSender
from slack_mcp.triggers.target import TargetPolicy, Targets

KEY = base64.b64encode(b"canary-key-of-thirty-two-bytes!!").decode()
SIGNING_SECRET = f"whsec_{KEY}"
CALLBACK = "https://mesh.example/api/acme/trigger-callback"
CALLBACK_TOKEN = "canary-callback-token"


def make_trigger(trigger_id: str = "trg_1", event_type: str = "slack.message.received", **changes: Any) -> Trigger:
    trigger = Trigger(
        trigger_id=trigger_id,
        kind=TriggerKind.HTTPS,
        event_type=event_type,
        url="https://receiver.example/hook",
        secret=Secret(SIGNING_SECRET),
    )
    return replace(trigger, **changes)


def make_mesh_trigger(event_type: str = "slack.message.received", **changes: Any) -> Trigger:
    trigger = make_trigger(f"mesh.{event_type}", event_type, kind=TriggerKind.MESH, url=CALLBACK)
    return replace(trigger, **{"secret": Secret(CALLBACK_TOKEN)} | changes)


def read(payload: Mapping[str, Any]) -> tuple[EventCallback, bytes]:
    """Return the event of an envelope, and its body."""
    body = json.dumps(payload).encode()
    event = parse_envelope(body)
    assert isinstance(event, EventCallback)
    return event, body


def journal(connection: Connection, payload: Mapping[str, Any], **changes: Any) -> list[JournalledEvent]:
    """Return the events that a delivery makes for the receivers, as the journal gives them back."""
    event, body = read(payload)
    made = [
        JournalledEvent(
            id=number,
            connection_id=delivery.connection_id,
            event_id=delivery.event_id,
            event_time=1_800_000_000,
            lane=delivery.lane,
            event_type=delivery.event_type,
            payload=delivery.payload,
            attempts=0,
            received_at_ms=1_700_000_000_250,
            redone=False,
        )
        for number, delivery in enumerate(plan(connection, event, body), start=1)
    ]
    return [replace(each, **changes) for each in made]


class FakeTriggers:
    """The triggers of connections that a test holds."""

    def __init__(self, rows: dict[ConnectionId, Connection]) -> None:
        self.rows = rows

    async def update_triggers(
        self, connection_id: ConnectionId, change: Callable[[tuple[Trigger, ...]], Iterable[Trigger]]
    ) -> tuple[Trigger, ...]:
        connection = self.rows.get(connection_id)
        if connection is None:
            raise ConnectionNotFoundError(connection_id)
        standing = tuple(sorted(change(connection.triggers), key=lambda each: each.trigger_id))
        self.rows[connection_id] = replace(connection, triggers=standing, version=connection.version + 1)
        return standing


class FakeNames:
    """Names by id; everybody else is unknown."""

    def __init__(self, **names: str) -> None:
        self.names = names

    async def find_user_names(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, str]:
        return {each: self.names[each] for each in user_ids if each in self.names}

    async def find_channel_names(self, connection: Connection, channel_ids: Collection[str]) -> Mapping[str, str]:
        raise NotImplementedError

    async def resolve_channel(self, connection: Connection, text: str) -> ChannelId:
        raise NotImplementedError

    async def resolve_user(self, connection: Connection, text: str) -> UserId:
        raise NotImplementedError

    async def suggest(self, connection: Connection, kind: NameKind, text: str, *, limit: int) -> Suggestions:
        raise NotImplementedError


class FakeWeb:
    """One answer to every reading call; makes and is the API of every connection."""

    def __init__(self, answer: Mapping[str, Any] | Exception | None = None) -> None:
        self.answer = answer if answer is not None else {"ok": True, "messages": []}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def open(self, connection: Connection) -> "FakeWeb":
        return self

    def open_as_user(self, connection: Connection) -> "FakeWeb":
        raise AssertionError("the bot reads")

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        self.calls.append((method, arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        raise AssertionError("a trigger writes nothing")

    async def upload(self, upload_url: str, content: bytes) -> None:
        raise AssertionError("a trigger writes nothing")

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        raise AssertionError("a trigger reads no file")


@dataclass(kw_only=True)
class Received:
    """One POST that arrived, and what it was answered."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass
class Receiver:
    """A receiver's HTTP server; `answers` are given one after the other, then 200."""

    answers: list[Response] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    on_received: list[Callable[[], None]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._take, methods=["POST", "GET"])])

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        answer = self.answers.pop(0) if self.answers else Response(status_code=200)
        self.received.append(
            Received(path=request.url.path, headers=dict(request.headers), body=body, status=answer.status_code)
        )
        for each in self.on_received:
            each()
        return answer


@asynccontextmanager
async def serve_receiver(*answers: Response) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(answers))
    async with serve_app(receiver.app) as receiver.url:
        yield receiver


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Do what https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md says."""
    key = base64.b64decode(secret.split("_", 1)[1])
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    version, _, signature = headers["webhook-signature"].partition(",")
    assert version == "v1"
    assert hmac.compare_digest(signature, expected)


async def resolve_publicly(host: str, port: int) -> Sequence[str]:
    return ["93.184.216.34"]


class _Stream(httpx2.AsyncByteStream):
    """A body that is not there before it is read, as on a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


@asynccontextmanager
async def make_sender(
    handler: Callable[[httpx2.Request], httpx2.Response], *, targets: Targets | None = None, timeout_s: float = 5.0
) -> AsyncIterator[TriggerSender]:
    """Yield a sender whose requests all end in a function."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        response = handler(request)
        if response.is_stream_consumed:
            return httpx2.Response(response.status_code, headers=response.headers, stream=_Stream(response.content))
        return response

    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(transport=transport) as mesh, httpx2.AsyncClient(transport=transport) as others:
        yield TriggerSender(
            mesh=mesh,
            subscribers=others,
            targets=targets or Targets(policy=TargetPolicy(), resolve=resolve_publicly),
            clock=SteppingClock(),
            timeout_s=timeout_s,
        )


class FakeBot:
    """A bot that is asked what the test says, and lends a placeholder."""

    def __init__(self, *, ts: str | None = None, asked: bool = False) -> None:
        self.ts = ts
        self.asked = asked
        self.withdrawn: list[tuple[EventId, bool]] = []

    async def is_asked(self, connection: Connection, envelope: bytes) -> bool:
        return self.asked

    async def place(self, connection: Connection, event: JournalledEvent, envelope: bytes, claim: Claim) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.ts

    async def withdraw(
        self, connection: Connection, event: JournalledEvent, envelope: bytes, claim: Claim, *, may_speak: bool
    ) -> None:
        self.withdrawn.append((event.event_id, may_speak))
