"""assistant.search.*: the real-time search, for people's tokens and, with an event's action token, for bots.

Rules: https://docs.slack.dev/apis/web-api/real-time-search-api,
https://docs.slack.dev/reference/methods/assistant.search.context
"""

import re
from collections.abc import Sequence
from typing import TypeVar

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.artifacts import File
from slack_mcp.simulator.channels import KIND_OF_TYPE
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.files import can_see
from slack_mcp.simulator.model import Channel, ChannelKind, Json, Message, SlackRefusalError, User
from slack_mcp.simulator.paging import slice_items
from slack_mcp.simulator.render import render_permalink
from slack_mcp.simulator.search import visible_messages
from slack_mcp.simulator.workspace import Workspace

MOST_RESULTS = 20
_SCOPES: dict[ChannelKind, str] = {
    "channel": "search:read.public",
    "group": "search:read.private",
    "im": "search:read.im",
    "mpim": "search:read.mpim",
}
_CONTEXT = 2
_Item = TypeVar("_Item")


def search_context(workspace: Workspace, args: Args) -> Answer:
    """assistant.search.context: messages, files, channels and users that have words of the query, the best first."""
    words = re.findall(r"\w+", args.required("query", "missing_query").lower())
    kinds = _kinds(workspace, args)
    results: Json = {}
    next_cursor = ""
    for name in args.ids("content_types") or ["messages"]:
        page, paging = slice_items(
            _find(workspace, args, words, kinds, name), args, default=MOST_RESULTS, largest=MOST_RESULTS
        )
        results[name] = list(page)
        next_cursor = paging["response_metadata"]["next_cursor"] or next_cursor
    return Answer(body={"results": results, "response_metadata": {"next_cursor": next_cursor}})


def search_info(workspace: Workspace, _args: Args) -> Answer:
    """assistant.search.info: whether the workspace's plan has the semantic search."""
    return Answer(body={"is_ai_search_enabled": workspace.is_ai_search_enabled})


def _kinds(workspace: Workspace, args: Args) -> set[ChannelKind]:
    """Return the kinds of channels to search. Raises invalid_action_token, missing_scope, context_channel_not_found."""
    actor = workspace.actor
    if actor.is_bot and not workspace.is_action_token(args.text("action_token")):
        raise SlackRefusalError("invalid_action_token")
    context = args.optional("context_channel_id")
    if context is not None and context not in workspace.channels:
        raise SlackRefusalError("context_channel_not_found")
    kinds: set[ChannelKind] = set()
    for name in args.ids("channel_types") or ["public_channel"]:
        kind = KIND_OF_TYPE.get(name)
        if kind is None:
            raise SlackRefusalError("invalid_arguments")
        actor.require(_SCOPES[kind])
        kinds.add(kind)
    return kinds


def _find(workspace: Workspace, args: Args, words: Sequence[str], kinds: set[ChannelKind], name: str) -> list[Json]:
    """Return all that is found of one content type. Raises SlackRefusalError missing_scope, invalid_arguments."""
    if name == "messages":
        return _find_messages(workspace, args, words, kinds)
    if name == "channels":
        channels = [each for each in _reached(workspace, kinds) if each.kind in ("channel", "group")]
        texts = [f"{each.name} {each.topic.value} {each.purpose.value}" for each in channels]
        return [_render_channel(workspace, each) for each in _ranked(channels, texts, words)]
    if name not in ("files", "users"):
        raise SlackRefusalError("invalid_arguments")
    workspace.actor.require(f"search:read.{name}")
    if name == "users":
        return _find_users(workspace, args, words)
    files = [each for each in workspace.shelf.files.values() if can_see(workspace, each, workspace.actor.user_id)]
    return [_render_file(each) for each in _ranked(files, [f"{each.name} {each.title}" for each in files], words)]


def _reached(workspace: Workspace, kinds: set[ChannelKind]) -> list[Channel]:
    me = workspace.actor.user_id
    return [
        each
        for each in workspace.channels.values()
        if each.kind in kinds and (each.kind == "channel" or me in each.members) and not each.is_archived
    ]


def _find_messages(workspace: Workspace, args: Args, words: Sequence[str], kinds: set[ChannelKind]) -> list[Json]:
    before, after = args.text("before"), args.text("after")
    seen = [
        (channel, message)
        for channel, message in visible_messages(workspace)
        if channel.kind in kinds
        and (args.flag("include_bots") or message.bot_id is None)
        and (not before.isdigit() or float(message.ts) < int(before))
        and (not after.isdigit() or float(message.ts) > int(after))
    ]
    seen.sort(key=lambda each: each[1].ts_us, reverse=True)
    best = _ranked(seen, [message.text for _, message in seen], words)
    with_context = args.flag("include_context_messages")
    return [_render_message(workspace, channel, message, with_context=with_context) for channel, message in best]


def _find_users(workspace: Workspace, args: Args, words: Sequence[str]) -> list[Json]:
    users = [each for each in workspace.users.values() if args.flag("include_deleted_users") or not each.is_deleted]
    texts = [f"{each.name} {each.real_name} {each.display_name} {each.email}" for each in users]
    return [_render_user(workspace, each) for each in _ranked(users, texts, words)]


def _ranked(items: Sequence[_Item], texts: Sequence[str], words: Sequence[str]) -> list[_Item]:
    """Return the items whose text has one of the words, those with most of them first."""
    scored = [(sum(word in text.lower() for word in words), item) for item, text in zip(items, texts, strict=True)]
    return [item for score, item in sorted(scored, key=lambda each: -each[0]) if score]


def _render_message(workspace: Workspace, channel: Channel, message: Message, *, with_context: bool) -> Json:
    user = workspace.users.get(message.user_id)
    body: Json = {
        "author_name": user.real_name if user is not None else "",
        "author_user_id": message.user_id,
        "team_id": workspace.team_id,
        "channel_id": channel.channel_id,
        "channel_name": channel.name,
        "message_ts": message.ts,
        "content": message.text,
        "is_author_bot": message.bot_id is not None,
        "permalink": render_permalink(message, workspace.url),
    }
    if with_context:
        line = channel.threads.get(message.thread_ts or "", []) if message.is_reply else channel.top
        index = line.index(message)
        body["context_messages"] = {
            "before": [_render_neighbour(each) for each in line[max(index - _CONTEXT, 0) : index]],
            "after": [_render_neighbour(each) for each in line[index + 1 : index + 1 + _CONTEXT]],
        }
    return body


def _render_neighbour(message: Message) -> Json:
    return {"user_id": message.user_id, "ts": message.ts, "text": message.text}


def _render_file(file: File) -> Json:
    return {
        "uploader_user_id": file.user_id,
        "author_user_id": file.user_id,
        "file_id": file.file_id,
        "date_created": file.created_s,
        "date_updated": file.created_s,
        "title": file.title,
        "file_type": file.filetype,
        "permalink": f"https://simulated.slack.com/files/{file.user_id}/{file.file_id}",
    }


def _render_channel(workspace: Workspace, channel: Channel) -> Json:
    creator = workspace.users.get(channel.creator)
    return {
        "team_id": workspace.team_id,
        "channel_id": channel.channel_id,
        "creator_user_id": channel.creator,
        "creator_name": creator.real_name if creator is not None else "",
        "date_created": channel.created_s,
        "date_updated": channel.created_s,
        "name": channel.name,
        "topic": channel.topic.value,
        "purpose": channel.purpose.value,
        "permalink": f"{workspace.url}archives/{channel.channel_id}",
    }


def _render_user(workspace: Workspace, user: User) -> Json:
    body: Json = {
        "user_id": user.user_id,
        "team_id": workspace.team_id,
        "full_name": user.real_name,
        "display_name": user.display_name,
        "title": user.title,
        "timezone": user.tz,
        "permalink": f"{workspace.url}team/{user.user_id}",
    }
    return body | ({"email": user.email} if workspace.actor.may("users:read.email") else {})


CONTEXT_METHODS: dict[str, tuple[Method, str]] = {
    "assistant.search.context": (search_context, "search:read.public"),
    "assistant.search.info": (search_info, "search:read.public"),
}
"""Each method with the scope it needs."""
