"""Serves the response URLs: where an app answers an interaction, for half an hour and five times.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from slack_mcp.simulator.model import SlackRefusalError
from slack_mcp.simulator.responses import parse_message, respond
from slack_mcp.simulator.simulator import Simulator


def response_routes(simulator: Simulator) -> list[Route]:
    """Return the routes of the response URLs."""
    door = ResponseDoor(simulator=simulator)
    return [Route(f"/{kind}/{{team_id}}/{{ticket}}", door.answer, methods=["POST"]) for kind in ("commands", "actions")]


class ResponseDoor:
    """The end point."""

    def __init__(self, *, simulator: Simulator) -> None:
        self._simulator = simulator

    async def answer(self, request: Request) -> Response:
        """A message → 200 `ok`; 404 used_url, expired_url, invalid_url; 400 for what is no message."""
        workspace = self._simulator.workspaces.get(request.path_params["team_id"])
        body = parse_message(await request.body())
        if body is None:
            return PlainTextResponse("invalid_payload", status_code=400)
        if workspace is None:
            return PlainTextResponse("invalid_url", status_code=404)
        response = workspace.tickets.take_response_url(request.path_params["ticket"])
        if isinstance(response, str):
            return PlainTextResponse(response, status_code=404)
        try:
            envelopes = respond(workspace, response, body)
        except SlackRefusalError as error:
            return PlainTextResponse(error.code, status_code=400)
        response.posts.append(body)
        self._simulator.deliver_own(workspace, envelopes)
        self._simulator.changes.notify()
        return PlainTextResponse("ok")
