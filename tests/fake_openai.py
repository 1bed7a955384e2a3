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

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.requests.append((bearer, dict(request.headers), body))
        question = str(body["messages"][-1]["content"])
        chosen = _SCRIPT.match(question)
        name = chosen.group(1) if chosen else self.scripts.popleft() if self.scripts else "ok"
        if name == "deaf":
            await anyio.sleep_forever()
        if name in REFUSALS:
            return REFUSALS[name]
        answer = f"Answer to: {_SCRIPT.sub('', question)}"
        return StreamingResponse(self._stream(name, answer), media_type="text/event-stream")

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
