import json
from asyncio import Future, get_running_loop
from typing import Any
from urllib.parse import urlencode

import pytest
from directory_fake import FakeDirectory, make_connection
from hypothesis import given
from hypothesis import strategies as st
from stepping_clock import SteppingClock

from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    MalformedBodyError,
    SignatureMismatchError,
    SignatureMissingError,
    StoreUnavailableError,
    TimestampSkewError,
)
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, Delivery
from slack_mcp.core.secret import Secret
from slack_mcp.inbox.forms import FormReceiver
from slack_mcp.inbox.verify import SignedRequest, Verifier
from slack_mcp.ports.interactions import InstantAnswer
from slack_mcp.protocol.interactions import Interaction
from slack_mcp.simulator import sign

pytestmark = pytest.mark.anyio

CONNECTION = make_connection()
COMMAND = {"command": "/slack-mcp", "team_id": "T1", "api_app_id": "A1", "channel_id": "C1", "user_id": "U1"}


def command(**fields: str) -> bytes:
    return urlencode(COMMAND | fields).encode()


def click(**fields: Any) -> bytes:
    payload = {"type": "block_actions", "user": {"id": "U1"}, "team": {"id": "T1"}, "api_app_id": "A1"} | fields
    return urlencode({"payload": json.dumps(payload)}).encode()


class Pod:
    """A receiver with everything around it."""

    def __init__(self, *connections: Connection, shared_secret: str | None = None) -> None:
        self.clock = SteppingClock()
        self.directory = FakeDirectory(*connections)
        self.journalled: list[Delivery] = []
        self.error: Exception | None = None
        self.answer = InstantAnswer()
        self.asked: list[tuple[Connection, Interaction]] = []
        self.wakes = 0
        self.receiver = FormReceiver(
            verifier=Verifier(
                directory=self.directory,
                clock=self.clock,
                shared_secret=Secret(shared_secret) if shared_secret else None,
            ),
            journal=self.journal,
            wake=self.wake,
            answer_now=self.answer_now,
        )

    def journal(self, delivery: Delivery) -> Future[bool]:
        commit: Future[bool] = get_running_loop().create_future()
        if self.error:
            commit.set_exception(self.error)
        else:
            commit.set_result(all(each.event_id != delivery.event_id for each in self.journalled))
            self.journalled.append(delivery)
        return commit

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        self.asked.append((connection, interaction))
        return self.answer

    def wake(self) -> None:
        self.wakes += 1

    def sign(self, body: bytes, secret: str = "signing", *, age_s: float = 0) -> SignedRequest:
        headers = sign(body, secret, int(self.clock.now_s() - age_s))
        return SignedRequest(
            timestamp=headers["X-Slack-Request-Timestamp"].encode(),
            signature=headers["X-Slack-Signature"].encode(),
            body=body,
        )


async def test_a_signed_command_is_journalled_as_it_came_and_wakes_the_dispatcher() -> None:
    pod = Pod(CONNECTION)
    assert await pod.receiver.receive(CONNECTION.connection_id, pod.sign(command(text="status"))) is None
    (delivery,) = pod.journalled
    assert delivery.payload == command(text="status")
    assert (delivery.event_type, delivery.lane, delivery.skip_reason) == ("slash_command", "command:C1:U1", None)
    assert pod.wakes == 1
    assert pod.asked == []


async def test_what_is_sent_again_is_the_same_event_and_what_is_typed_again_is_not() -> None:
    pod = Pod(CONNECTION)
    request = pod.sign(command())
    await pod.receiver.receive(CONNECTION.connection_id, request)
    await pod.receiver.receive(CONNECTION.connection_id, request)
    pod.clock.time_s += 1
    await pod.receiver.receive(CONNECTION.connection_id, pod.sign(command()))
    first, again, typed = (each.event_id for each in pod.journalled)
    assert first == again != typed
    assert [each.event_time for each in pod.journalled] == [1_800_000_000, 1_800_000_000, 1_800_000_001]
    assert pod.wakes == 2


async def test_an_interaction_is_answered_at_once_and_journalled_with_the_reason_to_skip_it() -> None:
    pod = Pod(CONNECTION)
    pod.answer = InstantAnswer(body={"response_action": "clear"}, skip_reason="form_opened")
    answer = await pod.receiver.receive(CONNECTION.connection_id, pod.sign(click()))
    assert answer == {"response_action": "clear"}
    (delivery,) = pod.journalled
    assert (delivery.event_type, delivery.lane, delivery.skip_reason) == ("interaction", "click:U1", "form_opened")
    assert pod.wakes == 0


async def test_what_leaves_no_trace_is_answered_without_the_journal() -> None:
    pod = Pod(CONNECTION)
    pod.answer = InstantAnswer(body={"options": []}, is_journalled=False)
    assert await pod.receiver.receive(CONNECTION.connection_id, pod.sign(click())) == {"options": []}
    assert pod.journalled == []


async def test_a_look_at_the_address_is_acknowledged_and_nothing_more() -> None:
    pod = Pod(CONNECTION)
    assert await pod.receiver.receive(CONNECTION.connection_id, pod.sign(b"ssl_check=1")) is None
    assert pod.journalled == []


@pytest.mark.parametrize("body", [b"", b"x=1", b"payload={", b"payload=[]", b"\xff", b'{"type": "event_callback"}'])
async def test_a_signed_body_that_is_no_form_is_refused(body: bytes) -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(MalformedBodyError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body))
    assert pod.journalled == []


async def test_nothing_unsigned_stale_or_foreign_is_parsed_or_journalled() -> None:
    pod = Pod(CONNECTION)
    for body in (command(), b"payload={"):  # the second would be refused as garbage, were it read first
        unsigned = SignedRequest(timestamp=None, signature=None, body=body)
        with pytest.raises(SignatureMissingError):
            await pod.receiver.receive(CONNECTION.connection_id, unsigned)
        with pytest.raises(TimestampSkewError):
            await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body, age_s=301))
        with pytest.raises(SignatureMismatchError):
            await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body, "other"))
    with pytest.raises(ConnectionNotFoundError):
        await pod.receiver.receive(ConnectionId("nobody"), pod.sign(command()))
    assert (pod.journalled, pod.asked) == ([], [])


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
async def test_any_changed_byte_fails(place: int, change: int) -> None:
    pod = Pod(CONNECTION)
    request = pod.sign(command())
    body = bytearray(request.body)
    body[place % len(body)] ^= change
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive(CONNECTION.connection_id, request._replace(body=bytes(body)))


async def test_a_secret_that_was_changed_elsewhere_is_looked_up_once() -> None:
    pod = Pod(CONNECTION)
    pod.directory.store(CONNECTION, signing_secret=Secret("new"))
    await pod.receiver.receive(CONNECTION.connection_id, pod.sign(command(), "new"))
    assert len(pod.journalled) == 1
    assert pod.directory.reloads == [CONNECTION.connection_id]


async def test_a_commit_that_fails_is_told_so_that_the_person_tries_again() -> None:
    pod = Pod(CONNECTION)
    pod.error = StoreUnavailableError("down")
    with pytest.raises(StoreUnavailableError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(command()))
    assert pod.wakes == 0


async def test_on_the_shared_address_the_form_says_for_whom_it_is_and_the_secret_proves_it() -> None:
    other = make_connection("conn_2", secret="second", team_id="T2")
    pod = Pod(CONNECTION, other)
    await pod.receiver.receive_shared(pod.sign(command(team_id="T2"), "second"))
    await pod.receiver.receive_shared(pod.sign(click(team={"id": "T1"})))
    assert [each.connection_id for each in pod.journalled] == ["conn_2", "conn_1"]
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive_shared(pod.sign(command(team_id="T2")))
    with pytest.raises(ConnectionNotFoundError):
        await pod.receiver.receive_shared(pod.sign(command(team_id="T9")))
    with pytest.raises(ConnectionNotFoundError):
        await pod.receiver.receive_shared(pod.sign(b"payload={"))


async def test_a_workspace_without_a_connection_is_acknowledged_when_the_app_signed() -> None:
    pod = Pod(CONNECTION, shared_secret="app")
    assert await pod.receiver.receive_shared(pod.sign(command(team_id="T9"), "app")) is None
    assert pod.journalled == []
    with pytest.raises(MalformedBodyError):
        await pod.receiver.receive_shared(pod.sign(b"x=1", "app"))
    await pod.receiver.receive_shared(pod.sign(command(), "app"))
    assert [each.connection_id for each in pod.journalled] == ["conn_1"]


async def test_two_connections_that_the_app_may_mean_are_told_apart_by_nobody() -> None:
    pod = Pod(CONNECTION, make_connection("conn_2", secret="second"), shared_secret="app")
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive_shared(pod.sign(command(), "app"))
