"""Lists of which only some items are wanted: Slack lists, and what does not fit is passed over here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from slack_mcp.core.errors import RateLimitedError
from slack_mcp.ports.slack import SlackWeb
from slack_mcp.tools.listing import Entry, ItemT, ListArguments, ListResult, Position, fit, read_page

PAGE: Final = 200
MAX_PAGES: Final = 10


class FilteredResult(ListResult):
    """A page of a list of which only some items are wanted: it may be empty and go on all the same."""

    def render_head(self) -> str:
        """Return what stands before the items in Markdown."""
        if self.next_cursor and not getattr(self, self.ITEMS):
            return "Nothing yet; the rest of the list was not looked through."
        return super().render_head()


async def fetch_filtered(
    api: SlackWeb,
    method: str,
    arguments: ListArguments,
    *,
    key: str,
    is_wanted: Callable[[Entry], bool],
    make: Callable[[Sequence[Entry]], Awaitable[Sequence[ItemT]]],
    page_size: int = PAGE,
    max_pages: int = MAX_PAGES,
    **parameters: Any,
) -> tuple[Sequence[ItemT], str | None]:
    """Return (items, next_cursor): up to `limit` items that are wanted, out of a bounded number of Slack's pages.

    When Slack asks to wait in the middle, what was found until then is returned, with the cursor to go on.

    Args:
        api: with the token to use.
        method: the Web API method.
        arguments: limit, cursor and the like.
        key: where the answer holds its list.
        is_wanted: tells whether an entry is one of the items.
        make: turns entries into items, one for each and in order.
        page_size: how many entries to ask for at once; the same for every page of a list.
        max_pages: how many pages to look through.
        parameters: the method's own.

    Raises:
        InvalidInputError: the cursor is none.
        SlackApiError: one of its classes.
    """
    position: Position | None = Position.parse(arguments.cursor)
    found: list[tuple[Entry, Position | None]] = []
    for number in range(max_pages):
        if position is None or len(found) >= arguments.limit:
            break
        try:
            answer = await api.read(method, limit=page_size, cursor=position.page, **parameters)
        except RateLimitedError:
            if number == 0:
                raise
            break
        entries, after = read_page(answer, key)
        wanted = [
            (entry, Position(position.page, index) if index < len(entries) else after)
            for index, entry in enumerate(entries, 1)
            if index > position.skip and is_wanted(entry)
        ]
        room = arguments.limit - len(found)
        found += wanted[:room]
        position = wanted[room - 1][1] if len(wanted) >= room else after
    shown = fit(await make([entry for entry, _ in found]), arguments)
    if len(shown) < len(found):
        position = found[len(shown) - 1][1]
    return shown, None if position is None else position.render()
