"""The part of the control API in which people act: commands, buttons, modals, shortcuts, surfaces and files."""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slack_mcp.simulator.control import LONGEST_WAIT_S, read_body, refuse
from slack_mcp.simulator.deliveries import FormAnswer
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.surfaces import Opened
from slack_mcp.simulator.views import render_view
from slack_mcp.simulator.workspace import Posted, Workspace

SERVING_FIELDS = ("declared_bytes", "redirect_to", "is_login_page", "served_type", "pause_s", "is_endless")


def control_people_routes(simulator: Simulator) -> list[Route]:
    """Return the routes."""
    control = ControlPeople(simulator=simulator)
    return [
        Route("/control/command", control.command, methods=["POST"]),
        Route("/control/interaction", control.interaction, methods=["POST"]),
        Route("/control/gesture", control.gesture, methods=["POST"]),
        Route("/control/share", control.share, methods=["POST"]),
        Route("/control/views", control.views, methods=["GET"]),
        Route("/control/responses", control.responses, methods=["GET"]),
        Route("/control/files", control.files, methods=["GET"]),
    ]


class ControlPeople:
    """The end points. Unknown ids answer 404, malformed bodies 400."""

    def __init__(self, *, simulator: Simulator) -> None:
        self._simulator = simulator

    async def command(self, request: Request) -> Response:
        """{team_id, user, channel, command, text?} → the app's answer."""
        body = await read_body(request)
        gestures = self._simulator.gestures
        return await self._perform(
            body,
            lambda: gestures.command(
                body["team_id"], body["user"], body["channel"], body["command"], str(body.get("text", ""))
            ),
        )

    async def interaction(self, request: Request) -> Response:
        """{team_id, kind, …} → the app's answer.

        Kinds: click {user, channel, ts, action_id, value?, block_id?}, click_view {view_id, action_id, value?},
        submit {view_id, values}, close {view_id, is_cleared?}, suggest {view_id, action_id, typed},
        shortcut {user, callback_id}, message_shortcut {user, channel, ts, callback_id}.
        """
        body = await read_body(request)
        fields = {key: value for key, value in body.items() if key not in ("kind", "team_id")}
        gestures = self._simulator.gestures
        kinds: dict[str, Callable[..., Awaitable[FormAnswer | None]]] = {
            "click": gestures.click,
            "click_view": gestures.click_view,
            "submit": gestures.submit,
            "close": gestures.close,
            "suggest": gestures.suggest,
            "shortcut": gestures.shortcut,
            "message_shortcut": gestures.message_shortcut,
        }
        act = kinds.get(str(body.get("kind")))
        if act is None:
            return refuse(400, "unknown kind")
        return await self._perform(body, lambda: act(body["team_id"], **fields))

    async def gesture(self, request: Request) -> Response:
        """{team_id, kind, …} → {envelopes} of what the gesture makes Slack tell, and the ids of what it made.

        Kinds: open_home {user, tab?}, open_assistant {user, viewing?}, look_at {user, channel},
        stop {user, channel, thread_ts}, edit {user, channel, ts, text}, unsay {user, channel, ts},
        speak {bot_id, channel, text, thread_ts?, is_classic?}.
        """
        body = await read_body(request)
        fields = {key: value for key, value in body.items() if key not in ("kind", "team_id")}
        gestures = self._simulator.gestures
        kinds: dict[str, Callable[..., list[Json] | Opened | Posted]] = {
            "open_home": gestures.open_home,
            "open_assistant": gestures.open_assistant,
            "look_at": gestures.look_at,
            "stop": gestures.stop,
            "edit": gestures.edit,
            "unsay": gestures.unsay,
            "speak": gestures.speak,
        }
        act = kinds.get(str(body.get("kind")))
        if act is None:
            return refuse(400, "unknown kind")
        workspace = self._find(body.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        try:
            done = act(workspace.team_id, **fields)
        except TypeError:
            return refuse(400, "unknown or missing field")
        except SlackRefusalError as error:
            return refuse(404, error.code)
        return JSONResponse(_render_done(done))

    async def share(self, request: Request) -> Response:
        """{team_id, user, channel, name, content | content_base64, …} → {ts, file}.

        Further fields: mimetype, text, thread_ts, `deliver`, which is true by default, and those with which
        `Workspace.share_file` makes a file dangerous.
        """
        body = await read_body(request)
        workspace = self._find(body.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        try:
            encoded = body.get("content_base64")
            content = str(body["content"]).encode() if encoded is None else b64decode(str(encoded), validate=True)
            posted = workspace.share_file(
                str(body["user"]),
                str(body["channel"]),
                str(body["name"]),
                content,
                mimetype=str(body.get("mimetype", "")),
                text=str(body.get("text", "")),
                thread_ts=body.get("thread_ts") or None,
                **{name: body[name] for name in SERVING_FIELDS if name in body},
            )
        except KeyError as error:
            return refuse(400, f"missing {error.args[0]}")
        except ValueError:
            return refuse(400, "content_base64 is not base64")
        except SlackRefusalError as error:
            return refuse(404, error.code)
        if body.get("deliver", True):
            self._simulator.deliverer.submit(workspace, posted.envelopes)
        return JSONResponse({"ts": posted.message.ts, "file": posted.message.files[0]})

    async def views(self, request: Request) -> Response:
        """?team_id[&modals] → {modals, home}: the open modals, oldest first, and the home views, each with its user_id.

        `modals` waits for that many, up to `timeout_s` (10); 408 when there are fewer.
        """
        workspace = self._find(request.query_params.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        if not await self._has_come(request, "modals", lambda: len(workspace.views.modals)):
            return refuse(408, "timeout")
        modals, home = workspace.views.modals.values(), workspace.views.home.values()
        return JSONResponse(
            {
                "modals": [render_view(workspace, each) | {"user_id": each.user_id} for each in modals],
                "home": [render_view(workspace, each) | {"user_id": each.user_id} for each in home],
            }
        )

    async def responses(self, request: Request) -> Response:
        """?team_id[&posts][&ephemerals] → {response_urls, ephemerals}.

        These are what came in through response URLs, and what single users see. `posts` and `ephemerals` wait for that
        many of them, up to `timeout_s` (10); 408 when there are fewer.
        """
        workspace = self._find(request.query_params.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        urls = workspace.tickets.response_urls
        has_posts = await self._has_come(request, "posts", lambda: sum(len(each.posts) for each in urls.values()))
        if not has_posts or not await self._has_come(request, "ephemerals", lambda: len(workspace.ephemerals)):
            return refuse(408, "timeout")
        return JSONResponse(
            {
                "response_urls": [asdict(each) for each in urls.values()],
                "ephemerals": [asdict(each) for each in workspace.ephemerals],
            }
        )

    async def files(self, request: Request) -> Response:
        """?team_id → {files} with their shares, oldest first."""
        workspace = self._find(request.query_params.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        shelf = workspace.shelf
        return JSONResponse({"files": [shelf.render(each, with_shares=True) for each in shelf.files.values()]})

    async def _has_come(self, request: Request, name: str, count: Callable[[], int]) -> bool:
        """Wait until there are as many as the parameter asks for; True at once without it."""
        wanted = int(request.query_params.get(name, "0"))
        timeout_s = min(float(request.query_params.get("timeout_s", "10")), LONGEST_WAIT_S)
        try:
            await self._simulator.changes.wait_until(lambda: count() >= wanted, timeout_s=timeout_s)
        except TimeoutError:
            return False
        return True

    async def _perform(self, body: Json, act: Callable[[], Awaitable[FormAnswer | None]]) -> Response:
        if self._find(body.get("team_id")) is None:
            return refuse(404, "team_not_found")
        try:
            answer = await act()
        except KeyError as error:
            return refuse(400, f"missing {error.args[0]}")
        except TypeError:
            return refuse(400, "unknown or missing field")
        except SlackRefusalError as error:
            return refuse(404, error.code)
        except LookupError:
            return refuse(409, "no target")
        return JSONResponse({"is_sent": False} if answer is None else {"is_sent": True} | render_answer(answer))

    def _find(self, team_id: object) -> Workspace | None:
        return self._simulator.workspaces.get(str(team_id))


def _render_done(done: list[Json] | Opened | Posted) -> Json:
    if isinstance(done, Opened):
        return {"channel": done.channel_id, "thread_ts": done.thread_ts, "envelopes": done.envelopes}
    if isinstance(done, Posted):
        return {"ts": done.message.ts, "envelopes": done.envelopes}
    return {"envelopes": done}


def render_answer(answer: FormAnswer) -> Json:
    """Return the app's answer as JSON."""
    return {
        "url": answer.url,
        "status": answer.status,
        "body": answer.body.decode(errors="replace"),
        "took_s": answer.took_s,
        "reason": answer.reason,
        "is_acknowledged": answer.is_acknowledged,
    }
