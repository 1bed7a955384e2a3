"""What people and apps do to channels, messages and users, and the events that Slack sends for it.

Each function changes the workspace and returns the envelopes: none where the app's bot could not see the change or was
not granted the event's scope. Shapes: https://docs.slack.dev/reference/events
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from slack_mcp.simulator.access import kind_scopes
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.model import Channel, ChannelKind, Json, Message, Note, Pin, SlackRefusalError, User
from slack_mcp.simulator.render import render_message, render_user

if TYPE_CHECKING:
    from slack_mcp.simulator.workspace import Workspace

MOST_PINS = 100


def join(workspace: "Workspace", channel: Channel, user_id: str, *, inviter: str | None = None) -> list[Json]:
    """member_joined_channel, for the bot's own joining too."""
    if user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    if user_id in channel.members:
        return []
    channel.members.add(user_id)
    event = _membership("member_joined_channel", workspace, channel, user_id)
    if inviter is not None:
        event["inviter"] = inviter
    return _tell(workspace, event, channel, "read", is_for_members=True)


def leave(workspace: "Workspace", channel: Channel, user_id: str) -> list[Json]:
    """member_left_channel, for the bot's own leaving too. Raises SlackRefusalError not_in_channel."""
    if user_id not in channel.members:
        raise SlackRefusalError("not_in_channel")
    event = _membership("member_left_channel", workspace, channel, user_id)
    envelopes = _tell(workspace, event, channel, "read", is_for_members=True)
    channel.members.discard(user_id)
    return envelopes


def create(
    workspace: "Workspace", name: str, user_id: str, kind: ChannelKind = "channel"
) -> tuple[Channel, list[Json]]:
    """channel_created, for public channels only. Returns the channel too; raises SlackRefusalError name_taken."""
    _check_name_is_free(workspace, name)
    channel = workspace.add_channel(new_id("C"), name, kind=kind, members={user_id})
    channel.creator = user_id
    event = {
        "type": "channel_created",
        "channel": {
            "id": channel.channel_id,
            "is_channel": True,
            "name": name,
            "name_normalized": name,
            "created": channel.created_s,
            "creator": user_id,
            "is_shared": False,
            "is_org_shared": False,
            "context_team_id": workspace.team_id,
        },
    }
    return channel, _tell(workspace, event, channel, "read") if kind == "channel" else []


def rename(workspace: "Workspace", channel: Channel, name: str) -> list[Json]:
    """channel_rename, or group_rename for a private channel. Raises SlackRefusalError name_taken."""
    _check_name_is_free(workspace, name)
    channel.previous_names.append(channel.name)
    channel.name = name
    body = {
        "id": channel.channel_id,
        "is_channel": channel.kind == "channel",
        "is_mpim": channel.kind == "mpim",
        "name": name,
        "name_normalized": name,
        "created": channel.created_s,
    }
    return _tell(workspace, {"type": f"{_word(channel)}_rename", "channel": body}, channel, "read")


def archive(workspace: "Workspace", channel: Channel, user_id: str, *, is_archived: bool) -> list[Json]:
    """channel_archive or channel_unarchive; group_… for a private channel."""
    channel.is_archived = is_archived
    verb = "archive" if is_archived else "unarchive"
    event = {"type": f"{_word(channel)}_{verb}", "channel": channel.channel_id, "user": user_id}
    return _tell(workspace, event, channel, "read")


def delete(workspace: "Workspace", channel: Channel) -> list[Json]:
    """channel_deleted; group_deleted for a private channel."""
    event = {"type": f"{_word(channel)}_deleted", "channel": channel.channel_id}
    envelopes = _tell(workspace, event, channel, "read")
    del workspace.channels[channel.channel_id]
    return envelopes


def note(workspace: "Workspace", value: str) -> Note:
    """Return a topic or purpose that who acts sets now. No event of its own."""
    return Note(value=value, creator=workspace.actor.user_id, last_set=int(workspace.now_s()))


def react(workspace: "Workspace", message: Message, user_id: str, name: str) -> list[Json]:
    """reaction_added. Raises SlackRefusalError already_reacted."""
    users = message.reactions.setdefault(name, [])
    if user_id in users:
        raise SlackRefusalError("already_reacted")
    users.append(user_id)
    return _tell_reaction(workspace, message, user_id, name, "reaction_added")


def unreact(workspace: "Workspace", message: Message, user_id: str, name: str) -> list[Json]:
    """reaction_removed. Raises SlackRefusalError no_reaction."""
    users = message.reactions.get(name, [])
    if user_id not in users:
        raise SlackRefusalError("no_reaction")
    users.remove(user_id)
    return _tell_reaction(workspace, message, user_id, name, "reaction_removed")


def pin(workspace: "Workspace", message: Message, user_id: str) -> list[Json]:
    """pin_added. Raises SlackRefusalError already_pinned, too_many_pins."""
    channel = workspace.channels[message.channel_id]
    if any(each.ts == message.ts for each in channel.pins):
        raise SlackRefusalError("already_pinned")
    if len(channel.pins) >= MOST_PINS:
        raise SlackRefusalError("too_many_pins")
    made = Pin(ts=message.ts, created_by=user_id, created_s=int(workspace.now_s()))
    channel.pins.append(made)
    return _tell_pin(workspace, message, made, user_id, "pin_added")


def unpin(workspace: "Workspace", message: Message, user_id: str) -> list[Json]:
    """pin_removed. Raises SlackRefusalError no_pin."""
    channel = workspace.channels[message.channel_id]
    found = next((each for each in channel.pins if each.ts == message.ts), None)
    if found is None:
        raise SlackRefusalError("no_pin")
    channel.pins.remove(found)
    return _tell_pin(workspace, message, found, user_id, "pin_removed")


def change_user(workspace: "Workspace", user_id: str, changes: Json) -> list[Json]:
    """user_change. Raises SlackRefusalError user_not_found, TypeError for a field that users do not have."""
    if user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    changed = replace(workspace.users[user_id], **changes, updated_s=int(workspace.now_s()))
    workspace.users[user_id] = changed
    return _tell_user(workspace, changed, "user_change")


def join_team(workspace: "Workspace", user: User) -> list[Json]:
    """team_join."""
    return _tell_user(workspace, user, "team_join")


def _tell(
    workspace: "Workspace", event: Json, channel: Channel, verb: str, *, is_for_members: bool = False
) -> list[Json]:
    """Return a channel's event in its envelope; a public channel's is everybody's unless it is for members."""
    bot = workspace.bot
    is_member = bot.user_id in channel.members
    is_seen = is_member or (channel.kind == "channel" and not is_for_members)
    if not is_seen or not bot.may(*kind_scopes(channel.kind, verb, is_bot=True)):
        return []
    return [workspace.wrap(event | {"event_ts": workspace.next_ts()})]


def _tell_reaction(workspace: "Workspace", message: Message, user_id: str, name: str, kind: str) -> list[Json]:
    bot = workspace.bot
    if bot.user_id not in workspace.channels[message.channel_id].members or not bot.may("reactions:read"):
        return []
    event = {
        "type": kind,
        "user": user_id,
        "reaction": name,
        "item_user": message.user_id,
        "item": {"type": "message", "channel": message.channel_id, "ts": message.ts},
        "event_ts": workspace.next_ts(),
    }
    return [workspace.wrap(event)]


def _tell_pin(workspace: "Workspace", message: Message, made: Pin, user_id: str, kind: str) -> list[Json]:
    bot = workspace.bot
    channel = workspace.channels[message.channel_id]
    if bot.user_id not in channel.members or not bot.may("pins:read"):
        return []
    event = {
        "type": kind,
        "user": user_id,
        "channel_id": channel.channel_id,
        "item": {
            "type": "message",
            "channel": channel.channel_id,
            "message": render_message(message, workspace.install),
            "created": made.created_s,
            "created_by": made.created_by,
        },
        "item_user": message.user_id,
        "pin_count": len(channel.pins),
        "has_pins": bool(channel.pins),
        "event_ts": workspace.next_ts(),
    }
    return [workspace.wrap(event)]


def _tell_user(workspace: "Workspace", user: User, kind: str) -> list[Json]:
    bot = workspace.bot
    if not bot.may("users:read"):
        return []
    body = render_user(user, workspace.team_id, with_email=bot.may("users:read.email"))
    event = {"type": kind, "user": body, "cache_ts": user.updated_s, "event_ts": workspace.next_ts()}
    return [workspace.wrap(event)]


def _membership(kind: str, workspace: "Workspace", channel: Channel, user_id: str) -> Json:
    return {
        "type": kind,
        "user": user_id,
        "channel": channel.channel_id,
        "channel_type": "C" if channel.kind == "channel" else "G",
        "team": workspace.team_id,
    }


def _word(channel: Channel) -> str:
    return "channel" if channel.kind == "channel" else "group"


def _check_name_is_free(workspace: "Workspace", name: str) -> None:
    if any(each.name == name for each in workspace.channels.values() if each.kind in ("channel", "group")):
        raise SlackRefusalError("name_taken")
