"""Mentions in a text that an agent wrote: it calls nobody whom it must not call.

Source: https://docs.slack.dev/messaging/formatting-message-text#mentioning-users.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

WORD_JOINER: Final = "\u2060"

# A character may be written as an entity, and an entity's `&` as one again.
# https://spec.commonmark.org/0.31.2/#entity-and-numeric-character-references
_AMPERSAND: Final = r"&(?:amp;){0,3}"
_LESS: Final = rf"(?:<|{_AMPERSAND}(?:lt|#0{{0,5}}60|#x0{{0,4}}3c);)"
_AT: Final = rf"(?:@|{_AMPERSAND}(?:commat|#0{{0,5}}64|#x0{{0,4}}40);)"
# Any id is taken for one, but of the words only those that call: code is full of `<!--`, `(?<!a)` and `<# #>`.
_CALLED: Final = r"(?:here|channel|everyone|group|subteam|[a-z]{0,7}&#)"
_CALL: Final = (
    rf"\\?(?:[@#][a-z0-9&\\]|!{_CALLED}|{_AMPERSAND}(?:commat|num|excl|#0{{0,5}}(?:64|35|33)|#x0{{0,4}}(?:40|23|21));)"
)
_BROADCAST: Final = r"(?:(?:here|channel|everyone|group)(?![a-z0-9_])|[a-z]{0,7}&#)"
_PERSON: Final = r"(?-i:@[UW][A-Z0-9]{1,30}>)"
_BARE: Final = rf"(?<![a-z0-9]){_AT}(?={_BROADCAST})"  # what a letter stands before is an e-mail address
_ANYBODY: Final = re.compile(rf"{_LESS}(?={_CALL})|{_BARE}", re.IGNORECASE)
_GROUPS: Final = re.compile(rf"(?!<{_PERSON}){_LESS}(?={_CALL})|{_BARE}", re.IGNORECASE)
# The end of a text that is, or may become, one of them.
_BEGUN_ENTITY: Final = rf"{_AMPERSAND}[#a-z0-9]{{0,9}}"
_UNDECIDED: Final = re.compile(
    rf"(?:{_LESS}\\?(?:![a-z]{{0,8}}&?|#|@[a-z0-9]{{0,31}}|{_BEGUN_ENTITY})?|{_AT}[a-z]{{0,8}}&?|{_BEGUN_ENTITY})\Z",
    re.IGNORECASE,
)
_MAX_UNDECIDED_CHARS: Final = 64


def neutralize(text: str, *, allow_people: bool = False) -> str:
    """Return Markdown that calls nobody when Slack renders it.

    A word joiner, which nobody sees, is all that is added: without them it is the text again.

    Args:
        text: Markdown, or any other text.
        allow_people: `<@U…>` stays a mention; what calls a channel or a group never does.
    """
    return (_GROUPS if allow_people else _ANYBODY).sub(rf"\g<0>{WORD_JOINER}", text)


class Neutralizer:
    """`neutralize` for a text that comes in pieces: what is returned, joined, is the same.

    Args:
        allow_people: as there.
    """

    def __init__(self, *, allow_people: bool = False) -> None:
        self._pattern = _GROUPS if allow_people else _ANYBODY
        self._before = ""  # the last character that was returned tells whether an `@` belongs to an address
        self._held = ""

    def feed(self, piece: str) -> str:
        """Return what is certain, all but an end that may become a mention."""
        self._held += piece
        found = _UNDECIDED.search(self._held, max(0, len(self._held) - _MAX_UNDECIDED_CHARS))
        return self._release(len(self._held) if found is None else found.start())

    def finish(self) -> str:
        """Return the rest: nothing more comes."""
        return self._release(len(self._held))

    def _release(self, end: int) -> str:
        text, first = self._before + self._held, len(self._before)
        places = [found.end() for found in self._pattern.finditer(text, first) if found.start() < first + end]
        released = _insert(text[first : first + end], [place - first for place in places])
        self._before, self._held = text[: first + end][-1:], self._held[end:]
        return released


def _insert(text: str, places: Sequence[int]) -> str:
    """Return the text with a word joiner at each of the places, which ascend."""
    bounds = [0, *places, len(text)]
    return WORD_JOINER.join(text[start:end] for start, end in pairwise(bounds))
