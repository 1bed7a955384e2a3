"""What somebody may be about to type: names that begin with a text, or hold it."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from slack_mcp.names.fetch import Known
from slack_mcp.ports.names import Suggestion, Suggestions

LISTED_TTL_S: Final = 300.0
"""How long a list that was read to its end is not read again."""
NOBODY: Final = ""
"""The name of nothing and nobody, so that who looks for it sees the whole list."""


def suggest_names(known: Sequence[Known], text: str, *, limit: int, is_complete: bool) -> Suggestions:
    """Return the suggestions: those that begin with the text first, by name.

    Args:
        known: all that there are.
        text: what was typed so far, with or without `#` or `@`.
        limit: most to return.
        is_complete: whether these are all of the workspace's.
    """
    wanted = text.strip().removeprefix("#").removeprefix("@").casefold()
    namesakes = Counter(name for each in known for name in each.names)
    found: list[tuple[tuple[bool, str, str], Known]] = []
    for each in known:
        if each.is_archived or not each.shown or not any(wanted in name for name in each.names):
            continue
        begins = any(name.startswith(wanted) for name in each.names)
        found.append(((not begins, each.shown.casefold(), each.id), each))
    found.sort(key=lambda each: each[0])
    first = [
        Suggestion(id=each.id, name=each.shown, is_clear=namesakes[each.shown.casefold()] == 1)
        for _, each in found[:limit]
    ]
    return Suggestions(first=first, total=len(found), is_complete=is_complete)
