"""Valkey beside PostgreSQL: each thing done both ways in turn, so that a busy moment of the machine hits both."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import anyio

from bench.errors import BenchError
from bench.report import Row, make_latency_row
from bench.valkey_server import run_valkey
from bench.world import Deployment, World, get_connection_id, make_connection
from slack_mcp.app.compose import make_sealer
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.announcements import Subscribers
from slack_mcp.ports.budget import Buckets, LeaseRequest
from slack_mcp.settings import Settings
from slack_mcp.store.announcements import Listener
from slack_mcp.store.buckets import SqlBuckets
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database, open_database
from slack_mcp.valkey.announcements import Subscription, ValkeyAnnouncer
from slack_mcp.valkey.buckets import ValkeyBuckets
from slack_mcp.valkey.client import Valkey, open_valkey
from slack_mcp.valkey.connections import SharedConnections
from slack_mcp.valkey.outbox import Outbox
from slack_mcp.valkey.url import ValkeyUrl

PREFIX: Final = "bench"
TIMEOUT_S: Final = 10.0
WARM_UP: Final = 20
MANY: Final = 16
"""Buckets that a busy pod asks for in one go."""


@dataclass(slots=True)
class _Place:
    """One pod's ways to database and Valkey."""

    settings: Settings
    database: Database
    store: SqlConnectionStore
    valkey: Valkey
    outbox: Outbox
    second: SharedConnections


def measure_valkey(world: World, *, rounds: int) -> list[Row]:
    """Return the rows: what a miss, a lease and the news of a change take in PostgreSQL, and in Valkey."""
    deployment = world.deploy("postgresql", name="valkey")
    with run_valkey(world.directory) as url:
        return anyio.run(_measure, world, deployment, url, rounds)


async def _measure(world: World, deployment: Deployment, url: ValkeyUrl, rounds: int) -> list[Row]:
    with anyio.fail_after(60 + rounds):
        async with _open_place(deployment.get_settings(), url) as place:
            return [
                *await _measure_misses(place, get_connection_id(world.tenants[0]), rounds),
                *await _measure_leases(place, 1, rounds),
                *await _measure_leases(place, MANY, rounds),
                *await _measure_news(place, world, rounds),
            ]


@asynccontextmanager
async def _open_place(settings: Settings, url: ValkeyUrl) -> AsyncIterator[_Place]:
    clock = SystemClock()
    async with (
        open_database(settings.database) as database,
        open_valkey(url, clock=clock, prefix=PREFIX) as valkey,
        anyio.create_task_group() as tasks,
    ):
        sealer, outbox = make_sealer(settings), Outbox(valkey, clock=clock)
        store = SqlConnectionStore(database, sealer, clock=clock)
        second = SharedConnections(
            valkey=valkey,
            store=store,
            sealer=sealer,
            clock=clock,
            post=outbox.post,
            ttl_s=settings.directory_ttl_s,
            max_changes=settings.directory_max_entries,
        )
        tasks.start_soon(outbox.run)
        yield _Place(settings, database, store, valkey, outbox, second)
        tasks.cancel_scope.cancel()


async def _measure_misses(place: _Place, connection_id: ConnectionId, rounds: int) -> list[Row]:
    """Return what a load takes that the process's own cache has not: from the database, and as another pod has it."""
    is_listening = anyio.Event()
    subscribers = Subscribers(
        on_change=lambda _change: None,
        on_work=lambda: None,
        on_listening=lambda _yes: is_listening.set(),
        on_point=place.second.listen_from,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Listener(str(place.settings.listen_dsn), subscribers=subscribers).run)
        await is_listening.wait()
        tasks.cancel_scope.cancel()
    directories = [
        CachedDirectory(store=place.store, clock=SystemClock(), ttl_s=30.0, max_entries=100, second=second)
        for second in (None, place.second)
    ]

    def load(directory: CachedDirectory) -> Callable[[], Awaitable[object]]:
        async def run() -> None:
            directory.clear()
            await directory.load(connection_id)

        return run

    await load(directories[1])()
    await place.outbox.flush(timeout_s=TIMEOUT_S)
    times = await _alternate([load(each) for each in directories], rounds)
    if directories[1].get_stats().loads > 1 + rounds // 100:
        raise BenchError(f"The second level was to answer: {directories[1].get_stats()}.")
    return _make_rows("valkey.miss", "directory miss", times)


async def _measure_leases(place: _Place, count: int, rounds: int) -> list[Row]:
    """Return what it takes to lease of so many buckets at once."""
    places: Sequence[Buckets] = (SqlBuckets(place.database, clock=SystemClock()), ValkeyBuckets(place.valkey))
    requests = [
        LeaseRequest(
            connection_id=ConnectionId(f"conn_{number}"), bucket="call:chat.update", capacity=1e6, per_s=1e3, wanted=1
        )
        for number in range(count)
    ]
    times = await _alternate([lambda each=each: each.lease(requests) for each in places], rounds)  # type: ignore[misc]
    return _make_rows(f"valkey.lease.{count}", f"lease of {count} bucket{'s' if count > 1 else ''}", times)


async def _measure_news(place: _Place, world: World, rounds: int) -> list[Row]:
    """Return how long after the beginning of a save its news is there by NOTIFY and by pub/sub; both carry each."""
    connection = make_connection(world.tenants[1])
    announcer = ValkeyAnnouncer(place.outbox, prefix=PREFIX)
    heard: list[dict[int, float]] = [{}, {}]
    has_heard = [anyio.Event(), anyio.Event()]
    is_listening = [anyio.Event(), anyio.Event()]

    def make_subscribers(way: int) -> Subscribers:
        def on_change(change: ConnectionChange) -> None:
            heard[way][change.version or 0] = time.perf_counter()
            has_heard[way].set()

        return Subscribers(on_change=on_change, on_work=lambda: None, on_listening=lambda _yes: is_listening[way].set())

    times: list[list[float]] = [[], []]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Listener(str(place.settings.listen_dsn), subscribers=make_subscribers(0)).run)
        tasks.start_soon(Subscription(place.valkey, subscribers=make_subscribers(1)).run)
        for event in is_listening:
            await event.wait()
        for number in range(rounds // 4 + WARM_UP):
            has_heard[:] = [anyio.Event(), anyio.Event()]
            begun_s = time.perf_counter()
            connection = await place.store.save_connection(replace(connection))
            announcer.tell_change(ConnectionChange(connection_id=connection.connection_id, version=connection.version))
            for event in has_heard:
                await event.wait()
            if number >= WARM_UP:
                for way in range(2):
                    times[way].append(heard[way][connection.version] - begun_s)
        tasks.cancel_scope.cancel()
    return _make_rows("valkey.news", "save and its news", times)


async def _alternate(acts: Sequence[Callable[[], Awaitable[object]]], rounds: int) -> list[list[float]]:
    """Return what each act took, in s; they take turns."""
    times: list[list[float]] = [[] for _ in acts]
    for number in range(rounds + WARM_UP):
        for act, taken in zip(acts, times, strict=True):
            started_s = time.perf_counter()
            await act()
            if number >= WARM_UP:
                taken.append(time.perf_counter() - started_s)
    return times


def _make_rows(key: str, name: str, times: Sequence[Sequence[float]]) -> list[Row]:
    """Return a row for each way; the ratio says how many times as long PostgreSQL takes."""
    postgresql, valkey = times
    row = make_latency_row(f"{key}.postgresql", f"{name}, PostgreSQL", postgresql)
    return [
        replace(row, ratios={"valkey": median(postgresql) / median(valkey)}),
        make_latency_row(f"{key}.valkey", f"{name}, Valkey", valkey),
    ]
