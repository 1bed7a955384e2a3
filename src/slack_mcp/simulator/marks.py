"""reactions.*, pins.*, bookmarks.* and emoji.list: what is put on messages and channels.

Rules and error codes: https://docs.slack.dev/reference/methods/reactions.add and its neighbours.
"""

from urllib.parse import urlsplit

from slack_mcp.simulator import acts
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import new_id
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Bookmark, Channel, Json, Message, Pin, SlackRefusalError
from slack_mcp.simulator.paging import slice_items
from slack_mcp.simulator.places import find_message, joined_channel, readable_channel, writable_channel
from slack_mcp.simulator.render import render_message, render_permalink
from slack_mcp.simulator.workspace import Workspace


def add_reaction(workspace: Workspace, args: Args) -> Answer:
    """reactions.add."""
    message = _marked(writable_channel(workspace, args), args)
    name = args.required("name", "invalid_name").strip(":")
    return Answer(envelopes=acts.react(workspace, message, workspace.actor.user_id, name))


def remove_reaction(workspace: Workspace, args: Args) -> Answer:
    """reactions.remove."""
    message = _marked(writable_channel(workspace, args), args)
    name = args.required("name", "invalid_name").strip(":")
    return Answer(envelopes=acts.unreact(workspace, message, workspace.actor.user_id, name))


def get_reactions(workspace: Workspace, args: Args) -> Answer:
    """reactions.get: of one message."""
    message = _marked(readable_channel(workspace, args), args)
    return Answer(body={"type": "message", "channel": message.channel_id, "message": _linked(workspace, message)})


def list_reactions(workspace: Workspace, args: Args) -> Answer:
    """reactions.list: the messages that a user, or the caller, reacted to and that the caller can see; newest first."""
    me = workspace.actor.user_id
    user_id = args.text("user") or me
    if user_id not in workspace.users:
        raise SlackRefusalError("user_not_found")
    found = [
        message
        for channel in workspace.channels.values()
        if me in channel.members
        for message in channel.messages.values()
        if any(user_id in users for users in message.reactions.values())
    ]
    found.sort(key=lambda each: each.ts_us, reverse=True)
    page, paging = slice_items(found, args)
    items = [{"type": "message", "channel": each.channel_id, "message": _linked(workspace, each)} for each in page]
    return Answer(body={"items": items} | paging)


def add_pin(workspace: Workspace, args: Args) -> Answer:
    """pins.add."""
    message = _marked(writable_channel(workspace, args), args)
    return Answer(envelopes=acts.pin(workspace, message, workspace.actor.user_id))


def remove_pin(workspace: Workspace, args: Args) -> Answer:
    """pins.remove."""
    message = _marked(joined_channel(workspace, args), args)
    return Answer(envelopes=acts.unpin(workspace, message, workspace.actor.user_id))


def list_pins(workspace: Workspace, args: Args) -> Answer:
    """pins.list: newest first; a deleted message is pinned no longer."""
    channel = joined_channel(workspace, args)
    return Answer(
        body={
            "items": [
                _render_pin(workspace, channel, each) for each in reversed(channel.pins) if each.ts in channel.messages
            ]
        }
    )


def add_bookmark(workspace: Workspace, args: Args) -> Answer:
    """bookmarks.add: a link."""
    channel = joined_channel(workspace, args, "channel_id")
    if args.text("type") != "link":
        raise SlackRefusalError("invalid_bookmark_type")
    now_s = int(workspace.now_s())
    bookmark = Bookmark(
        bookmark_id=new_id("Bk"),
        title=args.required("title"),
        link=_check_link(args.text("link")),
        emoji=args.text("emoji"),
        created_s=now_s,
        updated_s=now_s,
        updated_by=workspace.actor.user_id,
    )
    channel.bookmarks[bookmark.bookmark_id] = bookmark
    return Answer(body={"bookmark": _render_bookmark(workspace, channel, bookmark)})


def edit_bookmark(workspace: Workspace, args: Args) -> Answer:
    """bookmarks.edit: changes what is given."""
    channel = joined_channel(workspace, args, "channel_id")
    bookmark = _find_bookmark(channel, args)
    if args.optional("link") is not None:
        bookmark.link = _check_link(args.text("link"))
    bookmark.title = args.text("title") or bookmark.title
    bookmark.emoji = args.text("emoji", bookmark.emoji)
    bookmark.updated_s, bookmark.updated_by = int(workspace.now_s()), workspace.actor.user_id
    return Answer(body={"bookmark": _render_bookmark(workspace, channel, bookmark)})


def remove_bookmark(workspace: Workspace, args: Args) -> Answer:
    """bookmarks.remove."""
    channel = joined_channel(workspace, args, "channel_id")
    del channel.bookmarks[_find_bookmark(channel, args).bookmark_id]
    return Answer()


def list_bookmarks(workspace: Workspace, args: Args) -> Answer:
    """bookmarks.list."""
    channel = joined_channel(workspace, args, "channel_id")
    return Answer(
        body={"bookmarks": [_render_bookmark(workspace, channel, each) for each in channel.bookmarks.values()]}
    )


def list_emoji(workspace: Workspace, _args: Args) -> Answer:
    """emoji.list: the workspace's own emoji: a URL each, or `alias:name`."""
    return Answer(body={"emoji": dict(workspace.emoji), "cache_ts": workspace.next_ts()})


def _marked(channel: Channel, args: Args) -> Message:
    return find_message(channel, args.required("timestamp", "no_item_specified"))


def _linked(workspace: Workspace, message: Message) -> Json:
    return render_message(message, workspace.install) | {"permalink": render_permalink(message, workspace.url)}


def _render_pin(workspace: Workspace, channel: Channel, made: Pin) -> Json:
    message = channel.messages[made.ts]
    return {
        "type": "message",
        "channel": channel.channel_id,
        "created": made.created_s,
        "created_by": made.created_by,
        "message": _linked(workspace, message) | {"pinned_to": [channel.channel_id]},
    }


def _render_bookmark(workspace: Workspace, channel: Channel, bookmark: Bookmark) -> Json:
    return {
        "id": bookmark.bookmark_id,
        "channel_id": channel.channel_id,
        "title": bookmark.title,
        "link": bookmark.link,
        "emoji": bookmark.emoji,
        "icon_url": "",
        "type": "link",
        "entity_id": None,
        "date_created": bookmark.created_s,
        "date_updated": bookmark.updated_s,
        "rank": "",
        "last_updated_by_user_id": bookmark.updated_by,
        "last_updated_by_team_id": workspace.team_id,
        "shortcut_id": None,
        "app_id": None,
    }


def _find_bookmark(channel: Channel, args: Args) -> Bookmark:
    bookmark = channel.bookmarks.get(args.text("bookmark_id"))
    if bookmark is None:
        raise SlackRefusalError("not_found")
    return bookmark


def _check_link(link: str) -> str:
    if urlsplit(link).scheme not in ("http", "https"):
        raise SlackRefusalError("invalid_link")
    return link


MARK_METHODS: dict[str, tuple[Method, str]] = {
    "bookmarks.add": (add_bookmark, "bookmarks:write"),
    "bookmarks.edit": (edit_bookmark, "bookmarks:write"),
    "bookmarks.list": (list_bookmarks, "bookmarks:read"),
    "bookmarks.remove": (remove_bookmark, "bookmarks:write"),
    "emoji.list": (list_emoji, "emoji:read"),
    "pins.add": (add_pin, "pins:write"),
    "pins.list": (list_pins, "pins:read"),
    "pins.remove": (remove_pin, "pins:write"),
    "reactions.add": (add_reaction, "reactions:write"),
    "reactions.get": (get_reactions, "reactions:read"),
    "reactions.list": (list_reactions, "reactions:read"),
    "reactions.remove": (remove_reaction, "reactions:write"),
}
"""Each method with the scope it needs."""
