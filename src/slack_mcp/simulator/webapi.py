"""The Web API over HTTP: GET or POST /api/{method}, with form or JSON arguments.

A small raw ASGI app, because load tests spend most of their time here. https://docs.slack.dev/apis/web-api/
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from slack_mcp.simulator import oauth
from slack_mcp.simulator.access import Actor, check_scope, check_token_type
from slack_mcp.simulator.args import Args, parse_arguments
from slack_mcp.simulator.assistant import ASSISTANT_METHODS
from slack_mcp.simulator.calls import Call
from slack_mcp.simulator.canvases import CANVAS_METHODS
from slack_mcp.simulator.channels import CHANNEL_METHODS
from slack_mcp.simulator.chat import CHAT_METHODS, Answer
from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.files import FILE_METHODS, FORM_ONLY
from slack_mcp.simulator.lists import LIST_METHODS
from slack_mcp.simulator.managing import MANAGING_METHODS
from slack_mcp.simulator.marks import MARK_METHODS
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.people import PEOPLE_METHODS
from slack_mcp.simulator.reading import READING_METHODS
from slack_mcp.simulator.reminders import REMINDER_METHODS
from slack_mcp.simulator.scheduling import SCHEDULING_METHODS
from slack_mcp.simulator.search import SEARCH_METHODS
from slack_mcp.simulator.search_context import CONTEXT_METHODS
from slack_mcp.simulator.sessions import SESSION_METHODS
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.streams import STREAM_METHODS
from slack_mcp.simulator.usergroups import USERGROUP_METHODS
from slack_mcp.simulator.views import VIEW_METHODS
from slack_mcp.simulator.workspace import Workspace

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

METHODS = (
    ASSISTANT_METHODS
    | CANVAS_METHODS
    | CHANNEL_METHODS
    | CHAT_METHODS
    | CONTEXT_METHODS
    | FILE_METHODS
    | LIST_METHODS
    | MANAGING_METHODS
    | MARK_METHODS
    | PEOPLE_METHODS
    | READING_METHODS
    | REMINDER_METHODS
    | SCHEDULING_METHODS
    | SEARCH_METHODS
    | SESSION_METHODS
    | STREAM_METHODS
    | USERGROUP_METHODS
    | VIEW_METHODS
)
LARGEST_BODY = 4 * 1024 * 1024
NO_ANSWER = 0


class WebApi:
    """The ASGI app below `/api/`."""

    def __init__(self, *, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        body = await _read_body(receive)
        if body is None or scope["method"] not in ("GET", "POST"):
            await _answer(send, 413 if body is None else 405, b"", {})
            return
        method = scope["path"].removeprefix("/api/")
        try:
            values = parse_arguments(scope["query_string"], headers.get("content-type", ""), body)
            is_json = body and headers.get("content-type", "").startswith("application/json")
            refusal = SlackRefusalError("invalid_arguments") if is_json and method in FORM_ONLY else None
        except SlackRefusalError as error:
            values, refusal = {}, error
        call, workspace = self._record(method, headers, values)
        fault = self._simulator.faults.take(call)
        if fault is not None:
            self._simulator.changes.notify()  # a test may wait for it
        if fault is not None and not fault.is_late and not await self._fail(fault, call, receive, send):
            return
        if await self._is_limited(call, workspace, send):
            return
        answer: Json = {"ok": False, "error": refusal.code} if refusal else self._run(call, workspace, headers)
        if fault is not None and fault.is_late and not await self._fail(fault, call, receive, send):
            return
        actor = workspace.actor_of_token(call.token) if workspace is not None else None
        extra = {"x-oauth-scopes": actor.scopes} if actor is not None else {}
        self._finish(call, 200, answer.get("error"))
        await _answer(send, 200, json.dumps(answer).encode(), extra)

    async def _is_limited(self, call: Call, workspace: Workspace | None, send: Send) -> bool:
        """Answer 429 when the app has called too often."""
        if workspace is None or workspace.limits is None:
            return False
        channel = str(call.args.get("channel") or "")
        retry_after_s = workspace.meter.take(workspace.limits, call.method, channel)
        if retry_after_s is None:
            return False
        await self._refuse(429, "ratelimited", retry_after_s, call, send)
        return True

    def _record(self, method: str, headers: dict[str, str], values: Json) -> tuple[Call, Workspace | None]:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else str(values.get("token", ""))
        values.pop("token", None)
        workspace = self._simulator.workspace_of_token(token)
        channel = str(values.get("channel") or values.get("channel_id") or "")
        call = Call(
            method=method,
            token=token,
            team_id=None if workspace is None else workspace.team_id,
            args=values,
            at_s=self._simulator.clock.now_s(),
            channel_team_id=self._simulator.team_of_channel(channel, preferred=workspace) if channel else None,
        )
        self._simulator.calls.add(call)
        return call, workspace

    def _run(self, call: Call, workspace: Workspace | None, headers: dict[str, str]) -> Json:
        try:
            if call.method == oauth.METHOD:  # the one method without a token
                client = oauth.read_client(headers.get("authorization", ""), call.args)
                return {"ok": True} | self._simulator.renew_token(client, call.args)
            run, scope = METHODS.get(call.method, (_refuse_unknown, ""))
            allowed, actor = _check_token(call, workspace)
            check_token_type(actor, call.method)
            place = allowed.channels.get(str(call.args.get("channel") or call.args.get("channel_id") or ""))
            check_scope(actor, scope, place.kind if place is not None else None)
            allowed.settle_streams()
            with allowed.acting_as(actor):
                answer = run(allowed, Args(call.args))
        except SlackRefusalError as error:
            return {"ok": False, "error": error.code} | error.details
        self._simulator.deliver_own(allowed, answer.envelopes)
        return {"ok": True} | answer.body

    async def _fail(self, fault: Fault, call: Call, receive: Receive, send: Send) -> bool:
        """Do what the fault says; return True when the call is to go on."""
        if fault.is_hanging:
            if await _hang(fault.hang_s, receive):
                self._finish(call, NO_ANSWER, "hung")
                return False
            if fault.is_slow_only:
                return True
        status = fault.status or 200
        error = fault.error or ("ratelimited" if status == 429 else None)  # noqa: PLR2004 - HTTP's own number
        await self._refuse(status, error, fault.retry_after_s, call, send)
        return False

    async def _refuse(self, status: int, error: str | None, retry_after_s: int | None, call: Call, send: Send) -> None:
        self._finish(call, status, error)
        extra = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
        body = b"upstream trouble" if error is None else json.dumps({"ok": False, "error": error}).encode()
        await _answer(send, status, body, extra)

    def _finish(self, call: Call, status: int, error: str | None) -> None:
        self._simulator.calls.finish(call, status, error)
        self._simulator.changes.notify()


def _refuse_unknown(_workspace: Workspace, _args: Args) -> Answer:
    raise SlackRefusalError("unknown_method")


def _check_token(call: Call, workspace: Workspace | None) -> tuple[Workspace, Actor]:
    if not call.token:
        raise SlackRefusalError("not_authed")
    actor = workspace.actor_of_token(call.token) if workspace is not None else None
    if workspace is None or actor is None:
        raise SlackRefusalError("invalid_auth")
    if workspace.is_revoked or actor.is_revoked:
        raise SlackRefusalError("token_revoked")
    if actor.is_bot and workspace.is_token_expired:
        raise SlackRefusalError("token_expired")
    return workspace, actor


async def _read_body(receive: Receive) -> bytes | None:
    """Return the request's body; None when it is too large."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > LARGEST_BODY:
            return None
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _hang(hang_s: float | None, receive: Receive) -> bool:
    """Wait; return True when the caller hung up first (or the server stops)."""
    with anyio.move_on_after(hang_s):
        while (await receive())["type"] != "http.disconnect":
            pass
        return True
    return False


async def _answer(send: Send, status: int, body: bytes, extra: dict[str, str]) -> None:
    content_type = "application/json; charset=utf-8" if body[:1] == b"{" else "text/plain"
    headers = {"content-type": content_type, "content-length": str(len(body))} | extra
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
