"""Work that goes on for as long as the process runs: it survives every error of ours, and says so once."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from slack_mcp.core.errors import SlackMcpError

FAILING_AFTER: Final = 3

_log = structlog.get_logger(__name__)


class Duty:
    """One such piece of work. An error outside our tree is a bug and ends the process.

    Args:
        name: what the log calls it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._failures = 0

    @property
    def is_failing(self) -> bool:
        """Whether it has failed several times in a row."""
        return self._failures >= FAILING_AFTER

    async def attempt(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Do one step; True when it went well, False when it raised an error of ours."""
        try:
            await step()
        except SlackMcpError as error:
            self._failures += 1
            if self._failures == 1:
                _log.warning("duty.failed", duty=self.name, code=error.code, error=str(error))
            return False
        if self._failures:
            _log.info("duty.recovered", duty=self.name, failures=self._failures)
            self._failures = 0
        return True
