"""How many files are in hand at once: few, since each is in memory, and of one connection not all."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from slack_mcp.core.ids import ConnectionId


class Places:
    """Lets so many in, and makes the others wait.

    Args:
        total: over all connections.
        per_connection: of one, so that a busy one leaves room.
    """

    def __init__(self, *, total: int, per_connection: int) -> None:
        self._total = total
        self._per_connection = per_connection
        self._taken: Counter[ConnectionId] = Counter()
        self._changed = anyio.Condition()

    @asynccontextmanager
    async def take(self, connection_id: ConnectionId) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        async with self._changed:
            while self._taken.total() >= self._total or self._taken[connection_id] >= self._per_connection:
                await self._changed.wait()
            self._taken[connection_id] += 1
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._taken[connection_id] -= 1
                    self._taken += Counter()  # drops those who hold none
                    self._changed.notify_all()
