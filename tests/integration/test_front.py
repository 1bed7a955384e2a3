"""The fast way in and the general server behind it, over real sockets and on both event loops."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from front_client import LIVEZ, MAX_BODY, PATH, Caller, FakeReceiver, Served, render_post, serve_front
from structlog.testing import capture_logs

from slack_mcp.app.server import HttpDeadlines
from slack_mcp.core.errors import ConnectionNotFoundError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.web.front import FrontProtocol

pytestmark = pytest.mark.anyio

ALIVE = b"GET /livez"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def receiver(anyio_backend: Any) -> FakeReceiver:
    return FakeReceiver()


def is_in_front(served: Served) -> bool:
    """Tell whether the one connection was not handed over."""
    (connection,) = served.connections
    return isinstance(connection, FrontProtocol)


async def test_a_delivery_is_answered_in_front_as_often_as_one_comes(receiver: FakeReceiver) -> None:
    async with serve_front(receiver) as served, served.call() as caller:
        for number in range(3):
            reply = await caller.ask(render_post(b"%d" % number))
            assert (reply.status, reply.body, reply.closes) == (200, b"", False)
            assert reply.headers["content-type"].startswith("text/plain")
            assert "date" in reply.headers
        assert is_in_front(served)
    assert receiver.taken == [b"0", b"1", b"2"]


@pytest.mark.parametrize("size", [0, 60_000])
async def test_a_delivery_in_two_segments_is_one(receiver: FakeReceiver, size: int) -> None:
    body = b"x" * size
    data = render_post(body)
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(data[:50])
        await anyio.wait_all_tasks_blocked()
        assert (await caller.ask(data[50:])).status == 200
        assert is_in_front(served)
    assert receiver.taken == [body]


async def test_a_delivery_byte_by_byte_is_one(receiver: FakeReceiver) -> None:
    async with serve_front(receiver) as served, served.call() as caller:
        for byte in render_post(b"body"):
            await caller.send(bytes([byte]))
        assert (await caller.read()).status == 200
    assert receiver.taken == [b"body"]


async def test_pipelined_deliveries_are_answered_one_after_the_other(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(b"".join(render_post(b"%d" % number) for number in range(3)))
        await receiver.begun.wait()
        for number in range(3):
            assert receiver.taken == [b"%d" % each for each in range(number + 1)]
            receiver.begun = anyio.Event()
            receiver.commits[number].set_result(True)
            assert (await caller.read()).status == 200
            if number < 2:
                await receiver.begun.wait()


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_request_behind_a_delivery_is_answered_behind_it(receiver: FakeReceiver, is_slow: bool) -> None:
    receiver.is_held = True
    receiver.slow = "challenge" if is_slow else None
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(render_post() + LIVEZ + render_post(b"2", path="/other") + LIVEZ)
        await receiver.begun.wait()
        await anyio.wait_all_tasks_blocked()
        assert is_in_front(served)
        receiver.released.set()
        for commit in receiver.commits:
            commit.set_result(True)
        replies = [await caller.read() for _ in range(4)]
    assert [each.body for each in replies] == [b"challenge" if is_slow else b"", ALIVE, b"POST /other", ALIVE]


async def test_one_connection_carries_deliveries_and_everything_else_in_any_order(receiver: FakeReceiver) -> None:
    async with serve_front(receiver) as served, served.call() as caller:
        assert (await caller.ask(render_post(b"1"))).status == 200
        assert is_in_front(served)
        assert (await caller.ask(LIVEZ)).body == ALIVE
        assert not is_in_front(served)
        receiver.slow = "challenge"
        receiver.released.set()
        assert (await caller.ask(render_post(b"2"))).body == b"challenge"
        assert (await caller.ask(LIVEZ)).body == ALIVE
    assert receiver.taken == [b"1", b"2"]


async def test_an_idle_connection_goes_for_a_new_one_when_too_many_are_open(receiver: FakeReceiver) -> None:
    receiver.released.set()
    async with serve_front(receiver, max_connections=2) as served, served.call() as first, served.call() as second:
        assert (await first.ask(LIVEZ)).body == ALIVE
        assert (await second.ask(render_post(b"2"))).status == 200
        async with served.call() as third:
            assert (await third.ask(render_post(b"3"))).status == 200
            assert await first.is_closed()
            assert (await second.ask(LIVEZ)).body == ALIVE
            async with served.call() as fourth:
                assert (await fourth.ask(LIVEZ)).body == ALIVE
                assert await third.is_closed()
            assert (await second.ask(render_post(b"4"))).status == 200
    assert receiver.taken == [b"2", b"3", b"4"]


async def test_while_all_connections_are_in_work_deliveries_are_refused_and_probes_are_answered(
    receiver: FakeReceiver,
) -> None:
    receiver.is_held = True
    async with serve_front(receiver, max_connections=1) as served, served.call() as first:
        await first.send(render_post(b"1"))
        await receiver.begun.wait()
        async with served.call() as second:
            reply = await second.ask(render_post(b"2"))
            assert (reply.status, reply.code, reply.closes) == (503, "overloaded", True)
            assert await second.is_closed()
        async with served.call() as probe:
            assert (await probe.ask(LIVEZ)).body == ALIVE
        receiver.commits[0].set_result(True)
        assert (await first.read()).status == 200
    assert receiver.taken == [b"1"]


async def test_a_hundred_connections_are_answered_together(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    statuses: list[int] = []

    async def deliver(served: Served) -> None:
        async with served.call() as caller:
            await caller.send(render_post())
            await receiver.begun.wait()
            statuses.append((await caller.read()).status)

    async with serve_front(receiver) as served, anyio.create_task_group() as callers:
        for _ in range(100):
            callers.start_soon(deliver, served)
        while len(receiver.commits) < 100:
            await anyio.lowlevel.checkpoint()
        assert len(served.connections) == 100
        for commit in receiver.commits:
            commit.set_result(True)
    assert statuses == [200] * 100


async def test_a_caller_that_leaves_does_not_take_its_delivery_back(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    async with serve_front(receiver) as served:
        async with served.call() as caller:
            await caller.send(render_post())
            await receiver.begun.wait()
        async with served.call() as other:
            assert (await other.ask(LIVEZ)).body == ALIVE
        (commit,) = receiver.commits
        assert not commit.cancelled()
        commit.set_result(True)


async def test_a_caller_that_has_nothing_more_to_send_gets_its_answer(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(render_post())
        await caller.stream.send_eof()
        await receiver.begun.wait()
        await anyio.wait_all_tasks_blocked()
        receiver.commits[0].set_result(True)
        reply = await caller.read()
        assert (reply.status, reply.closes) == (200, True)
        assert await caller.is_closed()


async def test_half_a_request_and_then_nothing_more_is_the_end(receiver: FakeReceiver) -> None:
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(render_post()[:-1])
        await caller.stream.send_eof()
        assert await caller.is_closed()
    assert receiver.taken == []


async def test_a_slow_sender_is_served_by_the_general_server(receiver: FakeReceiver) -> None:
    receiver.slow = "challenge"
    receiver.released.set()
    data = render_post(b"slowly")
    async with serve_front(receiver, deadlines=HttpDeadlines(patience_s=0.01)) as served, served.call() as caller:
        await caller.send(data[:-3])
        while not served.connections or is_in_front(served):
            await anyio.lowlevel.checkpoint()
        assert (await caller.ask(data[-3:])).body == b"challenge"
        assert (await caller.ask(LIVEZ)).body == ALIVE
    assert receiver.taken == [b"slowly"]


async def test_a_body_that_never_comes_is_a_408(receiver: FakeReceiver) -> None:
    deadlines = HttpDeadlines(patience_s=0.01)
    async with serve_front(receiver, deadlines=deadlines, body_timeout_s=0.01) as served, served.call() as caller:
        assert (await caller.ask(render_post(b"{}")[:-1])).status == 408


@pytest.mark.parametrize("start", [b"POST /slack/events HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\n", b"G", b""])
async def test_a_head_that_never_comes_ends_the_connection(receiver: FakeReceiver, start: bytes) -> None:
    deadlines = HttpDeadlines(patience_s=0.01, head_s=0.02, keep_alive_s=1)
    async with serve_front(receiver, deadlines=deadlines) as served, served.call() as caller:
        if start:
            await caller.send(start)
        assert await caller.is_closed()
        await anyio.wait_all_tasks_blocked()
        assert served.connections == set()


@pytest.mark.parametrize(
    "start",
    [
        b"POST /slack/events HTTP/1.1\r\nX-A: ",
        b"GET /livez HTTP/1.1\r\nX-A: ",
        b"GET /livez",
        render_post() + b"GET /livez HTTP/1.1\r\nX-A: ",
        LIVEZ + b"GET /livez HTTP/1.1\r\nX-A: ",
        b"POST /other HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Trailer: ",
    ],
)
async def test_a_head_or_trailer_that_never_ends_is_cut_off(receiver: FakeReceiver, start: bytes) -> None:
    async with serve_front(receiver, deadlines=HttpDeadlines(head_s=0.02)) as served, served.call() as caller:
        await caller.send(start)
        with pytest.raises(anyio.BrokenResourceError):
            await send_for_ever(caller)
        async with served.call() as other:
            assert (await other.ask(LIVEZ)).body == ALIVE


async def send_for_ever(caller: Caller) -> None:
    while True:
        await caller.send(b"x" * 4096)


@pytest.mark.parametrize("start", [b"POST /slack/events HTTP/1.1\r\nX-A: ", b"GET /livez HTTP/1.1\r\nX-A: "])
async def test_a_head_that_is_too_large_is_a_431_also_for_who_sends_it_all_first(
    receiver: FakeReceiver, start: bytes
) -> None:
    async with serve_front(receiver) as served, served.call() as caller:
        reply = await caller.ask(start + b"x" * 4_000_000 + b"\r\n\r\n")
        assert (reply.status, reply.closes) == (431, True)
        assert await caller.is_closed()


async def test_a_large_body_is_no_large_head(receiver: FakeReceiver) -> None:
    body = b"x" * 1_000_000
    async with serve_front(receiver) as served, served.call() as caller:
        assert (await caller.ask(render_post(body, path="/other"))).body == b"POST /other"
        assert (await caller.ask(LIVEZ)).body == ALIVE


async def test_an_idle_connection_is_closed(receiver: FakeReceiver) -> None:
    deadlines = HttpDeadlines(keep_alive_s=1, patience_s=0.1)
    async with serve_front(receiver, deadlines=deadlines) as served, served.call() as caller:
        assert (await caller.ask(render_post())).status == 200
        assert await caller.is_closed()


async def test_a_stop_ends_what_is_idle_and_answers_what_is_under_way(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    async with serve_front(receiver) as served, served.call() as idle, served.call() as half, served.call() as busy:
        await half.send(render_post()[:20])
        await busy.send(render_post() + render_post(b"too late"))
        await receiver.begun.wait()
        served.server.stop()
        assert await idle.is_closed()
        assert await half.is_closed()
        receiver.commits[0].set_result(True)
        reply = await busy.read()
        assert (reply.status, reply.closes) == (200, True)
        assert await busy.is_closed()
    assert receiver.taken == [b"{}"]


async def test_a_stop_answers_a_slow_delivery_too(receiver: FakeReceiver) -> None:
    receiver.slow = "challenge"
    async with serve_front(receiver) as served, served.call() as caller, served.call() as idle:
        await caller.send(render_post())
        await receiver.begun.wait()
        served.server.stop()
        assert await idle.is_closed()
        receiver.released.set()
        reply = await caller.read()
        assert (reply.status, reply.body, reply.closes) == (200, b"challenge", True)


@pytest.mark.parametrize("is_slow", [False, True])
async def test_what_never_ends_is_ended_by_a_stop(receiver: FakeReceiver, is_slow: bool) -> None:
    receiver.is_held = True
    receiver.slow = "never" if is_slow else None
    async with serve_front(receiver, deadlines=HttpDeadlines(finish_s=0)) as served, served.call() as caller:
        await caller.send(render_post())
        await receiver.begun.wait()
        served.server.stop()
        assert await caller.is_closed()


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_commit_that_fails_is_a_503_and_the_connection_goes_on(receiver: FakeReceiver, is_slow: bool) -> None:
    error = StoreUnavailableError("postgres at 10.0.0.1 is gone")
    receiver.error, receiver.slow = (None, error) if is_slow else (error, None)
    receiver.released.set()
    async with serve_front(receiver) as served, served.call() as caller:
        with capture_logs() as logs:
            reply = await caller.ask(render_post())
        assert (reply.status, reply.code, reply.closes) == (503, error.code, False)
        assert [each["event"] for each in logs] == ["delivery.refused"]
        assert b"10.0.0.1" not in reply.body
        receiver.error = receiver.slow = None
        assert (await caller.ask(render_post())).status == 200
        assert is_in_front(served)


@pytest.mark.parametrize("where", ["begin", "commit", "cancelled", "take"])
async def test_a_bug_is_a_500_that_is_logged_and_ends_only_its_connection(receiver: FakeReceiver, where: str) -> None:
    bug = ZeroDivisionError("a bug")
    receiver.error = bug if where == "begin" else None
    receiver.slow = bug if where == "take" else None
    receiver.is_held = True
    receiver.released.set()
    async with serve_front(receiver) as served, served.call() as caller, served.call() as other:
        with capture_logs() as logs:
            await caller.send(render_post() + render_post())
            if where in {"commit", "cancelled"}:
                await receiver.begun.wait()
                (commit,) = receiver.commits
                if where == "cancelled":
                    commit.cancel()
                else:
                    commit.set_exception(bug)
            reply = await caller.read()
        assert (reply.status, reply.code, reply.closes) == (500, "internal_error", True)
        assert await caller.is_closed()
        assert [(each["event"], bool(each.get("exc_info"))) for each in logs] == [("delivery.crashed", True)]
        receiver.error, receiver.slow, receiver.is_held = None, None, False
        assert (await other.ask(render_post())).status == 200


async def test_an_error_of_a_slow_delivery_is_answered_with_its_status(receiver: FakeReceiver) -> None:
    receiver.slow = ConnectionNotFoundError(ConnectionId("conn_1"))
    receiver.released.set()
    async with serve_front(receiver) as served, served.call() as caller:
        assert (await caller.ask(render_post())).status == 404
        assert (await caller.ask(render_post(path="/slack/events/a/b"))).status == 404
        assert (await caller.ask(render_post(path="/slack/events"))).body == b"shared"
        assert (await caller.ask(render_post(path="/slack/events/"))).body == b"shared"
        assert is_in_front(served)


async def test_what_is_no_plain_delivery_gets_the_general_servers_answer(receiver: FakeReceiver) -> None:
    requests = [
        (render_post(b"x" * (MAX_BODY + 1)), 413),
        (f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 405),
        (render_post(path="/slack/eventsource"), 200),
        (render_post(path="/other"), 200),
        (render_post(path=f"{PATH}%2fa"), 404),
        (render_post(b"{}", b"Content-Length: 3"), 400),
        (render_post(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), 400),
        (b"POST /slack/events HTTP/1.1\nContent-Length: 0\n\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ]
    async with serve_front(receiver, deadlines=HttpDeadlines(patience_s=0.01)) as served:
        for data, status in requests:
            async with served.call() as caller:
                assert (data[:60], (await caller.ask(data)).status) == (data[:60], status)
    assert receiver.taken == []


async def test_a_caller_that_sends_too_far_ahead_is_not_read(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    count = 64
    async with serve_front(receiver) as served, served.call() as caller, anyio.create_task_group() as tasks:
        tasks.start_soon(send_all, caller, count)
        await receiver.begun.wait()
        (front,) = served.connections
        while front.transport.is_reading():
            await anyio.lowlevel.checkpoint()
        for number in range(count):
            while len(receiver.commits) <= number:
                await anyio.lowlevel.checkpoint()
            assert len(front._buffer) < 1_000_000
            receiver.commits[number].set_result(True)
            assert (await caller.read()).status == 200
        assert front.transport.is_reading()
    assert receiver.taken == [b"%d" % number * 30_000 for number in range(count)]


async def test_a_large_request_behind_a_delivery_is_read_to_its_end(receiver: FakeReceiver) -> None:
    receiver.is_held = True
    async with serve_front(receiver) as served, served.call() as caller, anyio.create_task_group() as tasks:
        tasks.start_soon(caller.send, render_post() + render_post(b"x" * 4_000_000, path="/other") + LIVEZ)
        await receiver.begun.wait()
        (front,) = served.connections
        while front.transport.is_reading():
            await anyio.lowlevel.checkpoint()
        receiver.commits[0].set_result(True)
        assert [(await caller.read()).body for _ in range(3)] == [b"", b"POST /other", ALIVE]


async def send_all(caller: Caller, count: int) -> None:
    for number in range(count):
        await caller.send(render_post(b"%d" % number * 30_000))


async def test_a_caller_that_reads_no_answer_is_begun_nothing_more_for(receiver: FakeReceiver) -> None:
    receiver.slow = "x" * 60_000
    receiver.released.set()
    count = 400
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(render_post() * count)
        await receiver.begun.wait()
        (front,) = served.connections
        while not front._is_write_paused:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        assert len(receiver.taken) < count
        replies = [await caller.read() for _ in range(count)]
    assert {each.status for each in replies} == {200}
    assert len(receiver.taken) == count


async def test_a_caller_that_never_reads_its_answers_is_not_kept(receiver: FakeReceiver) -> None:
    receiver.slow = "x" * 60_000
    receiver.released.set()
    deadlines = HttpDeadlines(keep_alive_s=1, patience_s=0.01)
    async with serve_front(receiver, deadlines=deadlines) as served, served.call() as caller:
        await caller.send(render_post() * 400)
        await receiver.begun.wait()
        while served.connections:
            await anyio.lowlevel.checkpoint()
