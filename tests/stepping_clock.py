"""A clock for tests, importable from everywhere below tests/."""


class SteppingClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.time_s = 1_800_000_000.0

    def now_s(self) -> float:
        return self.time_s

    def monotonic_s(self) -> float:
        return self.time_s
