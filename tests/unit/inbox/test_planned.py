import json
from asyncio import CancelledError, Future, get_running_loop
from collections.abc import Sequence
from dataclasses import replace

import pytest
from directory_fake import FakeDirectory, make_connection
from stepping_clock import SteppingClock
from trigger_fakes import make_trigger

from slack_mcp.core.errors import OverloadedError, StoreUnavailableError
from slack_mcp.core.ids import EventId
from slack_mcp.core.model import Connection, Delivery
from slack_mcp.inbox.receive import Receiver
from slack_mcp.inbox.verify import SignedRequest, Verifier
from slack_mcp.protocol.events import EventCallback
from slack_mcp.simulator import sign

pytestmark = pytest.mark.anyio
CONNECTION = replace(make_connection(), triggers=(make_trigger(),))


class Pod:
    """A receiver whose plan is two more events, and whose commits end when the test says so."""

    def __init__(self, connection: Connection = CONNECTION, *, room: int = 10) -> None:
        self.connection = connection
        self.commits: dict[EventId, Future[bool]] = {}
        self.room = room
        self.wakes = 0
        self.clock = SteppingClock()
        directory = FakeDirectory(connection)
        self.receiver = Receiver(
            directory=directory,
            verifier=Verifier(directory=directory, clock=self.clock),
            journal=self.journal,
            wake=self.wake,
            triage=lambda _connection, _event: "not_for_us",
            plan=self.plan,
        )

    def journal(self, delivery: Delivery) -> Future[bool]:
        if len(self.commits) >= self.room:
            raise OverloadedError("full")
        self.commits[delivery.event_id] = get_running_loop().create_future()
        return self.commits[delivery.event_id]

    def plan(self, connection: Connection, event: EventCallback, body: bytes) -> Sequence[Delivery]:
        assert connection is self.connection
        return [
            Delivery(
                connection_id=connection.connection_id,
                event_id=EventId(f"{event.event_id}:{number}"),
                event_time=event.event_time,
                lane=str(number),
                event_type="trigger.delivery",
                payload=body,
            )
            for number in range(2)
        ]

    def wake(self) -> None:
        self.wakes += 1

    def begin(self) -> Future[bool]:
        message = {"type": "message", "channel": "C1", "ts": "1.0001", "user": "U1", "text": "hi"}
        body = json.dumps({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": message}).encode()
        headers = sign(body, "signing", int(self.clock.now_s()))
        request = SignedRequest(
            timestamp=headers["X-Slack-Request-Timestamp"].encode(),
            signature=headers["X-Slack-Signature"].encode(),
            body=body,
        )
        commit = self.receiver.begin(self.connection.connection_id, request)
        assert commit is not None
        return commit


async def settle() -> None:
    """Let every callback that is due have its turn."""
    done = get_running_loop().create_future()
    get_running_loop().call_soon(get_running_loop().call_soon, done.set_result, None)
    await done


async def test_the_answer_waits_for_all_that_is_journalled_beside_the_event() -> None:
    pod = Pod()
    commit = pod.begin()
    assert list(pod.commits) == ["Ev1", "Ev1:0", "Ev1:1"]
    for event_id, is_new in (("Ev1:1", False), ("Ev1", False)):
        pod.commits[EventId(event_id)].set_result(is_new)
    await settle()
    assert not commit.done()
    assert pod.wakes == 0
    pod.commits[EventId("Ev1:0")].set_result(True)
    assert await commit is True
    assert pod.wakes == 1


async def test_what_was_journalled_before_is_not_new() -> None:
    pod = Pod()
    commit = pod.begin()
    for each in pod.commits.values():
        each.set_result(False)
    assert await commit is False
    assert pod.wakes == 0


async def test_slack_is_told_to_come_again_when_one_of_them_fails() -> None:
    pod = Pod()
    commit = pod.begin()
    first, second, third = pod.commits.values()
    first.set_result(True)
    second.set_exception(StoreUnavailableError("gone"))
    third.set_exception(StoreUnavailableError("gone too"))
    with pytest.raises(StoreUnavailableError, match="gone"):
        await commit


async def test_slack_is_told_to_come_again_when_there_is_no_room_for_all() -> None:
    pod = Pod(room=2)
    with pytest.raises(OverloadedError):
        pod.begin()
    for each in pod.commits.values():
        each.set_exception(StoreUnavailableError("gone"))
    await settle()  # nobody waits for them, and nobody is told of an exception that was never looked at


async def test_a_caller_that_has_left_takes_nothing_back() -> None:
    pod = Pod()
    commit = pod.begin()
    commit.cancel()
    for each in pod.commits.values():
        each.set_result(True)
    await settle()
    assert pod.wakes == 2
    with pytest.raises(CancelledError):
        await commit


async def test_without_triggers_nothing_is_planned() -> None:
    pod = Pod(make_connection())
    pod.begin()
    assert list(pod.commits) == ["Ev1"]
