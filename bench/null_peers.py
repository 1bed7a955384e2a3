"""A Slack and a model without latency, a process of its own: says ok to every call, and when it heard what.

The model streams an answer of `TOKENS` words, one every `TOKEN_S` seconds, to a question that holds a message's ts; the
calls of Slack's Web API name the thread of that ts. So the times of both belong together, by one clock.
"""

import asyncio
import itertools
import json
import re
import time
from typing import Any, Final, cast
from urllib.parse import parse_qs

import anyio
import httptools

from bench.processes import announce, bind

TOKENS: Final = 8
TOKEN_S: Final = 0.05
_TS: Final = re.compile(r"\d{10}\.\d{6}")
_SHOWS: Final = frozenset({"chat.postMessage", "chat.startStream"})
_ENDS: Final = frozenset({"chat.postMessage", "chat.stopStream"})


class Marks:
    """When what happened first, in seconds of the machine's clock, by the ts of the question."""

    def __init__(self) -> None:
        self.token: dict[str, float] = {}
        self.shown: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._numbers = itertools.count()
        self._threads: dict[str, str] = {}

    def make_ts(self, thread_ts: str) -> str:
        """Return the ts of a new message in a thread."""
        ts = f"1800000000.{next(self._numbers):06d}"
        self._threads[ts] = thread_ts
        return ts

    def note(self, method: str, arguments: dict[str, Any]) -> None:
        """Note a call of the Web API."""
        thread_ts = arguments.get("thread_ts") or self._threads.get(str(arguments.get("ts")), "")
        if method in _SHOWS:
            self.shown.setdefault(thread_ts, time.time())
        if method in _ENDS:
            self.ended.setdefault(thread_ts, time.time())

    def render(self) -> bytes:
        """Return all of it."""
        return json.dumps({"token": self.token, "shown": self.shown, "ended": self.ended}).encode()


class Peer(asyncio.Protocol):
    """Answers one connection."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._begin()

    def _begin(self) -> None:
        self._url, self._body, self._headers = b"", b"", dict[bytes, bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        url, _, query = self._url.decode().partition("?")
        body, headers = self._body, self._headers
        self._begin()
        if url == "/marks":
            self._answer(self._marks.render())
        elif url.endswith("/chat/completions"):
            self._stream(json.loads(body)["messages"][-1]["content"])
        else:
            self._answer_slack(url.rpartition("/")[2], query, body, headers)

    def _answer_slack(self, method: str, query: str, body: bytes, headers: dict[bytes, bytes]) -> None:
        if headers.get(b"content-type", b"").startswith(b"application/json"):
            arguments = json.loads(body)
        else:
            arguments = {name: values[0] for name, values in parse_qs(query).items()}
        self._marks.note(method, arguments)
        answer: dict[str, Any] = {"ok": True, "messages": []}
        if method in _SHOWS:
            answer["ts"] = self._marks.make_ts(str(arguments.get("thread_ts")))
        if method == "users.info":
            user_id = str(arguments.get("user"))
            answer["user"] = {"id": user_id, "name": "ann", "locale": "en-US", "profile": {"display_name": "Ann"}}
        if method == "conversations.info":
            answer["channel"] = {"id": str(arguments.get("channel")), "name": "general", "is_channel": True}
        if method == "auth.test":
            team_id = headers.get(b"authorization", b"").decode().rpartition("-")[2]
            answer |= {"team_id": team_id, "team": team_id, "user_id": "UBOT", "bot_id": "BBOT"}
        self._answer(json.dumps(answer).encode())

    def _answer(self, body: bytes) -> None:
        if self._transport is not None:
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)

    def _stream(self, question: Any) -> None:
        """Stream an answer whose first token comes at once."""
        found = _TS.search(json.dumps(question))
        if self._transport is None or found is None:
            return
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self._marks.token[found[0]] = time.time()
        self._say(0)

    def _say(self, number: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        is_last = number == TOKENS
        choice = {"index": 0, "delta": {} if is_last else {"content": f"word{number} "}}
        choice["finish_reason"] = "stop" if is_last else None
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        event = f"data: {json.dumps(chunk)}\n\n" + ("data: [DONE]\n\n" if is_last else "")
        self._transport.write(f"{len(event):x}\r\n{event}\r\n".encode())
        if is_last:
            self._transport.write(b"0\r\n\r\n")
        else:
            asyncio.get_running_loop().call_later(TOKEN_S, self._say, number + 1)


async def run() -> None:
    """Serve until the process is ended."""
    marks = Marks()
    with bind() as listener:
        server = await asyncio.get_running_loop().create_server(lambda: Peer(marks), sock=listener)
        announce(listener)
        await server.serve_forever()


if __name__ == "__main__":
    anyio.run(run, backend_options={"use_uvloop": True})
