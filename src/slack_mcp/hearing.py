"""Hearing what other pods announce: on a connection that may be lost, and is made again while somebody runs."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import anyio
import structlog

HEARTBEAT_S: Final = 5.0
HEARTBEAT_TIMEOUT_S: Final = 3.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0

_log = structlog.get_logger(__name__)


class LogLines(NamedTuple):
    """What the log's lines are called, each in full, so that who reads one can search for it."""

    listening: str
    deaf: str
    lost: str


class Hearing:
    """Whether announcements are heard now, and the loop that has them heard again.

    Args:
        lines: what the log says.
        tell: told True once everything from now on will be heard, False as soon as something may be missed.
    """

    def __init__(self, lines: LogLines, *, tell: Callable[[bool], None]) -> None:
        self._lines = lines
        self._tell = tell
        self.is_listening = False

    async def run(self, listen: Callable[[], Awaitable[None]], *, lost: tuple[type[Exception], ...]) -> None:
        """Listen again and again until cancelled.

        Args:
            listen: returns when the connection closed, or raises one of `lost`; calls `begin` once it hears everything.
            lost: what a lost connection raises.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await listen()
            except lost as error:
                _log.warning(self._lines.lost, error=type(error).__name__)
            finally:
                # Also when cancelled: what is still at work while the process ends must not take silence for no change.
                if self.is_listening:
                    self._set(is_listening=False)
                    pause_s = FIRST_PAUSE_S
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def begin(self) -> None:
        """Note that everything from now on will be heard."""
        self._set(is_listening=True)

    def _set(self, *, is_listening: bool) -> None:
        self.is_listening = is_listening
        _log.info(self._lines.listening if is_listening else self._lines.deaf)
        self._tell(is_listening)
