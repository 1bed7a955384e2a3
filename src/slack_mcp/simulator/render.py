"""The JSON that Slack shows of users, channels, messages and events. Pure.

Shapes: https://docs.slack.dev/reference/objects/, https://docs.slack.dev/reference/events/message and
https://docs.slack.dev/apis/events-api/ (the envelope).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from slack_mcp.simulator.model import Channel, Json, Message, Task, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Which app is installed in which workspace, as far as messages and events show it."""

    team_id: str
    app_id: str
    bot_id: str
    bot_user_id: str
    bot_name: str


def render_user(user: User, team_id: str, *, with_email: bool = True) -> Json:
    """Return a user object."""
    body: Json = {
        "id": user.user_id,
        "team_id": user.team_id or team_id,
        "name": user.name,
        "deleted": user.is_deleted,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "updated": user.updated_s,
        "profile": render_profile(user, team_id, with_email=with_email),
    }
    if user.team_id is not None:
        body["is_stranger"] = True
    if user.is_deleted:
        return body  # a deactivated user has neither a time zone nor a name beside the profile's
    return body | {"real_name": user.real_name, "tz": user.tz, "tz_offset": user.tz_offset}


def render_profile(user: User, team_id: str, *, with_email: bool = True) -> Json:
    """Return a user's profile; the email address is shown only to tokens with users:read.email."""
    body: Json = {
        "title": user.title,
        "phone": "",
        "real_name": user.real_name,
        "real_name_normalized": user.real_name,
        "display_name": user.display_name,
        "display_name_normalized": user.display_name,
        "status_text": user.status_text,
        "status_emoji": user.status_emoji,
        "status_expiration": user.status_expiration,
        "team": team_id,
    }
    return body | {"email": user.email} if with_email and user.email else body


def render_channel(channel: Channel, install: Installation, viewer: str | None = None) -> Json:
    """Return a conversation object, as a user sees it; without one, as the app's bot user does."""
    me = viewer or install.bot_user_id
    body: Json = {
        "id": channel.channel_id,
        "is_channel": channel.kind == "channel",
        "is_group": channel.kind == "group",
        "is_im": channel.kind == "im",
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "channel",
        "is_archived": channel.is_archived,
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "is_org_shared": False,
        "is_general": channel.is_general,
        "created": channel.created_s,
        "context_team_id": install.team_id,
    }
    if channel.kind == "im":
        others = sorted(channel.members - {me})
        return body | {"user": others[0] if others else me, "is_open": True, "priority": 0}
    return body | {
        "name": channel.name,
        "name_normalized": channel.name,
        "creator": channel.creator,
        "is_member": me in channel.members,
        "num_members": len(channel.members),
        "topic": asdict(channel.topic),
        "purpose": asdict(channel.purpose),
        "previous_names": list(channel.previous_names),
    }


def render_message(
    message: Message, install: Installation, *, replies: Sequence[Message] = (), with_metadata: bool = False
) -> Json:
    """Return a message object; `replies` are those of its thread when the message is the thread's first."""
    team_id = message.user_team_id or install.team_id
    body: Json = {"type": "message", "ts": message.ts, "text": message.text, "team": team_id}
    if message.user_team_id is not None:
        body |= {"user_team": team_id, "source_team": team_id}
    if message.bot_id is not None:
        body |= _render_app(message, install)
    optional = {
        "user": message.user_id or None,
        "subtype": "thread_broadcast" if message.is_broadcast else message.subtype,
        "thread_ts": message.thread_ts,
        "parent_user_id": message.parent_user_id,
        "blocks": [*_render_tasks(message), *(message.blocks or [])] or message.blocks,
        "streaming_state": message.stream.state if message.stream is not None else None,
        "attachments": message.attachments,
        "files": message.files or None,
        "upload": True if message.files else None,
        "metadata": message.metadata if with_metadata else None,
        "edited": {"user": message.user_id, "ts": message.edited_ts} if message.edited_ts else None,
        "reactions": [{"name": n, "users": u, "count": len(u)} for n, u in message.reactions.items() if u] or None,
    }
    body |= {key: value for key, value in optional.items() if value is not None}
    if replies:
        users = list(dict.fromkeys(reply.user_id or str(reply.bot_id) for reply in replies))
        body |= {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users": users,
            "reply_users_count": len(users),
            "latest_reply": replies[-1].ts,
        }
    return body


def _render_app(message: Message, install: Installation) -> Json:
    """Return what a message says of the app that wrote it; one of the old kind has a name instead of a user."""
    app = install
    if message.app_id is not None:
        app = replace(
            install,
            app_id=message.app_id,
            bot_id=message.bot_id or "",
            bot_user_id=message.user_id,
            bot_name=message.bot_name,
        )
    body: Json = {"bot_id": message.bot_id, "app_id": app.app_id}
    return body | ({"bot_profile": render_bot(app)} if message.user_id else {"username": message.bot_name})


def _render_tasks(message: Message) -> list[Json]:
    """Return the blocks that show the steps: https://docs.slack.dev/reference/block-kit/blocks/task-card-block."""
    cards = [_render_task(task) for task in message.tasks]
    if message.stream is None or message.stream.display_mode == "timeline":
        return cards
    return [{"type": "plan", "title": message.stream.plan_title, "tasks": cards}] if cards else []


def _render_task(task: Task) -> Json:
    card: Json = {"type": "task_card", "task_id": task.task_id, "title": task.title, "status": task.status}
    for name, text in (("details", task.details), ("output", task.output)):
        if text:
            section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
            card[name] = {"type": "rich_text", "elements": [section]}
    return card | ({"sources": list(task.sources)} if task.sources else {})


def render_permalink(message: Message, workspace_url: str) -> str:
    """Return a message's address; a reply's leads into its thread."""
    link = f"{workspace_url}archives/{message.channel_id}/p{message.ts.replace('.', '')}"
    return f"{link}?thread_ts={message.thread_ts}&cid={message.channel_id}" if message.is_reply else link


def render_bot(install: Installation) -> Json:
    """Return the bot object of bots.info and of a message's bot_profile."""
    return {
        "id": install.bot_id,
        "app_id": install.app_id,
        "user_id": install.bot_user_id,
        "name": install.bot_name,
        "deleted": False,
        "updated": 1_700_000_000,
        "team_id": install.team_id,
        "icons": {},
    }


def render_message_event(message: Message, kind: str, install: Installation) -> Json:
    """Return the `message` event of a new message."""
    event = {"channel": message.channel_id, "event_ts": message.ts, "channel_type": kind}
    if message.files:
        event["subtype"] = "file_share"  # https://docs.slack.dev/reference/events/message/file_share
    return render_message(message, install) | event


def render_mention_event(message: Message, install: Installation) -> Json:
    """Return the `app_mention` event of a new message. It has no channel_type."""
    return render_message(message, install) | {
        "type": "app_mention",
        "channel": message.channel_id,
        "event_ts": message.ts,
    }


def render_change_event(message: Json, previous: Json, channel: Channel, event_ts: str) -> Json:
    """Return the `message` event with subtype message_changed."""
    return {
        "type": "message",
        "subtype": "message_changed",
        "hidden": True,
        "channel": channel.channel_id,
        "channel_type": channel.kind,
        "ts": event_ts,
        "event_ts": event_ts,
        "message": message,
        "previous_message": previous,
    }


def render_deletion_event(previous: Json, channel: Channel, event_ts: str) -> Json:
    """Return the `message` event with subtype message_deleted."""
    return {
        "type": "message",
        "subtype": "message_deleted",
        "hidden": True,
        "channel": channel.channel_id,
        "channel_type": channel.kind,
        "ts": event_ts,
        "event_ts": event_ts,
        "deleted_ts": previous["ts"],
        "previous_message": previous,
    }


def render_context(channel_id: str | None, team_id: str) -> Json:
    """Return what a person looks at, as agents are told: https://docs.slack.dev/reference/events/app_context_changed."""
    if channel_id is None:
        return {}
    return {"entities": [{"type": "slack#/types/channel_id", "value": channel_id, "team_id": team_id}]}


def render_envelope(
    event: Json, install: Installation, *, event_id: str, event_time: int, is_ext_shared: bool = False
) -> Json:
    """Return the event_callback envelope that a delivery's body holds."""
    return {
        "token": "deprecated-verification-token",
        "team_id": install.team_id,
        "context_team_id": install.team_id,
        "context_enterprise_id": None,
        "api_app_id": install.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": event_id,
        "event_time": event_time,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": install.team_id,
                "user_id": install.bot_user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": is_ext_shared,
        "event_context": f"4-{event_id}",
    }
