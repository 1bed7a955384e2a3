"""The connection's own bot: who it is, and what it is able to do."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from slack_mcp.connections.scopes import find_missing_scopes
from slack_mcp.core.errors import MissingScopeError, SlackApiError
from slack_mcp.core.model import AgentBackend, Connection
from slack_mcp.protocol.answers import text
from slack_mcp.tools.admission import find_problem
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import render_ms
from slack_mcp.tools.tool import Arguments, Result, Tool


class BotArguments(Arguments):
    """No arguments."""


class BotInfo(Result):
    """Who the bot is."""

    user_id: str
    bot_id: str | None = None
    team_id: str
    name: str | None = None
    team: str | None = None
    url: str | None = Field(default=None, description="Of the workspace.")
    app_id: str | None = None


class BotInfoResult(Result):
    """Who the bot is."""

    bot: BotInfo


class UnavailableTools(Result):
    """Tools that this caller cannot use for the connection."""

    reason: str
    tools: list[str]


class RefusedTrigger(Result):
    """A trigger whose receiver wants nothing any more."""

    type: str
    trigger_id: str
    since: str = Field(description="ISO 8601, UTC.")


class AgentStatus(Result):
    """Who answers for the bot."""

    backend: str = Field(description="mesh, openai, echo, or default: the server's own choice.")
    configured: bool | None = Field(default=None, description="Absent where only the server knows.")
    problem: str | None = None


class BotStatus(Result):
    """What the bot is able to do."""

    connected: bool = Field(description="Whether Slack takes the bot token now.")
    configured: bool = Field(description="Whether it has a bot token and a signing secret.")
    problem: str | None = Field(default=None, description="Why it is not connected.")
    bot_user_id: str | None = None
    bot_id: str | None = None
    team_id: str | None = None
    team: str | None = None
    connection_name: str | None = None
    missing_scopes: list[str] | None = Field(default=None, description="Without these the bot itself does not work.")
    unavailable_tools: list[UnavailableTools] | None = None
    has_user_token: bool
    agent: AgentStatus
    trigger_only: bool | None = Field(default=None, description="The bot answers nothing itself.")
    triggers: int
    refused_triggers: list[RefusedTrigger] | None = None


class BotStatusResult(Result):
    """What the bot is able to do."""

    status: BotStatus


async def _get_bot_info(call: Call, _arguments: BotArguments) -> BotInfoResult:
    """Source: https://docs.slack.dev/reference/methods/auth.test."""
    answer = await call.bot.read("auth.test")
    return BotInfoResult(
        bot=BotInfo(
            user_id=text(answer, "user_id"),
            bot_id=text(answer, "bot_id") or None,
            team_id=text(answer, "team_id"),
            name=text(answer, "user") or None,
            team=text(answer, "team") or None,
            url=text(answer, "url") or None,
            app_id=call.connection.api_app_id,
        )
    )


async def _get_bot_status(call: Call, _arguments: BotArguments) -> BotStatusResult:
    connection = call.connection
    answer, problem = await _ask_slack(call)
    refused = [each for each in connection.triggers if each.refused_at_ms is not None]
    return BotStatusResult(
        status=BotStatus(
            connected=problem is None,
            configured=bool(connection.bot_token and connection.signing_secret),
            problem=problem,
            bot_user_id=text(answer, "user_id") or connection.bot_user_id,
            bot_id=text(answer, "bot_id") or connection.bot_id,
            team_id=text(answer, "team_id") or connection.team_id,
            team=text(answer, "team") or connection.team_name,
            connection_name=connection.connection_name,
            missing_scopes=list(find_missing_scopes(connection.bot_scopes)) or None,
            unavailable_tools=_find_unavailable(call, call.tools) or None,
            has_user_token=connection.user_token is not None,
            agent=_describe_agent(connection),
            trigger_only=connection.settings.trigger_only or None,
            triggers=len(connection.triggers),
            refused_triggers=[
                RefusedTrigger(
                    type=each.event_type, trigger_id=each.trigger_id, since=render_ms(each.refused_at_ms or 0)
                )
                for each in refused
            ]
            or None,
        )
    )


async def _ask_slack(call: Call) -> tuple[Mapping[str, Any], str | None]:
    """Return (who Slack says the bot is, why it does not say it)."""
    try:
        return await call.bot.read("auth.test"), None
    except SlackApiError as error:
        return {}, str(error)


def _find_unavailable(call: Call, tools: Sequence[Tool[Any, Any]]) -> list[UnavailableTools]:
    """Return which tools the caller cannot use, by what is in the way."""
    by_reason: dict[str, list[str]] = {}
    for tool in tools:
        problem = None if tool.is_for_apps else find_problem(tool, call.principal, call.connection)
        if problem is not None:
            needed = problem.needed if isinstance(problem, MissingScopeError) else ""
            # Without the tool's name, so that tools with one reason stand together.
            reason = f"Missing scope: {needed}." if needed else str(problem).replace(tool.name, "This tool")
            by_reason.setdefault(reason, []).append(tool.name)
    return [UnavailableTools(reason=reason, tools=names) for reason, names in by_reason.items()]


def _describe_agent(connection: Connection) -> AgentStatus:
    """Return who answers for the bot, and what the connection lacks for it."""
    backend = connection.settings.agent
    if backend is not AgentBackend.MESH:
        return AgentStatus(backend=backend or "default")
    problem = None
    if not connection.agent_id:
        problem = "No agent is chosen: choose one in the connection's configuration in Mesh."
    elif connection.mesh_api_key is None and connection.mesh_token is None:
        problem = "Mesh gave no key: save the connection's configuration in Mesh."
    elif connection.mesh_refused_since_ms is not None:
        since = render_ms(connection.mesh_refused_since_ms)
        problem = f"Mesh refuses the connection since {since}: save its configuration in Mesh."
    return AgentStatus(backend=backend, configured=problem is None, problem=problem)


TOOLS: Final = (
    Tool(
        name="SLACK_GET_BOT_INFO",
        title="Get the bot",
        description="Returns who the bot is: its user id, its name and its workspace.",
        arguments=BotArguments,
        result=BotInfoResult,
        run=_get_bot_info,
    ),
    Tool(
        name="SLACK_GET_BOT_STATUS",
        title="Get the bot's status",
        description=(
            "Tells whether the bot works: its token, missing scopes, tools that cannot be used and why, its agent, and "
            "triggers that were turned away."
        ),
        arguments=BotArguments,
        result=BotStatusResult,
        run=_get_bot_status,
    ),
)
