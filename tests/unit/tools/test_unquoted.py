from typing import Any

import pytest

from slack_mcp.tools.unquoted import UnquotedSend

pytestmark = pytest.mark.anyio


async def pass_on(status: int, *chunks: bytes) -> tuple[list[Any], bytes]:
    """Return (the messages that came through, the body)."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    through = UnquotedSend(send)
    length = str(sum(map(len, chunks))).encode()
    await through({"type": "http.response.start", "status": status, "headers": [(b"Content-Length", length)]})
    for number, chunk in enumerate(chunks, 1):
        await through({"type": "http.response.body", "body": chunk, "more_body": number < len(chunks)})
    return sent, b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize(
    "body",
    [b"no JSON", b"[]", b'{"error": "text"}', b'{"error":{"code":-32600,"message":"Bad Request: of another kind"}}'],
)
async def test_what_quotes_nothing_goes_through_as_it_is(body: bytes) -> None:
    (start, _), passed = await pass_on(400, body)
    assert passed == body
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()


async def test_a_sentence_that_quotes_is_replaced_in_however_many_pieces_it_comes() -> None:
    (start, _), passed = await pass_on(
        400, b'{"id":1,"error":{"code":-32602,"mess', b'age":"Validation error: canary"}}'
    )
    assert passed == (
        b'{"id":1,"error":{"code":-32602,"message":"Validation error: this is no message of JSON-RPC 2.0."}}'
    )
    assert dict(start["headers"])[b"content-length"] == str(len(passed)).encode()


async def test_every_other_answer_is_not_held_back() -> None:
    sent, passed = await pass_on(200, b'{"error":{"message":"Validation error: ', b'kept"}}')
    assert len(sent) == 3
    assert passed == b'{"error":{"message":"Validation error: kept"}}'
