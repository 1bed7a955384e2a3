"""Cuts a long Markdown answer into messages, while it is still being written.

What a reader has seen in one message never moves to another. So the cuts look forward: from a length on, the first good
place ends the piece; and near the limit the last words are held back until it is certain where they belong.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

MAX_CHARS: Final = 3_900
"""Of one piece as shown, as `measure` counts: chat.update takes no text of more than 4 000 characters.

Source: https://docs.slack.dev/reference/methods/chat.update.
"""

# All as `measure` counts.
_ENOUGH: Final = 2_000  # code or a table that begins from here on begins a piece of its own
_SOFT: Final = 3_000  # a paragraph does
_FIRM: Final = 3_500  # any line does; from here on, what may have to move is held back
_FIRM_IN_CODE: Final = 3_750  # a line of code does

_LIST_MARKS: Final = r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+){0,2}"
# A longer fence, or one that says more, would fill the pieces that it is repeated in: then it is text like any other.
_OPENING: Final = re.compile(rf"({_LIST_MARKS})(`{{3,20}}(?=[^`]*\Z)|~{{3,20}}(?!~))(.{{0,80}})")
_MAY_OPEN: Final = re.compile(
    rf"{_LIST_MARKS}(?:[-*+]|\d{{1,9}}[.)]?|`{{1,2}}|~{{1,2}}|`{{3,20}}[^`]{{0,80}}|~{{3,20}}[^~].{{0,80}}|~{{3,20}})?"
)
_MAX_LINK_CHARS: Final = 400
_OPEN_LINK: Final = re.compile(r"\[[^\]]*(?:\](?:\([^)]*)?)?")
_OPEN_ENTITY: Final = re.compile(r"&#?\w{0,9}\Z")
_JOINED: Final = frozenset({"Mn", "Mc", "Me", "Cf", "Cs"})  # categories of characters that belong to the one before
_MAX_BACK_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Piece:
    """One message's share of an answer.

    Attributes:
        text: the share itself: all of them, joined, are the answer.
        shown: what the message shows: without blanks around it, and with the fences of code that is cut.
    """

    text: str
    shown: str


class _Fence(NamedTuple):
    """Where code begins."""

    mark: str
    info: str
    indent_chars: int

    def is_closed_by(self, line: str) -> bool:
        code = line.strip()
        return code.startswith(self.mark) and self.may_be_closed_by(line)

    def may_be_closed_by(self, line: str) -> bool:
        """Tell whether a line that is not complete may come to close the code."""
        indent = len(line) - len(line.lstrip(" \t"))
        # Source: https://spec.commonmark.org/0.31.2/#fenced-code-blocks, up to three spaces more than what is around.
        return not line.strip().strip(self.mark[0]) and indent <= self.indent_chars + 3


class Pieces:
    """The pieces of one answer, which grows.

    However the answer is cut into the texts that are fed, the pieces are the same, as long as `cut` is not used.
    """

    def __init__(self) -> None:
        self._closed: list[Piece] = []
        self._fence: _Fence | None = None  # of the code that stands open behind the lines that are taken
        self._begin("")

    @property
    def closed(self) -> Sequence[Piece]:
        """The pieces that do not change any more; none is blank."""
        return self._closed

    @property
    def open(self) -> str:
        """What the last piece shows so far: it only grows, and the closed piece begins with it; empty when blank."""
        return self._show(self._find_certain())

    @property
    def open_fence(self) -> str:
        """What has to stand in a line of its own before text that is no code can follow; empty outside of code."""
        line = self._text[self._taken :]
        if self._fence is None:
            opened = _read_opening(line)
            return "" if opened is None else opened.mark
        return "" if self._fence.is_closed_by(line) else self._fence.mark

    def feed(self, text: str) -> None:
        """Take what the answer goes on with."""
        self._text += text
        while self._decide(is_last=False):
            pass

    def cut(self) -> None:
        """Close the open piece behind what it shows, which may be in the middle of a word; nothing when it is blank."""
        certain = self._find_certain()
        if self._show(certain):
            self._close(certain)

    def finish(self) -> None:
        """Close the last piece: nothing more comes."""
        while self._decide(is_last=True):
            pass
        if self._show(len(self._text)):
            self._close(len(self._text))
        elif self._closed:
            self._closed[-1] = replace(self._closed[-1], text=self._closed[-1].text + self._text)
        self._fence = None
        self._begin("")

    def _begin(self, text: str) -> None:
        """Begin a piece; `text` is what is known of it and of all that follow."""
        self._text = text
        self._taken = 0  # so much of the text is lines that stay in this piece
        self._is_line_begun = False  # the line behind them stays too, at least in part
        self._continued = self._fence
        self._continued_end: int | None = None  # where the line begins that closes the code the piece began in
        self._last_line = ""
        self._is_paragraph_over = False

    def _close(self, end: int) -> None:
        self._closed.append(Piece(text=self._text[:end], shown=self._show(end) + self._render_closing()))
        self._begin(self._text[end:])

    def _decide(self, *, is_last: bool) -> bool:
        """Close the piece, or take its next line; return False when that needs more text."""
        newline = self._text.find("\n", self._taken)
        end = newline + 1 if newline >= 0 else len(self._text)
        line = self._text[self._taken : end]
        is_complete = newline >= 0 or (is_last and line != "")
        if not line.strip():
            if is_complete:
                self._taken, self._is_paragraph_over = end, True
            return is_complete
        if not is_complete and self._may_be_fence(line):
            return False
        if not self._is_line_begun and self._is_end_before(line):
            self._close(self._taken)
            return True
        self._is_line_begun = True
        cut = self._find_cut(end)
        if cut is not None:
            self._close(cut)
        elif is_complete:
            self._take(line, end)
        return cut is not None or is_complete

    def _take(self, line: str, end: int) -> None:
        self._is_paragraph_over = False
        if self._fence is None:
            self._fence = _read_opening(line)
        elif self._fence.is_closed_by(line):
            if self._continued is not None and self._continued_end is None:
                self._continued_end = self._taken
            self._fence, self._is_paragraph_over = None, True
        self._taken, self._last_line, self._is_line_begun = end, line, False

    def _may_be_fence(self, line: str) -> bool:
        """Tell whether a line that is not complete may come to open code or to close it."""
        if self._fence is None:
            return _MAY_OPEN.fullmatch(line) is not None
        return self._fence.may_be_closed_by(line)

    def _is_end_before(self, line: str) -> bool:
        """Tell whether the piece ends with the lines that are taken, given the line behind them."""
        size = self._measure_to(self._taken) if self._taken else 0
        if size < _ENOUGH or not self._show(self._taken):
            return False
        if self._fence is not None:
            return size >= _FIRM_IN_CODE and not self._fence.is_closed_by(line)
        if size >= _FIRM or _read_opening(line) is not None:
            return True
        if _is_table(line) and not _is_table(self._last_line):
            return True
        # A heading is not left behind by what it stands above.
        return size >= _SOFT and self._is_paragraph_over and not self._last_line.startswith("#")

    def _find_cut(self, end: int) -> int | None:
        """Return where the piece ends within the line behind the taken ones, None when it has room up to `end`."""
        if self._measure_to(end) <= MAX_CHARS:
            return None
        last = self._find_place(MAX_CHARS + 1, end) - 1
        return self._find_word(self._find_place(_FIRM, end), last) or self._move_back(last)

    def _find_certain(self) -> int:
        """Return up to where the text stays in this piece, whatever follows."""
        line, end = self._text[self._taken :], len(self._text)
        if not line.strip() or self._may_be_fence(line):
            return self._taken
        if self._measure_to(end) < _FIRM:
            return end
        firm = self._find_place(_FIRM, end)
        return self._find_word(firm, end) or firm

    def _find_place(self, size: int, end: int) -> int:
        """Return the first place in the line behind the taken ones at which the piece has at least that size.

        Args:
            size: not more than the piece has at `end`.
            end: where to look no further.
        """
        span = MAX_CHARS
        while self._taken + span < end and self._measure_to(self._taken + span) < size:
            span *= 2  # there are many blanks, which are not shown before something follows
        places = range(self._taken, min(end, self._taken + span) + 1)
        return places[bisect_left(places, size, key=self._measure_to)]

    def _find_word(self, first: int, last: int) -> int | None:
        """Return the last place within the two, inclusive, at which a word begins that is not in a link."""
        text = self._text
        for place in range(min(last, len(text) - 1), first - 1, -1):
            if place == self._taken:
                return place
            if text[place - 1].isspace() and not text[place].isspace() and not self._is_in_link(place):
                return place
        return None

    def _is_in_link(self, place: int) -> bool:
        begin = self._text.rfind("[", max(self._taken, place - _MAX_LINK_CHARS), place)
        return begin >= 0 and _OPEN_LINK.fullmatch(self._text, begin, place) is not None

    def _move_back(self, place: int) -> int:
        """Return a place not far before, at which neither a character as people see it nor an entity is torn."""
        text = self._text
        entity = _OPEN_ENTITY.search(text, place - _MAX_BACK_CHARS, place)
        if entity is not None:
            return entity.start()
        for moved in range(place, place - _MAX_BACK_CHARS, -1):
            before, behind = text[moved - 1], text[moved]
            is_run = before == behind and behind in "*_~`"
            is_joined = unicodedata.category(behind) in _JOINED or "\U0001f3fb" <= behind <= "\U0001f3ff"
            if not (is_run or is_joined or before in "\\\u200d"):
                return moved
        return place

    def _measure_to(self, end: int) -> int:
        return measure(self._show(end) + self._render_closing())

    def _render_closing(self) -> str:
        return "" if self._fence is None else f"\n{self._fence.mark}"

    def _show(self, end: int) -> str:
        """Return what the piece shows when it ends there, without a closing fence."""
        text = self._text[:end]
        if self._continued is None:
            return text.strip()
        code = text[: self._continued_end]
        rest = "" if self._continued_end is None else text[self._continued_end :].partition("\n")[2].rstrip()
        if not code.strip():
            return rest.strip()
        mark, info, indent_chars = self._continued
        # The list that the code may stand in is not repeated, so the code stands at the margin.
        code = re.sub(rf"^[ \t]{{1,{indent_chars}}}", "", code, flags=re.MULTILINE) if indent_chars else code
        begun = f"{mark}{info}\n{code}"
        return begun.rstrip() if self._continued_end is None else f"{begun}{mark}\n{rest}".rstrip()


def split_markdown(text: str) -> Sequence[Piece]:
    """Return the pieces of a whole answer; none is blank, and a blank answer has none."""
    pieces = Pieces()
    pieces.feed(text)
    pieces.finish()
    return pieces.closed


def join_pieces(pieces: Sequence[Piece]) -> str:
    """Return the answer that was cut: the reverse of `split_markdown`."""
    return "".join(piece.text for piece in pieces)


def measure(shown: str) -> int:
    """Return how many characters a text may take in Slack: at least as many as it has escaped, with nobody mentioned.

    Text of many bytes counts for more: with blocks, Slack refuses what has more than about 10 kB in UTF-8.
    """
    added = 5 * shown.count("&") + 4 * shown.count("<") + 3 * shown.count(">") + shown.count("@")
    return max(len(shown) + added, len(shown.encode("utf-8", "surrogatepass")) * 2 // 5)


def _read_opening(line: str) -> _Fence | None:
    found = _OPENING.fullmatch(line.removesuffix("\n"))
    return None if found is None else _Fence(mark=found[2], info=found[3].rstrip(), indent_chars=len(found[1]))


def _is_table(line: str) -> bool:
    return line.lstrip(" ").startswith("|")
