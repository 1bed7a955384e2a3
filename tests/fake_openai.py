"""An OpenAI-compatible server that follows a script; `python tests/fake_openai.py --port 0`.

A script is chosen by the question (`[[hangs]] …`), else taken from `scripts`, else it is `ok`: the answer is then
`Answer to: <question>`.
"""

import argparse
import json
import re
import signal
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from slack_mcp.simulator.server import serve_app

Json = dict[str, Any]
_SCRIPT = re.compile(r"\[\[([\w-]+)\]\]\s*")


def _refuse(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    # Real servers quote the question here.
    body = {"error": {"message": "SECRET QUESTION is why", "type": "error", "code": code}}
    return JSONResponse(body, status, headers=headers)


# How many words each says, and whether it takes its time.
SLOW = {"words": 40, "chapters": 1050}
LONG = {**SLOW, "quick": 40, "novel": 3500}
MARKDOWN = """# Title <@U1> <!channel> @here

| name | value |
|------|-------|
| a    | 1     |

- one
    - **two** and _three_
        - [four](https://example.com/a|b) `five < six`

1. seven
2. ~~eight~~

```python
{code}
```

> nine & ten
""".format(code="\n".join(f"x{number} = {number} < {number + 1}" for number in range(400)))
REFUSALS: dict[str, Response] = {
    "400": _refuse(400, "bad_request"),
    "401": _refuse(401, "invalid_api_key"),
    "403": _refuse(403, "forbidden"),
    "404": _refuse(404, "model_not_found"),
    "429": _refuse(429, "rate_limit_exceeded", {"Retry-After": "7"}),
    "429-now": _refuse(429, "rate_limit_exceeded", {"Retry-After": "1"}),
    "429-bare": _refuse(429, "rate_limit_exceeded"),
    "429-quota": _refuse(429, "insufficient_quota"),
    "500": _refuse(500, "server_error"),
    "503": _refuse(503, "overloaded"),
}


@dataclass(kw_only=True)
class FakeOpenAi:
    """The server's state and its routes; `requests` holds (bearer, headers, body) of each call."""

    scripts: deque[str] = field(default_factory=deque)
    requests: list[tuple[str, dict[str, str], Json]] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.requests.append((bearer, dict(request.headers), body))
        content = body["messages"][-1]["content"]
        question = content if isinstance(content, str) else str(content[0]["text"])
        chosen = _SCRIPT.match(question)
        name = chosen.group(1) if chosen else self.scripts.popleft() if self.scripts else "ok"
        if name == "deaf":
            await anyio.sleep_forever()
        if name in REFUSALS:
            return REFUSALS[name]
        answer = self.make_answer(name, _SCRIPT.sub("", question))
        if name in SLOW:
            is_new = answer not in self._said
            self._said.add(answer)
            return StreamingResponse(
                self._stream_slowly(answer, 0.06 if is_new else 0.0), media_type="text/event-stream"
            )
        if not body.get("stream"):
            return JSONResponse(
                _WHOLE[name] if name in _WHOLE else _render_whole("x" * 100_001 if name == "huge" else answer)
            )
        return StreamingResponse(self._stream(name, answer), media_type="text/event-stream")

    def make_answer(self, script: str, question: str) -> str:
        """Return what the script answers: `words` says a few, `chapters` as many as fill three messages of Slack's."""
        if script == "markdown":
            return f"{question}\n\n{MARKDOWN}"
        words = LONG.get(script, 0)
        told = " ".join(f"word{number}" for number in range(words))
        return f"Answer to: {question}" if not words else f"Answer to: {question} {told}"

    async def _stream_slowly(self, answer: str, pause_s: float) -> AsyncIterator[bytes]:
        """Stream it in forty pieces."""
        size = -(-len(answer) // 40)
        for start in range(0, len(answer), size):
            yield _event({"content": answer[start : start + size]})
            await anyio.sleep(pause_s)
        yield _event({}, "stop")
        yield b"data: [DONE]\n\n"

    async def _stream(self, name: str, answer: str) -> AsyncIterator[bytes]:
        if name == "huge":
            answer = "x" * 100_001
        half = len(answer) // 2
        yield _event({"role": "assistant", "content": ""})
        yield _event({"content": answer[:half]})
        if name == "hangs":
            await anyio.sleep_forever()
        if name == "dies":
            raise ConnectionResetError
        if name in _BAD_EVENTS:
            yield _BAD_EVENTS[name]
        yield _event({"content": answer[half:]})
        if name != "ends":
            yield _event({}, "content_filter" if name == "filtered" else "stop")
            yield b'data: {"object":"chat.completion.chunk","choices":[],"usage":{"total_tokens":3}}\n\n'
            yield b"data: [DONE]\n\n"


def _event(delta: Json, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _render_whole(content: str | None) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


_WHOLE: dict[str, Any] = {"no-choices": {"choices": 7}, "no-chunk": 5, "ends": _render_whole(None)}
_BAD_EVENTS = {
    "garbage": b"data: {not json\n\n",
    "no-chunk": b"data: 5\n\n",
    "no-choices": b'data: {"choices": 7}\n\n',
    "no-utf8": b"data: \xff\xff\n\n",
    "error": b'data: {"error": {"message": "SECRET QUESTION is why", "code": "x"}}\n\n',
}


async def run(fake: FakeOpenAi, port: int) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with serve_app(fake.app, port=port) as url:
            print(json.dumps({"url": url, "base_url": f"{url}/v1"}), flush=True)  # noqa: T201
            async for _ in signals:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    anyio.run(run, FakeOpenAi(), parser.parse_args().port)


if __name__ == "__main__":
    main()
