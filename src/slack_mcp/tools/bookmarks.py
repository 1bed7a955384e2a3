"""Links at the top of a channel."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import mappings, string
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText
from slack_mcp.tools.file_items import flatten
from slack_mcp.tools.listing import Item, ListArguments, ListResult, Position, fit
from slack_mcp.tools.message_items import find_names
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.reactions import Emoji
from slack_mcp.tools.tool import Arguments, Result, Tool

_WRITES: Final = Needs(bot=("bookmarks:write",))

# The lengths: https://docs.slack.dev/reference/methods/bookmarks.edit
Title: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Link: TypeAlias = Annotated[
    str, Field(max_length=2_048, pattern=r"^https?://[^\s/]\S*$", description="http or https address.")
]
BookmarkId: TypeAlias = Annotated[
    str, Field(max_length=50, pattern=r"^[A-Za-z0-9]+$", description="Id (Bk…), from SLACK_LIST_BOOKMARKS.")
]


class ListBookmarksArguments(ListArguments):
    """Of which channel."""

    channel: ChannelText


class BookmarkItem(Item):
    """One bookmark."""

    id: str
    title: str
    link: str | None = Field(default=None, description="Absent for a folder.")
    emoji: str | None = None
    type: str | None = None
    updated_by: str | None = None
    updated_by_name: str | None = None

    def render_line(self) -> str:
        """Return it as Markdown."""
        who = self.updated_by_name or self.updated_by
        parts = (self.emoji, flatten(self.title), self.link, f"({self.type})" if self.type != "link" else None)
        return f"- {self.id} {' '.join(filter(None, parts))}{f' by {who}' if who else ''}"


class ListBookmarksResult(ListResult):
    """Bookmarks."""

    ITEMS: ClassVar[str] = "bookmarks"

    bookmarks: Sequence[BookmarkItem]


class AddBookmarkArguments(Arguments):
    """What to link to."""

    channel: ChannelText
    title: Title
    link: Link
    emoji: Emoji | None = None


class EditBookmarkArguments(Arguments):
    """What to change."""

    channel: ChannelText
    bookmark_id: BookmarkId
    title: Title | None = None
    link: Link | None = None
    emoji: Emoji | None = None


class BookmarkResult(Result):
    """The bookmark as it is now."""

    channel: str
    bookmark_id: str
    title: str
    link: str | None = None
    emoji: str | None = None


class RemoveBookmarkArguments(Arguments):
    """Which bookmark."""

    channel: ChannelText
    bookmark_id: BookmarkId


class RemoveBookmarkResult(Result):
    """Whether it was there to be removed."""

    channel: str
    bookmark_id: str
    changed: bool


async def _list_bookmarks(call: Call, arguments: ListBookmarksArguments) -> ListBookmarksResult:
    position = Position.parse(arguments.cursor)
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.read("bookmarks.list", channel_id=channel_id)  # all of them
    entries = mappings(answer.get("bookmarks"))
    shown = entries[position.skip : position.skip + arguments.limit]
    names, _ = await find_names(call, users=[string(each.get("last_updated_by_user_id")) for each in shown])
    page = fit([_make_item(each, names) for each in shown], arguments)
    read = position.skip + len(page)
    return ListBookmarksResult(
        bookmarks=page, next_cursor=Position(skip=read).render() if read < len(entries) else None
    )


def _make_item(entry: Mapping[str, Any], names: Mapping[str, str]) -> BookmarkItem:
    user_id = string(entry.get("last_updated_by_user_id"))
    return BookmarkItem(
        id=string(entry.get("id")),
        title=string(entry.get("title")),
        link=string(entry.get("link")) or None,
        emoji=string(entry.get("emoji")) or None,
        type=string(entry.get("type")) or None,
        updated_by=user_id or None,
        updated_by_name=names.get(user_id),
    )


async def _add(call: Call, arguments: AddBookmarkArguments) -> BookmarkResult:
    channel_id = await call.resolve_channel(arguments.channel)
    answer = await call.bot.write(
        "bookmarks.add",
        channel_id=channel_id,
        title=arguments.title,
        type="link",
        link=arguments.link,
        emoji=_render_emoji(arguments.emoji),
    )
    result = _make_result(channel_id, answer)
    call.targets.append(result.bookmark_id)
    return result


async def _edit(call: Call, arguments: EditBookmarkArguments) -> BookmarkResult:
    if arguments.title is None and arguments.link is None and arguments.emoji is None:
        raise InvalidInputError("Give what to change: title, link or emoji.")
    channel_id = await call.resolve_channel(arguments.channel)
    try:
        answer = await call.bot.write(
            "bookmarks.edit",
            channel_id=channel_id,
            bookmark_id=arguments.bookmark_id,
            title=arguments.title,
            link=arguments.link,
            emoji=_render_emoji(arguments.emoji),
        )
    except SlackRefusedError as error:
        if not is_refusal(error, "not_found"):
            raise
        raise InvalidInputError(
            "bookmark_id: the channel has no such bookmark; SLACK_LIST_BOOKMARKS shows those it has."
        ) from None
    return _make_result(channel_id, answer)


async def _remove(call: Call, arguments: RemoveBookmarkArguments) -> RemoveBookmarkResult:
    channel_id = await call.resolve_channel(arguments.channel)
    changed = True
    try:
        await call.bot.write("bookmarks.remove", channel_id=channel_id, bookmark_id=arguments.bookmark_id)
    except SlackRefusedError as error:
        if not is_refusal(error, "not_found"):
            raise
        changed = False
    return RemoveBookmarkResult(channel=channel_id, bookmark_id=arguments.bookmark_id, changed=changed)


def _render_emoji(name: str | None) -> str | None:
    return None if name is None else f":{name.strip(':')}:"


def _make_result(channel_id: str, answer: Mapping[str, Any]) -> BookmarkResult:
    bookmark = answer["bookmark"]
    return BookmarkResult(
        channel=channel_id,
        bookmark_id=bookmark["id"],
        title=string(bookmark.get("title")),
        link=string(bookmark.get("link")) or None,
        emoji=string(bookmark.get("emoji")) or None,
    )


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_BOOKMARKS",
        title="List bookmarks",
        description="Returns the links at the top of a channel.",
        arguments=ListBookmarksArguments,
        result=ListBookmarksResult,
        run=_list_bookmarks,
        needs=Needs(bot=("bookmarks:read",)),
    ),
    Tool(
        name="SLACK_ADD_BOOKMARK",
        title="Add a bookmark",
        description="Puts a link at the top of a channel.",
        arguments=AddBookmarkArguments,
        result=BookmarkResult,
        run=_add,
        access=Access.WRITE,
        needs=_WRITES,
    ),
    Tool(
        name="SLACK_EDIT_BOOKMARK",
        title="Change a bookmark",
        description="Changes a channel's bookmark; what is not given stays.",
        arguments=EditBookmarkArguments,
        result=BookmarkResult,
        run=_edit,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_REMOVE_BOOKMARK",
        title="Remove a bookmark",
        description="Takes a link off the top of a channel, whoever put it there.",
        arguments=RemoveBookmarkArguments,
        result=RemoveBookmarkResult,
        run=_remove,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
)
