"""Hears what a listener tells its subscribers, in order."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf

import anyio

from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.announcements import Subscribers
from slack_mcp.ports.directory import ReadPoint
from slack_mcp.store.announcements import Listener

LISTENING, DEAF, WORK = "listening", "deaf", "work"
PATIENCE_S = 10.0


class Ears:
    """Keeps what is heard until a test asks for it. Override `on_change` and `on_listening` to act on it as well."""

    def __init__(self) -> None:
        self.lags_s: list[float] = []
        self.ahead_s: list[float] = []
        self._send, self._receive = anyio.create_memory_object_stream[ConnectionChange | str](inf)

    def on_change(self, change: ConnectionChange) -> None:
        self._send.send_nowait(change)

    def on_work(self) -> None:
        self._send.send_nowait(WORK)

    def on_listening(self, is_listening: bool) -> None:
        self._send.send_nowait(LISTENING if is_listening else DEAF)

    def on_point(self, point: ReadPoint) -> None:
        """Do nothing: it is told before `on_listening`, which is kept."""

    async def hear(self) -> ConnectionChange | str:
        """Return the next thing heard."""
        with anyio.fail_after(PATIENCE_S):
            return await self._receive.receive()

    @property
    def is_empty(self) -> bool:
        """Whether nothing more was heard."""
        return self._receive.statistics().current_buffer_used == 0

    @asynccontextmanager
    async def listen(
        self, dsn: str | None, *, heartbeat_s: float = 60.0, now_s: Callable[[], float] = time.time
    ) -> AsyncIterator[Listener]:
        """Yield a listener that runs."""
        assert dsn is not None
        subscribers = Subscribers(
            on_change=self.on_change,
            on_work=self.on_work,
            on_listening=self.on_listening,
            on_lag=self.lags_s.append,
            on_clock=self.ahead_s.append,
            on_point=self.on_point,
        )
        listener = Listener(
            dsn,
            subscribers=subscribers,
            connect_timeout_s=2.0,
            heartbeat_s=heartbeat_s,
            heartbeat_timeout_s=0.2,
            now_s=now_s,
        )
        async with self.closing(), anyio.create_task_group() as tasks:
            tasks.start_soon(listener.run)
            yield listener
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """Hear nothing any more at the end."""
        with self._send, self._receive:
            yield
