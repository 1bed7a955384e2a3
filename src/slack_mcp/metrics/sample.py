"""What is not counted where it happens but looked at: what this process holds, and what the database has."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
import structlog

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import CacheStats, PoolStats
from slack_mcp.metrics import catalogue
from slack_mcp.metrics.exporter import Exporter
from slack_mcp.metrics.values import Values
from slack_mcp.ports.store import Journal

PUBLISH_S: Final = 1.0
DATABASE_TIMEOUT_S: Final = 1.0
# Counting costs the database something: within this time whoever asks gets the same counts.
COUNTS_TTL_S: Final = 2.0
MS_PER_S: Final = 1000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What this process holds; each is called in the event loop and asks nobody."""

    directory: Callable[[], CacheStats]
    pool: Callable[[], PoolStats]
    waiting: Callable[[], int]
    lanes_held: Callable[[], int]
    is_listening: Callable[[], bool]
    is_draining: Callable[[], bool]
    failing_duties: Callable[[], list[str]]


class Sampler:
    """Keeps the figures fresh, and collects them for a scrape.

    Args:
        values: where they are noted.
        exporter: writes them down.
        sources: what this process holds.
        journal: is asked what is unfinished, when somebody wants to know.
        load_last_backup_ms: says when the last good backup ended, None when there was none.
        monotonic_s: this process's clock.
    """

    def __init__(
        self,
        *,
        values: Values,
        exporter: Exporter,
        sources: Sources,
        journal: Journal,
        load_last_backup_ms: Callable[[], Awaitable[int | None]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._values = values
        self._exporter = exporter
        self._sources = sources
        self._journal = journal
        self._load_last_backup_ms = load_last_backup_ms
        self._monotonic_s = monotonic_s
        self._asking = anyio.Lock()
        self._asked_s = -math.inf
        self._is_database_up = True

    async def run(self) -> None:
        """Let the other processes see this one's figures, again and again, until cancelled."""
        while True:
            self.look()
            self._exporter.publish()
            await anyio.sleep(PUBLISH_S)

    async def collect(self) -> bytes:
        """Return the figures of all processes, as of now for this one, and a second old at most for the others."""
        await self._ask()
        self.look()
        return await anyio.to_thread.run_sync(self._exporter.render, self._exporter.take_snapshot())

    def look(self) -> None:
        """Note what this process holds now."""
        set_gauge, follow = self._set_gauge, self._follow
        cache, pool = self._sources.directory(), self._sources.pool()
        follow(catalogue.DIRECTORY_HITS, cache.hits)
        follow(catalogue.DIRECTORY_MISSES, cache.misses)
        follow(catalogue.DIRECTORY_LOADS, cache.loads)
        follow(catalogue.DIRECTORY_INVALIDATIONS, cache.invalidations)
        set_gauge(catalogue.DIRECTORY_SIZE, cache.size)
        set_gauge(catalogue.POOL_SIZE, pool.size)
        set_gauge(catalogue.POOL_IN_USE, pool.in_use)
        follow(catalogue.POOL_WAITS, pool.waits)
        follow(catalogue.POOL_WAIT_SECONDS, pool.waited_s)
        set_gauge(catalogue.DELIVERIES_WAITING, self._sources.waiting())
        set_gauge(catalogue.LANES_HELD, self._sources.lanes_held())
        is_listening, is_draining = self._sources.is_listening(), self._sources.is_draining()
        failing = self._sources.failing_duties()
        set_gauge(catalogue.LISTENER_UP, is_listening)
        set_gauge(catalogue.DRAINING, is_draining)
        self._values.gauge(catalogue.DUTY_FAILING).set_only((duty,) for duty in failing)
        set_gauge(catalogue.READY, is_listening and not is_draining and not failing and self._is_database_up)
        set_gauge(catalogue.WORKERS, 1)

    async def _ask(self) -> None:
        """Note what the database has; asked once for all who scrape at the same time."""
        async with self._asking:
            if self._monotonic_s() - self._asked_s < COUNTS_TTL_S:
                return
            unfinished = oldest_age_s = dead = last_backup_s = math.nan  # nobody knows
            try:
                with anyio.fail_after(DATABASE_TIMEOUT_S):
                    backlog = await self._journal.load_backlog()
                    last_backup_ms = await self._load_last_backup_ms()
                last_backup_s = math.nan if last_backup_ms is None else last_backup_ms / MS_PER_S
                unfinished, oldest_age_s, dead = backlog.unfinished, backlog.oldest_age_s, backlog.dead
                self._is_database_up = True
            except (SlackMcpError, TimeoutError) as error:
                self._is_database_up = False
                _log.info("scrape.uncounted", error=type(error).__name__)
            self._set_gauge(catalogue.DATABASE_UP, self._is_database_up)
            self._set_gauge(catalogue.JOURNAL_BACKLOG, unfinished)
            self._set_gauge(catalogue.JOURNAL_OLDEST_AGE_SECONDS, oldest_age_s)
            self._set_gauge(catalogue.JOURNAL_DEAD, dead)
            self._set_gauge(catalogue.LAST_BACKUP_TIMESTAMP_SECONDS, last_backup_s)
            self._asked_s = self._monotonic_s()

    def _set_gauge(self, metric: catalogue.Metric, value: float) -> None:
        self._values.gauge(metric).set(value)

    def _follow(self, metric: catalogue.Metric, total: float) -> None:
        self._values.counter(metric).follow(total)
