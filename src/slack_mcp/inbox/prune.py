"""The duty that deletes what has been finished for long enough."""

from typing import Final

import anyio

from slack_mcp.inbox.duty import Duty
from slack_mcp.ports.store import Journal

INTERVAL_S: Final = 60.0
BATCH: Final = 1_000


class Pruner:
    """Deletes finished events in small batches. Every pod may run one: they skip what another one deletes.

    Args:
        done_s: seconds after which a done or skipped event goes.
        dead_s: seconds after which a dead event goes.
    """

    def __init__(self, *, journal: Journal, done_s: float, dead_s: float) -> None:
        self._journal = journal
        self._done_s = done_s
        self._dead_s = dead_s
        self._duty = Duty("prune")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._duty.attempt(self.prune)
            await anyio.sleep(INTERVAL_S)

    async def prune(self) -> None:
        """Delete all that is due; raises StoreUnavailableError."""
        deleted = BATCH
        while deleted == BATCH:
            deleted = await self._journal.delete_finished(
                done_before_s=self._done_s, dead_before_s=self._dead_s, limit=BATCH
            )
