"""What Valkey is told without anybody waiting for it: in order, and again for a while where it was lost."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import anyio
import structlog
from redis.asyncio import Redis

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.valkey.client import Valkey

MAX_WAITING: Final = 10_000
RETRY_S: Final = 0.2

Command: TypeAlias = Callable[[Redis], Awaitable[Any]]

_log = structlog.get_logger(__name__)


class Outbox:
    """Sends commands for as long as `run` runs.

    Args:
        valkey: gets them.
        clock: its monotonic time says how old a command is.
        max_waiting: how many may wait; what comes then is dropped.
    """

    def __init__(self, valkey: Valkey, *, clock: Clock, max_waiting: int = MAX_WAITING) -> None:
        self._valkey = valkey
        self._now_s = clock.monotonic_s
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[Command, float]] = deque()
        self._called = anyio.Event()
        self._is_idle = anyio.Event()

    def post(self, command: Command, *, good_for_s: float = 0.0) -> None:
        """Let the command be sent soon; it is dropped when too many wait already.

        Args:
            command: may be sent twice.
            good_for_s: for how long it is tried again when the server does not answer.
        """
        if len(self._waiting) >= self._max_waiting:
            _log.debug("valkey.outbox_full")
            return
        self._waiting.append((command, self._now_s() + good_for_s))
        self._called.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            while self._waiting:
                await self._send_first()
            self._is_idle.set()
            self._called = anyio.Event()
            await self._called.wait()

    async def _send_first(self) -> None:
        command, until_s = self._waiting[0]
        try:
            await self._valkey.run(command)
        except StoreUnavailableError:
            if self._now_s() < until_s:
                await anyio.sleep(RETRY_S)
                return
            _log.debug("valkey.not_told")
        self._waiting.popleft()

    async def flush(self, *, timeout_s: float) -> None:
        """Return when everything was sent or dropped, after `timeout_s` at the latest."""
        with anyio.move_on_after(timeout_s):
            while self._waiting:
                self._is_idle = anyio.Event()
                await self._is_idle.wait()
