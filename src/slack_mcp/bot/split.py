"""Cuts a long answer into messages."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

MAX_CHARS: Final = 3900
"""Of one message, as Slack stores it: chat.update refuses more than 4 000 characters (`msg_too_long`).

Source: https://docs.slack.dev/reference/methods/chat.update.
"""

# Where a text may be cut: behind an empty line, behind a line, behind a word; the best first.
_BOUNDARIES: Final = (re.compile(r"\n[ \t]*\n+"), re.compile(r"\n+"), re.compile(r"\s+"))
_FENCE: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_ENTITY: Final = re.compile(r"&[a-z]{0,3}\Z")  # the beginning of `&amp;`, `&lt;` or `&gt;`


def split_answer(text: str, max_chars: int = MAX_CHARS) -> Sequence[str]:
    """Return the pieces of an escaped text; joined together they are the text again, and none is empty.

    A piece ends with a paragraph, else a line, else a word; inside a code fence only when the fence alone is too long.

    Args:
        text: escaped for Slack; none of its entities is cut.
        max_chars: the longest piece, at least 8.
    """
    fences = [found.span() for found in _FENCE.finditer(text)]

    def is_outside_of_fences(position: int) -> bool:
        before = bisect_left(fences, (position, 0)) - 1  # the last fence that begins before the position
        return before < 0 or position >= fences[before][1]

    cuts = [0]
    while len(text) - cuts[-1] > max_chars:
        cuts.append(_find_cut(text, cuts[-1], max_chars, is_outside_of_fences))
    return [text[start:end] for start, end in pairwise([*cuts, len(text)]) if start < end]


def _find_cut(text: str, start: int, max_chars: int, is_outside_of_fences: Callable[[int], bool]) -> int:
    """Return where the piece that begins at `start` ends: after its first character and within `max_chars`."""
    end = start + max_chars
    boundaries = [[found.end() for found in each.finditer(text, start, end)] for each in _BOUNDARIES]
    outside = [[position for position in each if is_outside_of_fences(position)] for each in boundaries]
    for positions in outside:
        if positions and positions[-1] - start >= max_chars // 2:  # not for the price of a stump
            return positions[-1]
    _, lines, words = boundaries
    for positions in (outside[-1], lines, words):  # a stump is better than a torn fence, and that than a torn word
        if positions:
            return positions[-1]
    entity = _ENTITY.search(text, end - 4, end)
    return entity.start() if entity else end
