"""A long text, page by page: with a cursor that means the same later, and that is refused when the text changed."""

from hashlib import sha256
from typing import Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.tools.listing import BYTES_PER_TOKEN, DEFAULT_MAX_TOKENS, MAX_CURSOR_CHARS, Position
from slack_mcp.tools.tool import Arguments

_DIGEST_CHARS: Final = 16


class TextArguments(Arguments):
    """What every tool takes that returns a long text."""

    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_CHARS, description="next_cursor of the page before.")
    max_tokens: int = Field(
        default=DEFAULT_MAX_TOKENS,
        ge=200,
        le=100_000,
        description="About how long the text may be; the rest comes with next_cursor.",
    )


def cut_page(text: str, arguments: TextArguments) -> tuple[str, str | None]:
    """Return (the page, next_cursor): whole lines as far as one fits, None at the end.

    Raises:
        InvalidInputError: the cursor is none, or the text is not what it was.
    """
    digest = sha256(text.encode()).hexdigest()[:_DIGEST_CHARS]
    position = Position.parse(arguments.cursor)
    if arguments.cursor is not None and (position.page != digest or position.skip > len(text)):
        raise InvalidInputError("cursor: the text has changed since that page was read; begin again without a cursor.")
    max_bytes = arguments.max_tokens * BYTES_PER_TOKEN
    # A character has one byte at least, so that no more of them are looked at than can fit.
    rest = text[position.skip : position.skip + max_bytes + 1]
    page = rest.encode()[:max_bytes].decode(errors="ignore")
    end = position.skip + len(page)
    if end >= len(text):
        return page, None
    line_end = page.rfind("\n") + 1
    if line_end:
        page, end = page[:line_end], position.skip + line_end
    return page, Position(digest, end).render()


def render_page(text: str, next_cursor: str | None) -> str:
    """Return the page as a text result."""
    return text if next_cursor is None else f"{text}\n\nnext_cursor: {next_cursor}"
