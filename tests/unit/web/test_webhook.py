import inspect
import json
from contextlib import nullcontext
from typing import Any

import pytest

from slack_mcp.core import errors
from slack_mcp.core.ids import ConnectionId
from slack_mcp.inbox.receive import Receipt, Taken
from slack_mcp.inbox.verify import SignedRequest
from slack_mcp.ports.metrics import NoteAnswer, ignore_answer
from slack_mcp.web.intake import Intake
from slack_mcp.web.problems import STATUS, get_status, render_problem
from slack_mcp.web.webhook import Webhook

pytestmark = pytest.mark.anyio

MAX_BODY = 1024


class FakeReceiver:
    """Notes what it is given and answers as a test says."""

    def __init__(self) -> None:
        self.received: list[tuple[str | None, SignedRequest]] = []
        self.taken = Taken.ACCEPTED
        self.challenge = ""
        self.error: errors.SlackMcpError | None = None

    async def receive(self, connection_id: ConnectionId, request: SignedRequest) -> Receipt:
        return self._take(connection_id, request)

    async def receive_shared(self, request: SignedRequest) -> Receipt:
        return self._take(None, request)

    def _take(self, connection_id: str | None, request: SignedRequest) -> Receipt:
        self.received.append((connection_id, request))
        if self.error:
            raise self.error
        return Receipt(self.taken, self.challenge)


class Answer:
    """What the app sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]


async def rest(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def post(
    receiver: FakeReceiver,
    path: str,
    *chunks: bytes,
    headers: dict[str, str] | None = None,
    method: str = "POST",
    is_cut: bool = False,
    note: NoteAnswer = ignore_answer,
) -> Answer:
    messages = iter(
        [
            *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks[:-1]),
            {"type": "http.request", "body": chunks[-1] if chunks else b"", "more_body": is_cut},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(key.lower().encode(), value.encode("latin-1")) for key, value in (headers or {}).items()],
    }
    answer = Answer()
    webhook = Webhook(Intake(receiver, note=note), rest=rest, max_body_bytes=MAX_BODY)  # type: ignore[arg-type]
    await webhook(scope, receive, answer.send)
    return answer


async def test_the_body_is_handed_over_byte_by_byte_with_slacks_headers() -> None:
    receiver = FakeReceiver()
    headers = {
        "X-Slack-Signature": "v0=abc",
        "X-Slack-Request-Timestamp": "123",
        "X-Slack-Retry-Num": "2",
        "X-Slack-Retry-Reason": "http_timeout",
    }
    answer = await post(receiver, "/slack/events/conn_1", b"\xff\x00", b"rest", headers=headers)
    assert (answer.status, answer.body) == (200, b"")
    assert receiver.received == [
        (
            "conn_1",
            SignedRequest(
                timestamp=b"123",
                signature=b"v0=abc",
                body=b"\xff\x00rest",
                retry_num=2,
                retry_reason="http_timeout",
            ),
        )
    ]


@pytest.mark.parametrize("path", ["/slack/events", "/slack/events/"])
async def test_the_address_without_an_id_is_the_shared_one(path: str) -> None:
    receiver = FakeReceiver()
    await post(receiver, path, b"{}")
    assert receiver.received[0][0] is None


async def test_a_challenge_is_answered_as_plain_text() -> None:
    receiver = FakeReceiver()
    receiver.challenge = "abc"
    answer = await post(receiver, "/slack/events/conn_1", b"{}")
    assert (answer.status, answer.body) == (200, b"abc")
    assert answer.headers[b"content-type"].startswith(b"text/plain")


@pytest.mark.parametrize("path", ["/", "/health", "/slack/eventsource", "/slack"])
async def test_every_other_path_goes_to_the_app_behind(path: str) -> None:
    receiver = FakeReceiver()
    answer = await post(receiver, path)
    assert (answer.status, answer.body, receiver.received) == (299, path.encode(), [])


async def test_only_post_is_allowed() -> None:
    answer = await post(FakeReceiver(), "/slack/events/conn_1", method="GET")
    assert (answer.status, answer.headers[b"allow"]) == (405, b"POST")


@pytest.mark.parametrize("name", ["a/b", "x" * 201, "a\nb", "a\x00b", "a%2fb"])
async def test_what_cannot_be_an_id_is_not_found_and_not_looked_up(name: str) -> None:
    receiver = FakeReceiver()
    answer = await post(receiver, f"/slack/events/{name}", b"{}")
    assert (answer.status, receiver.received) == (404, [])


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    receiver = FakeReceiver()
    answer = await post(receiver, "/slack/events/conn_1", headers={"Content-Length": str(10 * 1024 * 1024)})
    assert (answer.status, answer.headers[b"x-slack-no-retry"], receiver.received) == (413, b"1", [])


async def test_a_body_that_turns_out_too_large_is_refused() -> None:
    receiver = FakeReceiver()
    answer = await post(receiver, "/slack/events/conn_1", b"x" * 1000, b"x" * 1000)
    assert (answer.status, receiver.received) == (413, [])
    answer = await post(receiver, "/slack/events/conn_1", b"x" * (MAX_BODY + 1))
    assert (answer.status, receiver.received) == (413, [])


async def test_half_a_body_is_not_handed_over() -> None:
    receiver = FakeReceiver()
    answer = await post(receiver, "/slack/events/conn_1", b"half", is_cut=True)
    assert (answer.status, receiver.received) == (408, [])


@pytest.mark.parametrize("retry_num", ["", "x", "-1", "99999", "\xb2"])
async def test_an_unreadable_retry_number_is_none(retry_num: str) -> None:
    receiver = FakeReceiver()
    headers = {"X-Slack-Retry-Num": retry_num, "X-Slack-Retry-Reason": "\x00evil" + retry_num}
    await post(receiver, "/slack/events/conn_1", b"{}", headers=headers)
    request = receiver.received[0][1]
    assert (request.retry_num, request.retry_reason) == (0, "unreadable")


@pytest.mark.parametrize(
    ("error", "status", "is_final"),
    [
        (errors.SignatureMissingError(), 401, False),
        (errors.SignatureMismatchError(), 401, False),
        (errors.TimestampSkewError(1000), 401, False),
        (errors.MalformedBodyError("The body is not JSON."), 400, True),
        (errors.BodyTooLargeError(1024), 413, True),
        (errors.ConnectionNotFoundError(ConnectionId("conn_1")), 404, True),
        (errors.StoreUnavailableError("postgres at 10.0.0.1 is gone"), 503, False),
        (errors.OverloadedError("full"), 503, False),
        (errors.SealingError("key k1"), 500, False),
    ],
)
async def test_an_error_has_a_status_and_says_whether_to_come_again(
    error: errors.SlackMcpError, status: int, is_final: bool
) -> None:
    receiver = FakeReceiver()
    receiver.error = error
    answer = await post(receiver, "/slack/events/conn_1", b"{}")
    assert (answer.status, json.loads(answer.body)["error"]) == (status, error.code)
    assert (answer.headers.get(b"x-slack-no-retry") == b"1") is is_final
    assert b"10.0.0.1" not in answer.body


def list_leaves(kind: type[errors.SlackMcpError] = errors.SlackMcpError) -> list[type[errors.SlackMcpError]]:
    children = [child for child in kind.__subclasses__() if inspect.getmodule(child) is errors]
    return [leaf for child in children for leaf in list_leaves(child)] if children else [kind]


def test_every_error_has_a_row() -> None:
    assert set(list_leaves()) == set(STATUS)


def test_only_the_callers_own_mistakes_are_explained() -> None:
    assert "message" in json.loads(render_problem(errors.SignatureMismatchError()))
    for error in (errors.StoreUnavailableError("host"), errors.ConnectionNotFoundError(ConnectionId("conn_1"))):
        assert json.loads(render_problem(error)) == {"error": error.code}


def test_an_error_without_a_row_takes_that_of_its_parent_or_500() -> None:
    class OddError(errors.StoreUnavailableError):
        pass

    class StrayError(errors.SlackMcpError):
        pass

    assert (get_status(OddError("x")), get_status(StrayError("x"))) == (503, 500)


class Noted:
    """What the door was told of its answers."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.seconds: list[float] = []

    def __call__(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)
        self.seconds.append(seconds)


@pytest.mark.parametrize(
    ("taken", "error", "chunks", "is_cut", "outcome"),
    [
        (Taken.ACCEPTED, None, [b"{}"], False, "accepted"),
        (Taken.DUPLICATE, None, [b"{}"], False, "duplicate"),
        (Taken.ACCEPTED, errors.SignatureMismatchError(), [b"{}"], False, "signature_mismatch"),
        (Taken.ACCEPTED, errors.StoreUnavailableError("gone"), [b"{}"], False, "store_unavailable"),
        (Taken.ACCEPTED, None, [b"x" * (MAX_BODY + 1)], False, "body_too_large"),
        (Taken.ACCEPTED, None, [b"half"], True, "body_incomplete"),
        (Taken.ACCEPTED, ValueError("a bug"), [b"{}"], False, "internal_error"),
    ],
)
async def test_every_answer_is_noted_once_with_its_word(
    taken: Taken, error: Any, chunks: list[bytes], is_cut: bool, outcome: str
) -> None:
    receiver, noted = FakeReceiver(), Noted()
    receiver.taken, receiver.error = taken, error
    with nullcontext() if outcome != "internal_error" else pytest.raises(ValueError, match="a bug"):
        await post(receiver, "/slack/events/conn_1", *chunks, is_cut=is_cut, note=noted)
    assert noted.outcomes == [outcome]
    assert 0 <= noted.seconds[0] < 5


async def test_what_is_no_delivery_is_not_noted() -> None:
    noted = Noted()
    await post(FakeReceiver(), "/slack/events/conn_1", method="GET", note=noted)
    await post(FakeReceiver(), "/elsewhere", note=noted)
    assert noted.outcomes == []
