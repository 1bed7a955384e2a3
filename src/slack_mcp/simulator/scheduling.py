"""chat.scheduleMessage and its neighbours.

Rules and error codes: https://docs.slack.dev/reference/methods/chat.scheduleMessage
"""

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.chat import LONGEST_TEXT, Answer, Method, parse_content, parse_options, written_channel
from slack_mcp.simulator.keeping import Scheduled
from slack_mcp.simulator.model import Json, SlackRefusalError
from slack_mcp.simulator.paging import slice_items
from slack_mcp.simulator.workspace import Workspace

FURTHEST_S = 120 * 24 * 3600
WINDOW_S = 5 * 60
MOST_IN_WINDOW = 30
LAST_CHANGE_S = 60


def schedule_message(workspace: Workspace, args: Args) -> Answer:
    """chat.scheduleMessage: up to 120 days ahead, at most 30 in five minutes of one channel."""
    channel = written_channel(workspace, args)
    content = parse_content(args)
    if len(content.text) > LONGEST_TEXT:
        raise SlackRefusalError("msg_too_long")
    post_at = _seconds(args, "post_at")
    if post_at is None:
        raise SlackRefusalError("invalid_time")
    now_s = workspace.now_s()
    if post_at <= now_s:
        raise SlackRefusalError("time_in_past")
    if post_at > now_s + FURTHEST_S:
        raise SlackRefusalError("time_too_far")
    near = [
        each
        for each in workspace.scheduled.values()
        if each.channel_id == channel.channel_id and abs(each.post_at - post_at) < WINDOW_S
    ]
    if len(near) >= MOST_IN_WINDOW:
        raise SlackRefusalError("restricted_too_many")
    made = Scheduled(
        scheduled_id=new_id("Q"),
        channel_id=channel.channel_id,
        post_at=post_at,
        created_s=int(now_s),
        text=content.text,
        actor=workspace.actor,
        content=parse_options(channel, args, content),
    )
    workspace.scheduled[made.scheduled_id] = made
    message: Json = {
        "text": content.text,
        "user": made.actor.user_id,
        "bot_id": workspace.install.bot_id,
        "type": "delayed_message",
        "subtype": "bot_message",
    }
    return Answer(
        body={
            "channel": channel.channel_id,
            "scheduled_message_id": made.scheduled_id,
            "post_at": post_at,
            "message": message | ({"blocks": content.blocks} if content.blocks else {}),
        }
    )


def list_scheduled(workspace: Workspace, args: Args) -> Answer:
    """chat.scheduledMessages.list: what this token scheduled, the soonest first."""
    envelopes = [envelope for posted in workspace.post_due() for envelope in posted.envelopes]
    channel_id = args.optional("channel")
    if channel_id is not None and channel_id not in workspace.channels:
        raise SlackRefusalError("invalid_channel")
    oldest, latest = _seconds(args, "oldest"), _seconds(args, "latest")
    found = [
        each
        for each in sorted(workspace.scheduled.values(), key=lambda one: one.post_at)
        if each.actor.user_id == workspace.actor.user_id
        and (channel_id is None or each.channel_id == channel_id)
        and (oldest is None or each.post_at >= oldest)
        and (latest is None or each.post_at <= latest)
    ]
    page, paging = slice_items(found, args)
    body = [
        {
            "id": each.scheduled_id,
            "channel_id": each.channel_id,
            "post_at": each.post_at,
            "date_created": each.created_s,
            "text": each.text,
        }
        for each in page
    ]
    return Answer(body={"scheduled_messages": body} | paging, envelopes=envelopes)


def delete_scheduled(workspace: Workspace, args: Args) -> Answer:
    """chat.deleteScheduledMessage: own ones, until a minute before they are posted."""
    channel = workspace.find_channel(args.required("channel", "channel_not_found"))
    found = workspace.scheduled.get(args.text("scheduled_message_id"))
    if (
        found is None
        or found.channel_id != channel.channel_id
        or found.actor.user_id != workspace.actor.user_id
        or found.post_at - workspace.now_s() < LAST_CHANGE_S
    ):
        raise SlackRefusalError("invalid_scheduled_message_id")
    del workspace.scheduled[found.scheduled_id]
    return Answer()


def _seconds(args: Args, name: str) -> int | None:
    text = args.text(name).partition(".")[0]
    return int(text) if text.isascii() and text.isdigit() else None


SCHEDULING_METHODS: dict[str, tuple[Method, str]] = {
    "chat.scheduleMessage": (schedule_message, "chat:write"),
    "chat.scheduledMessages.list": (list_scheduled, ""),
    "chat.deleteScheduledMessage": (delete_scheduled, "chat:write"),
}
"""Each method with the scope it needs."""
