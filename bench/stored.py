"""Many connections: what a delivery costs with 1, 1 000 and 100 000 of them stored, and asked for."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final, NamedTuple

import anyio
import asyncpg

from bench.events import Tenant
from bench.report import Row, make_latency_row
from bench.runs import Load, Run, Target, make_row, run_load
from bench.stats import get_median_ratio
from bench.world import Deployment, World, get_connection_id, get_token, make_tenant
from slack_mcp.app import open_admin
from slack_mcp.app.compose import make_sealer
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.clock import SystemClock
from slack_mcp.sealing import Sealer

CONNECTIONS: Final = 64
# As many at most are asked for in turn where not all are, so that a process remembers them.
ASKED: Final = 1_000
MISSES: Final = 500
REMEMBERED: Final = 1_000
# A pod works at its limit for seconds only, and rests between them: it need not read what it remembers again each time.
TTL_S: Final = "600"
# Few, so that nobody waits long for one of the pod's ten connections to the database.
ONCE_CONNECTIONS: Final = 16
TIMEOUT_S: Final = 60.0
CONNECTIONS_TABLE: Final = "slack_connections"
KEYS_TABLE: Final = "slack_data_keys"


class StoredSizes(NamedTuple):
    """Connections stored, each in a database of its own with a pod of its own; named as in the keys of the rows."""

    single: int
    few: int
    many: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """How much is measured.

    Attributes:
        sizes: connections stored.
        rounds: of all of them.
        seconds: of one run.
        once: how many of the many are asked for once in each round, each a miss.
    """

    sizes: StoredSizes
    rounds: int
    seconds: float
    once: int


def measure_stored(world: World, plan: StoredPlan) -> list[Row]:
    """Return what a delivery costs with so many connections, and whether the memory of a pod has a bound."""
    load = Load(connections=CONNECTIONS, seconds=plan.seconds)
    once = Load(connections=ONCE_CONNECTIONS, seconds=TIMEOUT_S, count=plan.once)
    runs: dict[str, list[Run]] = {}
    memory_mb: list[float] = []
    with ExitStack() as stack:
        targets = [stack.enter_context(serve_stored(world, key, size)) for key, size in plan.sizes._asdict().items()]
        forgetful = stack.enter_context(serve_forgetful(world, targets[-1], plan.sizes.many))
        for target in targets:
            # Each is asked for once, so that they are all remembered; then as in every run.
            run_load(target, replace(once, count=len(target.tenants)))
            run_load(target, load)
        first, last = targets[0].deployment, targets[-1].deployment
        assert first is not None
        assert last is not None
        misses_s = anyio.run(time_misses, (first, last), (plan.sizes.single, plan.sizes.many))
        for number in range(plan.rounds):
            for target in targets if number % 2 == 0 else reversed(targets):
                runs.setdefault(target.key, []).append(run_load(target, load))
            asked = forgetful.tenants[number * plan.once : (number + 1) * plan.once]
            runs.setdefault(forgetful.key, []).append(run_load(forgetful, once, tenants=asked))
            memory_mb.append(forgetful.child.get_memory_mb())
    single = runs[targets[0].key]
    rows = [
        make_cost_row(f"stored.{target.key}", f"acks, {target.name}", runs[target.key], single)
        for target in (*targets, forgetful)
    ]
    ratio = median(misses_s[1]) / median(misses_s[0])
    miss = make_latency_row("stored.miss", f"directory miss, {plan.sizes.many:,} connections stored", misses_s[1])
    rows.append(replace(miss, ratios={"miss": ratio}))
    rows.append(
        Row(
            key="memory.stored",
            name=f"resident memory, with {REMEMBERED:,} connections remembered, after each {plan.once:,} more",
            values=memory_mb,
            unit="MB",
            ratios={"full": memory_mb[-1] / memory_mb[0]},
        )
    )
    return rows


async def time_misses(deployments: Sequence[Deployment], sizes: Sequence[int]) -> list[list[float]]:
    """Return what it takes to load a connection that nobody remembers, in s, for each deployment; they take turns."""
    times_s: list[list[float]] = [[] for _ in deployments]
    async with AsyncExitStack() as stack:
        directories = []
        for deployment in deployments:
            admin = await stack.enter_async_context(open_admin(deployment.get_settings()))
            directories.append(
                CachedDirectory(store=admin.connections, clock=SystemClock(), ttl_s=30.0, max_entries=MISSES)
            )
        for number in range(MISSES):
            for directory, size, taken in zip(directories, sizes, times_s, strict=True):
                # The numbers go through all of the table.
                connection_id = get_connection_id(make_tenant(number * max(1, size // MISSES) % size))
                directory.invalidate(connection_id)
                started_s = time.perf_counter()
                await directory.load(connection_id)
                taken.append(time.perf_counter() - started_s)
    return times_s


def make_cost_row(key: str, name: str, runs: Sequence[Run], single: Sequence[Run]) -> Row:
    """Return a row with how many times the CPU it costs that a delivery with one connection does."""
    ratio = get_median_ratio([run.cpu_us for run in runs], [run.cpu_us for run in single])
    return make_row(key, name, runs, ratios={} if runs is single else {"single": ratio})


@contextmanager
def serve_stored(world: World, key: str, size: int) -> Iterator[Target]:
    """Yield a pod on PostgreSQL with so many connections stored."""
    deployment = world.deploy(
        "postgresql", name=f"stored{size}", environment={"SLACK_MCP_DIRECTORY_TTL_S": TTL_S}, tenants=1
    )
    anyio.run(store_connections, deployment, size)
    tenants = [make_tenant(number) for number in range(0, size, max(1, size // ASKED))]
    asked = "" if len(tenants) == size else f", {len(tenants):,} of them asked for"
    name = f"{size:,} connection{'' if size == 1 else 's'} stored{asked}"
    with world.serve(deployment) as pod:
        yield Target(key=key, name=name, child=pod, tenants=tenants, deployment=deployment)


@contextmanager
def serve_forgetful(world: World, target: Target, size: int) -> Iterator[Target]:
    """Yield another pod on the same database, which remembers few connections and is asked for all of them."""
    assert target.deployment is not None
    environment = {**target.deployment.environment, "SLACK_MCP_DIRECTORY_MAX_ENTRIES": str(REMEMBERED)}
    deployment = replace(target.deployment, environment=environment)
    tenants = [make_tenant(number) for number in range(size)]
    name = f"{size:,} connections stored, each asked for once"
    with world.serve(deployment) as pod:
        yield Target(key="once", name=name, child=pod, tenants=tenants, deployment=deployment)


async def store_connections(deployment: Deployment, size: int) -> None:
    """Store connections beside the first one, as it was saved: sealed with a data key of their own."""
    sealer = make_sealer(deployment.get_settings())
    database = await asyncpg.connect(deployment.postgres.get_url(deployment.name))
    try:
        saved = dict(await database.fetchrow(f"SELECT * FROM {CONNECTIONS_TABLE}"))  # noqa: S608 - a constant
        rows = [make_rows(sealer, saved, make_tenant(number)) for number in range(1, size)]
        if rows:
            for table, position in ((CONNECTIONS_TABLE, 0), (KEYS_TABLE, 1)):
                columns = list(rows[0][position])
                records = [tuple(row[position].values()) for row in rows]
                await database.copy_records_to_table(table, records=records, columns=columns)
        await database.execute(f"VACUUM (ANALYZE) {CONNECTIONS_TABLE}, {KEYS_TABLE}")
    finally:
        await database.close()


def make_rows(sealer: Sealer, saved: dict[str, Any], tenant: Tenant) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of a tenant's connection and of its data key; what is not its own is that of a saved one."""
    connection_id = get_connection_id(tenant)
    key, sealed_key = sealer.make_data_key(connection_id)
    own = sealer.for_connection(connection_id, key)
    connection = saved | {
        "connection_id": connection_id,
        "team_id": tenant.team_id,
        "bot_token": own.seal("bot_token", get_token(tenant)),
        "signing_secret": own.seal("signing_secret", tenant.secret),
    }
    created_at_ms = int(time.time() * 1000)
    held = {
        "connection_id": connection_id,
        "key_id": key.key_id,
        "sealed_key": sealed_key,
        "created_at_ms": created_at_ms,
    }
    return connection, held
