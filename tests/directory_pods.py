"""A pod's directory on PostgreSQL, with its listener, and with Valkey where a test wants it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
from ears import LISTENING, Ears
from postgres import make_url
from stepping_clock import SteppingClock
from valkey_pods import open_valkey_at

from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.directory import ReadPoint
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import open_database
from slack_mcp.valkey.client import Valkey
from slack_mcp.valkey.connections import PointedStore, SharedConnections
from slack_mcp.valkey.outbox import Outbox

SEALER = Sealer(KeyRing.generate("k1"))
TTL_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What a pod has of Valkey."""

    valkey: Valkey
    outbox: Outbox
    second: SharedConnections

    async def flush(self) -> None:
        """Return when everything that was to be kept is."""
        await self.outbox.flush(timeout_s=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPod:
    """What a test does with a pod; `shared` is None without Valkey."""

    store: SqlConnectionStore
    directory: CachedDirectory
    ears: Ears
    clock: SteppingClock
    shared: Shared | None


class DirectoryEars(Ears):
    """Tells the directory first and the test afterwards, as a pod does."""

    def __init__(self, directory: CachedDirectory, second: SharedConnections | None) -> None:
        super().__init__()
        self._directory = directory
        self._second = second

    def on_change(self, change: ConnectionChange) -> None:
        self._directory.invalidate(change.connection_id, change.version)
        super().on_change(change)

    def on_listening(self, is_listening: bool) -> None:
        self._directory.set_listening(is_listening)
        super().on_listening(is_listening)

    def on_point(self, point: ReadPoint) -> None:
        if self._second is not None:
            self._second.listen_from(point)


@asynccontextmanager
async def open_shared(
    valkey_url: str, *, store: PointedStore, clock: SteppingClock, sealer: Sealer = SEALER, max_changes: int = 100
) -> AsyncIterator[Shared]:
    """Yield a second level that keeps what it reads."""
    async with open_valkey_at(valkey_url) as valkey, anyio.create_task_group() as tasks:
        outbox = Outbox(valkey, clock=clock)
        tasks.start_soon(outbox.run)
        second = SharedConnections(
            valkey=valkey,
            store=store,
            sealer=sealer,
            clock=clock,
            post=outbox.post,
            ttl_s=TTL_S,
            max_changes=max_changes,
        )
        yield Shared(valkey=valkey, outbox=outbox, second=second)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def run_directory_pod(
    url: str, *, valkey_url: str | None = None, heartbeat_s: float = 60.0
) -> AsyncIterator[DirectoryPod]:
    """Yield a pod that listens."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(make_url(url)))
        clock = SteppingClock()  # stands still: nothing becomes stale by age
        store = SqlConnectionStore(database, SEALER, clock=clock)
        shared = None
        if valkey_url is not None:
            shared = await stack.enter_async_context(open_shared(valkey_url, store=store, clock=clock))
        second = None if shared is None else shared.second
        directory = CachedDirectory(
            store=store, clock=clock, ttl_s=TTL_S, max_entries=100, is_listening=False, second=second
        )
        ears = DirectoryEars(directory, second)
        await stack.enter_async_context(ears.listen(make_url(url).dsn, heartbeat_s=heartbeat_s))
        assert await ears.hear() == LISTENING
        yield DirectoryPod(store=store, directory=directory, ears=ears, clock=clock, shared=shared)
