"""agents.sessions.*: what an app says of its work in a thread, which the stop button goes by.

https://docs.slack.dev/ai/agent-sessions, https://docs.slack.dev/reference/methods/agents.sessions.setStatus
"""

from typing import Final

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.keeping import Session
from slack_mcp.simulator.model import SlackRefusalError
from slack_mcp.simulator.places import visible_channel
from slack_mcp.simulator.workspace import Workspace

STATUSES: Final = frozenset({"active", "processing", "suspended", "closed"})
LONGEST_TITLE: Final = 200


def set_status(workspace: Workspace, args: Args) -> Answer:
    """agents.sessions.setStatus: makes the session where there is none, and only then takes its title."""
    channel = visible_channel(workspace, args, "channel_id")
    status = args.required("status", "invalid_status")
    if status not in STATUSES:
        raise SlackRefusalError("invalid_status")
    thread_ts = args.required("thread_ts", "thread_ts_required")
    if workspace.actor.user_id not in channel.members:
        raise SlackRefusalError("not_authorized")
    initiator = args.optional("initiator_user_id")
    if initiator is not None and initiator not in channel.members:
        raise SlackRefusalError("user_not_found")
    title = _check_title(args.text("title"))
    session = touch_session(workspace, channel.channel_id, thread_ts, status, recipient=initiator, title=title)
    return Answer(body={"status": session.status, "agent_status": session.status, "title": session.title})


def rename(workspace: Workspace, args: Args) -> Answer:
    """agents.sessions.rename."""
    channel = visible_channel(workspace, args, "channel_id")
    session = workspace.sessions.get((channel.channel_id, args.required("thread_ts", "thread_ts_required")))
    if session is None:
        raise SlackRefusalError("session_not_found")
    session.title = _check_title(args.required("title"))
    return Answer(body={"title": session.title})


def touch_session(
    workspace: Workspace, channel_id: str, thread_ts: str, status: str, *, recipient: str | None = None, title: str = ""
) -> Session:
    """Set the status of a thread's session, made where there is none, and return it."""
    session = workspace.sessions.setdefault(
        (channel_id, thread_ts), Session(status=status, title=title, user_id=recipient)
    )
    session.status = status
    return session


def _check_title(title: str) -> str:
    if len(title) > LONGEST_TITLE:
        raise SlackRefusalError("invalid_arguments")
    return title


SESSION_METHODS: dict[str, tuple[Method, str]] = {
    "agents.sessions.rename": (rename, "chat:write"),
    "agents.sessions.setStatus": (set_status, "chat:write"),
}
"""Each method with the scope it needs."""
