"""A plain HTTP/1.1 POST, read out of the bytes of a connection when it is all there.

Only what every HTTP client and proxy sends for a small body is read here: one Content-Length, no transfer coding, no
query, no escapes in the path. Everything else is for a complete HTTP implementation to judge.
https://www.rfc-editor.org/rfc/rfc9112
"""

import re
from typing import Final, NamedTuple

MAX_HEAD_BYTES: Final = 16_384
MAX_REQUEST_BYTES: Final = 131_072
_METHOD: Final = b"POST /"
_END: Final = b"\r\n\r\n"
# One pass over the head: the request line, then fields of a token, a colon and anything but control characters.
_HEAD: Final = re.compile(
    rb"POST (/[!\x22$&->@-~]*) HTTP/1\.1((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)*)", re.ASCII
)
# What changes how a request is read, or the connection used; a repeated field could be read in two ways.
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te", b"proxy-connection"})
_LENGTH: Final = re.compile(rb"[0-9]{1,6}")


class NotPlainError(ValueError):
    """The request is not one of these: it may be a good one all the same."""


class Post(NamedTuple):
    """One request.

    Attributes:
        path: as it was sent.
        headers: by name in lower case, without the blanks around the value.
        end: where the next request begins.
    """

    path: bytes
    headers: dict[bytes, bytes]
    body: bytes
    end: int


def read_post(data: bytes) -> Post | None:
    """Return the request that `data` begins with, None while more of it has to come.

    Raises:
        NotPlainError: somebody else has to read it.
    """
    if not data.startswith(_METHOD) and not _METHOD.startswith(data[: len(_METHOD)]):
        raise NotPlainError
    head_end = data.find(_END)
    if (head_end if head_end >= 0 else len(data) - len(_END) + 1) > MAX_HEAD_BYTES:
        raise NotPlainError
    if head_end < 0:
        return None
    found = _HEAD.fullmatch(data, 0, head_end)
    if found is None:
        raise NotPlainError
    headers = _read_headers(found[2])
    start = head_end + len(_END)
    end = start + int(headers[b"content-length"])
    if end > MAX_REQUEST_BYTES:
        raise NotPlainError
    return Post(found[1], headers, data[start:end], end) if len(data) >= end else None


def _read_headers(lines: bytes) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in headers or name in _NOT_PLAIN:
            raise NotPlainError
        headers[name] = value.strip(b" \t")
    if not _LENGTH.fullmatch(headers.get(b"content-length", b"")):
        raise NotPlainError
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        raise NotPlainError
    return headers
