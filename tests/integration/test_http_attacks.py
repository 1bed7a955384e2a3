"""What an attacker does with HTTP itself: requests that two servers read in two ways, endless heads, browsers."""

from typing import Any

import anyio
import h11
import pytest
from front_client import PATH, FakeReceiver, render_post, serve_front
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.protocol.http import NotPlainError, Post, read_post

pytestmark = pytest.mark.anyio

SMUGGLED = b"smuggled"
LINE = b"POST %s HTTP/1.1\r\nHost: x\r\n" % PATH.encode()
INNER = render_post(SMUGGLED)
CHUNKED = b"0\r\n\r\n" + INNER
# Each is one request to a proxy that reads it in one way, and two to a server that reads it in the other.
AMBIGUOUS = {
    "both lengths": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(CHUNKED) + CHUNKED,
    "both lengths, the other way round": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "two lengths": b"Content-Length: %d\r\nContent-Length: 0\r\n\r\n" % len(INNER) + INNER,
    "two lengths in one": b"Content-Length: %d, 0\r\n\r\n" % len(INNER) + INNER,
    "a signed length": b"Content-Length: +0\r\n\r\n" + INNER,
    "a length in hexadecimal": b"Content-Length: 0x0\r\n\r\n" + INNER,
    "a blank before the colon": b"Content-Length : %d\r\nContent-Length: 0\r\n\r\n" % len(INNER) + INNER,
    "a folded length": b"Content-Length:\r\n 0\r\n\r\n" + INNER,
    "a coding behind a tab": b"Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "a coding that is none": b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "a coding in a folded line": b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "a bare line feed": b"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "a bare carriage return": b"X: y\rTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "a NUL in a name": b"Content-Length\x00: 0\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "a chunk of a huge size": b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n" + INNER,
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + INNER,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_never_becomes_two_deliveries(name: str) -> None:
    receiver = FakeReceiver()
    async with serve_front(receiver) as served, served.call() as caller:
        await caller.send(LINE + AMBIGUOUS[name])
        await caller.stream.send_eof()
        replies = [await caller.read()] if not await is_over(caller) else []
        while replies and not replies[-1].closes and not await is_over(caller):
            replies.append(await caller.read())
    # Refused, or read as one with all that follows in its body: never a delivery of its own.
    assert SMUGGLED not in receiver.taken
    assert len(replies) <= 1, [each.status for each in replies]
    assert all(each.status in {400, 408, 501} for each in replies) or not receiver.taken[1:]


async def is_over(caller: Any) -> bool:
    """Tell whether the server has closed the connection; what it sent is kept."""
    reader = caller._reader
    if reader.buffer:
        return False
    try:
        with anyio.fail_after(5):
            reader.feed_data(await caller.stream.receive())
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return True
    return False


def read_with_h11(data: bytes) -> tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes, bytes]:
    """Return method, target, headers, body and what is left, as a stricter reader has it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request), request
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage), event
    return request.method, request.target, list(request.headers), body, bytes(connection.trailing_data[0])


FIELDS = st.sampled_from(
    [
        b"X-Slack-Signature: v0=1",
        b"X-A:  padded \t",
        b"X-A:",
        b"X-A: \xc3\xa9",
        b"Connection: keep-alive",
        b"Content-Type: application/json",
        b"Content-Length: 2",
        b"Content-Length: 02",
        b"Content-Length: 2, 2",
        b"Transfer-Encoding: chunked",
        b"X-A : y",
        b"X-A: y\r\n folded",
        b"X-A: y\x0b",
        b"X-A: y\x7f",
        b"X\x80: y",
        b": y",
        b"X-A: y\nX-B: z",
        b"Expect: 100-continue",
    ]
)
TARGETS = st.sampled_from([b"/slack/events", b"/slack/events/conn_1", b"/a%20b", b"/a?b=c", b"/a#b", b"//", b"/\x80"])


@given(target=TARGETS, fields=st.lists(FIELDS, max_size=6), next_one=st.binary(max_size=40))
def test_what_the_front_reads_a_stricter_reader_reads_in_the_same_way(
    target: bytes, fields: list[bytes], next_one: bytes
) -> None:
    data = (
        b"\r\n".join([b"POST %b HTTP/1.1" % target, b"Host: x", b"Content-Length: 2", *fields, b"", b"{}"]) + next_one
    )
    try:
        post = read_post(data)
    except NotPlainError:
        return
    assert isinstance(post, Post)
    method, told_target, headers, body, rest = read_with_h11(data)
    assert (method, told_target, body, rest) == (b"POST", post.path, post.body, data[post.end :])
    assert dict(headers) == post.headers
    assert len(headers) == len(post.headers)


@pytest.mark.parametrize("count", [1_000, 20_000])
async def test_a_head_of_very_many_fields_is_answered_at_once(count: int) -> None:
    receiver = FakeReceiver()
    fields = [b"A%d:" % number for number in range(count)]
    async with serve_front(receiver) as served, served.call() as caller:
        with anyio.fail_after(5):
            reply = await caller.ask(b"\r\n".join([b"GET /livez HTTP/1.1", b"Host: x", *fields, b"", b""]))
    assert reply.status in {200, 400, 431}


@pytest.mark.parametrize(
    "request_",
    [
        render_post(),
        render_post(path="/elsewhere"),
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /slack/events/conn_1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n",
    ],
)
async def test_no_browser_is_to_run_frame_or_guess_at_an_answer(request_: bytes) -> None:
    async with serve_front(FakeReceiver()) as served, served.call() as caller:
        reply = await caller.ask(request_)
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_a_body_of_one_byte_at_a_time_does_not_hold_the_others_up() -> None:
    receiver = FakeReceiver()
    async with serve_front(receiver, body_timeout_s=0.5) as served, served.call() as slow, served.call() as quick:
        await slow.send(render_post(b"x" * 1_000)[:-1_000])
        for _ in range(3):
            await slow.send(b"x")
            assert (await quick.ask(render_post())).status == 200
        # The body's time is counted from its first byte, however many follow.
        assert (await slow.read()).status == 408
    assert receiver.taken == [b"{}"] * 3


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_the_front_reads_none_of_them(name: str) -> None:
    with pytest.raises(NotPlainError):
        read_post(LINE + AMBIGUOUS[name])
