import asyncio
import gc
import weakref
from asyncio import Future
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.lowlevel
import pytest

from slack_mcp.core.errors import OverloadedError, SlackMcpError
from slack_mcp.web.crowd import Crowd
from slack_mcp.web.front import FrontProtocol, render_answer
from slack_mcp.web.intake import JSON, Answer

pytestmark = pytest.mark.anyio

POST = b"POST /slack/events/conn_1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


class FakeTransport:
    """Keeps what is written; a second answer behind the end would be seen."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class FakeIntake:
    """Begins every delivery, and leaves its end to the test."""

    def __init__(self) -> None:
        self.commits: list[Future[bool]] = []
        self.refusal: SlackMcpError | None = None
        self.noted: list[tuple[str, float]] = []

    def note(self, outcome: str, seconds: float) -> None:
        self.noted.append((outcome, seconds))

    def begin(self, *_delivery: object) -> Future[bool]:
        if self.refusal is not None:
            raise self.refusal
        self.commits.append(asyncio.get_running_loop().create_future())
        return self.commits[-1]


class State:
    """The general server's."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self.default_headers: list[tuple[bytes, bytes]] = []


class Line:
    """One connection and what is around it."""

    def __init__(self) -> None:
        self.intake = FakeIntake()
        self.state = State()
        self.transport = FakeTransport()

    def connect(self) -> FrontProtocol:
        front = FrontProtocol(
            intake=self.intake,  # type: ignore[arg-type]
            start=refuse_to_start,
            general=refuse_general,
            server_state=self.state,
            crowd=Crowd(100),
            max_body_bytes=100,
            keep_alive_s=75,
            patience_s=1,
        )
        front.connection_made(self.transport)  # type: ignore[arg-type]
        return front


def refuse_to_start(_answer: Callable[[], Coroutine[Any, Any, None]]) -> None:
    raise AssertionError("nothing is slow here")


def refuse_general() -> asyncio.Protocol:
    raise AssertionError("nothing is handed over here")


@pytest.mark.parametrize("data", [b"", POST[:20], POST[:-1], POST, POST + POST])
async def test_nothing_of_a_connection_is_left_when_it_is_lost(data: bytes) -> None:
    line = Line()
    front = line.connect()
    if data:
        front.data_received(data)
    front.connection_lost(None)
    for commit in line.intake.commits:
        commit.set_result(True)
    await anyio.lowlevel.checkpoint()
    line.intake.commits.clear()
    left = weakref.ref(front)
    del front
    gc.collect()
    assert left() is None
    assert (line.state.connections, line.transport.written) == (set(), [])


async def test_nothing_more_is_begun_when_the_server_stops_between_two_deliveries() -> None:
    line = Line()
    front = line.connect()
    front.data_received(POST + POST)
    line.intake.commits[0].add_done_callback(lambda _commit: front.shutdown())  # right behind the answer
    line.intake.commits[0].set_result(True)
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    assert (line.transport.is_closed, len(line.transport.written), len(line.intake.commits)) == (True, 1, 1)
    front.connection_lost(None)


async def test_what_comes_between_an_answer_and_the_next_delivery_is_read_in_its_order() -> None:
    line = Line()
    front = line.connect()
    front.data_received(POST + POST[:10])
    line.intake.commits[0].set_result(True)
    while not line.transport.written:
        await anyio.lowlevel.checkpoint()
    front.data_received(POST[10:] + POST)
    await anyio.lowlevel.checkpoint()
    assert len(line.intake.commits) == 2
    front.connection_lost(None)


async def test_a_delivery_that_is_whole_is_not_handed_over_when_patience_would_end() -> None:
    line = Line()
    front = line.connect()
    front.data_received(POST[:10])
    patience = front._patience
    assert patience is not None
    front.data_received(POST[10:])
    assert patience.cancelled()
    front.connection_lost(None)


async def test_a_delivery_for_which_there_is_no_room_is_refused_at_once_and_the_next_one_is_taken() -> None:
    line = Line()
    front = line.connect()
    line.intake.refusal = OverloadedError("full")
    front.data_received(POST)
    assert [answer.partition(b"\r\n")[0] for answer in line.transport.written] == [b"HTTP/1.1 503 Service Unavailable"]
    line.intake.refusal = None
    front.data_received(POST)
    assert (len(line.intake.commits), line.transport.is_closed) == (1, False)
    front.connection_lost(None)


async def test_every_answer_has_the_headers_of_its_moment() -> None:
    line = Line()
    front = line.connect()
    for date in (b"Mon", b"Mon", b"Tue"):
        line.state.default_headers = [(b"date", date)]
        front.data_received(POST)
        line.intake.commits[-1].set_result(True)
        await anyio.lowlevel.checkpoint()
    assert [b"date: Tue" in answer for answer in line.transport.written] == [False, False, True]
    assert line.transport.written[0] == line.transport.written[1]
    front.shutdown()
    front.connection_lost(None)


def test_an_answer_says_what_it_has_to_and_when_it_is_the_last() -> None:
    answer = Answer(503, (JSON,), b"{}")
    date = (b"date", b"today")
    lines = [b"HTTP/1.1 503 Service Unavailable", b"date: today", b"content-type: application/json"]
    assert render_answer(answer, [date], closes=False) == b"\r\n".join([*lines, b"content-length: 2", b"", b"{}"])
    assert b"\r\nconnection: close\r\n" in render_answer(answer, [], closes=True)


async def test_each_answer_is_noted_with_its_word_also_when_the_caller_has_left() -> None:
    line = Line()
    front = line.connect()
    for is_new in (True, False):
        front.data_received(POST)
        line.intake.commits[-1].set_result(is_new)
        await anyio.lowlevel.checkpoint()
    line.intake.refusal = OverloadedError("too much")
    front.data_received(POST)
    line.intake.refusal = None
    front.data_received(POST)
    front.connection_lost(None)
    line.intake.commits[-1].set_exception(RuntimeError("a bug"))
    await anyio.lowlevel.checkpoint()
    assert [outcome for outcome, _ in line.intake.noted] == ["accepted", "duplicate", "overloaded", "internal_error"]
    assert all(0 <= seconds < 5 for _, seconds in line.intake.noted)
