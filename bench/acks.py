"""Acks: how fast deliveries are answered, the service on both databases beside Bolt, in turn."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from bench.bolt import run_bolts
from bench.processes import run_child
from bench.report import Row
from bench.runs import Load, Run, Target, make_null_target, make_row, measure_ceiling, render_connections, run_load
from bench.stats import get_median_ratio
from bench.world import Dialect, World

DATABASES: Final[dict[str, Dialect]] = {"PostgreSQL": "postgresql", "SQLite": "sqlite"}
ONE: Final = "postgresql"
TWO: Final = "postgresql-2"
WARM_UP_S: Final = 0.7
RATE_CONNECTIONS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AckPlan:
    """How much is measured.

    Attributes:
        rounds: by the number of connections of the load generator; in each round every server has one run.
        seconds: of one run.
        rates: deliveries per second that come whatever the answers do.
        rate_rounds: of those.
        rate_seconds: of one run of those.
    """

    rounds: Mapping[int, int]
    seconds: float
    rates: Sequence[int]
    rate_rounds: int
    rate_seconds: float


def measure_acks(world: World, plan: AckPlan) -> list[Row]:
    """Return the load generator's ceilings, every server at its limit, and every server at fixed rates."""
    with run_null(world) as null, run_servers(world) as servers:
        ceilings = {connections: measure_ceiling(null, connections=connections) for connections in plan.rounds}
        for server in servers:
            run_load(server, Load(connections=max(plan.rounds), seconds=WARM_UP_S))
        rows = list(ceilings.values())
        for connections, rounds in plan.rounds.items():
            loads = [Load(connections=connections, seconds=plan.seconds)] * rounds
            runs = alternate(servers, loads)
            rows += make_limit_rows(servers, runs, connections, ceilings[connections].median)
        for rate in plan.rates:
            loads = [Load(connections=RATE_CONNECTIONS, seconds=plan.rate_seconds, rate=rate)] * plan.rate_rounds
            everybody = [null, *servers]
            runs = alternate(everybody, loads)
            rows += [make_rate_row(server, rate, runs[server.key]) for server in everybody]
        return rows


@contextmanager
def run_null(world: World) -> Iterator[Target]:
    """Yield a server that does nothing."""
    with run_child("null server", ["-m", "bench.null_server"], log=world.make_log("null")) as child:
        child.url = child.wait_for("url")
        yield make_null_target(world, child)


@contextmanager
def run_servers(world: World) -> Iterator[Sequence[Target]]:
    """Yield all that answer deliveries: the service, and Bolt between its databases."""
    with ExitStack() as stack:
        yield [
            serve(world, stack, "PostgreSQL", ONE),
            serve(world, stack, "PostgreSQL, two processes", TWO, workers=2),
            *stack.enter_context(run_bolts(world)),
            serve(world, stack, "SQLite", "sqlite"),
        ]


def serve(world: World, stack: ExitStack, name: str, key: str, *, workers: int = 1) -> Target:
    """Return the service on a database of its own."""
    dialect: Dialect = "sqlite" if key == "sqlite" else "postgresql"
    deployment = world.deploy(dialect, name=f"acks{workers}", environment={"WORKERS": str(workers)})
    pod = stack.enter_context(world.serve(deployment))
    return Target(key=key, name=name, child=pod, tenants=world.tenants, deployment=deployment)


def alternate(targets: Sequence[Target], loads: Sequence[Load]) -> dict[str, list[Run]]:
    """Return the runs by target: one round for each load, every other one backwards, so that a trend hits all."""
    runs: dict[str, list[Run]] = {target.key: [] for target in targets}
    for number, load in enumerate(loads):
        for target in targets if number % 2 == 0 else reversed(targets):
            runs[target.key].append(run_load(target, load))
    return runs


def make_limit_rows(
    servers: Sequence[Target], runs: Mapping[str, list[Run]], connections: int, ceiling: float | None
) -> list[Row]:
    """Return a row for each server; the service is compared with each peer, round by round."""
    return [
        make_row(
            f"acks.{server.key}.{connections}",
            f"{render_server(server)}, {render_connections(connections)}",
            runs[server.key],
            ratios=find_ratios(server, servers, runs),
            ceiling=ceiling,
        )
        for server in servers
    ]


def find_ratios(server: Target, servers: Sequence[Target], runs: Mapping[str, list[Run]]) -> dict[str, float]:
    """Return how many times the rate of each peer the service has; nothing for a peer."""
    if server.deployment is None:
        return {}
    own = [run.rate for run in runs[server.key]]
    others = {peer.key: peer.key for peer in servers if peer.deployment is None}
    if server.key == TWO:
        others["one"] = ONE
    return {key: get_median_ratio(own, [run.rate for run in runs[other]]) for key, other in others.items()}


def make_rate_row(server: Target, rate: int, runs: Sequence[Run]) -> Row:
    """Return the row of one server at one rate."""
    return make_row(f"rates.{server.key}.{rate}", f"{render_server(server)}, at {rate:,} per second", runs)


def render_server(server: Target) -> str:
    """Return what its rows begin with."""
    return f"{'acks' if server.deployment is None else 'durable acks'}, {server.name}"
