"""How the values in the database are sealed, and sealing them anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class SealedBy(StrEnum):
    """What opens a value."""

    RING = "ring"
    DATA_KEY = "data_key"
    DESTROYED = "destroyed"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealCount:
    """How many values of one column are sealed in one way.

    Attributes:
        key_id: of the ring's key, None for what no key of the ring has sealed.
        count: how many.
        is_left: they are to be sealed anew.
    """

    table: str
    column: str
    sealed_by: SealedBy
    key_id: str | None
    count: int
    is_left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What one run did.

    Attributes:
        keys_made: connections that got a data key.
        keys_moved: data keys that are sealed by another key of the ring now.
        values: other values that were sealed anew.
        unreadable: values that do not open, because their key is not on the ring, or they were changed.
    """

    keys_made: int = 0
    keys_moved: int = 0
    values: int = 0
    unreadable: int = 0


class SecretKeeper(Protocol):
    """All values that are sealed in the database. Every method may raise `StoreUnavailableError`."""

    @property
    def key_ids(self) -> Sequence[str]:
        """The ids of the ring's keys, the one that seals first; none without a ring."""
        ...

    async def count_sealed(self) -> Sequence[SealCount]:
        """Return how all values are sealed, column by column."""
        ...

    async def rotate(self, tell: Callable[[str, int], None]) -> Resealed:
        """Seal everything as it would be sealed now: with data keys, and those under the ring's first key.

        Small batches, beside running pods: a value that somebody writes at the same time stays as it was written. What
        was done is done, whenever this ends; the next run goes on from there.

        Args:
            tell: called now and then with a table and how many of its values were sealed anew.
        """
        ...

    async def drop_data_keys(self, tell: Callable[[str, int], None]) -> Resealed:
        """Seal everything under the ring's first key alone, and delete the data keys; no pod may run meanwhile.

        Raises:
            ConflictError: some values could not be sealed anew, or were written meanwhile; no data key was deleted.
        """
        ...
