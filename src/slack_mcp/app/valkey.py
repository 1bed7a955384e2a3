"""Valkey beside the database, where REDIS_URL names one. Needs the extra `valkey`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio

from slack_mcp.budget.fallback import BucketsWithFallback
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SettingsError
from slack_mcp.ports.announcements import Subscribers
from slack_mcp.sealing import Sealer
from slack_mcp.settings import Settings
from slack_mcp.store.buckets import SqlBuckets
from slack_mcp.store.connections import SqlConnectionStore

if TYPE_CHECKING:
    from slack_mcp.valkey.client import Valkey

# The last word of a pod that ends: that others may have its work.
FLUSH_TIMEOUT_S: Final = 0.5


class ValkeyRoom:
    """What a pod has of Valkey.

    Args:
        valkey: the way to it.
        settings: whether anybody tells of changes beside it, and how long a connection may be used.
        buckets: those of the database, for as long as Valkey is lost.
        store: reads connections from the database.
        sealer: seals what is kept.
        clock: for all of it.
    """

    def __init__(
        self,
        valkey: "Valkey",
        settings: Settings,
        *,
        buckets: SqlBuckets,
        store: SqlConnectionStore,
        sealer: Sealer,
        clock: Clock,
    ) -> None:
        from slack_mcp.valkey.announcements import Subscription, ValkeyAnnouncer  # noqa: PLC0415  an optional extra
        from slack_mcp.valkey.buckets import ValkeyBuckets  # noqa: PLC0415  the same
        from slack_mcp.valkey.connections import SharedConnections  # noqa: PLC0415  the same
        from slack_mcp.valkey.outbox import Outbox  # noqa: PLC0415  the same

        self._valkey = valkey
        self._outbox = Outbox(valkey, clock=clock)
        self._subscription: Subscription | None = None
        self._make_subscription = Subscription
        self._hears_from_database = settings.listen_dsn is not None
        self.announcer = ValkeyAnnouncer(self._outbox, prefix=valkey.prefix)
        self.buckets = BucketsWithFallback(
            fast=ValkeyBuckets(valkey), lasting=buckets, clock=clock, tell=self.announcer.tell_block
        )
        self.second: SharedConnections | None = None
        # Without keys the secrets would be there in clear text; and without LISTEN nobody knows what is still so.
        if sealer.seals and self._hears_from_database:
            self.second = SharedConnections(
                valkey=valkey,
                store=store,
                sealer=sealer,
                clock=clock,
                post=self._outbox.post,
                ttl_s=settings.directory_ttl_s,
                max_changes=settings.directory_max_entries,
            )

    def subscribe(self, subscribers: Subscribers) -> None:
        """Let these be told of what is published, once it runs.

        Where LISTEN is there, it decides alone whether the caches may be believed: it misses nothing that it does not
        know of, and what is published may be lost with the pod that was about to.
        """
        if self._hears_from_database:
            subscribers = replace(subscribers, on_listening=lambda _is_listening: None)
        self._subscription = self._make_subscription(self._valkey, subscribers=subscribers)

    async def run(self) -> None:
        """Send and listen until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._outbox.run, name="valkey outbox")
            if self._subscription is not None:
                tasks.start_soon(self._subscription.run, name="subscribe")

    async def flush(self) -> None:
        """Return when what was told is sent, or after a moment."""
        await self._outbox.flush(timeout_s=FLUSH_TIMEOUT_S)

    def describe(self) -> dict[str, Any]:
        """Return what /health says of it. The subscription asks for a sign of life when nothing else does."""
        return {
            "connected": self._subscription is not None and self._subscription.listening,
            "cacheHits": None if self.second is None else self.second.hits,
        }


@asynccontextmanager
async def open_valkey_room(
    settings: Settings, *, buckets: SqlBuckets, store: SqlConnectionStore, sealer: Sealer, clock: Clock
) -> AsyncIterator[ValkeyRoom | None]:
    """Yield what a pod has of Valkey, None where none is configured. Nothing connects before it is needed."""
    url = settings.valkey
    if url is None:
        yield None
        return
    from slack_mcp.valkey.client import open_valkey  # noqa: PLC0415  an optional extra

    async with open_valkey(url, clock=clock, prefix=settings.redis_prefix) as valkey:
        yield ValkeyRoom(valkey, settings, buckets=buckets, store=store, sealer=sealer, clock=clock)


def check_valkey_client(settings: Settings) -> None:
    """Return when what the settings want is installed; raises SettingsError."""
    if settings.redis_url is not None:
        try:
            import redis  # noqa: F401, PLC0415  an optional extra
        except ImportError as error:
            raise SettingsError(
                ["REDIS_URL is set, and its client is not installed: install slack-mcp[valkey], or remove REDIS_URL."]
            ) from error
