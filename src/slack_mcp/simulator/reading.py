"""auth.*, bots.*, conversations.* and users.*: what the bot reads.

Rules and error codes: https://docs.slack.dev/reference/methods/conversations.replies and its neighbours.
"""

from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TypeVar

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Channel, Json, Message, SlackRefusalError, parse_ts_us, render_ts
from slack_mcp.simulator.render import render_bot, render_channel, render_message, render_user
from slack_mcp.simulator.workspace import Workspace

KIND_OF_TYPE = {"public_channel": "channel", "private_channel": "group", "im": "im", "mpim": "mpim"}
_Item = TypeVar("_Item")


def auth_test(workspace: Workspace, _args: Args) -> Answer:
    """auth.test: who the token is."""
    install = workspace.install
    domain = workspace.team_name.lower().replace(" ", "-")
    return Answer(
        body={
            "url": f"https://{domain}.slack.com/",
            "team": workspace.team_name,
            "user": install.bot_name,
            "team_id": workspace.team_id,
            "user_id": install.bot_user_id,
            "bot_id": install.bot_id,
            "is_enterprise_install": False,
        }
    )


def bots_info(workspace: Workspace, args: Args) -> Answer:
    """bots.info: which app a bot belongs to."""
    if args.text("bot", workspace.install.bot_id) != workspace.install.bot_id:
        raise SlackRefusalError("bot_not_found")
    return Answer(body={"bot": render_bot(workspace.install)})


def history(workspace: Workspace, args: Args) -> Answer:
    """conversations.history: newest first, thread replies left out unless they were broadcast."""
    channel = _joined_channel(workspace, args)
    window = _window(channel.top, args)
    after = _parse_cursor(args)
    if after is not None:
        window = window[: bisect_right(window, after, key=_ts_us)]
    limit = args.number("limit", 100, 999)
    page = window[-limit:][::-1]
    rest = len(window) - len(page)
    body = _render_page(workspace, channel, page, args)
    return Answer(body=body | _paging(render_ts(window[rest - 1].ts_us) if rest else None))


def replies(workspace: Workspace, args: Args) -> Answer:
    """conversations.replies: oldest first; the thread's first message heads every page and is not counted in `limit`.

    Its presence on every page, and past `oldest`, is what clients report; Slack's page does not say.
    """
    channel = _joined_channel(workspace, args)
    ts = args.required("ts", "thread_not_found")
    root = channel.messages.get(ts)
    if root is None and ts not in channel.threads:
        raise SlackRefusalError("thread_not_found")
    window = _window(channel.threads.get(ts, []), args)
    after = _parse_cursor(args)
    if after is not None:
        window = window[bisect_left(window, after, key=_ts_us) :]
    limit = args.number("limit", 1000, 1000)
    page = window[:limit]
    body = _render_page(workspace, channel, [*([root] if root else []), *page], args)
    return Answer(body=body | _paging(window[limit].ts if len(window) > limit else None))


def conversation_info(workspace: Workspace, args: Args) -> Answer:
    """conversations.info."""
    channel = workspace.find_channel(args.required("channel", "channel_not_found"))
    return Answer(body={"channel": render_channel(channel, workspace.install)})


def conversation_list(workspace: Workspace, args: Args) -> Answer:
    """conversations.list."""
    kinds = {KIND_OF_TYPE.get(name.strip()) for name in args.text("types", "public_channel").split(",")}
    if None in kinds:
        raise SlackRefusalError("invalid_types")
    found = [channel for channel in workspace.channels.values() if channel.kind in kinds]
    page, paging = _slice(found, args)
    return Answer(body={"channels": [render_channel(each, workspace.install) for each in page]} | paging)


def conversation_open(workspace: Workspace, args: Args) -> Answer:
    """conversations.open, for one user."""
    channel_id = args.optional("channel")
    if channel_id is not None:
        return Answer(body={"channel": {"id": workspace.find_channel(channel_id).channel_id}})
    users = args.required("users", "users_list_not_supplied").split(",")
    if len(users) != 1:
        raise SlackRefusalError("too_many_users")
    return Answer(body={"channel": {"id": workspace.open_im(users[0]).channel_id}})


def user_info(workspace: Workspace, args: Args) -> Answer:
    """users.info."""
    user = workspace.users.get(args.text("user"))
    if user is None:
        raise SlackRefusalError("user_not_found")
    return Answer(body={"user": render_user(user, workspace.team_id)})


def user_list(workspace: Workspace, args: Args) -> Answer:
    """users.list."""
    page, paging = _slice(list(workspace.users.values()), args)
    return Answer(body={"members": [render_user(user, workspace.team_id) for user in page]} | paging)


def _joined_channel(workspace: Workspace, args: Args) -> Channel:
    channel = workspace.find_channel(args.required("channel", "channel_not_found"))
    if workspace.install.bot_user_id not in channel.members:
        raise SlackRefusalError("not_in_channel")
    return channel


def _window(line: Sequence[Message], args: Args) -> Sequence[Message]:
    """Return the messages between `oldest` and `latest`, both left out unless `inclusive`."""
    try:
        oldest = parse_ts_us(args.text("oldest", "0"))
        latest = parse_ts_us(args.text("latest")) if args.optional("latest") else None
    except ValueError as error:
        raise SlackRefusalError("invalid_arguments") from error
    first, last = (bisect_left, bisect_right) if args.flag("inclusive") else (bisect_right, bisect_left)
    start = first(line, oldest, key=_ts_us)
    return line[start : len(line) if latest is None else last(line, latest, key=_ts_us)]


def _ts_us(message: Message) -> int:
    return message.ts_us


def _render_page(workspace: Workspace, channel: Channel, page: Sequence[Message], args: Args) -> Json:
    with_metadata = args.flag("include_all_metadata")
    return {
        "messages": [
            render_message(
                each, workspace.install, replies=channel.threads.get(each.ts, ()), with_metadata=with_metadata
            )
            for each in page
        ]
    }


def _slice(items: Sequence[_Item], args: Args) -> tuple[Sequence[_Item], Json]:
    start = _parse_cursor(args) or 0
    limit = args.number("limit", 100, 1000)
    rest = start + limit < len(items)
    cursor = _render_cursor(str(start + limit)) if rest else ""
    return items[start : start + limit], {"response_metadata": {"next_cursor": cursor}}


def _paging(next_ts: str | None) -> Json:
    if next_ts is None:
        return {"has_more": False}
    return {"has_more": True, "response_metadata": {"next_cursor": _render_cursor(str(parse_ts_us(next_ts)))}}


def _render_cursor(position: str) -> str:
    return b64encode(f"next:{position}".encode()).decode()


def _parse_cursor(args: Args) -> int | None:
    cursor = args.optional("cursor")
    if cursor is None:
        return None
    try:
        return int(b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except ValueError as error:
        raise SlackRefusalError("invalid_cursor") from error


def _nothing(_workspace: Workspace, _args: Args) -> Answer:
    return Answer()


READING_METHODS: dict[str, tuple[Method, str]] = {
    "api.test": (_nothing, ""),
    "auth.test": (auth_test, ""),
    "bots.info": (bots_info, "users:read"),
    "conversations.history": (history, "channels:history"),
    "conversations.replies": (replies, "channels:history"),
    "conversations.info": (conversation_info, "channels:read"),
    "conversations.list": (conversation_list, "channels:read"),
    "conversations.open": (conversation_open, "im:write"),
    "users.info": (user_info, "users:read"),
    "users.list": (user_list, "users:read"),
}
"""Each method with the scope it needs."""
