"""auth.*, bots.*, conversations.history and conversations.replies.

Rules and error codes: https://docs.slack.dev/reference/methods/conversations.replies and its neighbours.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.model import Channel, Json, Message, SlackRefusalError, parse_ts_us, render_ts
from slack_mcp.simulator.paging import parse_cursor, render_cursor
from slack_mcp.simulator.places import readable_channel
from slack_mcp.simulator.render import render_bot, render_message
from slack_mcp.simulator.workspace import Workspace


def auth_test(workspace: Workspace, _args: Args) -> Answer:
    """auth.test: who the token is."""
    actor = workspace.actor
    body: Json = {
        "url": workspace.url,
        "team": workspace.team_name,
        "user": workspace.users[actor.user_id].name,
        "team_id": workspace.team_id,
        "user_id": actor.user_id,
        "is_enterprise_install": False,
    }
    return Answer(body=body | ({"bot_id": workspace.install.bot_id} if actor.is_bot else {}))


def bots_info(workspace: Workspace, args: Args) -> Answer:
    """bots.info: which app a bot belongs to."""
    known = workspace.apps | {workspace.install.bot_id: workspace.install}
    app = known.get(args.text("bot", workspace.install.bot_id))
    if app is None:
        raise SlackRefusalError("bot_not_found")
    return Answer(body={"bot": render_bot(app)})


def history(workspace: Workspace, args: Args) -> Answer:
    """conversations.history: newest first, thread replies left out unless they were broadcast."""
    channel = readable_channel(workspace, args)
    window = _window(channel.top, args)
    after = parse_cursor(args)
    if after is not None:
        window = window[: bisect_right(window, after, key=_ts_us)]
    limit = _page_size(workspace, args, 100, 999)
    page = window[-limit:][::-1]
    rest = len(window) - len(page)
    body = _render_page(workspace, channel, page, args)
    return Answer(body=body | _paging(render_ts(window[rest - 1].ts_us) if rest else None))


def replies(workspace: Workspace, args: Args) -> Answer:
    """conversations.replies: oldest first; the thread's first message heads every page and is not counted in `limit`.

    Its presence on every page, and past `oldest`, is what clients report; Slack's page does not say.
    """
    channel = readable_channel(workspace, args)
    ts = args.required("ts", "thread_not_found")
    root = channel.messages.get(ts)
    if root is None and ts not in channel.threads:
        raise SlackRefusalError("thread_not_found")
    window = _window(channel.threads.get(ts, []), args)
    after = parse_cursor(args)
    if after is not None:
        window = window[bisect_left(window, after, key=_ts_us) :]
    limit = _page_size(workspace, args, 1000, 1000)
    page = window[:limit]
    body = _render_page(workspace, channel, [*([root] if root else []), *page], args)
    return Answer(body=body | _paging(window[limit].ts if len(window) > limit else None))


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


def _page_size(workspace: Workspace, args: Args, default: int, largest: int) -> int:
    """Return how many messages a page holds, which is few for an app outside the Marketplace."""
    most = workspace.limits.largest_page if workspace.limits is not None else None
    return args.number("limit", min(default, most or default), min(largest, most or largest))


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


def _paging(next_ts: str | None) -> Json:
    if next_ts is None:
        return {"has_more": False}
    return {"has_more": True, "response_metadata": {"next_cursor": render_cursor(str(parse_ts_us(next_ts)))}}


def _nothing(_workspace: Workspace, _args: Args) -> Answer:
    return Answer()


READING_METHODS: dict[str, tuple[Method, str]] = {
    "api.test": (_nothing, ""),
    "auth.test": (auth_test, ""),
    "bots.info": (bots_info, "users:read"),
    "conversations.history": (history, "*:history"),
    "conversations.replies": (replies, "*:history"),
}
"""Each method with the scope it needs."""
