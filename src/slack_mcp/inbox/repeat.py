"""A duty that does one step again and again."""

from collections.abc import Awaitable, Callable

import anyio

from slack_mcp.inbox.duty import Duty


class Repeater:
    """Repeats a step for as long as the process runs.

    Args:
        name: what the log calls the duty.
        step: done once each time; an error of ours is logged, and the next time comes all the same.
        interval_s: between two steps.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], *, interval_s: float) -> None:
        self._duty = Duty(name)
        self._step = step
        self._interval_s = interval_s

    @property
    def is_failing(self) -> bool:
        """Whether the step has failed several times in a row."""
        return self._duty.is_failing

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._duty.attempt(self._step)
            await anyio.sleep(self._interval_s)
