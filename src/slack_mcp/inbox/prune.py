"""The duty that deletes what has been kept for long enough."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from slack_mcp.inbox.duty import Duty
from slack_mcp.ports.store import Journal, TurnArchive

INTERVAL_S: Final = 60.0
BATCH: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept after they ended, in seconds.

    Attributes:
        done_s: of events that were done or skipped.
        dead_s: of events that were given up.
        turns_s: of questions and answers, and with them of the bot's part in a thread.
    """

    done_s: float
    dead_s: float
    turns_s: float


class Pruner:
    """Deletes in small batches. Every pod may run one: they skip what another one deletes."""

    def __init__(self, *, journal: Journal, turns: TurnArchive, retention: Retention) -> None:
        self._journal = journal
        self._turns = turns
        self._retention = retention
        self._duty = Duty("prune")

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._duty.attempt(self.prune)
            await anyio.sleep(INTERVAL_S)

    async def prune(self) -> None:
        """Delete all that is due; raises StoreUnavailableError."""
        retention = self._retention
        await _repeat(
            lambda: self._journal.delete_finished(
                done_before_s=retention.done_s, dead_before_s=retention.dead_s, limit=BATCH
            )
        )
        await _repeat(lambda: self._turns.delete_turns(before_s=retention.turns_s, limit=BATCH))


async def _repeat(delete: Callable[[], Awaitable[int]]) -> None:
    """Delete batch after batch, until one is not full."""
    while await delete() == BATCH:
        pass
