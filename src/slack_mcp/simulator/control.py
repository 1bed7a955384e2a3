"""The control API: drives a simulator that runs as its own process. JSON over HTTP, below /control/."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slack_mcp.simulator.calls import Call
from slack_mcp.simulator.deliveries import Delivery
from slack_mcp.simulator.model import Json, Message, SlackRefusalError
from slack_mcp.simulator.simulator import Simulator
from slack_mcp.simulator.spec import change_rules
from slack_mcp.simulator.workspace import Workspace

LONGEST_WAIT_S = 60.0


def control_routes(simulator: Simulator) -> list[Route]:
    """Return the routes of the control API."""
    control = Control(simulator=simulator)
    return [
        Route("/control/say", control.say, methods=["POST"]),
        Route("/control/deliver", control.deliver, methods=["POST"]),
        Route("/control/wait", control.wait, methods=["POST"]),
        Route("/control/messages", control.messages, methods=["GET"]),
        Route("/control/calls", control.calls, methods=["GET"]),
        Route("/control/deliveries", control.deliveries, methods=["GET"]),
        Route("/control/cross_tenant", control.cross_tenant, methods=["GET"]),
        Route("/control/faults", control.faults, methods=["POST", "DELETE"]),
        Route("/control/targets", control.targets, methods=["POST"]),
        Route("/control/workspace", control.workspace, methods=["POST"]),
    ]


class Control:
    """The end points. Unknown ids answer 404, malformed bodies 400."""

    def __init__(self, *, simulator: Simulator) -> None:
        self._simulator = simulator

    async def say(self, request: Request) -> Response:
        """{team_id, user, channel, text, thread_ts?, deliver?} → {ts, envelopes}. `deliver` is true by default."""
        body = await read_body(request)
        workspace = self._find(body.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        try:
            posted = workspace.say(
                str(body["user"]), str(body["channel"]), str(body["text"]), body.get("thread_ts") or None
            )
        except KeyError as error:
            return refuse(400, f"missing {error.args[0]}")
        except SlackRefusalError as error:
            return refuse(404, error.code)
        if body.get("deliver", True):
            self._simulator.deliverer.submit(workspace, posted.envelopes)
        return JSONResponse({"ts": posted.message.ts, "envelopes": posted.envelopes})

    async def deliver(self, request: Request) -> Response:
        """{team_id, envelope} → the delivery, once it is accepted or given up."""
        body = await read_body(request)
        workspace = self._find(body.get("team_id"))
        if workspace is None or not isinstance(body.get("envelope"), dict):
            return refuse(400, "team_id and envelope are needed")
        delivery = await self._simulator.deliverer.deliver(workspace, body["envelope"])
        return JSONResponse(render_delivery(delivery))

    async def wait(self, request: Request) -> Response:
        """{team_id, channel, thread_ts, count?, text?, is_whole?, timeout_s?} → {messages} of the bot, or 408.

        `is_whole` counts only those that stream no more.
        """
        body = await read_body(request)
        workspace = self._find(body.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        text, count, is_whole = str(body.get("text", "")), int(body.get("count", 1)), bool(body.get("is_whole"))
        found: list[Message] = []

        def is_there() -> bool:
            thread = workspace.thread(str(body.get("channel")), str(body.get("thread_ts")))
            bot_id = workspace.install.bot_id
            spoken = [each for each in thread if each.bot_id == bot_id and text in each.text]
            found[:] = [each for each in spoken if not (is_whole and each.is_streaming)]
            return len(found) >= count

        try:
            timeout_s = min(float(body.get("timeout_s", 10)), LONGEST_WAIT_S)
            await self._simulator.changes.wait_until(is_there, timeout_s=timeout_s)
        except TimeoutError:
            return refuse(408, "timeout")
        except SlackRefusalError as error:
            return refuse(404, error.code)
        return JSONResponse({"messages": [asdict(message) for message in found]})

    async def messages(self, request: Request) -> Response:
        """?team_id&channel[&thread_ts] → {messages, deleted} with every revision."""
        workspace = self._find(request.query_params.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        thread_ts = request.query_params.get("thread_ts")
        try:
            channel = workspace.find_channel(request.query_params.get("channel", ""))
        except SlackRefusalError as error:
            return refuse(404, error.code)
        chosen = list(channel.messages.values())
        if thread_ts is not None:
            chosen = workspace.thread(channel.channel_id, thread_ts)
        return JSONResponse(
            {"messages": [asdict(each) for each in chosen], "deleted": [asdict(each) for each in channel.deleted]}
        )

    async def calls(self, request: Request) -> Response:
        """[?method][&team_id][&list=1] → {counts, errors, cross_tenant} and with `list` the calls themselves."""
        log = self._simulator.calls
        body: Json = {"counts": log.counts, "errors": log.errors, "cross_tenant": len(log.cross_tenant_calls)}
        query = request.query_params
        if query.get("list"):
            body["calls"] = [
                render_call(each) for each in log.select(query.get("method"), team_id=query.get("team_id"))
            ]
        return JSONResponse(body)

    async def deliveries(self, request: Request) -> Response:
        """[?list=1] → {total, accepted, pending} and with `list` each delivery with its attempts."""
        deliverer = self._simulator.deliverer
        body: Json = {
            "total": len(deliverer.deliveries),
            "accepted": sum(each.is_accepted for each in deliverer.deliveries),
            "pending": deliverer.pending,
        }
        if request.query_params.get("list"):
            body["deliveries"] = [render_delivery(each) for each in deliverer.deliveries]
        return JSONResponse(body)

    async def cross_tenant(self, _request: Request) -> Response:
        """→ {calls}: those that used one workspace's token on another's channel. Must stay empty."""
        return JSONResponse({"calls": [render_call(each) for each in self._simulator.calls.cross_tenant_calls]})

    async def faults(self, request: Request) -> Response:
        """POST a Fault's fields to put it in force; DELETE takes all away."""
        if request.method == "DELETE":
            self._simulator.faults.clear()
            return JSONResponse({})
        try:
            self._simulator.faults.add_parsed(await read_body(request))
        except TypeError:
            return refuse(400, "unknown or missing field")
        return JSONResponse({})

    async def targets(self, request: Request) -> Response:
        """{targets: [base URL]} → deliver there from now on."""
        self._simulator.deliverer.targets = [str(each) for each in (await read_body(request)).get("targets", [])]
        return JSONResponse({})

    async def workspace(self, request: Request) -> Response:
        """{team_id, signing_secret?, bot_token?, connection_id?, is_revoked?, scopes?, has_agent_view?, …} → changed.

        `limits` and `stream_rules` are the fields of Limits and StreamRules; null takes the limits away.
        """
        body = await read_body(request)
        workspace = self._find(body.get("team_id"))
        if workspace is None:
            return refuse(404, "team_not_found")
        try:
            change_rules(workspace, body)
        except TypeError:
            return refuse(400, "unknown field")
        for name in ("signing_secret", "connection_id", "is_revoked", "scopes"):
            if name in body:
                setattr(workspace, name, body[name])
        if "bot_token" in body:
            self._simulator.rotate_token(workspace.team_id, str(body["bot_token"]))
        return JSONResponse({})

    def _find(self, team_id: Any) -> Workspace | None:
        return self._simulator.workspaces.get(str(team_id))


def render_call(call: Call) -> Json:
    """Return a call as JSON."""
    return asdict(call) | {"is_cross_tenant": call.is_cross_tenant}


def render_delivery(delivery: Delivery) -> Json:
    """Return a delivery as JSON, without the envelope."""
    return {
        "event_id": delivery.event_id,
        "team_id": delivery.team_id,
        "is_accepted": delivery.is_accepted,
        "is_over": delivery.is_over,
        "attempts": [
            {
                "number": each.number,
                "url": each.url,
                "at_s": each.at_s,
                "latency_s": each.latency_s,
                "status": each.status,
                "reason": each.reason,
            }
            for each in delivery.attempts
        ],
    }


async def read_body(request: Request) -> Json:
    """Return the request's JSON object; an empty one when it sent none."""
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def refuse(status: int, error: str) -> JSONResponse:
    """Return a refusal of the control API."""
    return JSONResponse({"error": error}, status_code=status)
