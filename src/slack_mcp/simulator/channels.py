"""conversations.*: which channels there are, who is in them, and opening direct messages.

Rules and error codes: https://docs.slack.dev/reference/methods/conversations.info and its neighbours.
"""

from slack_mcp.simulator.access import kind_scopes
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Channel, ChannelKind, Json, SlackRefusalError, parse_ts_us
from slack_mcp.simulator.paging import slice_items
from slack_mcp.simulator.places import joined_channel, visible_channel
from slack_mcp.simulator.render import render_channel
from slack_mcp.simulator.workspace import Workspace

KIND_OF_TYPE: dict[str, ChannelKind] = {
    "public_channel": "channel",
    "private_channel": "group",
    "im": "im",
    "mpim": "mpim",
}
MOST_OPENED = 8
NEVER_READ = "0000000000.000000"


def conversation_info(workspace: Workspace, args: Args) -> Answer:
    """conversations.info: the channel with its caller's reading mark; the number of members on request."""
    channel = visible_channel(workspace, args)
    body = shown(workspace, channel)
    if not args.flag("include_num_members"):
        body.pop("num_members", None)
    me = workspace.actor.user_id
    if me in channel.members:
        body["last_read"] = channel.last_read.get(me, NEVER_READ)
        if channel.kind in ("im", "mpim"):
            unread = _count_unread(channel, me)
            body |= {"unread_count": unread, "unread_count_display": unread}
    return Answer(body={"channel": body})


def conversation_list(workspace: Workspace, args: Args) -> Answer:
    """conversations.list: public channels, and the private ones that the caller is in."""
    me = workspace.actor.user_id
    found = [each for each in _of_types(workspace, args) if each.kind == "channel" or me in each.members]
    page, paging = slice_items(found, args)
    return Answer(body={"channels": [shown(workspace, each) for each in page]} | paging)


def user_conversations(workspace: Workspace, args: Args) -> Answer:
    """users.conversations: those a user is in; of another user's private ones, those that the caller is in too."""
    me = workspace.actor.user_id
    user_id = args.text("user") or me
    if user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    found = [
        each
        for each in _of_types(workspace, args)
        if user_id in each.members and (each.kind == "channel" or me in each.members)
    ]
    page, paging = slice_items(found, args)
    bodies = [shown(workspace, each) for each in page]
    for body in bodies:
        body.pop("num_members", None)
        body.pop("is_member", None)
    return Answer(body={"channels": bodies} | paging)


def conversation_members(workspace: Workspace, args: Args) -> Answer:
    """conversations.members: ids, in pages."""
    page, paging = slice_items(sorted(visible_channel(workspace, args).members), args)
    return Answer(body={"members": list(page)} | paging)


def conversation_open(workspace: Workspace, args: Args) -> Answer:
    """conversations.open: the direct message with one user, or the group conversation with two to eight."""
    channel_id = args.optional("channel")
    if channel_id is not None:
        known_channel = visible_channel(workspace, args)
        if known_channel.kind not in ("im", "mpim"):
            raise SlackRefusalError("method_not_supported_for_channel_type")
        return _opened(workspace, known_channel, args, was_there=True)
    users = args.ids("users")
    if not users:
        raise SlackRefusalError("users_list_not_supplied")
    if len(users) > MOST_OPENED:
        raise SlackRefusalError("too_many_users")
    if any(each not in workspace.users for each in users):
        raise SlackRefusalError("user_not_found")
    if any(workspace.users[each].is_deleted for each in users):
        raise SlackRefusalError("user_disabled")
    workspace.actor.require("im:write" if len(users) == 1 else "mpim:write")
    known = len(workspace.channels)
    channel = workspace.open_im(users[0]) if len(users) == 1 else workspace.open_mpim(users)
    return _opened(workspace, channel, args, was_there=len(workspace.channels) == known)


def mark(workspace: Workspace, args: Args) -> Answer:
    """conversations.mark: the caller has read up to here."""
    channel = joined_channel(workspace, args)
    ts = args.required("ts", "invalid_timestamp")
    try:
        parse_ts_us(ts)
    except ValueError as error:
        raise SlackRefusalError("invalid_timestamp") from error
    channel.last_read[workspace.actor.user_id] = ts
    return Answer()


def shown(workspace: Workspace, channel: Channel) -> Json:
    """Return a channel as the caller sees it."""
    return render_channel(channel, workspace.install, workspace.actor.user_id)


def _of_types(workspace: Workspace, args: Args) -> list[Channel]:
    """Return the channels of the wanted types. Raises SlackRefusalError invalid_types, missing_scope."""
    kinds: list[ChannelKind] = []
    for name in args.ids("types") or ["public_channel"]:
        kind = KIND_OF_TYPE.get(name)
        if kind is None:
            raise SlackRefusalError("invalid_types")
        workspace.actor.require(*kind_scopes(kind, "read", is_bot=workspace.actor.is_bot))
        kinds.append(kind)
    is_whole = not args.flag("exclude_archived")
    return [each for each in workspace.channels.values() if each.kind in kinds and (is_whole or not each.is_archived)]


def _opened(workspace: Workspace, channel: Channel, args: Args, *, was_there: bool) -> Answer:
    body: Json = shown(workspace, channel) if args.flag("return_im") else {"id": channel.channel_id}
    return Answer(body={"channel": body} | ({"no_op": True, "already_open": True} if was_there else {}))


def _count_unread(channel: Channel, user_id: str) -> int:
    read_us = parse_ts_us(channel.last_read.get(user_id, NEVER_READ))
    return sum(each.ts_us > read_us and each.user_id != user_id for each in channel.top)


CHANNEL_METHODS: dict[str, tuple[Method, str]] = {
    "conversations.info": (conversation_info, "*:read"),
    "conversations.list": (conversation_list, ""),
    "conversations.mark": (mark, "*:write"),
    "conversations.members": (conversation_members, "*:read"),
    "conversations.open": (conversation_open, ""),
    "users.conversations": (user_conversations, ""),
}
"""Each method with the scope it needs; nothing where the method asks for the scope of what it lists or opens."""
