"""What people do with an app's surfaces, and the events that Slack sends for it: home, assistant pane, stop button.

Each function changes the workspace and returns the envelopes, none where the app was not granted the event's scope.
Shapes: https://docs.slack.dev/reference/events/app_home_opened, assistant_thread_started,
assistant_thread_context_changed, app_context_changed and agent_session_stopped beside it
"""

from typing import Final, Literal, NamedTuple

from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.render import render_context
from slack_mcp.simulator.views import render_view
from slack_mcp.simulator.workspace import Workspace

Tab = Literal["home", "messages"]
STOP_EVENTS: Final = ("agent_session_stopped", "message_stream_stopped")
"""Slack sends the event under its new and under its old name, which its documents no longer describe."""


class Opened(NamedTuple):
    """An assistant thread that a person opened, and the envelopes."""

    channel_id: str
    thread_ts: str
    envelopes: list[Json]


def open_home(workspace: Workspace, user: str, tab: Tab = "home") -> list[Json]:
    """app_home_opened, with the home view where one was published, and to agents with what the person looks at."""
    event: Json = {
        "type": "app_home_opened",
        "user": user,
        "channel": workspace.open_im(user).channel_id,
        "tab": tab,
        "event_ts": workspace.next_ts(),
    }
    view = workspace.views.home.get(user)
    if tab == "home" and view is not None:
        event["view"] = render_view(workspace, view)
    if workspace.has_agent_view:
        event["context"] = render_context(workspace.viewing.get(user), workspace.team_id)
    return [workspace.wrap(event)]


def open_assistant(workspace: Workspace, user: str, viewing: str | None = None) -> Opened:
    """assistant_thread_started: a new thread in the app's pane. `viewing` is the channel that is open beside it.

    Raises:
        SlackRefusalError: user_not_found, channel_not_found; not_allowed for an agent, which has no pane.
    """
    if workspace.has_agent_view:
        raise SlackRefusalError("not_allowed")
    place = workspace.open_im(user)
    _view(workspace, user, viewing)
    root = workspace.add_assistant_root(place)
    workspace.assistant_threads[user] = (place.channel_id, root.ts)
    return Opened(place.channel_id, root.ts, _tell_thread(workspace, user, "assistant_thread_started"))


def look_at(workspace: Workspace, user: str, channel: str) -> list[Json]:
    """A person opens a channel: app_context_changed to an agent, else assistant_thread_context_changed.

    The latter goes to the thread that the person opened last, and nothing where there is none.
    """
    _view(workspace, user, channel)
    if not workspace.has_agent_view:
        is_open = user in workspace.assistant_threads
        return _tell_thread(workspace, user, "assistant_thread_context_changed") if is_open else []
    event = {
        "type": "app_context_changed",
        "user": user,
        "channel": workspace.open_im(user).channel_id,
        "context": render_context(channel, workspace.team_id),
        "event_ts": workspace.next_ts(),
    }
    return [workspace.wrap(event)]


def stop_work(workspace: Workspace, user: str, channel: str, thread_ts: str) -> list[Json]:
    """agent_session_stopped, also under its old name: the stop button of a thread in which the app is at work.

    Its streams end there and then; the session's status is the app's to change.

    Raises:
        SlackRefusalError: user_not_found; not_found where no stop button is shown.
    """
    if user not in workspace.users:
        raise SlackRefusalError("user_not_found")
    workspace.settle_streams()
    streaming = [
        (each, each.stream)
        for each in workspace.thread(channel, thread_ts)
        if each.stream is not None and each.is_streaming
    ]
    session = workspace.sessions.get((channel, thread_ts))
    if not streaming and (session is None or session.status != "processing"):
        raise SlackRefusalError("not_found")
    for message, stream in streaming:
        stream.state, stream.is_stopped = "completed", True
        workspace.record(message)
    event: Json = {
        "channel": channel,
        "user": user,
        "thread_ts": thread_ts,
        "streaming_message_ts": [message.ts for message, _ in streaming],
        "event_ts": workspace.next_ts(),
    }
    return [workspace.wrap(event | {"type": name}) for name in STOP_EVENTS]


def _view(workspace: Workspace, user: str, channel: str | None) -> None:
    if user not in workspace.users:
        raise SlackRefusalError("user_not_found")
    if channel is not None:
        workspace.viewing[user] = workspace.find_channel(channel).channel_id


def _tell_thread(workspace: Workspace, user: str, kind: str) -> list[Json]:
    if not workspace.bot.may("assistant:write"):
        return []
    channel_id, thread_ts = workspace.assistant_threads[user]
    viewed = workspace.viewing.get(user)
    context: Json = {"channel_id": viewed, "team_id": workspace.team_id, "enterprise_id": None} if viewed else {}
    event = {
        "type": kind,
        "assistant_thread": {
            "user_id": user,
            "context": context,
            "channel_id": channel_id,
            "thread_ts": thread_ts,
        },
        "event_ts": workspace.next_ts(),
    }
    return [workspace.wrap(event)]
