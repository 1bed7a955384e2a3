from collections.abc import Sequence
from typing import Any, NamedTuple

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slack_mcp.protocol.http import MAX_HEAD_BYTES, MAX_REQUEST_BYTES, NotPlainError, Post, read_post

HEAD = b"POST /slack/events/conn_1 HTTP/1.1"
PLAIN = (b"Host: x", b"X-Slack-Signature: v0=abc")

SEGMENTS = st.text("!\"$&'()*+,-./:;<=>@[\\]^_`{|}~abcXYZ019", max_size=30)
NAMES = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(max_codepoint=255), max_size=40)
NAMES_OF_NOTE = st.sampled_from(
    ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Proxy-Connection", "TE"]
)
VALUES_OF_NOTE = st.sampled_from(
    ["keep-alive", "close", "Upgrade", "chunked", "identity", "0", "2", "+2", "02", "2, 2", "100-continue", " 2\t", ""]
)
LINES = st.lists(st.tuples(NAMES | NAMES_OF_NOTE, VALUES | VALUES_OF_NOTE), max_size=6)
PIECES = st.sampled_from(
    [
        *(HEAD, b"POST ", b"/", b"/slack/events", b" HTTP/1.1", b"Host: x", b"a", b"{}", b"\xff"),
        *(b"\r\n", b"\n", b"\r", b":", b" ", b"\0", b"\r\n\r\n"),
        *(b"Content-Length: 2", b"content-length:1", b"Transfer-Encoding: chunked"),
    ]
)


class Read(NamedTuple):
    """What httptools reads."""

    method: bytes
    path: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    stays_open: bool


class Reader:
    """The callbacks of httptools, for the first request alone."""

    def __init__(self) -> None:
        self.url, self.body = b"", b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.read: Read | None = None
        self.parser: Any = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.read is None
        url = httptools.parse_url(self.url)
        assert (url.query or b"") + (url.fragment or b"") == b""
        self.read = Read(self.parser.get_method(), url.path, self.headers, self.body, self.parser.should_keep_alive())


def read_with_httptools(data: bytes) -> Read:
    reader = Reader()
    reader.parser.feed_data(data)
    assert reader.read is not None
    assert reader.parser.get_http_version() == "1.1"
    return reader.read


def render(*lines: bytes, body: bytes = b"{}", head: bytes = HEAD) -> bytes:
    return b"\r\n".join([head, *lines, b"", body])


def read(data: bytes) -> Post | type[NotPlainError] | None:
    try:
        return read_post(data)
    except NotPlainError:
        return NotPlainError


def test_a_plain_post_is_read_with_its_path_headers_and_body() -> None:
    data = render(*PLAIN, b"content-LENGTH:\t2 ", b"Connection: Keep-Alive", b"Accept: */*", b"X-Empty:")
    headers = {
        b"host": b"x",
        b"x-slack-signature": b"v0=abc",
        b"content-length": b"2",
        b"connection": b"Keep-Alive",
        b"accept": b"*/*",
        b"x-empty": b"",
    }
    assert read_post(data) == Post(b"/slack/events/conn_1", headers, b"{}", len(data))


@pytest.mark.parametrize(
    "data",
    [
        render(*PLAIN, b"Content-Length: 2", b"Content-Length: 2"),
        render(*PLAIN, b"Content-Length: 2", b"content-length: 3"),
        render(*PLAIN, b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        render(*PLAIN, b"Content-Length: 2", b"Transfer-Encoding: identity"),
        render(*PLAIN, b"Content-Length: 2", b"Transfer-Encoding : chunked"),
        render(*PLAIN, b"Content-Length : 2"),
        render(*PLAIN, b"Content-Length: +2"),
        render(*PLAIN, b"Content-Length: -2"),
        render(*PLAIN, b"Content-Length: 0x2"),
        render(*PLAIN, b"Content-Length: 2_0"),
        render(*PLAIN, b"Content-Length: 2, 2"),
        render(*PLAIN, b"Content-Length: 2 2"),
        render(*PLAIN, b"Content-Length: \xc2\xb2"),
        render(*PLAIN, b"Content-Length:"),
        render(*PLAIN, b"Content-Length: 1000000"),
        render(*PLAIN),
        render(*PLAIN, b"Content-Length: 2", b" folded"),
        render(*PLAIN, b"Content-Length: 2", b"\tfolded: x"),
        render(*PLAIN, b"Content-Length: 2\n"),
        render(*PLAIN, b"Content-Length: 2\nX-A: b"),
        render(*PLAIN, b"Content-Length: 2\rX-A: b"),
        render(*PLAIN, b"Content-Length: 2", b"X-A: \0"),
        render(*PLAIN, b"Content-Length: 2", b"X-A: \x7f"),
        render(*PLAIN, b"Content-Length: 2", b"X A: b"),
        render(*PLAIN, b"Content-Length: 2", b": b"),
        render(*PLAIN, b"Content-Length: 2", b"no colon"),
        render(*PLAIN, b"Content-Length: 2", b"X-\xe9: b"),
        render(*PLAIN, b"Content-Length: 2", b"Connection: close"),
        render(*PLAIN, b"Content-Length: 2", b"Connection: keep-alive, Upgrade"),
        render(*PLAIN, b"Content-Length: 2", b"Proxy-Connection: close"),
        render(*PLAIN, b"Content-Length: 2", b"Expect: 100-continue"),
        render(*PLAIN, b"Content-Length: 2", b"Upgrade: h2c"),
        render(b"Content-Length: 2", head=b"GET /slack/events HTTP/1.1"),
        render(b"Content-Length: 2", head=b"post /slack/events HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST /slack/events HTTP/1.0"),
        render(b"Content-Length: 2", head=b"POST /slack/events HTTP/1.1 "),
        render(b"Content-Length: 2", head=b"POST  /slack/events HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST /slack/events"),
        render(b"Content-Length: 2", head=b"POST http://x/slack/events HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST * HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST /slack/events/%63onn_1 HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST /slack/events?a=b HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST /slack/events#a HTTP/1.1"),
        render(b"Content-Length: 2", head=b"POST /slack/\xe9vents HTTP/1.1"),
        b"\r\n" + render(*PLAIN, b"Content-Length: 2"),
        render(*PLAIN, b"Content-Length: 2", b"X-A: " + b"x" * MAX_HEAD_BYTES),
        render(*PLAIN, b"Content-Length: %d" % MAX_REQUEST_BYTES),
    ],
)
def test_what_could_be_read_in_two_ways_or_is_seldom_is_left_to_others(data: bytes) -> None:
    with pytest.raises(NotPlainError):
        read_post(data)


def test_a_head_that_does_not_end_is_given_up_when_it_is_too_long() -> None:
    endless = HEAD + b"\r\nX-A: " + b"x" * MAX_HEAD_BYTES
    assert read_post(endless[:MAX_HEAD_BYTES]) is None
    with pytest.raises(NotPlainError):
        read_post(endless)


def test_the_longest_head_is_read_in_whatever_pieces_it_comes() -> None:
    start = HEAD + b"\r\nContent-Length: 0\r\nX-A: "
    data = start + b"x" * (MAX_HEAD_BYTES - len(start)) + b"\r\n\r\n"
    assert [read_post(data[: len(data) - missing]) for missing in range(1, 6)] == [None] * 5
    post = read_post(data)
    assert post is not None
    assert post.end == len(data)
    with pytest.raises(NotPlainError):
        read_post(data.replace(b"xx", b"xxx", 1))


def test_another_method_is_known_by_its_first_byte() -> None:
    with pytest.raises(NotPlainError):
        read_post(b"G")


@given(path=SEGMENTS, lines=LINES, body=st.binary(max_size=50))
@example(path="", lines=[("Connection", "keep-alive")], body=b"")
def test_what_is_read_here_httptools_reads_identically(path: str, lines: list[tuple[str, str]], body: bytes) -> None:
    fields = [f"{name}: {value}".encode("latin-1") for name, value in lines]
    data = render(*fields, b"Content-Length: %d" % len(body), body=body, head=f"POST /{path} HTTP/1.1".encode())
    post = read(data)
    if isinstance(post, Post):
        assert read_with_httptools(data[: post.end]) == (
            b"POST",
            post.path,
            list(post.headers.items()),
            post.body,
            True,
        )
    plain_path, plain_names = f"/{path}".encode(), [name.lower() for name, _ in lines]
    if isinstance(post, Post):
        assert (post.path, post.body, post.end) == (plain_path, body, len(data))
        assert len(set(plain_names)) == len(plain_names)


@given(pieces=st.lists(PIECES | st.binary(max_size=5), max_size=20))
def test_garbage_is_refused_or_waited_for_and_never_read_otherwise_than_by_httptools(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    post = read(data)
    if isinstance(post, Post):
        assert read_with_httptools(data[: post.end]) == (
            b"POST",
            post.path,
            list(post.headers.items()),
            post.body,
            True,
        )


@given(
    body=st.binary(max_size=100),
    cut=st.integers(min_value=0),
    next_one=st.just(render(*PLAIN)) | st.binary(max_size=60),
)
def test_however_the_bytes_are_split_the_request_is_the_same(body: bytes, cut: int, next_one: bytes) -> None:
    data = render(*PLAIN, b"Content-Length: %d" % len(body), body=body)
    post = read_post(data)
    assert post is not None
    assert (post.body, post.end) == (body, len(data))
    assert read_post(data[: cut % len(data)]) is None
    assert read_post(data + next_one) == post


@given(pieces=st.lists(PIECES, max_size=20), cut=st.integers(min_value=0))
def test_a_part_never_says_anything_else_than_the_whole(pieces: list[bytes], cut: int) -> None:
    data = b"".join(pieces)
    part = read(data[: cut % (len(data) + 1)])
    assert part is None or part == read(data)


def test_requests_that_come_together_are_read_one_after_the_other() -> None:
    data = b"".join(render(*PLAIN, b"Content-Length: 2", body=b"%02d" % number) for number in range(3))
    bodies = []
    while post := read_post(data):
        bodies.append(post.body)
        data = data[post.end :]
    assert (bodies, data) == ([b"00", b"01", b"02"], b"")
