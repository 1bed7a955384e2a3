"""Markdown, as agents write it, in Slack's own markup: nothing in it calls anybody, and nothing of it is lost.

Source: https://docs.slack.dev/messaging/formatting-message-text.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from slack_mcp.protocol.mentions import WORD_JOINER, neutralize
from slack_mcp.protocol.mrkdwn import escape

MAX_TEXT_CHARS: Final = 4_000  # of chat.update, https://docs.slack.dev/reference/methods/chat.update

_ZERO_WIDTH_SPACE: Final = "\u200b"
_MAX_NESTING: Final = 20
_MAX_COLUMN_CHARS: Final = 40
_RULE: Final = "──────────"
_INDENT: Final = "    "
_MARKS: Final[Mapping[str, str]] = MappingProxyType({"strong": "*", "em": "_", "s": "~"})

_ESCAPED_PERSON: Final = re.compile(r"&lt;(@[UW][A-Z0-9]{1,30})&gt;")
_WEB_OR_MARK: Final = re.compile(r"https?://\S+|[*_~`]+")
_CLICKABLE: Final = re.compile(r"https?://|mailto:|tel:", re.IGNORECASE)
_BREAKS: Final = frozenset({"softbreak", "hardbreak"})

# What a reference refers to may stand in another message, so both are left as they are.
_PARSER: Final = (
    MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING, "html": False})
    .enable(["table", "strikethrough"])
    .disable("reference")
)


def render_mrkdwn(markdown: str, *, allow_people: bool = False) -> str:
    """Return Markdown in Slack's own markup, with everything escaped that a person reads.

    Nothing is cut. But a text that fits into a message as it was written, and would not any more in Slack's markup, is
    returned as it was written, escaped; so is one of which nothing would be seen.

    Args:
        markdown: as agents write it: CommonMark, with tables and `~~strikethrough~~`.
        allow_people: `<@U…>` stays a mention.
    """
    written = _render_text(markdown, allow_people=allow_people)
    tokens = _PARSER.parse(markdown)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):  # what is nested deeper is missing in them
        return written
    rendered = _Renderer(allow_people=allow_people).render(tokens)
    if len(written) <= MAX_TEXT_CHARS < len(rendered) or not rendered.strip():
        return written
    return rendered


class _Block(NamedTuple):
    """A rendered block; its first line is not indented.

    Attributes:
        is_flush: its lines have to begin at the margin.
    """

    text: str
    is_flush: bool = False


class _Part(NamedTuple):
    """A part of a line.

    Attributes:
        is_marked: it stands between marks, which Slack takes for such only at the edge of a word.
    """

    text: str
    is_marked: bool = False


class _Renderer:
    def __init__(self, *, allow_people: bool) -> None:
        self._allow_people = allow_people
        self._tokens: Sequence[Token] = ()
        self._place = 0

    def render(self, tokens: Sequence[Token]) -> str:
        self._tokens, self._place = tokens, 0
        return "\n\n".join(block.text for block in self._render_blocks("", indent="", is_quoted=False))

    def _take(self) -> Token:
        self._place += 1
        return self._tokens[self._place - 1]

    def _render_blocks(self, closing: str, *, indent: str, is_quoted: bool) -> Sequence[_Block]:
        """Return the blocks that have anything to show, up to and with the token of the type `closing`."""
        blocks = []
        while self._place < len(self._tokens):
            token = self._take()
            if token.type == closing:
                break
            block = self._render_block(token, indent=indent, is_quoted=is_quoted)
            if block.text:
                blocks.append(block)
        return blocks

    def _render_block(self, token: Token, *, indent: str, is_quoted: bool) -> _Block:
        match token.type:
            case "inline" | "heading_open":
                inline, mark = (token, "") if token.type == "inline" else (self._take(), "*")
                return _Block(self._render_inline(inline.children or (), mark=mark).replace("\n", f"\n{indent}"))
            case "fence" | "code_block":
                return self._render_code(token.content.removesuffix("\n"), indent=indent, is_quoted=is_quoted)
            case "blockquote_open":
                return self._render_quote(indent=indent, is_quoted=is_quoted)
            case "bullet_list_open" | "ordered_list_open":
                return self._render_list(token, indent=indent, is_quoted=is_quoted)
            case "table_open":
                return self._render_table(indent=indent, is_quoted=is_quoted)
        return _Block(_RULE if token.type == "hr" else "")  # the rest only opens or closes

    def _render_code(self, code: str, *, indent: str, is_quoted: bool) -> _Block:
        if not code.strip():
            return _Block("")
        if is_quoted:  # Slack's quotes hold no code
            return _Block(_render_text(_guard_marks(code)).replace("\n", f"\n{indent}"))
        # Three of them would end the code.
        code = neutralize(code).replace("```", f"``{WORD_JOINER}`")
        return _Block(f"```\n{escape(code)}\n```", is_flush=True)

    def _render_quote(self, *, indent: str, is_quoted: bool) -> _Block:
        blocks = self._render_blocks("blockquote_close", indent=indent if is_quoted else "", is_quoted=True)
        if is_quoted:  # Slack's quotes hold no other quote
            return _Block(f"\n{indent}".join(block.text for block in blocks))
        quoted = "\n\n".join(block.text for block in blocks)
        return _Block("\n".join(f"> {line}".rstrip() for line in quoted.split("\n")) if quoted else "", is_flush=True)

    def _render_list(self, opening: Token, *, indent: str, is_quoted: bool) -> _Block:
        start = opening.attrGet("start")
        number = 1 if start is None else int(start)
        inner = indent + _INDENT
        items = []
        while self._take().type == "list_item_open":
            item = [f"{number}{opening.markup}" if opening.type == "ordered_list_open" else "•"]
            for block in self._render_blocks("list_item_close", indent=inner, is_quoted=is_quoted):
                if block.is_flush:
                    item.append(f"\n{block.text}")
                else:
                    item.append(f" {block.text}" if len(item) == 1 else f"\n{inner}{block.text}")
            items.append("".join(item))
            number += 1
        return _Block(f"\n{indent}".join(items))

    def _render_table(self, *, indent: str, is_quoted: bool) -> _Block:
        rows: list[list[str]] = []
        is_right: list[bool] = []
        while (token := self._take()).type != "table_close":
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "th_open":
                is_right.append(token.attrGet("style") == "text-align:right")
            elif token.type == "inline":
                rows[-1].append(neutralize(_read_cell(token.children or ())))
        if is_quoted:
            lines = (" | ".join(row) for row in rows)
            return _Block(f"\n{indent}".join(escape(_guard_marks(line)) for line in lines))
        table = "\n".join(_align(rows, is_right)).replace("```", f"``{WORD_JOINER}`")
        return _Block(f"```\n{escape(table)}\n```", is_flush=True)

    def _render_inline(self, tokens: Sequence[Token], *, mark: str) -> str:
        """Return a paragraph, all of it within a mark if one is given."""
        opened: list[tuple[str, list[_Part]]] = [(mark, [])]
        label: list[str] | None = None
        href = ""
        for token in tokens:
            kind = token.type.removesuffix("_open").removesuffix("_close")
            if token.type == "link_open":
                label, href = [], str(token.attrGet("href") or "")
            elif token.type == "link_close":
                opened[-1][1].append(_Part(_render_link(href, "".join(label or ()))))
                label = None
            elif label is not None:
                label.append(_read(token))
            elif kind not in _MARKS:
                opened[-1][1].append(self._render_part(token))
            elif token.nesting > 0:
                # Within itself a mark would only end.
                is_new = all(outer != _MARKS[kind] for outer, _ in opened)
                opened.append((_MARKS[kind] if is_new else "", []))
            else:
                inner = _join(*opened.pop())
                opened[-1][1].append(inner)
        return _join(*opened[0]).text

    def _render_part(self, token: Token) -> _Part:
        if token.type in _BREAKS:
            return _Part("\n")
        if token.type == "image":
            return _Part(_render_link(str(token.attrGet("src") or ""), _read(token)))
        if token.type == "code_inline" and token.content.strip() and "`" not in token.content:
            return _Part(f"`{_render_text(token.content)}`", is_marked=True)
        return _Part(_render_text(_guard_marks(token.content), allow_people=self._allow_people))


def _join(mark: str, parts: Sequence[_Part]) -> _Part:
    """Return the parts as one, each line of it within the mark."""
    joined: list[str] = []
    last = _Part("")
    for part in parts:
        if not part.text:
            continue
        if last.text.endswith(("@", "&lt;")):
            joined.append(WORD_JOINER)  # what stands in two parts may be a mention all the same
        is_word = (last.is_marked or last.text[-1:].isalnum()) and (part.is_marked or part.text[0].isalnum())
        if is_word and (last.is_marked or part.is_marked):
            joined.append(_ZERO_WIDTH_SPACE)
        joined.append(part.text)
        last = part
    text = "".join(joined)
    if not mark:
        is_single = len(parts) == 1
        return _Part(text, is_marked=is_single and parts[0].is_marked)
    lines = (
        line.replace(core, f"{mark}{core}{mark}", 1) if (core := line.strip()) else line for line in text.split("\n")
    )
    return _Part("\n".join(lines), is_marked=bool(text.strip()))


def _render_text(text: str, *, allow_people: bool = False) -> str:
    """Return a text that stands for itself, and calls nobody."""
    escaped = escape(neutralize(text, allow_people=allow_people))
    return _ESCAPED_PERSON.sub(r"<\1>", escaped) if allow_people else escaped


def _render_link(href: str, label: str) -> str:
    """Return a link with its label; an address that Slack opens nothing for is shown."""
    label = label.replace("\n", " ").strip()
    shown = _render_text(_guard_marks(label))
    if not _CLICKABLE.match(href):
        address = _render_text(_guard_marks(href))
        return f"{shown} ({address})" if label and href and label != href else shown or address
    target = escape(href.replace("<", "%3C").replace(">", "%3E").replace("|", "%7C"))
    return f"<{target}|{shown}>" if label and label != href else f"<{target}>"


def _guard_marks(text: str) -> str:
    """Return a text whose `*`, `_`, `~`, backticks and first `>` Slack does not take for formatting."""

    def guard(found: re.Match[str]) -> str:
        before, behind = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
        is_harmless = (before.isalnum() and behind.isalnum()) or (before.isspace() and behind.isspace())
        if found[0][0] not in "*_~`" or is_harmless:
            return found[0]
        return f"{WORD_JOINER}{WORD_JOINER.join(found[0])}{WORD_JOINER}"

    guarded = _WEB_OR_MARK.sub(guard, text)
    return f"{WORD_JOINER}{guarded}" if text.startswith(">") else guarded


def _read(token: Token) -> str:
    """Return what a person reads of an inline token, without any formatting."""
    if token.type in _BREAKS:
        return "\n"
    return "".join(map(_read, token.children)) if token.children else token.content


def _read_cell(tokens: Iterable[Token]) -> str:
    """Return what a person reads in a table, where nothing is formatted; behind a link's label stands its address."""
    read: list[str] = []
    label_at, href = 0, ""
    for token in tokens:
        if token.type == "link_open":
            label_at, href = len(read), str(token.attrGet("href") or "")
        elif token.type == "link_close":
            label = "".join(read[label_at:])
            if href not in {label, f"mailto:{label}"}:
                read.append(f" ({href})" if label else href)
        else:
            read.append(_read(token))
    return "".join(read).replace("\n", " ")


def _align(rows: Sequence[Sequence[str]], is_right: Sequence[bool]) -> Iterable[str]:
    """Return the lines of a table; what is too wide for its column moves only its own line."""
    widths = [min(max(map(_count_columns, column)), _MAX_COLUMN_CHARS) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for cell, width, right in zip(row, widths, is_right, strict=True):
            blanks = " " * (width - _count_columns(cell))
            cells.append(blanks + cell if right else cell + blanks)
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("─" * width for width in widths))
    return lines


def _count_columns(text: str) -> int:
    """Return how many columns a text takes where all characters are as wide, or twice as wide."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    unseen = sum(unicodedata.category(char) in {"Mn", "Me", "Cf"} for char in text)
    return len(text) + wide - unseen
