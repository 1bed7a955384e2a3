"""Answers in pages, by cursor or by number.

https://docs.slack.dev/apis/web-api/pagination
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import TypeVar

from slack_mcp.simulator.args import Args
from slack_mcp.simulator.model import Json, SlackRefusalError

_Item = TypeVar("_Item")


def slice_items(
    items: Sequence[_Item], args: Args, *, default: int = 100, largest: int = 1000
) -> tuple[Sequence[_Item], Json]:
    """Return the page that `cursor` and `limit` ask for, and the response_metadata with the cursor of the next."""
    start = parse_cursor(args) or 0
    limit = args.number("limit", default, largest)
    rest = start + limit < len(items)
    cursor = render_cursor(str(start + limit)) if rest else ""
    return items[start : start + limit], {"response_metadata": {"next_cursor": cursor}}


def number_pages(items: Sequence[_Item], args: Args, *, default: int = 20) -> tuple[Sequence[_Item], Json]:
    """Return the page that `count` and `page` ask for, and Slack's `paging` of it."""
    count = args.number("count", default, 100)
    page = args.number("page", 1, 100)
    pages = -(-len(items) // count)
    paging = {"count": count, "total": len(items), "page": page, "pages": pages}
    return items[(page - 1) * count : page * count], paging


def render_cursor(position: str) -> str:
    """Return a cursor, which callers take as it is."""
    return b64encode(f"next:{position}".encode()).decode()


def parse_cursor(args: Args) -> int | None:
    """Return the position of the call's cursor; None without one. Raises SlackRefusalError invalid_cursor."""
    cursor = args.optional("cursor")
    if cursor is None:
        return None
    try:
        return int(b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except ValueError as error:
        raise SlackRefusalError("invalid_cursor") from error
