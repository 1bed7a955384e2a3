"""conversations.*: creating, changing and archiving channels, and who joins and leaves them.

Rules and error codes: https://docs.slack.dev/reference/methods/conversations.create and its neighbours.
"""

from slack_mcp.simulator import acts
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.channels import shown
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Channel, Json, SlackRefusalError
from slack_mcp.simulator.places import joined_channel, visible_channel, writable_channel
from slack_mcp.simulator.workspace import Workspace

LONGEST_NAME = 80
LONGEST_NOTE = 250
MOST_INVITED = 1000


def create(workspace: Workspace, args: Args) -> Answer:
    """conversations.create: public, or private on request; the caller is its only member."""
    name = check_name(args.text("name"))
    is_private = args.flag("is_private")
    actor = workspace.actor
    actor.require("groups:write" if is_private else "channels:manage" if actor.is_bot else "channels:write")
    channel, envelopes = acts.create(workspace, name, actor.user_id, "group" if is_private else "channel")
    return Answer(body={"channel": shown(workspace, channel)}, envelopes=envelopes)


def rename(workspace: Workspace, args: Args) -> Answer:
    """conversations.rename: by its creator; a channel without one lets every member."""
    channel = _named(joined_channel(workspace, args))
    name = check_name(args.text("name"))
    if channel.creator not in ("", workspace.actor.user_id):
        raise SlackRefusalError("not_authorized")
    envelopes = acts.rename(workspace, channel, name)
    return Answer(body={"channel": shown(workspace, channel)}, envelopes=envelopes)


def set_topic(workspace: Workspace, args: Args) -> Answer:
    """conversations.setTopic."""
    channel = _described(workspace, args)
    channel.topic = acts.note(workspace, _note_text(args, "topic"))
    return Answer(body={"channel": shown(workspace, channel), "topic": channel.topic.value})


def set_purpose(workspace: Workspace, args: Args) -> Answer:
    """conversations.setPurpose."""
    channel = _described(workspace, args)
    channel.purpose = acts.note(workspace, _note_text(args, "purpose"))
    return Answer(body={"channel": shown(workspace, channel), "purpose": channel.purpose.value})


def archive(workspace: Workspace, args: Args) -> Answer:
    """conversations.archive."""
    channel = _named(joined_channel(workspace, args))
    if channel.is_general:
        raise SlackRefusalError("cant_archive_general")
    if channel.is_archived:
        raise SlackRefusalError("already_archived")
    return Answer(envelopes=acts.archive(workspace, channel, workspace.actor.user_id, is_archived=True))


def unarchive(workspace: Workspace, args: Args) -> Answer:
    """conversations.unarchive."""
    channel = _named(joined_channel(workspace, args))
    if not channel.is_archived:
        raise SlackRefusalError("not_archived")
    return Answer(envelopes=acts.archive(workspace, channel, workspace.actor.user_id, is_archived=False))


def join(workspace: Workspace, args: Args) -> Answer:
    """conversations.join: public channels; joining again is a warning."""
    channel = visible_channel(workspace, args)
    if channel.kind != "channel":
        raise SlackRefusalError("method_not_supported_for_channel_type")
    workspace.actor.require("channels:join" if workspace.actor.is_bot else "channels:write")
    if channel.is_archived:
        raise SlackRefusalError("is_archived")
    was_there = workspace.actor.user_id in channel.members
    envelopes = acts.join(workspace, channel, workspace.actor.user_id)
    body: Json = {"channel": shown(workspace, channel)}
    if was_there:
        body |= {"warning": "already_in_channel", "response_metadata": {"warnings": ["already_in_channel"]}}
    return Answer(body=body, envelopes=envelopes)


def leave(workspace: Workspace, args: Args) -> Answer:
    """conversations.leave: who is not in the channel is told so in an `ok: true` answer."""
    channel = _named(visible_channel(workspace, args))
    if channel.is_general:
        raise SlackRefusalError("cant_leave_general")
    if workspace.actor.user_id not in channel.members:
        return Answer(body={"not_in_channel": True})
    return Answer(envelopes=acts.leave(workspace, channel, workspace.actor.user_id))


def invite(workspace: Workspace, args: Args) -> Answer:
    """conversations.invite: all or none, unless `force` is given; each refusal is named."""
    channel = _named(writable_channel(workspace, args))
    users = args.ids("users")
    if not users:
        raise SlackRefusalError("no_user")
    if len(users) > MOST_INVITED:
        raise SlackRefusalError("too_many_users")
    refusals = [(each, error) for each in users if (error := _invite_refusal(workspace, channel, each)) is not None]
    errors = [{"user": user_id, "ok": False, "error": error} for user_id, error in refusals]
    refused = {user_id for user_id, _ in refusals}
    welcome = [each for each in dict.fromkeys(users) if each not in refused]
    if refusals and not (args.flag("force") and welcome):
        raise SlackRefusalError(refusals[0][1], errors=errors)
    inviter = workspace.actor.user_id
    envelopes = [event for each in welcome for event in acts.join(workspace, channel, each, inviter=inviter)]
    body: Json = {"channel": shown(workspace, channel)}
    return Answer(body=body | ({"errors": errors} if errors else {}), envelopes=envelopes)


def kick(workspace: Workspace, args: Args) -> Answer:
    """conversations.kick."""
    channel = _named(writable_channel(workspace, args))
    user_id = args.text("user")
    if user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    if user_id == workspace.actor.user_id:
        raise SlackRefusalError("cant_kick_self")
    if channel.is_general:
        raise SlackRefusalError("cant_kick_from_general")
    return Answer(body={"errors": {}}, envelopes=acts.leave(workspace, channel, user_id))


def check_name(name: str) -> str:
    """Return a channel's name, or raise the SlackRefusalError invalid_name_… that says what is wrong with it. Pure."""
    if not name:
        raise SlackRefusalError("invalid_name_required")
    if len(name) > LONGEST_NAME:
        raise SlackRefusalError("invalid_name_maxlength")
    if name != name.lower() or not all(each.isalnum() or each in "-_" for each in name):
        raise SlackRefusalError("invalid_name_specials")
    if not any(each.isalnum() for each in name):
        raise SlackRefusalError("invalid_name_punctuation")
    return name


def _named(channel: Channel) -> Channel:
    if channel.kind not in ("channel", "group"):
        raise SlackRefusalError("method_not_supported_for_channel_type")
    return channel


def _described(workspace: Workspace, args: Args) -> Channel:
    channel = writable_channel(workspace, args)
    if channel.kind == "im":
        raise SlackRefusalError("method_not_supported_for_channel_type")
    return channel


def _note_text(args: Args, name: str) -> str:
    text = args.text(name)
    if len(text) > LONGEST_NOTE:
        raise SlackRefusalError("too_long")
    return text


def _invite_refusal(workspace: Workspace, channel: Channel, user_id: str) -> str | None:
    if user_id not in workspace.users:
        return "user_not_found"
    if user_id == workspace.actor.user_id:
        return "cant_invite_self"
    if user_id in channel.members:
        return "already_in_channel"
    return "cant_invite" if workspace.users[user_id].is_deleted else None


MANAGING_METHODS: dict[str, tuple[Method, str]] = {
    "conversations.archive": (archive, "*:write"),
    "conversations.create": (create, ""),
    "conversations.invite": (invite, "*:write.invites"),
    "conversations.join": (join, ""),
    "conversations.kick": (kick, "*:write"),
    "conversations.leave": (leave, "*:write"),
    "conversations.rename": (rename, "*:write"),
    "conversations.setPurpose": (set_purpose, "*:write.topic"),
    "conversations.setTopic": (set_topic, "*:write.topic"),
    "conversations.unarchive": (unarchive, "*:write"),
}
"""Each method with the scope it needs; nothing where the method asks for the scope itself."""
