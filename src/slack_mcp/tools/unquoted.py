"""What the MCP SDK says of a message that it cannot read, without the words of the message."""

from typing import Any, Final

import msgspec
from starlette.types import Message, Send

BAD_REQUEST: Final = 400
# In front of the parser's own sentence, which shows parts of its input.
_UNQUOTED: Final = {
    "Validation error:": "Validation error: this is no message of JSON-RPC 2.0.",
    "Parse error:": "Parse error: this is no JSON.",
}


class UnquotedSend:
    """An ASGI `send` that passes everything on but such a sentence.

    Args:
        send: the server's.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Pass a message on; a bad request's when all of it is there."""
        if message["type"] == "http.response.start" and message["status"] == BAD_REQUEST:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            body = _render_without_quotes(self._body)
            headers = [pair for pair in self._start["headers"] if pair[0].lower() != b"content-length"]
            length = (b"content-length", str(len(body)).encode())
            await self._send({**self._start, "headers": [*headers, length]})
            await self._send({"type": "http.response.body", "body": body})


def _render_without_quotes(body: bytes) -> bytes:
    """Return the body, with a sentence of ours in the place of one that quotes."""
    try:
        answer: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return body
    error = answer.get("error")
    if not isinstance(error, dict):
        return body
    said = str(error.get("message"))
    for beginning, sentence in _UNQUOTED.items():
        if said.startswith(beginning):
            return msgspec.json.encode({**answer, "error": {**error, "message": sentence}})
    return body
