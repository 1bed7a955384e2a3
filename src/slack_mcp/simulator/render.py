"""The JSON that Slack shows of users, channels, messages and events. Pure.

Shapes: https://docs.slack.dev/reference/objects/, https://docs.slack.dev/reference/events/message and
https://docs.slack.dev/apis/events-api/ (the envelope).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slack_mcp.simulator.model import Channel, Json, Message, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Which app is installed in which workspace, as far as messages and events show it."""

    team_id: str
    app_id: str
    bot_id: str
    bot_user_id: str
    bot_name: str


def render_user(user: User, team_id: str) -> Json:
    """Return a user object."""
    return {
        "id": user.user_id,
        "team_id": team_id,
        "name": user.name,
        "real_name": user.real_name,
        "deleted": False,
        "is_bot": user.is_bot,
        "is_app_user": False,
        "tz": "Etc/UTC",
        "tz_offset": 0,
        "profile": {"display_name": user.name, "real_name": user.real_name, "email": user.email},
    }


def render_channel(channel: Channel, install: Installation) -> Json:
    """Return a conversation object, as the app's bot user sees it."""
    body: Json = {
        "id": channel.channel_id,
        "is_channel": channel.kind == "channel",
        "is_group": channel.kind == "group",
        "is_im": channel.kind == "im",
        "is_mpim": channel.kind == "mpim",
        "is_private": channel.kind != "channel",
        "is_archived": False,
        "context_team_id": install.team_id,
    }
    if channel.kind == "im":
        others = sorted(channel.members - {install.bot_user_id})
        return body | {"user": others[0] if others else install.bot_user_id, "is_open": True}
    return body | {
        "name": channel.name,
        "name_normalized": channel.name,
        "is_member": install.bot_user_id in channel.members,
        "num_members": len(channel.members),
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def render_message(
    message: Message, install: Installation, *, replies: Sequence[Message] = (), with_metadata: bool = False
) -> Json:
    """Return a message object; `replies` are those of its thread when the message is the thread's first."""
    body: Json = {
        "type": "message",
        "user": message.user_id,
        "ts": message.ts,
        "text": message.text,
        "team": install.team_id,
    }
    if message.is_broadcast:
        body["subtype"] = "thread_broadcast"
    if message.bot_id is not None:
        body |= {"bot_id": message.bot_id, "app_id": install.app_id, "bot_profile": render_bot(install)}
    optional = {
        "thread_ts": message.thread_ts,
        "parent_user_id": message.parent_user_id,
        "blocks": message.blocks,
        "metadata": message.metadata if with_metadata else None,
        "edited": {"user": message.user_id, "ts": message.edited_ts} if message.edited_ts else None,
        "reactions": [{"name": n, "users": u, "count": len(u)} for n, u in message.reactions.items() if u] or None,
    }
    body |= {key: value for key, value in optional.items() if value is not None}
    if replies:
        users = list(dict.fromkeys(reply.user_id for reply in replies))
        body |= {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "reply_users": users,
            "reply_users_count": len(users),
            "latest_reply": replies[-1].ts,
        }
    return body


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
    return render_message(message, install) | {
        "channel": message.channel_id,
        "event_ts": message.ts,
        "channel_type": kind,
    }


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


def render_envelope(event: Json, install: Installation, *, event_id: str, event_time: int) -> Json:
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
        "is_ext_shared_channel": False,
        "event_context": f"4-{event_id}",
    }
