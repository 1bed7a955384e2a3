"""How far the answer of a turn stands in Slack, stored before the next step relies on it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from slack_mcp.core.ids import Ts
from slack_mcp.core.model import Turn

STREAMING: Final = "streaming"
"""In the place of a digest: the message is a stream, which nobody has ended as far as is known."""


class Progress:
    """The messages of the turn's answer, in order, and what each shows when it is whole.

    Args:
        turn: with those that are stored.
        save: stores changes of the turn.
    """

    def __init__(self, turn: Turn, *, save: Callable[..., Awaitable[None]]) -> None:
        self.parts = turn.parts
        self.digests = turn.digests
        self.opening = turn.opening
        self._save = save

    @property
    def changes(self) -> Mapping[str, Any]:
        """What is to be stored of it."""
        return {"parts": self.parts, "digests": self.digests, "answer_ts": self.parts[0] if self.parts else None}

    async def note_opening(self, opening: str) -> None:
        """Store with which words a message is about to be opened, which carries no mark until it is whole."""
        await self._save(opening=opening)
        self.opening = opening

    def is_streaming(self, part: int) -> bool:
        """Tell whether a part's message may not be edited before its stream is ended."""
        return self.digests[part : part + 1] == (STREAMING,)

    async def note_part(self, part: int, ts: Ts, *, is_streaming: bool = False) -> None:
        """Store which message shows a part; raises StoreError."""
        if self.parts[part : part + 1] == (ts,) and is_streaming == self.is_streaming(part):
            return
        self.keep(part, ts, STREAMING if is_streaming else "")
        await self._save(**self.changes, opening=None)
        self.opening = None

    def keep(self, part: int, ts: Ts, digest: str) -> None:
        """Note which message shows a part, and what, to be stored later: until then it is found by its mark."""
        self.parts = (*self.parts[:part], ts, *self.parts[part + 1 :])
        self.digests = (*self.digests[:part], digest, *self.digests[part + 1 :])

    def end(self, count: int) -> None:
        """Note that there are no more than so many messages, to be stored later."""
        self.parts, self.digests = self.parts[:count], self.digests[:count]
