"""The duty that deletes what has been kept for long enough."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import anyio

from slack_mcp.inbox.duty import Duty

INTERVAL_S: Final = 60.0
BATCH: Final = 1_000

Deletion: TypeAlias = Callable[[int], Awaitable[int]]
"""Deletes up to so many rows of one kind that are due, and returns how many; raises StoreUnavailableError."""


class Pruner:
    """Deletes in small batches. Every pod may run one: they skip what another one deletes.

    Args:
        deletions: one for each kind of rows that grow old.
    """

    def __init__(self, deletions: Sequence[Deletion]) -> None:
        self._deletions = tuple(deletions)
        self._duty = Duty("prune")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._duty.attempt(self.prune)
            await anyio.sleep(INTERVAL_S)

    async def prune(self) -> None:
        """Delete all that is due; raises StoreUnavailableError."""
        for delete in self._deletions:
            while await delete(BATCH) == BATCH:
                pass
