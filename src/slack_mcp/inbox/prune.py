"""Deleting what has been kept for long enough, in small batches or by the week: one pod does it for all.

It does no harm when two do: each skips what the other deletes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

PRUNE_INTERVAL_S: Final = 60.0
BATCH: Final = 1_000

Deletion: TypeAlias = Callable[[int], Awaitable[int]]
"""Deletes up to so many rows of one kind that are due, and returns how many; raises StoreUnavailableError."""


async def prune(deletions: Sequence[Deletion]) -> None:
    """Delete all that is due; raises StoreUnavailableError.

    Args:
        deletions: one for each kind of rows that grow old.
    """
    for delete in deletions:
        while await delete(BATCH) == BATCH:
            pass
