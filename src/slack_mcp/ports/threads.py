"""What the bot remembers of a thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSummary:
    """How much is remembered of a thread.

    Attributes:
        turns: questions of which the bot keeps the text, since the thread was last reset.
        last_activity_ms: unix milliseconds of the last of them.
        generation: how often the thread was reset; part of the name under which an agent of Mesh keeps it.
    """

    turns: int
    last_activity_ms: int
    generation: int


class ThreadMemory(Protocol):
    """The bot's memory, thread by thread."""

    async def load_summary(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts
    ) -> ThreadSummary | None:
        """Return how much is remembered, None when the bot never took part in the thread."""
        ...

    async def load_history(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, limit: int, max_age_s: float
    ) -> Sequence[Turn]:
        """Return the last answered turns that an agent would be told of, oldest first."""
        ...

    async def load_generation(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> int:
        """Return how often the thread was reset."""
        ...

    async def load_answering(self, connection_id: ConnectionId) -> Sequence[Turn]:
        """Return the turns that are being answered right now, the newest first: a pod holds the lane of each."""
        ...

    async def reset_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> None:
        """Forget what was said: no agent is told of it any more. The bot still takes part in the thread."""
        ...
