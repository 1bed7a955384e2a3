"""Searching messages.

There are two searches. The old one takes a person's token alone and knows Slack's search language:
https://docs.slack.dev/reference/methods/search.messages. The new one also takes a bot's, with the `action_token` of a
message that the bot has just received: https://docs.slack.dev/apis/web-api/real-time-search-api.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, SlackMcpError
from slack_mcp.core.model import Connection
from slack_mcp.protocol.answers import get_cursor, mappings, string
from slack_mcp.protocol.message_text import name_ids, read_text
from slack_mcp.tools.call import Call
from slack_mcp.tools.listing import (
    DEFAULT_MAX_TOKENS,
    MAX_CURSOR_CHARS,
    Format,
    ListArguments,
    ListResult,
    Position,
    fit,
)
from slack_mcp.tools.message_items import MessageItem, find_names
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Tool

OLD_SCOPE: Final = "search:read"
NEW_SCOPE: Final = "search:read.public"
NEW_PAGE: Final = 20
_NEEDS: Final = Needs(bot=(NEW_SCOPE,), user=((OLD_SCOPE, NEW_SCOPE),))


class SearchArguments(Arguments):
    """What to search."""

    query: str = Field(
        min_length=1,
        max_length=500,
        description="Words; with a user token also in:#channel from:@ann after:2026-01-31.",
    )
    count: int = Field(default=20, ge=1, le=100, description="Most messages to return.")
    sort: Literal["score", "timestamp"] = "score"
    action_token: str | None = Field(
        default=None, max_length=500, description="Of the message being answered, for a search with the bot token."
    )
    include_permalinks: bool = Field(default=False, description="Return links for people too.")
    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_CHARS, description="next_cursor of the page before.")
    format: Format = Field(default="markdown", description="Of the text.")
    max_tokens: int = Field(
        default=DEFAULT_MAX_TOKENS, ge=200, le=100_000, description="About how long the text may be."
    )


class FoundItem(MessageItem):
    """A message that was found."""

    channel: str
    channel_name: str | None = None
    permalink: str | None = None

    def render_line(self) -> str:
        """Return it as Markdown."""
        where = f"{self.channel_name} ({self.channel})" if self.channel_name else self.channel
        link = f" {self.permalink}" if self.permalink else ""
        return f"- {where} {self._render_said()}{link}"


class SearchResult(ListResult):
    """Messages that were found."""

    ITEMS: ClassVar[str] = "messages"

    messages: Sequence[FoundItem]


class _Found(NamedTuple):
    """A message as either search shows it."""

    ts: str
    user: str
    shown_name: str
    text: str
    channel: str
    channel_name: str
    permalink: str


class _Page(NamedTuple):
    """What Slack found, and what names the page after it; None when there is none."""

    found: Sequence[_Found]
    following: str | None


_Fetch = Callable[[str | None], Awaitable[_Page]]


async def _search(call: Call, arguments: SearchArguments) -> SearchResult:
    kind, fetch = _choose(call, arguments)
    position = Position.parse(arguments.cursor)
    page_kind, _, name = (position.page or f"{kind}:").partition(":")
    if page_kind != kind:
        raise InvalidInputError("cursor: it belongs to a search with another token; begin again without one.")
    page = await fetch(name or None)
    shown = fit(
        await _describe(call, page.found[position.skip :], with_links=arguments.include_permalinks),
        ListArguments(format=arguments.format, max_tokens=arguments.max_tokens),
    )
    read = position.skip + len(shown)
    following: Position | None = None
    if read < len(page.found):
        following = Position(f"{kind}:{name}", read)
    elif page.following:
        following = Position(f"{kind}:{page.following}")
    return SearchResult(messages=shown, next_cursor=following.render() if following else None)


def _choose(call: Call, arguments: SearchArguments) -> tuple[str, _Fetch]:
    """Return (a word for the search, what fetches its pages).

    An action token is good for what everybody in its conversation may see, so that it goes before a person's token.

    Raises:
        SlackMcpError: no token of the connection is good for a search; says which would be.
    """
    has_user_token = call.connection.user_token is not None
    if arguments.action_token is None and has_user_token:
        granted = call.connection.user_scopes
        if granted is None or OLD_SCOPE in granted:
            return "old", lambda page: _fetch_old(call, arguments, page)
        if NEW_SCOPE in granted:
            return "new", lambda page: _fetch_new(call, arguments, page, as_user=True)
    if arguments.action_token is None:
        raise _find_problem(call.connection)
    return "bot", lambda page: _fetch_new(call, arguments, page, as_user=False)


def _find_problem(connection: Connection) -> SlackMcpError:
    scopes = f"{OLD_SCOPE} or {NEW_SCOPE}"
    lacks = f"a scope of the user token ({scopes})" if connection.user_token else f"a user token with {scopes}"
    return InvalidInputError(
        f"This search needs {lacks} in the connection's settings, or the action_token of a message that the bot has "
        "just received. SLACK_GET_CHANNEL_HISTORY reads a channel without either."
    )


async def _fetch_old(call: Call, arguments: SearchArguments, page: str | None) -> _Page:
    """Return a page, whose name is `number-count`: the count says where it begins."""
    number, _, count = (page or f"1-{arguments.count}").partition("-")
    if not (number.isdecimal() and count.isdecimal()):
        raise InvalidInputError("cursor: this is the cursor of another list.")
    answer = await call.user.read(
        "search.messages", query=arguments.query, sort=arguments.sort, count=int(count), page=int(number)
    )
    section = answer.get("messages")
    section = section if isinstance(section, Mapping) else {}
    paging = section.get("paging")
    pages = paging.get("pages") if isinstance(paging, Mapping) else None
    found = [_read_old(each) for each in mappings(section.get("matches"))]
    return _Page(found, f"{int(number) + 1}-{count}" if isinstance(pages, int) and int(number) < pages else None)


def _read_old(match: Mapping[str, Any]) -> _Found:
    channel = match.get("channel")
    channel = channel if isinstance(channel, Mapping) else {}
    return _Found(
        ts=string(match.get("ts")),
        user=string(match.get("user")),
        shown_name=string(match.get("username")),
        text=read_text(match),
        channel=string(channel.get("id")),
        channel_name="" if channel.get("is_im") else string(channel.get("name")),
        permalink=string(match.get("permalink")),
    )


async def _fetch_new(call: Call, arguments: SearchArguments, page: str | None, *, as_user: bool) -> _Page:
    answer = await (call.user if as_user else call.bot).read(
        "assistant.search.context",
        query=arguments.query,
        action_token=arguments.action_token,
        content_types="messages",
        sort=arguments.sort,
        include_bots=True,
        limit=min(arguments.count, NEW_PAGE),
        cursor=page,
    )
    results = answer.get("results")
    found = [_read_new(each) for each in mappings(results.get("messages") if isinstance(results, Mapping) else None)]
    return _Page(found, get_cursor(answer))


def _read_new(match: Mapping[str, Any]) -> _Found:
    return _Found(
        ts=string(match.get("message_ts")),
        user=string(match.get("author_user_id")),
        shown_name=string(match.get("author_name")),
        text=string(match.get("content")),
        channel=string(match.get("channel_id")),
        channel_name=string(match.get("channel_name")),
        permalink=string(match.get("permalink")),
    )


async def _describe(call: Call, found: Sequence[_Found], *, with_links: bool) -> Sequence[FoundItem]:
    users, channels = await find_names(call, [each.text for each in found], users=[each.user for each in found])
    return [
        FoundItem(
            ts=each.ts,
            user=each.user or None,
            user_name=users.get(each.user) or each.shown_name or None,
            text=name_ids(each.text, users, channels),
            thread_ts=_read_thread(each.permalink),
            channel=each.channel,
            channel_name=f"#{each.channel_name}" if each.channel_name else None,
            permalink=each.permalink if with_links else None,
        )
        for each in found
    ]


def _read_thread(permalink: str) -> str | None:
    """Return the thread that a reply's link leads into; the searches say it nowhere else."""
    try:
        query = parse_qs(urlsplit(permalink).query)
    except ValueError:
        return None
    return query.get("thread_ts", [None])[0]


TOOLS: Final = (
    Tool(
        name="SLACK_SEARCH_MESSAGES",
        title="Search messages",
        description=(
            "Searches the workspace's messages: with a user token what its owner sees, with an action_token public "
            "channels. Without either, read channels with SLACK_GET_CHANNEL_HISTORY."
        ),
        arguments=SearchArguments,
        result=SearchResult,
        run=_search,
        needs=_NEEDS,
    ),
)
