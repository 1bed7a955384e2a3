import json
from collections.abc import Mapping
from typing import Any

import pytest

from slack_mcp.core.errors import ConnectionNotFoundError, MalformedBodyError, SlackMcpError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.inbox.verify import SignedRequest
from slack_mcp.web.forms import FormIntake
from slack_mcp.web.webhook import Webhook

pytestmark = pytest.mark.anyio

MAX_BODY = 1024


class FakeReceiver:
    """Notes what it is given and answers as a test says; stands for the receiver of events too."""

    def __init__(self) -> None:
        self.received: list[tuple[str | None, SignedRequest]] = []
        self.answer: Mapping[str, Any] | None = None
        self.error: SlackMcpError | None = None

    async def receive(self, connection_id: ConnectionId, request: SignedRequest) -> Mapping[str, Any] | None:
        return self._take(connection_id, request)

    async def receive_shared(self, request: SignedRequest) -> Mapping[str, Any] | None:
        return self._take(None, request)

    def _take(self, connection_id: str | None, request: SignedRequest) -> Mapping[str, Any] | None:
        self.received.append((connection_id, request))
        if self.error:
            raise self.error
        return self.answer


class NoEvents:
    """Fails the test when a form comes in at the door of the events."""

    def note(self, outcome: str, seconds: float) -> None:
        raise AssertionError(outcome)

    async def take(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Any:
        raise AssertionError(name)


async def rest(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def send(
    receiver: FakeReceiver, path: str, body: bytes = b"payload=x", *, method: str = "POST"
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-slack-signature", b"v0=1"), (b"x-slack-request-timestamp", b"17")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    webhook = Webhook(NoEvents(), rest=rest, max_body_bytes=MAX_BODY, forms=FormIntake(receiver))  # type: ignore[arg-type]
    await webhook(scope, receive, keep)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:])


@pytest.mark.parametrize("door", ["/slack/commands", "/slack/interactive"])
async def test_a_form_reaches_the_receiver_as_it_came(door: str) -> None:
    receiver = FakeReceiver()
    status, _, body = await send(receiver, f"{door}/conn_1")
    await send(receiver, door)
    await send(receiver, f"{door}/")
    assert (status, body) == (200, b"")
    assert [connection_id for connection_id, _ in receiver.received] == ["conn_1", None, None]
    assert receiver.received[0][1] == SignedRequest(timestamp=b"17", signature=b"v0=1", body=b"payload=x")


async def test_what_has_to_be_said_at_once_is_json() -> None:
    receiver = FakeReceiver()
    receiver.answer = {"options": []}
    status, headers, body = await send(receiver, "/slack/interactive/conn_1")
    assert (status, headers[b"content-type"], json.loads(body)) == (200, b"application/json", {"options": []})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MalformedBodyError("no form"), 400),
        (ConnectionNotFoundError(ConnectionId("conn_1")), 404),
        (StoreUnavailableError("down"), 503),
    ],
)
async def test_an_error_has_its_status(error: SlackMcpError, status: int) -> None:
    receiver = FakeReceiver()
    receiver.error = error
    assert (await send(receiver, "/slack/commands/conn_1"))[0] == status


@pytest.mark.parametrize("name", ["a/b", "%41", "x" * 201, "a\x00"])
async def test_what_cannot_be_an_id_is_not_looked_up(name: str) -> None:
    receiver = FakeReceiver()
    assert (await send(receiver, f"/slack/commands/{name}"))[0] == 404
    assert receiver.received == []


async def test_only_post_is_answered_and_only_these_paths() -> None:
    receiver = FakeReceiver()
    status, headers, _ = await send(receiver, "/slack/commands/conn_1", method="GET")
    assert (status, headers[b"allow"]) == (405, b"POST")
    for path in ("/slack/commandsx", "/slack/interactivex/conn_1", "/slack", "/slack/other"):
        assert (await send(receiver, path))[0] == 299
    assert receiver.received == []


async def test_a_huge_form_is_not_read() -> None:
    receiver = FakeReceiver()
    assert (await send(receiver, "/slack/interactive/conn_1", b"x" * (MAX_BODY + 1)))[0] == 413
    assert receiver.received == []
