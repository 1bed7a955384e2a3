"""search.*: the old search by words, for people's tokens.

Rules: https://docs.slack.dev/reference/methods/search.messages, the modifiers of a query:
https://slack.com/help/articles/202528808-Search-in-Slack
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.chat import Answer, Method
from slack_mcp.simulator.files import can_see
from slack_mcp.simulator.model import Channel, Json, Message, parse_ts_us
from slack_mcp.simulator.paging import number_pages, parse_cursor, render_cursor
from slack_mcp.simulator.render import render_permalink
from slack_mcp.simulator.workspace import Workspace

_TERM = re.compile(
    r'(?P<minus>-?)(?:(?P<name>from|in|before|after|on|during|has|is):)?(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))'
)
_HIGHLIGHT = ("\ue000", "\ue001")
_MONTH = re.compile(r"\d{4}-\d{2}")


@dataclass(slots=True, kw_only=True)
class Query:
    """What a query asks for: words and phrases in lower case, and conditions on the message and its channel."""

    words: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    conditions: list[Callable[[Channel, Message], bool]] = field(default_factory=list)

    def matches(self, channel: Channel, message: Message) -> bool:
        """Whether a message has all words, none of the unwanted ones, and meets the conditions."""
        text = message.text.lower()
        return (
            all(word in text for word in self.words)
            and not any(word in text for word in self.without)
            and all(is_met(channel, message) for is_met in self.conditions)
        )


def search_messages(workspace: Workspace, args: Args) -> Answer:
    """search.messages: what the caller can see, the newest first, in numbered pages or by cursor."""
    text = args.required("query", "no_query")
    return Answer(body={"query": text} | _message_section(workspace, text, args))


def search_files(workspace: Workspace, args: Args) -> Answer:
    """search.files: by words of the name and title, the newest first."""
    text = args.required("query", "no_query")
    return Answer(body={"query": text} | _file_section(workspace, text, args))


def search_all(workspace: Workspace, args: Args) -> Answer:
    """search.all: messages and files."""
    text = args.required("query", "no_query")
    sections = _message_section(workspace, text, args) | _file_section(workspace, text, args)
    return Answer(body={"query": text} | sections)


def parse_query(workspace: Workspace, text: str) -> Query:
    """Return what a query asks for.

    Args:
        workspace: where names are looked up.
        text: words, "phrases", -unwanted, from:, in:, before:, after:, on:, during:, has:pin and is:thread.
    """
    query = Query()
    for term in _TERM.finditer(text):
        value = (term["phrase"] if term["phrase"] is not None else term["word"]).lower()
        if term["name"] is None:
            (query.without if term["minus"] else query.words).append(value)
            continue
        condition = _condition(workspace, term["name"], value)
        query.conditions.append(_negated(condition) if term["minus"] else condition)
    return query


def visible_messages(workspace: Workspace) -> Iterator[tuple[Channel, Message]]:
    """Return the messages that the caller can see: of public channels, and of the others they are in."""
    me = workspace.actor.user_id
    for channel in workspace.channels.values():
        if channel.kind == "channel" or me in channel.members:
            for message in channel.messages.values():
                yield channel, message


def _message_section(workspace: Workspace, text: str, args: Args) -> Json:
    query = parse_query(workspace, text)
    found = [(channel, message) for channel, message in visible_messages(workspace) if query.matches(channel, message)]
    is_oldest_first = args.text("sort") == "timestamp" and args.text("sort_dir") == "asc"
    found.sort(key=lambda each: each[1].ts_us, reverse=not is_oldest_first)
    values, by_cursor = _cursor_as_page(args)
    page, paging = number_pages(found, values)
    words = query.words if args.flag("highlight") else []
    matches = [_render_match(workspace, channel, message, words) for channel, message in page]
    section: Json = _section(matches, paging)
    if by_cursor:
        is_last = paging["page"] >= paging["pages"]
        next_cursor = "" if is_last else render_cursor(str(paging["page"] + 1))
        return {"messages": section, "response_metadata": {"next_cursor": next_cursor}}
    return {"messages": section}


def _file_section(workspace: Workspace, text: str, args: Args) -> Json:
    words, me = parse_query(workspace, text).words, workspace.actor.user_id
    found = [
        file
        for file in reversed(workspace.shelf.files.values())
        if can_see(workspace, file, me) and all(word in f"{file.name} {file.title}".lower() for word in words)
    ]
    page, paging = number_pages(found, args)
    return {"files": _section([workspace.shelf.render(each, with_shares=True) for each in page], paging)}


def _section(matches: list[Json], paging: Json) -> Json:
    first = (paging["page"] - 1) * paging["count"] + 1
    return {
        "total": paging["total"],
        "pagination": {
            "total_count": paging["total"],
            "page": paging["page"],
            "per_page": paging["count"],
            "page_count": paging["pages"],
            "first": first if matches else 0,
            "last": first + len(matches) - 1 if matches else 0,
        },
        "paging": paging,
        "matches": matches,
    }


def _cursor_as_page(args: Args) -> tuple[Args, bool]:
    """Return the arguments with the page that `cursor` asks for, `*` for the first, and whether there was one."""
    cursor = args.optional("cursor")
    if cursor is None:
        return args, False
    page = 1 if cursor == "*" else parse_cursor(args)
    return Args({"count": args.text("count"), "page": str(page)}), True


def _render_match(workspace: Workspace, channel: Channel, message: Message, words: list[str]) -> Json:
    user = workspace.users.get(message.user_id)
    text = message.text
    for word in words:
        text = re.sub(f"({re.escape(word)})", rf"{_HIGHLIGHT[0]}\1{_HIGHLIGHT[1]}", text, flags=re.IGNORECASE)
    body: Json = {
        "iid": f"{channel.channel_id}-{message.ts}",
        "team": workspace.team_id,
        "score": 0,
        "channel": {
            "id": channel.channel_id,
            "is_channel": channel.kind == "channel",
            "is_group": channel.kind == "group",
            "is_im": channel.kind == "im",
            "is_mpim": channel.kind == "mpim",
            "is_private": channel.kind != "channel",
            "is_ext_shared": channel.is_ext_shared,
            "name": _channel_name(workspace, channel),
        },
        "type": "im" if channel.kind == "im" else "message",
        "user": message.user_id,
        "username": user.name if user is not None else "",
        "ts": message.ts,
        "text": text,
        "permalink": render_permalink(message, workspace.url),
    }
    return body | ({"blocks": message.blocks} if message.blocks else {})


def _channel_name(workspace: Workspace, channel: Channel) -> str:
    """Return a channel's name; for a direct message the other's id, as Slack's search has it."""
    if channel.kind != "im":
        return channel.name
    others = sorted(channel.members - {workspace.actor.user_id})
    return others[0] if others else workspace.actor.user_id


def _condition(workspace: Workspace, name: str, value: str) -> Callable[[Channel, Message], bool]:
    if name in ("has", "is"):
        return _has_pin if (name, value) == ("has", "pin") else _is_thread if value == "thread" else _never
    if name == "from":
        people = _people(workspace, value)
        return lambda _, message: message.user_id in people
    if name == "in":
        places = _places(workspace, value)
        return lambda channel, _: channel.channel_id in places
    return _in_time(name, *_span_us(value))


def _in_time(name: str, start_us: int, end_us: int) -> Callable[[Channel, Message], bool]:
    if name == "before":
        return lambda _, message: message.ts_us < start_us
    if name == "after":
        return lambda _, message: message.ts_us >= end_us > 0
    return lambda _, message: start_us <= message.ts_us < end_us


def _has_pin(channel: Channel, message: Message) -> bool:
    return any(each.ts == message.ts for each in channel.pins)


def _is_thread(channel: Channel, message: Message) -> bool:
    return message.is_reply or message.ts in channel.threads


def _never(_channel: Channel, _message: Message) -> bool:
    return False


def _negated(condition: Callable[[Channel, Message], bool]) -> Callable[[Channel, Message], bool]:
    return lambda channel, message: not condition(channel, message)


def _people(workspace: Workspace, value: str) -> set[str]:
    """Return the ids of `me`, `@name`, `name`, `<@U…>` or an id. There may be several of one display name."""
    name = value.removeprefix("<").removesuffix(">").removeprefix("@")
    if name == "me":
        return {workspace.actor.user_id}
    return {
        user.user_id
        for user in workspace.users.values()
        if name in (user.user_id.lower(), user.name.lower(), user.display_name.lower())
    }


def _places(workspace: Workspace, value: str) -> set[str]:
    """Return the ids of `#name`, `name`, `<#C…>` or an id; of the direct messages with `@name`."""
    if value.startswith(("@", "<@")):
        people = _people(workspace, value)
        ims = (each for each in workspace.channels.values() if each.kind == "im")
        return {each.channel_id for each in ims if each.members & people and workspace.actor.user_id in each.members}
    name = value.removeprefix("<").removesuffix(">").removeprefix("#").partition("|")[0]
    return {
        channel.channel_id
        for channel in workspace.channels.values()
        if name in (channel.channel_id.lower(), channel.name.lower())
    }


def _span_us(value: str) -> tuple[int, int]:
    """Return the first microsecond of a day `2026-01-31` or month `2026-01`, and the first after it; UTC."""
    try:
        if _MONTH.fullmatch(value):
            start = datetime.strptime(value, "%Y-%m").replace(tzinfo=UTC)
            end = (start + timedelta(days=31)).replace(day=1)
        else:
            start = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
            end = start + timedelta(days=1)
    except ValueError:
        return 0, 0  # Slack finds nothing for what it does not understand
    return parse_ts_us(str(int(start.timestamp()))), parse_ts_us(str(int(end.timestamp())))


SEARCH_METHODS: dict[str, tuple[Method, str]] = {
    "search.all": (search_all, "search:read"),
    "search.files": (search_files, "search:read"),
    "search.messages": (search_messages, "search:read"),
}
"""Each method with the scope it needs."""
