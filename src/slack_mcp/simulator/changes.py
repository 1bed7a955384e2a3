"""Waiting for something to become true without polling, and telling the watchers of the page."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from slack_mcp.simulator.model import Json


class Changes:
    """Everything that happens in a simulator passes here."""

    def __init__(self) -> None:
        self._changed = anyio.Event()
        self._closed = anyio.Event()
        self._watchers: set[MemoryObjectSendStream[Json]] = set()

    def notify(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = anyio.Event()

    def publish(self, change: Json) -> None:
        """Notify, and hand a change to the watchers. A watcher that does not keep up is dropped."""
        self.notify()
        for watcher in list(self._watchers):
            try:
                watcher.send_nowait(change)
            except (anyio.WouldBlock, anyio.BrokenResourceError):
                self._watchers.discard(watcher)
                watcher.close()

    async def wait_until(self, is_true: Callable[[], bool], *, timeout_s: float | None = None) -> None:
        """Return as soon as `is_true()`; it is asked again after every call, message and delivery attempt.

        Raises:
            TimeoutError: it did not become true within `timeout_s`.
        """
        with anyio.fail_after(timeout_s):
            while not is_true():
                await self._changed.wait()

    @asynccontextmanager
    async def watching(self, *, capacity: int = 1000) -> AsyncIterator[MemoryObjectReceiveStream[Json]]:
        """Yield a stream of the changes from now on, which ends when the simulator stops."""
        send, receive = anyio.create_memory_object_stream[Json](capacity)
        self._watchers.add(send)
        if self._closed.is_set():
            send.close()
        try:
            with receive:
                yield receive
        finally:
            self._watchers.discard(send)
            send.close()

    def close(self) -> None:
        """End every watcher's stream."""
        self._closed.set()
        for watcher in self._watchers:
            watcher.close()
