"""The workspace's own emoji."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from pydantic import Field

from slack_mcp.tools.call import Call
from slack_mcp.tools.listing import Item, ListArguments, ListResult, Position, fit
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Tool

_ALIAS: Final = "alias:"


class ListEmojiArguments(ListArguments):
    """Which emoji."""

    query: str | None = Field(default=None, min_length=1, max_length=100, description="Part of the name.")
    include_urls: bool = Field(default=False, description="Also where each image is.")


class EmojiItem(Item):
    """One emoji."""

    name: str
    alias_for: str | None = None
    url: str | None = None

    def render_line(self) -> str:
        """Return it as Markdown."""
        alias = f" = :{self.alias_for}:" if self.alias_for else ""
        return f"- :{self.name}:{alias}{f' {self.url}' if self.url else ''}"


class ListEmojiResult(ListResult):
    """Emoji, by name."""

    ITEMS: ClassVar[str] = "emoji"

    emoji: Sequence[EmojiItem]


async def _list_emoji(call: Call, arguments: ListEmojiArguments) -> ListEmojiResult:
    position = Position.parse(arguments.cursor)
    answer = await call.bot.read("emoji.list")  # all of them: https://docs.slack.dev/reference/methods/emoji.list
    listed = answer.get("emoji")
    images = listed if isinstance(listed, Mapping) else {}
    wanted = (arguments.query or "").strip(":").casefold()
    names = sorted(name for name, image in images.items() if isinstance(image, str) and wanted in name.casefold())
    # The cursor is the name that was shown last: an emoji that comes or goes moves no other.
    rest = names[0 if position.page is None else bisect_right(names, position.page) :]
    page = fit([_make_item(name, images[name], arguments) for name in rest[: arguments.limit]], arguments)
    has_more = len(page) < len(rest)
    return ListEmojiResult(emoji=page, next_cursor=Position(page[-1].name).render() if has_more else None)


def _make_item(name: str, image: str, arguments: ListEmojiArguments) -> EmojiItem:
    if image.startswith(_ALIAS):
        return EmojiItem(name=name, alias_for=image.removeprefix(_ALIAS))
    return EmojiItem(name=name, url=image if arguments.include_urls else None)


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_EMOJI",
        title="List custom emoji",
        description="Returns the emoji that the workspace has added; standard ones such as thumbsup are not in it.",
        arguments=ListEmojiArguments,
        result=ListEmojiResult,
        run=_list_emoji,
        needs=Needs(bot=("emoji:read",)),
    ),
)
