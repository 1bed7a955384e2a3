"""Time as a dependency, so that tests never wait for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now_s(self) -> float:
        """Return the wall time in unix seconds."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go backwards, for durations and deadlines."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        """Return the wall time in unix seconds."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()
