"""reminders.*: what a person wants to be reminded of; for people's tokens only.

Rules and error codes: https://docs.slack.dev/reference/methods/reminders.add and its neighbours.
"""

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.keeping import Reminder
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.workspace import Workspace

FURTHEST_S = 5 * 365 * 24 * 3600


def add(workspace: Workspace, args: Args) -> Answer:
    """reminders.add: at a time in unix seconds, or in that many seconds when it is within a day."""
    text = args.required("text", "cannot_parse")
    time = args.text("time")
    if not time.isascii() or not time.isdigit():
        raise SlackRefusalError("cannot_parse")
    now_s = int(workspace.now_s())
    at_s = int(time) if int(time) > 24 * 3600 else now_s + int(time)
    if not now_s < at_s <= now_s + FURTHEST_S:
        raise SlackRefusalError("cannot_parse")
    reminder = Reminder(reminder_id=new_id("Rm"), user_id=workspace.actor.user_id, text=text, at_s=at_s)
    workspace.reminders[reminder.reminder_id] = reminder
    return Answer(body={"reminder": _render(reminder)})


def list_reminders(workspace: Workspace, _args: Args) -> Answer:
    """reminders.list: the caller's."""
    mine = [each for each in workspace.reminders.values() if each.user_id == workspace.actor.user_id]
    return Answer(body={"reminders": [_render(each) for each in mine]})


def info(workspace: Workspace, args: Args) -> Answer:
    """reminders.info."""
    return Answer(body={"reminder": _render(_find(workspace, args))})


def complete(workspace: Workspace, args: Args) -> Answer:
    """reminders.complete."""
    _find(workspace, args).completed_s = int(workspace.now_s())
    return Answer()


def delete(workspace: Workspace, args: Args) -> Answer:
    """reminders.delete."""
    del workspace.reminders[_find(workspace, args).reminder_id]
    return Answer()


def _find(workspace: Workspace, args: Args) -> Reminder:
    reminder = workspace.reminders.get(args.text("reminder"))
    if reminder is None or reminder.user_id != workspace.actor.user_id:
        raise SlackRefusalError("not_found")
    return reminder


def _render(reminder: Reminder) -> Json:
    return {
        "id": reminder.reminder_id,
        "creator": reminder.user_id,
        "user": reminder.user_id,
        "text": reminder.text,
        "recurring": False,
        "time": reminder.at_s,
        "complete_ts": reminder.completed_s,
    }


REMINDER_METHODS: dict[str, tuple[Method, str]] = {
    "reminders.add": (add, "reminders:write"),
    "reminders.complete": (complete, "reminders:write"),
    "reminders.delete": (delete, "reminders:write"),
    "reminders.info": (info, "reminders:read"),
    "reminders.list": (list_reminders, "reminders:read"),
}
"""Each method with the scope it needs."""
