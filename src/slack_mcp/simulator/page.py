"""The demo page: channels, threads and a message box, live through server-sent events."""

import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from slack_mcp.simulator.model import Channel, Json, SlackRefusalError
from slack_mcp.simulator.render import render_channel, render_message, render_user
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.workspace import Workspace

SHOWN_PER_CHANNEL = 500
LONGEST_SAID = 4_000
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES = {
    "/": ("demo.html", "text/html"),
    "/static/demo.css": ("demo.css", "text/css"),
    "/static/demo.js": ("demo.js", "text/javascript"),
    "/favicon.ico": ("favicon.svg", "image/svg+xml"),
}


def page_routes(simulator: Simulator) -> list[Route]:
    """Return the routes of the page."""
    page = Page(simulator=simulator)
    return [
        *(Route(path, page.file, methods=["GET"]) for path in _FILES),
        Route("/demo/state", page.state, methods=["GET"]),
        Route("/demo/stream", page.stream, methods=["GET"]),
        Route("/demo/say", page.say, methods=["POST"]),
    ]


class Page:
    """The end points behind the page, which shows the first workspace."""

    def __init__(self, *, simulator: Simulator) -> None:
        self._simulator = simulator

    async def file(self, request: Request) -> Response:
        """Return one of the page's files."""
        name, media_type = _FILES[request.url.path]
        content = (files("slack_mcp.simulator") / "static" / name).read_bytes()
        return Response(content, media_type=media_type, headers=HEADERS)

    async def state(self, _request: Request) -> Response:
        """Return the workspace with its users, channels and last messages."""
        return JSONResponse(render_state(self._workspace), headers=HEADERS)

    async def stream(self, _request: Request) -> Response:
        """Return the changes from now on as server-sent events."""
        return StreamingResponse(self._events(), media_type="text/event-stream", headers=HEADERS)

    async def say(self, request: Request) -> Response:
        """{channel, text, user?, thread_ts?} → {ts}; 400 for a malformed body, 404 for an unknown id."""
        try:
            body = await request.json()
            channel, text = body["channel"], body["text"]
            user = body.get("user") or self._first_person()
            thread_ts = body.get("thread_ts") or None
        except (ValueError, KeyError, TypeError, AttributeError):
            return _refuse(400, "channel and text are needed")
        if not all(isinstance(each, str) for each in (channel, text, user, thread_ts or "")):
            return _refuse(400, "all fields are text")
        if not text.strip() or len(text) > LONGEST_SAID:
            return _refuse(400, f"text of 1 to {LONGEST_SAID} characters is needed")
        try:
            posted = self._simulator.say(
                self._workspace.team_id, user, channel, link_mentions(text, self._workspace), thread_ts
            )
        except SlackRefusalError as error:
            return _refuse(404, error.code)
        return JSONResponse({"ts": posted.message.ts}, headers=HEADERS)

    @property
    def _workspace(self) -> Workspace:
        return next(iter(self._simulator.workspaces.values()))

    def _first_person(self) -> str:
        return next(user.user_id for user in self._workspace.users.values() if not user.is_bot)

    async def _events(self) -> AsyncIterator[str]:
        async with self._simulator.changes.watching() as changes:
            yield "retry: 1000\nevent: ready\ndata: {}\n\n"
            async for change in changes:
                if change["team_id"] == self._workspace.team_id:
                    yield f"data: {json.dumps(change)}\n\n"


def render_state(workspace: Workspace) -> Json:
    """Return what the page shows at first. Pure."""
    return {
        "team": {"id": workspace.team_id, "name": workspace.team_name, "bot_user_id": workspace.install.bot_user_id},
        "users": [render_user(user, workspace.team_id) for user in workspace.users.values()],
        "channels": [
            render_channel(channel, workspace.install) | {"messages": _last_messages(channel, workspace)}
            for channel in workspace.channels.values()
        ],
    }


def link_mentions(text: str, workspace: Workspace) -> str:
    """Return the text with each `@name` of a user turned into Slack's `<@U…>`. Pure."""
    ids = {user.name.lower(): user.user_id for user in workspace.users.values()}

    def link(match: re.Match[str]) -> str:
        user_id = ids.get(match[1].lower())
        return match[0] if user_id is None else f"<@{user_id}>"

    return re.sub(r"(?<![\w<])@([\w.-]*\w)", link, text)


def _last_messages(channel: Channel, workspace: Workspace) -> list[Json]:
    shown = list(channel.messages.values())[-SHOWN_PER_CHANNEL:]
    return [render_message(message, workspace.install) for message in shown]


def _refuse(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status_code=status, headers=HEADERS)
