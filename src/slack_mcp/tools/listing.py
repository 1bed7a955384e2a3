"""Results that are lists: in few tokens, page by page, with a cursor that means the same later.

A page ends where Slack's page ends, or where `max_tokens` is reached; the cursor then says how far into Slack's page
the caller has read, so that nothing is left out and nothing comes twice.
"""

import base64
import binascii
import csv
import io
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.ports.slack import SlackWeb
from slack_mcp.protocol.answers import get_cursor, mappings
from slack_mcp.tools.tool import Arguments, Result

Entry: TypeAlias = Mapping[str, Any]
"""One thing of a list, or a whole answer, as Slack sends it."""
Format: TypeAlias = Literal["markdown", "json", "csv"]
BYTES_PER_TOKEN: Final = 4
DEFAULT_MAX_TOKENS: Final = 6_000
MAX_CURSOR_CHARS: Final = 2_000


class ListArguments(Arguments):
    """What every list takes."""

    limit: int = Field(default=100, ge=1, le=200, description="Most items to return.")
    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_CHARS, description="next_cursor of the page before.")
    format: Format = Field(default="markdown", description="Of the text.")
    max_tokens: int = Field(
        default=DEFAULT_MAX_TOKENS,
        ge=200,
        le=100_000,
        description="About how long the text may be; the rest comes with next_cursor.",
    )


class Item(Result):
    """One item of a list."""

    def render_line(self) -> str:
        """Return it as Markdown, one line or a few."""
        raise NotImplementedError


class ListResult(Result):
    """A page. The list itself is the field that `ITEMS` names."""

    ITEMS: ClassVar[str]

    next_cursor: str | None = Field(default=None, description="Give it as cursor to go on; absent at the end.")

    def render_text(self, arguments: BaseModel) -> str:
        """Return the page in the format that was asked for."""
        items: Sequence[Item] = getattr(self, self.ITEMS)
        match getattr(arguments, "format", "json"):
            case "markdown":
                return "\n".join(
                    [self.render_head(), *(item.render_line() for item in items), *self._render_foot()]
                ).strip()
            case "csv":
                return "\n".join([render_csv(items), *self._render_foot()])
            case _:
                return super().render_text(arguments)

    def render_head(self) -> str:
        """Return what stands before the items in Markdown."""
        return "" if getattr(self, self.ITEMS) else f"No {self.ITEMS.replace('_', ' ')}."

    def _render_foot(self) -> list[str]:
        return [f"next_cursor: {self.next_cursor}"] if self.next_cursor else []


ItemT = TypeVar("ItemT", bound=Item)


def render_csv(items: Sequence[Item]) -> str:
    """Return the items as CSV with a head."""
    if not items:
        return ""
    columns = list(type(items[0]).model_fields)
    return render_table(columns, [item.dump() for item in items])


def render_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows, each by column, as CSV (RFC 4180) with a head; a cell that a spreadsheet would run is made text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_render_cell(column) for column in columns])
    writer.writerows([_render_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue().rstrip("\n")


def _render_cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # https://owasp.org/www-community/attacks/CSV_Injection
    return f"'{text}" if isinstance(value, str) and text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def count_tokens(text: str) -> int:
    """Return about how many tokens a text is to a model."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def fit(items: Sequence[ItemT], arguments: ListArguments) -> Sequence[ItemT]:
    """Return the first items that are together not longer than `max_tokens`, at least one."""
    left = arguments.max_tokens
    for number, item in enumerate(items):
        left -= count_tokens(item.render_line() if arguments.format == "markdown" else _render_compact(item))
        if left < 0 and number:
            return items[:number]
    return items


def _render_compact(item: Item) -> str:
    return json.dumps(item.dump(), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on.

    Attributes:
        page: Slack's own cursor of the page, or whatever names it; None for the first.
        skip: items of that page that were read already.
    """

    page: str | None = None
    skip: int = 0

    def render(self) -> str:
        """Return the cursor."""
        text = json.dumps([self.page, self.skip], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str | None) -> "Position":
        """Return where to go on; raises InvalidInputError for what is no cursor of ours."""
        if cursor is None:
            return cls()
        try:
            page, skip = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except (ValueError, TypeError, binascii.Error, RecursionError):
            page, skip = None, -1
        if not (page is None or isinstance(page, str)) or type(skip) is not int or skip < 0:
            raise InvalidInputError("cursor: give the next_cursor of the page before as it came, or none to begin.")
        return cls(page, skip)


async def fetch_page(
    api: SlackWeb,
    method: str,
    arguments: ListArguments,
    *,
    key: str,
    make: Callable[[Sequence[Entry]], Awaitable[Sequence[ItemT]]],
    see: Callable[[Entry], None] | None = None,
    **parameters: Any,
) -> tuple[Sequence[ItemT], str | None]:
    """Return (items, next_cursor) of one page of a list that Slack pages by cursor.

    Source: https://docs.slack.dev/apis/web-api/pagination.

    Args:
        api: with the token to use.
        method: the Web API method.
        arguments: limit, cursor and the like.
        key: where the answer holds its list.
        make: turns what Slack lists into items, one for each and in order.
        see: looks at the whole answer before that.
        parameters: the method's own.

    Raises:
        InvalidInputError: the cursor is none.
        SlackApiError: one of its classes.
    """
    position = Position.parse(arguments.cursor)
    answer = await api.read(method, limit=arguments.limit, cursor=position.page, **parameters)
    if see is not None:
        see(answer)
    entries, after = read_page(answer, key)
    shown = fit(await make(entries[position.skip :]), arguments)
    read = position.skip + len(shown)
    following = Position(position.page, read) if read < len(entries) else after
    return shown, None if following is None else following.render()


def read_page(answer: Entry, key: str) -> tuple[Sequence[Entry], Position | None]:
    """Return (entries, where the next page begins) of one of Slack's answers."""
    cursor = get_cursor(answer)
    return mappings(answer.get(key)), None if cursor is None else Position(cursor)
