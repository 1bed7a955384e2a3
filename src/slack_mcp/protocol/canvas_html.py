"""A canvas as Markdown, out of the HTML that a download of it is.

Source: https://docs.slack.dev/surfaces/canvases; the HTML itself is documented nowhere, so that anything is taken.
"""

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Final

_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCKS: Final = frozenset({"p", "div", "section", "article", "table", "blockquote"}) | _HEADINGS
_LISTS: Final = frozenset({"ul", "ol"})
_SILENT: Final = frozenset({"script", "style", "head", "title"})
_MARKS: Final = MappingProxyType(
    {"b": "**", "strong": "**", "i": "*", "em": "*", "s": "~~", "del": "~~", "strike": "~~", "code": "`"}
)
_MAX_INDENT: Final = 8
_BLANKS: Final = re.compile(r"[ \t\r\n\f\u200b]+")
_GAPS: Final = re.compile(r"\n{3,}")
# A `<` that begins no whole tag.
_NO_TAG: Final = re.compile(r"<(?!/?[A-Za-z][^<>]*>|![A-Za-z][^<>]*>)")


def read_canvas_html(html: str) -> str:
    """Return the canvas as Markdown; never raises."""
    reader = _Reader()
    # The parser of the standard library raises for a marked section that it does not know, and for what is begun and
    # never ended it looks to the end again and again.
    reader.feed(_NO_TAG.sub("&lt;", _drop_comments(html)))
    reader.close()
    return reader.render()


def _drop_comments(html: str) -> str:
    first, *others = html.split("<!--")
    return first + "".join(each.partition("-->")[2] for each in others)


class _Reader(HTMLParser):
    """Writes Markdown while it reads HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._lists: list[int | None] = []  # None for a list with points, else the number of its last item
        self._links: list[tuple[str, int]] = []
        self._silent = 0
        self._verbatim = 0

    def render(self) -> str:
        """Return what was written."""
        lines = "".join(self._out).split("\n")
        return _GAPS.sub("\n\n", "\n".join(line.rstrip(" \t") for line in lines)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        values = {name: value or "" for name, value in attrs}
        begin = _BEGINS.get(tag)
        if begin is not None:
            begin(self, tag, values)
        else:
            self._write(self._find_mark(tag))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take `<x/>` for what it begins, except where that would never end."""
        if tag not in _SILENT and tag not in _LISTS and tag != "pre":
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        end = _ENDS.get(tag)
        if end is not None:
            end(self)
        elif tag in _MARKS:
            self._write(self._find_mark(tag))

    def handle_data(self, data: str) -> None:
        """Write a text."""
        if self._silent:
            return
        text = data if self._verbatim else _BLANKS.sub(" ", data)
        if text == " " and (not self._out or self._out[-1].endswith("\n")):
            return
        self._write(text)

    def begin_silence(self, _tag: str, _values: Mapping[str, str]) -> None:
        """Begin something of which nothing is shown."""
        self._silent += 1

    def end_silence(self) -> None:
        """Show what follows."""
        self._silent = max(self._silent - 1, 0)

    def begin_list(self, tag: str, _values: Mapping[str, str]) -> None:
        """Begin a list, perhaps inside another."""
        if not self._lists:
            self._write("\n\n")
        self._lists.append(0 if tag == "ol" else None)

    def end_list(self) -> None:
        """End the innermost list."""
        if self._lists:
            self._lists.pop()
        if not self._lists:
            self._write("\n\n")

    def begin_item(self, _tag: str, values: Mapping[str, str]) -> None:
        """Begin an item of a list."""
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        mark = "-" if number is None else f"{number + 1}."
        indent = "  " * min(max(len(self._lists) - 1, 0), _MAX_INDENT)
        check = "[x] " if "checked" in values.get("class", "").split() else ""
        self._write(f"\n{indent}{mark} {check}")

    def begin_block(self, tag: str, _values: Mapping[str, str]) -> None:
        """Begin a paragraph or the like; in a list it goes on in the line of its item."""
        if self._lists:
            return
        self._write("\n\n")
        if tag in _HEADINGS:
            self._write("#" * int(tag[1]) + " ")
        elif tag == "blockquote":
            self._write("> ")

    def end_block(self) -> None:
        """End a paragraph or the like."""
        self._write("\n" if self._lists else "\n\n")

    def begin_code(self, _tag: str, _values: Mapping[str, str]) -> None:
        """Begin a text in which blanks count."""
        self._verbatim += 1
        self._write("\n\n```\n")

    def end_code(self) -> None:
        """End it."""
        self._verbatim = max(self._verbatim - 1, 0)
        self._write("\n```\n\n")

    def begin_link(self, _tag: str, values: Mapping[str, str]) -> None:
        """Remember where a link's label begins."""
        self._links.append((values.get("href", ""), len(self._out)))

    def end_link(self) -> None:
        """Write the link, where it says more than its label."""
        if not self._links:
            return
        href, start = self._links.pop()
        label = "".join(self._out[start:]).strip()
        if href and label and href != label:
            self._out[start:] = [f"[{label}]({href})"]

    def show_image(self, _tag: str, values: Mapping[str, str]) -> None:
        """Write what stands for an image."""
        self._write(f"![{values.get('alt', '')}]")

    def end_cell(self) -> None:
        """End a cell of a table."""
        self._write(" |")

    def _find_mark(self, tag: str) -> str:
        match tag:
            case "br":
                return "\n"
            case "hr":
                return "\n\n---\n\n"
            case "tr":
                return "\n|"
            case "td" | "th":
                return " "
            case _:
                return "" if self._verbatim else _MARKS.get(tag, "")

    def _write(self, text: str) -> None:
        if text and not self._silent:
            self._out.append(text)


_BEGINS: Final[Mapping[str, Callable[[_Reader, str, Mapping[str, str]], None]]] = MappingProxyType(
    dict.fromkeys(_BLOCKS, _Reader.begin_block)
    | dict.fromkeys(_LISTS, _Reader.begin_list)
    | dict.fromkeys(_SILENT, _Reader.begin_silence)
    | {"pre": _Reader.begin_code, "li": _Reader.begin_item, "a": _Reader.begin_link, "img": _Reader.show_image}
)
_ENDS: Final[Mapping[str, Callable[[_Reader], None]]] = MappingProxyType(
    dict.fromkeys(_BLOCKS, _Reader.end_block)
    | dict.fromkeys(_LISTS, _Reader.end_list)
    | dict.fromkeys(_SILENT, _Reader.end_silence)
    | dict.fromkeys(("td", "th"), _Reader.end_cell)
    | {"pre": _Reader.end_code, "a": _Reader.end_link}
)
