"""Each connection: its token, its scopes, its agent, and when Slack was last heard."""

from collections.abc import Mapping, Sequence
from typing import Final

from slack_mcp.agents.registry import AgentRegistry
from slack_mcp.connections.scopes import REQUIRED_SCOPES, find_missing_scopes
from slack_mcp.core.errors import AgentNotConfiguredError, SlackApiError, SlackUnavailableError, TokenRevokedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.doctor.deployment import Deployment
from slack_mcp.doctor.finding import Check, Finding, fail, good, warn
from slack_mcp.ports.slack import SlackIdentity

S_PER_HOUR: Final = 3600
S_PER_DAY: Final = 86_400
_MS: Final = 1000


async def check_slack(deployment: Deployment, connection: Connection) -> Sequence[Finding]:
    """Ask Slack whose the connection's token is, and what it may."""
    whose = connection.connection_id
    try:
        identity = await deployment.slack.open(connection).fetch_identity()
    except TokenRevokedError as error:
        remedy = f"Install the app again, then `slack-mcp connections add --replace --id {whose}` with its new token."
        return [fail(Check.SLACK, str(error), remedy, connection_id=whose)]
    except SlackUnavailableError as error:
        remedy = "Let this machine reach https://slack.com, and look at https://slack-status.com."
        return [fail(Check.SLACK, str(error), remedy, connection_id=whose)]
    except SlackApiError as error:
        remedy = f"`slack-mcp connections test {whose}` asks again; the sentence has Slack's word."
        return [fail(Check.SLACK, str(error), remedy, connection_id=whose)]
    return [_judge_identity(connection, identity), _judge_scopes(connection, identity)]


def _judge_identity(connection: Connection, identity: SlackIdentity) -> Finding:
    whose = connection.connection_id
    differing = [
        f"{name} is {told} and stored as {stored or 'nothing'}"
        for name, told, stored in (
            ("team_id", identity.team_id, connection.team_id),
            ("bot_user_id", identity.bot_user_id, connection.bot_user_id),
        )
        if told != stored
    ]
    if differing:
        return fail(
            Check.SLACK,
            f"Slack's answer is not what is stored: {'; '.join(differing)}.",
            f"Save it again, with the token that is meant: `slack-mcp connections add --replace --id {whose}`.",
            connection_id=whose,
        )
    return good(Check.SLACK, f"The token is that of {identity.team_name or identity.team_id}.", connection_id=whose)


def _judge_scopes(connection: Connection, identity: SlackIdentity) -> Finding:
    whose = connection.connection_id
    if identity.scopes is None:
        remedy = "Compare them with `slack-mcp manifest` on the app's page *OAuth & Permissions*."
        return warn(Check.SCOPES, "Slack did not say which scopes the token has.", remedy, connection_id=whose)
    missing = find_missing_scopes(identity.scopes)
    if not missing:
        return good(
            Check.SCOPES, f"All {len(REQUIRED_SCOPES)} scopes that the bot needs are granted.", connection_id=whose
        )
    return fail(
        Check.SCOPES,
        "; ".join(f"without {scope} the bot cannot {REQUIRED_SCOPES[scope]}" for scope in missing) + ".",
        "Add them to the app (`slack-mcp manifest` prints all), install it again, and save its new token.",
        connection_id=whose,
    )


async def check_stored(
    deployment: Deployment,
    connection: Connection,
    *,
    agents: AgentRegistry | None,
    last: Mapping[ConnectionId, int],
) -> Sequence[Finding]:
    """Find out what is stored of a connection; `agents` is None when no pod would start with them."""
    return [
        _judge_enabled(connection),
        _judge_secret(connection),
        *(() if agents is None else (_judge_agent(agents, connection),)),
        _judge_deliveries(deployment, connection, last),
    ]


def _judge_secret(connection: Connection) -> Finding:
    """Return whether there is something to verify deliveries with."""
    whose = connection.connection_id
    if connection.signing_secret:
        return good(Check.SIGNING_SECRET, "A signing secret is set.", connection_id=whose)
    return fail(
        Check.SIGNING_SECRET,
        "No signing secret is set: every delivery is refused.",
        f"`slack-mcp connections add --replace --id {whose}` takes it from the app's page *Basic Information*.",
        connection_id=whose,
    )


def _judge_agent(agents: AgentRegistry, connection: Connection) -> Finding:
    """Return whether somebody answers."""
    whose = connection.connection_id
    try:
        agents.choose(connection)
    except AgentNotConfiguredError as error:
        remedy = "Set DEFAULT_AGENT, or choose one in the connection's settings."
        return fail(Check.AGENT, str(error), remedy, connection_id=whose)
    chosen = connection.settings.agent
    return good(Check.AGENT, f"{chosen or 'The default agent'} answers.", connection_id=whose)


def _judge_enabled(connection: Connection) -> Finding:
    """Return whether the bot may speak."""
    whose = connection.connection_id
    if not connection.disabled:
        return good(Check.ENABLED, "The connection is enabled.", connection_id=whose)
    why = "Mesh refused it for too long" if connection.is_gone else "its operator said so"
    remedy = f"`slack-mcp connections enable {whose}`, if it is to speak."
    return warn(Check.ENABLED, f"The connection is disabled: {why}.", remedy, connection_id=whose)


def _judge_deliveries(deployment: Deployment, connection: Connection, last: Mapping[ConnectionId, int]) -> Finding:
    """Return when Slack was last heard: whatever is in the journal was rightly signed."""
    whose = connection.connection_id
    at_ms = last.get(whose)
    if at_ms is None:
        return warn(
            Check.DELIVERIES,
            f"The journal, which has {deployment.settings.retention_done_days:g} days, has no signed delivery.",
            f"Is the app's Request URL this service's /slack/events/{whose}, is it subscribed to events, and is the "
            "bot in a channel? docs/troubleshooting.md has the rest.",
            connection_id=whose,
        )
    age = _render_age(deployment.clock.now_s() - at_ms / _MS)
    return good(Check.DELIVERIES, f"The last rightly signed delivery came {age} ago.", connection_id=whose)


def _render_age(age_s: float) -> str:
    """Return a time in its largest unit."""
    for unit_s, name in ((S_PER_DAY, "days"), (S_PER_HOUR, "hours"), (60, "minutes")):
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.0f} {name}"
    return f"{max(0.0, age_s):.0f} seconds"
