import json
from asyncio import Future, get_running_loop
from dataclasses import replace
from typing import Any

import pytest
from anyio.lowlevel import checkpoint
from directory_fake import FakeDirectory, make_connection
from hypothesis import given
from hypothesis import strategies as st
from stepping_clock import SteppingClock

from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    MalformedBodyError,
    OverloadedError,
    SignatureMismatchError,
    SlackMcpError,
    StoreUnavailableError,
    TimestampSkewError,
)
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import UNDATED, Connection, Delivery
from slack_mcp.core.secret import Secret
from slack_mcp.inbox.receive import Receipt, Receiver, Taken
from slack_mcp.inbox.verify import SignedRequest, Verifier
from slack_mcp.protocol.events import MAX_EVENT_AGE_S, EventCallback
from slack_mcp.simulator import sign

pytestmark = pytest.mark.anyio

CONNECTION = make_connection()
MESSAGE = {"type": "message", "channel": "C1", "ts": "1.0001", "user": "U1", "text": "hi", "channel_type": "channel"}


class Pod:
    """A receiver with everything around it."""

    def __init__(self, *connections: Connection, shared_secret: str | None = None) -> None:
        self.clock = SteppingClock()
        self.directory = FakeDirectory(*connections)
        self.journalled: list[Delivery] = []
        self.error: Exception | None = None
        self.refusal: SlackMcpError | None = None
        self.wakes = 0
        self.receiver = Receiver(
            directory=self.directory,
            verifier=Verifier(
                directory=self.directory,
                clock=self.clock,
                shared_secret=Secret(shared_secret) if shared_secret else None,
            ),
            journal=self.journal,
            wake=self.wake,
            triage=self.triage,
        )

    def journal(self, delivery: Delivery) -> Future[bool]:
        if self.refusal:
            raise self.refusal
        is_new = all(each.event_id != delivery.event_id for each in self.journalled)
        if not self.error:
            self.journalled.append(delivery)
        loop = get_running_loop()
        commit: Future[bool] = loop.create_future()
        loop.call_soon(self.settle, commit, is_new)
        return commit

    def settle(self, commit: Future[bool], is_new: bool) -> None:
        if commit.done():
            return
        if self.error:
            commit.set_exception(self.error)
        else:
            commit.set_result(is_new)

    def triage(self, connection: Connection, event: EventCallback) -> str | None:
        assert connection.connection_id in self.directory.cached
        return "event_type" if event.event_type == "reaction_added" else None

    def wake(self) -> None:
        self.wakes += 1

    def sign(self, body: bytes, secret: str = "signing", *, age_s: float = 0) -> SignedRequest:
        headers = sign(body, secret, int(self.clock.now_s() - age_s))
        return SignedRequest(
            timestamp=headers["X-Slack-Request-Timestamp"].encode(),
            signature=headers["X-Slack-Signature"].encode(),
            body=body,
        )


def envelope(event_id: str = "Ev1", **fields: Any) -> bytes:
    body = {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": event_id, "event": MESSAGE}
    return json.dumps(body | fields).encode()


async def test_a_signed_event_is_journalled_with_its_lane_and_wakes_the_dispatcher() -> None:
    pod = Pod(CONNECTION)
    body = envelope()
    request = pod.sign(body)._replace(retry_num=2, retry_reason="http_timeout")
    assert await pod.receiver.receive(CONNECTION.connection_id, request) == Receipt(Taken.ACCEPTED)
    (delivery,) = pod.journalled
    assert delivery == Delivery(
        connection_id=CONNECTION.connection_id,
        event_id=delivery.event_id,
        event_time=UNDATED,
        lane="C1:1.0001",
        event_type="message",
        payload=body,
        retry_num=2,
        retry_reason="http_timeout",
    )
    assert pod.wakes == 1


@pytest.mark.parametrize("age_s", [0, 86_400, MAX_EVENT_AGE_S, -MAX_EVENT_AGE_S])
async def test_each_attempt_to_deliver_an_event_has_the_time_that_slack_says(age_s: int) -> None:
    pod = Pod(CONNECTION)
    body = envelope(event_time=int(pod.clock.now_s()) - age_s)
    await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body))
    assert [each.event_time for each in pod.journalled] == [int(pod.clock.now_s()) - age_s]


@pytest.mark.parametrize(
    "said",
    [
        *(None, True, "1800000000", 1.8e9, [], 0, 1, -1, 1_800_000_000_000, 2**63 - 1, 2**63, -(2**63) - 1, 10**30),
        *(1_800_000_000 - MAX_EVENT_AGE_S - 1, 1_800_000_000 + 2 * MAX_EVENT_AGE_S),
    ],
)
async def test_a_time_that_cannot_be_believed_is_none_in_each_attempt(said: object) -> None:
    pod = Pod(CONNECTION)
    assert pod.clock.now_s() == 1_800_000_000
    for _ in range(2):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope(event_time=said)))
        pod.clock.time_s += 60
    assert {each.event_time for each in pod.journalled} == {UNDATED}


async def test_an_event_that_nobody_has_to_work_on_is_journalled_as_skipped_and_wakes_nobody() -> None:
    pod = Pod(CONNECTION)
    event = {"type": "reaction_added", "item": {"channel": "C1", "ts": "1.0001"}}
    await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope(event=event)))
    assert [delivery.skip_reason for delivery in pod.journalled] == ["event_type"]
    assert pod.wakes == 0


async def test_a_repeated_event_is_told_from_a_new_one_and_wakes_nobody() -> None:
    pod = Pod(CONNECTION)
    receipts = [await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope())) for _ in range(2)]
    assert receipts == [Receipt(Taken.ACCEPTED), Receipt(Taken.DUPLICATE)]
    assert pod.wakes == 1


async def test_a_challenge_is_returned_only_when_it_is_signed() -> None:
    pod = Pod(CONNECTION)
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    receipt = await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body))
    assert receipt == Receipt(Taken.CHALLENGE, "abc")
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body, "other"))
    assert pod.journalled == []


@given(body=st.binary(max_size=200))
async def test_nothing_that_is_not_signed_is_parsed_or_journalled(body: bytes) -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body, "other"))
    assert pod.journalled == []


async def test_a_signature_that_does_not_match_re_reads_the_connection_once() -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope(), "new"))
    pod.directory.store(CONNECTION, signing_secret=Secret("new"))
    await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope(), "new"))
    assert pod.directory.reloads == [CONNECTION.connection_id] * 2
    await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope("Ev2"), "new"))
    assert len(pod.directory.reloads) == 2


async def test_a_stale_request_costs_no_look_into_the_database() -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(TimestampSkewError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope(), age_s=301))
    assert pod.directory.reloads == []


async def test_the_previous_secret_is_good_until_its_time_is_over() -> None:
    pod = Pod()
    until_s = pod.clock.now_s() + 60
    connection = replace(CONNECTION, previous_signing_secret=Secret("old"), previous_signing_secret_until_s=until_s)
    pod = Pod(connection)
    await pod.receiver.receive(connection.connection_id, pod.sign(envelope(), "old"))
    pod.clock.time_s = until_s
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive(connection.connection_id, pod.sign(envelope("Ev2"), "old"))


async def test_an_unknown_connection_is_not_found() -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(ConnectionNotFoundError):
        await pod.receiver.receive(ConnectionId("conn_2"), pod.sign(envelope()))


async def test_a_connection_that_was_removed_elsewhere_is_not_found_after_the_re_read() -> None:
    pod = Pod(CONNECTION)
    pod.directory.stored.clear()
    with pytest.raises(ConnectionNotFoundError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope(), "new"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff\xfe", b'{"type": "event_callback"}', b"{" * 5000])
async def test_a_signed_body_that_is_no_envelope_is_malformed(body: bytes) -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(MalformedBodyError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(body))


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ({"type": "app_rate_limited", "minute_rate_limited": 1, "team_id": "T1"}, Taken.APP_RATE_LIMITED),
        ({"type": "something_new"}, Taken.ACCEPTED),
    ],
)
async def test_what_is_signed_and_of_no_interest_is_acknowledged_and_not_stored(
    body: dict[str, Any], taken: Taken
) -> None:
    pod = Pod(CONNECTION)
    receipt = await pod.receiver.receive(CONNECTION.connection_id, pod.sign(json.dumps(body).encode()))
    assert (receipt.challenge, receipt.outcome) == ("", taken)
    assert (pod.journalled, pod.wakes) == ([], 0)


async def test_a_journal_that_fails_is_the_callers_to_know() -> None:
    pod = Pod(CONNECTION)
    pod.error = StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope()))
    assert pod.wakes == 0


async def test_the_shared_address_finds_the_connection_whose_secret_signed() -> None:
    other = make_connection("conn_2", secret="other", team_id="T2")
    pod = Pod(CONNECTION, other)
    await pod.receiver.receive_shared(pod.sign(envelope(team_id="T2"), "other"))
    await pod.receiver.receive_shared(pod.sign(envelope("Ev2")))
    assert [each.connection_id for each in pod.journalled] == ["conn_2", "conn_1"]


async def test_on_the_shared_address_nobody_signs_for_another_workspace() -> None:
    other = make_connection("conn_2", secret="other", team_id="T2")
    pod = Pod(CONNECTION, other)
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive_shared(pod.sign(envelope(team_id="T2"), "signing"))
    assert pod.journalled == []


async def test_on_the_shared_address_a_changed_secret_is_re_read() -> None:
    pod = Pod(CONNECTION)
    pod.directory.store(CONNECTION, signing_secret=Secret("new"))
    await pod.receiver.receive_shared(pod.sign(envelope(), "new"))
    assert len(pod.journalled) == 1


async def test_a_workspace_without_a_connection_is_acknowledged_when_the_app_signed() -> None:
    pod = Pod(CONNECTION, shared_secret="app-wide")
    assert await pod.receiver.receive_shared(pod.sign(envelope(team_id="T9"), "app-wide")) == Receipt(Taken.NOBODYS)
    assert pod.journalled == []
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive_shared(pod.sign(envelope(team_id="T9"), "wrong"))


async def test_without_the_apps_secret_a_workspace_without_a_connection_is_not_found() -> None:
    pod = Pod(CONNECTION)
    with pytest.raises(ConnectionNotFoundError):
        await pod.receiver.receive_shared(pod.sign(envelope(team_id="T9")))


async def test_the_shared_address_answers_the_challenge_of_the_app() -> None:
    pod = Pod(shared_secret="app-wide")
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    assert await pod.receiver.receive_shared(pod.sign(body, "app-wide")) == Receipt(Taken.CHALLENGE, "abc")


async def test_what_the_apps_secret_signed_is_for_the_one_connection_of_the_app() -> None:
    other = replace(make_connection("conn_2"), api_app_id="A2")
    pod = Pod(CONNECTION, other, shared_secret="app-wide")
    assert await pod.receiver.receive_shared(pod.sign(envelope(), "app-wide")) == Receipt(Taken.ACCEPTED)
    assert [each.connection_id for each in pod.journalled] == ["conn_1"]
    assert pod.wakes == 1


async def test_what_the_apps_secret_signed_for_two_connections_is_nobodys() -> None:
    pod = Pod(CONNECTION, make_connection("conn_2"), shared_secret="app-wide")
    with pytest.raises(SignatureMismatchError):
        await pod.receiver.receive_shared(pod.sign(envelope(), "app-wide"))
    assert pod.journalled == []


async def test_a_signed_event_of_a_connection_in_memory_begins_at_once() -> None:
    pod = Pod(CONNECTION)
    commit = pod.receiver.begin(CONNECTION.connection_id, pod.sign(envelope()))
    assert [each.event_id for each in pod.journalled] == ["Ev1"]
    assert commit is not None
    assert await commit
    assert pod.wakes == 1


async def test_a_commit_that_failed_wakes_nobody() -> None:
    pod = Pod(CONNECTION)
    pod.error = StoreUnavailableError("gone")
    commit = pod.receiver.begin(CONNECTION.connection_id, pod.sign(envelope()))
    assert commit is not None
    with pytest.raises(StoreUnavailableError):
        await commit
    assert pod.wakes == 0


@pytest.mark.parametrize(
    ("name", "body", "secret"),
    [
        ("conn_2", envelope(), "signing"),
        ("conn_1", envelope(), "other"),
        ("conn_1", b"{}", "signing"),
        ("conn_1", b"\xff", "signing"),
        ("conn_1", json.dumps({"type": "url_verification", "challenge": "abc"}).encode(), "signing"),
        ("conn_1", json.dumps({"type": "app_rate_limited", "minute_rate_limited": 1}).encode(), "signing"),
    ],
)
async def test_what_needs_more_than_a_commit_is_not_begun(name: str, body: bytes, secret: str) -> None:
    pod = Pod(CONNECTION)
    assert pod.receiver.begin(ConnectionId(name), pod.sign(body, secret)) is None
    assert (pod.journalled, pod.directory.reloads, pod.wakes) == ([], [], 0)


async def test_what_the_full_journal_does_not_take_is_refused_at_once_on_both_ways() -> None:
    pod = Pod(CONNECTION)
    pod.refusal = OverloadedError("full")
    with pytest.raises(OverloadedError):
        pod.receiver.begin(CONNECTION.connection_id, pod.sign(envelope()))
    with pytest.raises(OverloadedError):
        await pod.receiver.receive(CONNECTION.connection_id, pod.sign(envelope()))
    assert (pod.journalled, pod.wakes) == ([], 0)


async def test_a_journal_that_is_closed_is_left_to_the_slow_way() -> None:
    pod = Pod(CONNECTION)
    pod.refusal = StoreUnavailableError("closed")
    assert pod.receiver.begin(CONNECTION.connection_id, pod.sign(envelope())) is None


async def test_an_event_whose_caller_has_left_wakes_the_dispatcher_all_the_same() -> None:
    pod = Pod(CONNECTION)
    commit = pod.receiver.begin(CONNECTION.connection_id, pod.sign(envelope()))
    assert commit is not None
    commit.cancel()
    await checkpoint()
    assert pod.wakes == 1
