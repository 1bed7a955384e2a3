"""A Mesh of generation A, B or C, as far as this service speaks with it; `python tests/fake_mesh.py --port 0`.

It mints and checks tokens, makes API keys, keeps threads, is told of events, and runs agents that follow a script. A
script is chosen by the question (`[[hangs]] …`), else taken from `scripts`, else it is `ok`: the answer is then
`Answer to: <question>`. What it sends as a client is in `mesh_clients.py`.
"""

import argparse
import itertools
import json
import re
import signal
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import jwt
from chunk_scripts import BREAK, DONE, ERROR, HOLD, SCRIPTS, Chunk, render_event, start, to_parts
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from slack_mcp.simulator.server import serve_app

Json = dict[str, Any]
SECRET = "a-secret-of-the-fake-mesh-which-is-long-enough"
MAX_CALLBACK_BYTES = 1_048_576
_SCRIPT = re.compile(r"\[\[([\w-]+)\]\]\s*")
_ID = re.compile(r"[^.*>\s]+")
_NEWEST_KEYS = {
    "messages",
    "agent",
    "thread_id",
    "toolApprovalLevel",
    "memory",
    "tier",
    "stream",
    "temperature",
    "mode",
}


@dataclass(frozen=True, kw_only=True)
class Caller:
    bearer: str
    user_id: str
    slug: str
    permissions: dict[str, list[str]] | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request that arrived."""

    method: str
    path: str
    bearer: str
    cookie: str | None
    body: Json


@dataclass(frozen=True, kw_only=True)
class Callback:
    """One event that Mesh was told of."""

    path: str
    bearer: str
    body: Any
    status: int


@dataclass(kw_only=True)
class Thread:
    owner: str
    agent_id: str
    status: str = "completed"
    messages: list[Json] = field(default_factory=list)
    log: list[Chunk] = field(default_factory=list)
    run_begins: int = 0  # where in the log
    changed: anyio.Event = field(default_factory=anyio.Event)

    def say(self, *chunks: Chunk) -> None:
        self.log += chunks
        self.changed.set()
        self.changed = anyio.Event()


class FakeMesh:
    """The server's state and its routes.

    Args:
        generation: which endpoints there are.
        slugs: the organizations.
        has_tail: generation C answers 204 to whoever wants a tail without it, and B to whoever wants to attach.
        takes_files: without it a run fails as soon as there is a file in its thread.
    """

    def __init__(
        self,
        *,
        generation: Literal["A", "B", "C"] = "B",
        slugs: Sequence[str] = ("acme",),
        secret: str = SECRET,
        has_tail: bool = True,
        takes_files: bool = True,
    ) -> None:
        self.generation = generation
        self.slugs = list(slugs)
        self.secret = secret
        self.has_tail = has_tail
        self.takes_files = takes_files
        self.url = ""
        self.calls: list[Call] = []
        self.api_keys: dict[str, Caller] = {}
        self.callbacks: list[Callback] = []
        self.callback_tokens: dict[tuple[str, str], str] = {}  # by organization and connection, one each
        self.threads: dict[str, Thread] = {}
        self.scripts: deque[str] = deque()
        self.faults: deque[Response | None] = deque()  # of the next requests; None is none
        self.holding = 0
        self.release = anyio.Event()
        self._changed = anyio.Event()
        self._numbers = itertools.count(1)
        everything = ["GET", "POST", "PUT", "DELETE"]
        self.app = Starlette(
            routes=[
                Route("/mcp/self", self._serve_self, methods=["POST"]),
                Route("/api/{slug}/mcp/self", self._serve_self, methods=["POST"]),
                Route("/api/trigger-callback", self._serve_callback, methods=["POST"]),
                Route("/api/{slug}/trigger-callback", self._serve_callback, methods=["POST"]),
                Route("/api/{slug}/decopilot/stream", self._serve_stream, methods=["POST"]),
                Route("/api/{slug}/decopilot/attach/{thread_id}", self._serve_attach, methods=["GET"]),
                Route("/api/{slug}/decopilot/cancel/{thread_id}", self._serve_cancel, methods=["POST"]),
                Route("/api/{slug}/decopilot/threads/{thread_id}/stream", self._serve_tail, methods=["GET"]),
                Route("/api/{slug}/decopilot/threads/{thread_id}/messages", self._serve_message, methods=["POST"]),
                # Like the real one's front-end, for whatever is not known.
                Route("/{path:path}", self._serve_page, methods=everything),
            ],
            exception_handlers={HTTPException: self._render_error},
        )

    def mint_token(
        self, connection_id: str = "conn_1", *, slug: str = "acme", user_id: str = "user_1", **claims: Any
    ) -> str:
        """Return a token as Mesh sends it; `claims` replace its own (None takes one out), `metadata` is merged."""
        metadata = {
            "state": {},
            "meshUrl": self.url,
            "connectionId": connection_id,
            "organizationId": f"org_{slug}",
            "organizationSlug": slug,
        } | claims.pop("metadata", {})
        now = int(time.time())
        payload = {"sub": user_id, "user": {"id": user_id}, "metadata": metadata, "iat": now, "exp": now + 300} | claims
        return jwt.encode({k: v for k, v in payload.items() if v is not None}, self.secret, algorithm="HS256")

    def issue_key(
        self, *, slug: str = "acme", user_id: str = "user_1", permissions: dict[str, list[str]] | None = None
    ) -> str:
        """Return a new API key."""
        key = f"key{next(self._numbers)}" + "k" * 56
        self.api_keys[key] = Caller(bearer=key, user_id=user_id, slug=slug, permissions=permissions)
        return key

    def issue_callback(self, connection_id: str, *, slug: str = "acme") -> tuple[str, str]:
        """Return (URL, token) for what a connection tells; the token that it had before is good for nothing now."""
        token = f"callback{next(self._numbers)}" + "c" * 55
        self.callback_tokens[slug, connection_id] = token
        path = "/api/trigger-callback" if self.generation == "B" else f"/api/{slug}/trigger-callback"
        return self.url + path, token

    def list_told(self) -> list[Json]:
        """Return what Mesh was told and took, in order."""
        return [each.body for each in self.callbacks if each.status == 202]

    def count(self, path_end: str) -> int:
        """Return how many requests came to paths that end so."""
        return sum(call.path.endswith(path_end) for call in self.calls)

    def count_tools(self) -> Counter[str]:
        """Return how often each management tool was called."""
        names = [call.body["params"]["name"] for call in self.calls if call.body.get("method") == "tools/call"]
        return Counter(names)

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Return when it is so; looked at with each request and each run that holds."""
        while not is_so():
            await self._changed.wait()

    def finish_run(self, thread_id: str, answer: str) -> None:
        """Let the run that hangs in a thread be begun again elsewhere, and end with this answer."""
        self._conclude(self.threads[thread_id], [start(f"msg_{next(self._numbers)}"), *SCRIPTS["ok"](answer)])

    def go_on(self, thread_id: str, *chunks: Chunk) -> None:
        """Let the run that hangs in a thread say more."""
        thread = self.threads[thread_id]
        thread.say(*chunks)
        self._settle(thread)

    # Routes

    async def _serve_page(self, request: Request) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "Not found"}, 404)
        return HTMLResponse("<html>Studio</html>")

    async def _serve_self(self, request: Request) -> Response:
        body, caller = await self._take(request)
        if "slug" in request.path_params and self.generation == "A":
            return JSONResponse({"error": "Not found"}, 404)
        if not {"application/json", "text/event-stream"} <= set(request.headers["accept"].split(", ")):
            return JSONResponse({"error": {"code": -32000, "message": "Not acceptable"}}, 406)
        if body["method"] == "ping":
            return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "result": {}})
        name, arguments = body["params"]["name"], body["params"]["arguments"]
        is_granted = caller.permissions is None or name in caller.permissions.get("self", [])
        if self.generation == "C" and not is_granted:
            error = {"code": -32603, "message": f"Access denied to: {name}"}
            return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "error": error})
        result = self._call_tool(caller, name, arguments)
        is_error = isinstance(result, str)
        text = result if isinstance(result, str) else json.dumps(result)
        answer: Json = {"content": [{"type": "text", "text": text}], "isError": is_error}
        answer |= {} if is_error else {"structuredContent": result}
        # A cookie that must never come back, and least of all with another tenant's request.
        headers = {"Set-Cookie": f"session={caller.slug}; Path=/"}
        return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "result": answer}, headers=headers)

    async def _serve_callback(self, request: Request) -> Response:
        """Source: `api/routes/trigger-callback.ts`. Nothing is deduplicated."""
        raw = await request.body()
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        body, answer = _judge_callback(raw)
        if scheme != "Bearer" or not bearer:
            answer = JSONResponse({"error": "Missing or invalid Authorization header"}, 401)
        elif bearer not in self.callback_tokens.values():
            answer = JSONResponse({"error": "Invalid callback token"}, 401)
        if self.generation == "A":
            answer = JSONResponse({"error": "Not found"}, 404)
        told = Callback(path=request.url.path, bearer=bearer, body=body, status=answer.status_code)
        self.callbacks.append(told)
        self._pulse()
        return answer

    async def _serve_stream(self, request: Request) -> Response:
        body, caller = await self._take(request)
        if self.generation == "C":
            return JSONResponse({"error": "Not found"}, 404)
        if self.generation == "A" and "models" not in body:
            return JSONResponse({"error": '[{"path":["models"],"message":"Required"}]'}, 400)
        thread = self.threads.get(body.get("thread_id", ""))
        if thread is None:
            return JSONResponse({"error": f"Thread not found: {body.get('thread_id')}"}, 500)
        if thread.owner != caller.user_id:
            return JSONResponse({"error": "You are not allowed to write to this thread"}, 500)
        refusal, chunks = self._begin(thread, body)
        if refusal is not None:
            return refusal
        self._conclude(thread, chunks)
        return StreamingResponse(self._send(chunks), media_type="text/event-stream")

    async def _serve_message(self, request: Request) -> Response:
        body, caller = await self._take(request)
        if self.generation != "C":
            return JSONResponse({"error": "Not found"}, 404)
        if not body.keys() <= _NEWEST_KEYS:
            return JSONResponse({"error": "Unrecognized key"}, 400)
        thread = self.threads[request.path_params["thread_id"]]
        if thread.owner != caller.user_id:
            return JSONResponse({"error": "You are not allowed to write to this thread"}, 403)
        if body["messages"][-1]["id"] not in {message["id"] for message in thread.messages}:
            refusal, chunks = self._begin(thread, body)
            if refusal is not None:
                return refusal
            self._conclude(thread, chunks)
        return JSONResponse({"taskId": request.path_params["thread_id"]}, 202)

    async def _serve_tail(self, request: Request) -> Response:
        await self._take(request)
        thread = self.threads.get(request.path_params["thread_id"])
        if self.generation != "C" or thread is None:
            return JSONResponse({"error": "Not found"}, 404)
        if not self.has_tail:
            return Response(status_code=204)
        return StreamingResponse(self._follow(thread), media_type="text/event-stream")

    async def _serve_attach(self, request: Request) -> Response:
        """The run that is going on, from its start."""
        await self._take(request)
        if self.generation == "C":
            return JSONResponse({"error": "Not found"}, 404)
        thread = self.threads[request.path_params["thread_id"]]
        if not self.has_tail or thread.status != "in_progress":
            return Response(status_code=204)
        return StreamingResponse(self._follow(thread, thread.run_begins), media_type="text/event-stream")

    async def _serve_cancel(self, request: Request) -> Response:
        await self._take(request)
        thread = self.threads.get(request.path_params["thread_id"])
        if thread is not None and thread.status == "in_progress":
            thread.status = "failed"
            thread.say({"type": "abort"})
        return JSONResponse({"cancelled": True, "async": True}, 202)

    # Streams

    async def _follow(self, thread: Thread, position: int | None = None) -> AsyncIterator[bytes]:
        if position is None:
            position = 0 if thread.status == "in_progress" else len(thread.log)
        yield b": keep-alive\n\n"
        while True:
            changed = thread.changed
            chunks = [chunk for chunk in thread.log[position:] if chunk is not DONE]
            position = len(thread.log)
            if BREAK in chunks:
                thread.log.remove(BREAK)  # once: whoever comes again gets further
            async for event in self._send(chunks):
                yield event
            await changed.wait()

    async def _send(self, chunks: Sequence[Chunk]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            if chunk is BREAK:
                raise ConnectionResetError
            if chunk is HOLD:
                self.holding += 1
                self._pulse()
                await self.release.wait()
            else:
                yield render_event(chunk)

    def _pulse(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # Rules

    async def _take(self, request: Request) -> tuple[Json, Caller]:
        raw = await request.body()
        body = json.loads(raw) if raw else {}
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        cookie = request.headers.get("cookie")
        self.calls.append(Call(method=request.method, path=request.url.path, bearer=bearer, cookie=cookie, body=body))
        self._pulse()
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            raise _Fault(fault)
        caller = self._identify(bearer)
        slug = request.path_params.get("slug", caller.slug)
        if slug not in self.slugs:
            raise HTTPException(404, f'organization "{slug}" not found')
        if slug != caller.slug:
            raise HTTPException(403, "forbidden: not a member of organization")
        return body, caller

    def _identify(self, bearer: str) -> Caller:
        if bearer in self.api_keys:
            return self.api_keys[bearer]
        try:
            payload = jwt.decode(bearer, self.secret, algorithms=["HS256"])
        except jwt.PyJWTError:
            challenge = f'Bearer realm="mcp",resource_metadata="{self.url}/.well-known/oauth-protected-resource"'
            raise HTTPException(401, headers={"WWW-Authenticate": challenge}) from None
        slug = payload.get("metadata", {}).get("organizationSlug", "acme")
        return Caller(bearer=bearer, user_id=payload["sub"], slug=slug)

    async def _render_error(self, _request: Request, error: Exception) -> Response:
        if isinstance(error, _Fault):
            return error.response
        assert isinstance(error, HTTPException)
        if error.status_code == 401:
            return Response(status_code=401, headers=error.headers)
        return JSONResponse({"error": error.detail}, error.status_code)

    def _call_tool(self, caller: Caller, name: str, arguments: Json) -> Json | str:
        """Return the tool's result, or the text of its failure."""
        if name == "API_KEY_CREATE":
            return self._create_key(caller, arguments)
        if name == "COLLECTION_THREADS_CREATE":
            return self._create_thread(caller, arguments["data"])
        if name == "COLLECTION_THREADS_DELETE":
            self.threads.pop(arguments["id"], None)
            return {"item": {"id": arguments["id"]}}
        if name == "COLLECTION_THREAD_MESSAGES_LIST":
            messages = self.threads[arguments["thread_id"]].messages
            return {"items": messages[::-1], "totalCount": len(messages), "hasMore": False}
        if name in {"AI_PROVIDER_KEY_LIST", "AI_PROVIDERS_LIST_MODELS"}:
            return _list_providers(arguments)
        return f"MCP error -32602: Tool {name} not found"

    def _create_key(self, caller: Caller, arguments: Json) -> Json | str:
        if not 1 <= len(arguments["name"]) <= 64:
            return "MCP error -32602: Input validation error: name: Too big: expected string to have <=64 characters"
        key = self.issue_key(slug=caller.slug, user_id=caller.user_id, permissions=arguments.get("permissions"))
        return {"id": f"id-of-{key[:6]}", "name": arguments["name"], "key": key, "expiresAt": None}

    def _create_thread(self, caller: Caller, data: Json) -> Json | str:
        if not _ID.fullmatch(data["id"]):
            return "Error: Invalid NATS subject token"
        thread = self.threads.setdefault(data["id"], Thread(owner=caller.user_id, agent_id=data["virtual_mcp_id"]))
        return {"item": {"id": data["id"], "status": thread.status, "virtual_mcp_id": thread.agent_id}}

    def _begin(self, thread: Thread, body: Json) -> tuple[Response | None, Sequence[Chunk]]:
        """Take the question and return (refusal, the run's chunks)."""
        questions = [message for message in body["messages"] if message["role"] != "system"]
        assert len(questions) == 1
        texts = [part["text"] for part in questions[0]["parts"] if part["type"] == "text"]
        question = str(texts[-1])
        chosen = _SCRIPT.match(question)
        name = chosen.group(1) if chosen else self.scripts.popleft() if self.scripts else "ok"
        if name in REFUSALS:
            return REFUSALS[name], []
        thread.messages = [message for message in thread.messages if message["id"] != questions[0]["id"]]
        self._store(thread, questions[0])
        if not self.takes_files and any(part["type"] == "file" for each in thread.messages for part in each["parts"]):
            name = "error"
        answer = f"Answer to: {_SCRIPT.sub('', question)}"
        return None, [start(f"msg_{next(self._numbers)}"), *SCRIPTS[name](answer)]

    def _conclude(self, thread: Thread, chunks: Sequence[Chunk]) -> None:
        thread.status = "in_progress"
        thread.run_begins = len(thread.log)
        thread.say(*chunks)
        self._settle(thread)

    def _settle(self, thread: Thread) -> None:
        """Note how the run has ended, if it has."""
        chunks = thread.log[thread.run_begins :]
        if ERROR in chunks or {"type": "abort"} in chunks:
            thread.status = "failed"
        elif any(chunk["type"] == "finish" for chunk in chunks):
            thread.status = "completed"
            message_id = next((chunk["messageId"] for chunk in chunks if chunk["type"] == "start"), None)
            message = {"id": message_id or f"msg_{next(self._numbers)}", "role": "assistant", "parts": to_parts(chunks)}
            self._store(thread, message)

    def _store(self, thread: Thread, message: Json) -> None:
        thread.messages.append(message | {"created_at": f"2026-01-01T00:00:00.{next(self._numbers):06}Z"})


def _list_providers(arguments: Json) -> Json:
    if "keyId" not in arguments:
        return {"keys": [{"id": "aik_empty"}, {"id": "aik_1", "providerId": "anthropic", "label": "main"}]}
    models = [{"modelId": "model-1"}, {"modelId": "model-2"}]
    return {"models": models if arguments["keyId"] == "aik_1" else []}


def _judge_callback(raw: bytes) -> tuple[Any, Response]:
    """Return (the body, the answer to it)."""
    if len(raw) > MAX_CALLBACK_BYTES:
        return None, JSONResponse({"error": "Payload too large"}, 413)
    try:
        body = json.loads(raw)
    except ValueError:
        return None, JSONResponse({"error": "Invalid JSON body"}, 400)
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(kind, str) or not kind or not isinstance(body.get("data", {}), dict):
        return body, JSONResponse({"error": "Invalid body"}, 400)
    return body, JSONResponse({"ok": True, "type": kind}, 202)


class _Fault(HTTPException):
    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


REFUSALS: dict[str, Response] = {
    "400": JSONResponse({"error": "No provider credentials"}, 400),
    "401": Response(status_code=401),
    "403": JSONResponse({"error": "Model not allowed for your role"}, 403),
    "429": JSONResponse({"error": "slow down"}, 429, headers={"Retry-After": "7"}),
    "500": JSONResponse({"error": "boom"}, 500),
    "503": JSONResponse({"error": "not now"}, 503),
    "no-agent": JSONResponse({"error": "Agent not found"}, 500),
    "page": HTMLResponse("<html>Studio</html>"),
}


async def run(mesh: FakeMesh, port: int) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with serve_app(mesh.app, port=port) as mesh.url:
            print(json.dumps({"url": mesh.url, "secret": mesh.secret, "slugs": mesh.slugs}), flush=True)  # noqa: T201
            async for _ in signals:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--generation", choices=["A", "B", "C"], default="B")
    parser.add_argument("--slug", action="append", help="an organization, may be given again (default: acme)")
    arguments = parser.parse_args()
    anyio.run(run, FakeMesh(generation=arguments.generation, slugs=arguments.slug or ["acme"]), arguments.port)


if __name__ == "__main__":
    main()
