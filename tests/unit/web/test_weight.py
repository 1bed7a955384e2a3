from collections.abc import Sequence

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from slack_mcp.web.weight import BoundedBodies

pytestmark = pytest.mark.anyio


class Reader:
    """An app that reads the whole body, waits, and answers; a caller that left gets a 400."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.has_read = anyio.Event()
        self.may_answer = anyio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        body, status = b"", 200
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                status = 400
                break
            body += message["body"]
            if not message["more_body"]:
                self.read.append(body)
                self.has_read.set()
                await self.may_answer.wait()
                break
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(app: BoundedBodies, parts: Sequence[bytes]) -> list[Message]:
    """Send a request in parts, and return the answer's messages."""
    answer: list[Message] = []
    messages = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
        for number, part in enumerate(parts)
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        answer.append(message)

    await app({"type": "http"}, receive, send)
    return answer


async def test_what_would_be_too_much_together_is_refused_once_and_the_rest_goes_on() -> None:
    reader = Reader()
    app = BoundedBodies(reader, max_bytes=10)
    answers: list[list[Message]] = []

    async def keep() -> None:
        answers.append(await ask(app, [b"1234", b"5678"]))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep)
            await reader.has_read.wait()
            assert app.held_bytes == 8
            start, body = await ask(app, [b"ab", b"cd"])
            assert (start["status"], body["body"]) == (503, b'{"error": "overloaded"}')
            headers = dict(start["headers"])
            assert (headers[b"connection"], headers[b"retry-after"]) == (b"close", b"1")
            # What was read of the refused one is free again.
            assert app.held_bytes == 8
            reader.may_answer.set()
    assert [each[0]["status"] for each in answers] == [200]
    assert app.held_bytes == 0
    assert (await ask(app, [b"1234567890"]))[0]["status"] == 200
    assert reader.read == [b"12345678", b"1234567890"]


async def test_one_that_is_too_large_alone_is_refused() -> None:
    app = BoundedBodies(Reader(), max_bytes=10)
    assert (await ask(app, [b"1234567890", b"1"]))[0]["status"] == 503
    assert app.held_bytes == 0
