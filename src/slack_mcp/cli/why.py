"""`slack-mcp why`: what happened to a message."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from slack_mcp.cli.render import print_json
from slack_mcp.cli.seam import Admin, Seam
from slack_mcp.cli.story import render_story, tell_story
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import EventId
from slack_mcp.ports.explain import ExplainedEvent
from slack_mcp.protocol.permalinks import parse_permalink

if TYPE_CHECKING:
    from slack_mcp.settings import Settings

NOTHING = (
    "Nothing is known of it: it never reached this service, was not signed by the app of a connection (the log line is "
    "delivery.refused), or is older than SLACK_MCP_RETENTION_DONE_DAYS. Is the app in that channel, subscribed to the "
    "event, and its request URL this service's?"
)


def why(
    ctx: typer.Context,
    message: Annotated[str, typer.Argument(help="A link to the message, or the id of Slack's event (Ev…).")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what happened to a message: received, claimed, answered by whom, or why not."""

    async def work(admin: Admin, _settings: "Settings") -> Sequence[ExplainedEvent]:
        place = parse_permalink(message)
        if place is not None:
            return await admin.explainer.explain_message(*place)
        if "/" in message:
            raise InvalidInputError(
                "This is no link to a message; one looks like https://example.slack.com/archives/C1/p1700000000000100."
            )
        return await admin.explainer.explain_event(EventId(message.strip()))

    seam: Seam = ctx.obj
    found = seam.run_admin(work)
    if json:
        print_json([render_story(each) for each in found])
    elif not found:
        print(NOTHING)
    else:
        print("\n\n".join("\n".join(tell_story(each)) for each in found))
    if not found:
        raise typer.Exit(1)
