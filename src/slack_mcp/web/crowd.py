"""How many connections are open at once, and which of them go when there are too many.

Those that owe and are owed nothing go first, the one that has been so for the longest before the others: a balancer
opens another one when it needs it. What is in work stays. When all are in work, a few more are let in, so that probes
are answered, and deliveries are told at once to come again.
"""

from enum import Enum
from typing import Final, Protocol

RESERVE: Final = 64


class Place(Enum):
    """What there is for a newcomer."""

    FREE = "free"
    RESERVED = "reserved"
    NONE = "none"


class Guest(Protocol):
    """One connection."""

    def give_way(self) -> None:
        """Close the connection at once; only called while it rests."""
        ...


class Crowd:
    """The connections of one server.

    Args:
        max_open: how many may be open, beside a reserve.
    """

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._resting: dict[Guest, None] = {}  # in the order in which they began to

    def admit(self, guest: Guest, *, others: int) -> Place:
        """Return what there is for a new connection, which rests at first; another one may have had to go for it."""
        place = self._find_place(others)
        if place is not Place.NONE:
            self._resting[guest] = None
        return place

    def rest(self, guest: Guest) -> None:
        """Note that a connection owes nothing any more."""
        self._resting.pop(guest, None)
        self._resting[guest] = None

    def wake(self, guest: Guest) -> None:
        """Note that a connection is in work, or gone."""
        self._resting.pop(guest, None)

    def _find_place(self, others: int) -> Place:
        if others < self._max_open:
            return Place.FREE
        oldest = next(iter(self._resting), None)
        if oldest is not None:
            del self._resting[oldest]
            oldest.give_way()
            return Place.FREE
        return Place.RESERVED if others < self._max_open + RESERVE else Place.NONE
