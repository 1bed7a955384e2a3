"""The directory: what a connection costs from the cache and from the database, and how soon other pods see a change."""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from typing import Final

import anyio
import anyio.from_thread

from bench.acks import DATABASES
from bench.errors import BenchError
from bench.processes import HOST, Child
from bench.report import Row, make_latency_row
from bench.world import Deployment, World, get_connection_id, make_connection
from slack_mcp.app import open_admin
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.settings import Settings
from slack_mcp.simulator.signing import sign

HIT_RUNS: Final = 5
HITS_PER_RUN: Final = 50_000
NS_PER_US: Final = 1_000
TIMEOUT_S: Final = 5.0
OK: Final = 200
UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTimes:
    """What `CachedDirectory.load` took: hits in µs each, one per run; misses in s."""

    hits_us: list[float]
    misses_s: list[float]


def measure_directory(world: World, *, misses: int) -> list[Row]:
    """Return the rows of hit and miss."""
    rows: list[Row] = []
    for name, dialect in DATABASES.items():
        deployment = world.deploy(dialect, name="directory")
        times = anyio.run(_measure_loads, world, deployment.get_settings(), misses)
        if not rows:
            rows.append(Row(key="directory.hit", name="directory hit", values=times.hits_us, unit="µs"))
        rows.append(make_latency_row(f"directory.miss.{dialect}", f"directory miss, {name}", times.misses_s))
    return rows


async def _measure_loads(world: World, settings: Settings, misses: int) -> LoadTimes:
    connection_id = get_connection_id(world.tenants[0])
    async with open_admin(settings) as admin:
        directory = CachedDirectory(
            store=admin.connections,
            clock=SystemClock(),
            ttl_s=settings.directory_ttl_s,
            max_entries=settings.directory_max_entries,
        )
        misses_s = []
        for _ in range(misses):
            directory.invalidate(connection_id)
            started_s = time.perf_counter()
            await directory.load(connection_id)
            misses_s.append(time.perf_counter() - started_s)
        if directory.get_stats().loads != misses:
            raise BenchError(f"The directory was to ask the database {misses} times: {directory.get_stats()}.")
        hits_us = []
        for _ in range(HIT_RUNS):
            started_ns = time.perf_counter_ns()
            for _ in range(HITS_PER_RUN):
                await directory.load(connection_id)
            hits_us.append((time.perf_counter_ns() - started_ns) / NS_PER_US / HITS_PER_RUN)
    return LoadTimes(hits_us=hits_us, misses_s=misses_s)


def measure_changes(world: World, *, changes: int) -> list[Row]:
    """Return how long after a committed save another pod refuses the old signing secret; two pods in turn."""
    deployment = world.deploy("postgresql", name="changes")
    latencies_s = []
    with world.serve(deployment) as first, world.serve(deployment) as second:
        connection = make_connection(world.tenants[0])
        pods = [_Asker(pod, connection) for pod in (first, second)]
        with _open_saver(deployment) as save:
            for number in range(changes):
                pod = pods[number % len(pods)]
                pod.expect(connection.signing_secret, OK)
                old = connection.signing_secret
                connection = replace(connection, signing_secret=Secret(secrets.token_hex(16)))
                saved_s = save(connection)
                latencies_s.append(pod.wait_until_refused(old) - saved_s)
                pod.expect(connection.signing_secret, OK)
    return [make_latency_row("directory.change", "change seen by another pod, PostgreSQL", latencies_s)]


class _Asker:
    """Sends a pod Slack's url_verification, signed with this or that secret."""

    def __init__(self, pod: Child, connection: Connection) -> None:
        self._http = HTTPConnection(HOST, pod.port, timeout=TIMEOUT_S)
        self._path = f"/slack/events/{connection.connection_id}"

    def ask(self, secret: Secret) -> int:
        """Return the status."""
        body = json.dumps({"type": "url_verification", "challenge": "bench"}).encode()
        headers = {"Content-Type": "application/json", **sign(body, secret.reveal(), int(time.time()))}
        self._http.request("POST", self._path, body=body, headers=headers)
        with self._http.getresponse() as answer:
            answer.read()
            return answer.status

    def expect(self, secret: Secret, status: int) -> None:
        """Raise BenchError when the status is another."""
        if (found := self.ask(secret)) != status:
            raise BenchError(f"A pod answered {found} and not {status} to a signature.")

    def wait_until_refused(self, secret: Secret) -> float:
        """Return when the secret was refused, on the clock of `perf_counter`. Raises BenchError."""
        end_s = time.perf_counter() + TIMEOUT_S
        while (status := self.ask(secret)) != UNAUTHORIZED:
            if status != OK or time.perf_counter() > end_s:
                raise BenchError(f"A pod answers {status} to a replaced signing secret.")
        return time.perf_counter()


@contextmanager
def _open_saver(deployment: Deployment) -> Iterator[Callable[[Connection], float]]:
    """Yield a function that saves a connection and returns when that was committed."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_admin(deployment.get_settings())) as admin,
    ):

        async def save(connection: Connection) -> float:
            await admin.saver.save(connection)
            return time.perf_counter()

        yield lambda connection: portal.call(save, connection)
