"""Acks: how fast deliveries are answered, the service on both databases beside Bolt for Python, in turn."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench.bolt import run_bolt
from bench.bolt_peer import SERVERS
from bench.report import Row
from bench.runs import Run, Target, make_row, measure_ceiling, run_load
from bench.stats import get_median_ratio
from bench.world import Dialect, World

DATABASES: Final[dict[str, Dialect]] = {"PostgreSQL": "postgresql", "SQLite": "sqlite"}
WARM_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AckPlan:
    """How much is measured.

    Attributes:
        connections: of the load generator, one measurement each.
        rounds: of PostgreSQL, both Bolts, SQLite, both Bolts.
        seconds: of one run.
    """

    connections: Sequence[int]
    rounds: int
    seconds: float


def measure_acks(world: World, plan: AckPlan) -> list[Row]:
    """Return the load generator's ceiling, then service and Bolt for each number of connections."""
    most = max(plan.connections)
    rows = [measure_ceiling(world, connections=most)]
    with ExitStack() as stack:
        bolts = {server: stack.enter_context(run_bolt(world, server)) for server in SERVERS}
        service = []
        for name, dialect in DATABASES.items():
            deployment = world.deploy(dialect, name="acks")
            pod = stack.enter_context(world.serve(deployment))
            service.append(Target(name=name, child=pod, tenants=world.tenants, deployment=deployment))
        for target in (*bolts.values(), *service):
            run_load(target, connections=most, seconds=WARM_UP_S)
        for connections in plan.connections:
            rows += measure_rounds(service, bolts, plan, connections)
    return rows


def measure_rounds(
    service: Sequence[Target], bolts: Mapping[str, Target], plan: AckPlan, connections: int
) -> list[Row]:
    """Return a row for each; every run of the service is followed by one of each Bolt, and they are compared."""
    own: dict[str, list[Run]] = {target.name: [] for target in service}
    peers: dict[str, dict[str, list[Run]]] = {target.name: {server: [] for server in bolts} for target in service}
    for _ in range(plan.rounds):
        for target in service:
            own[target.name].append(run_load(target, connections=connections, seconds=plan.seconds))
            for server, bolt in bolts.items():
                peers[target.name][server].append(run_load(bolt, connections=connections, seconds=plan.seconds))
    label = f"{connections} connection{'' if connections == 1 else 's'}"
    rows = []
    for name, runs in own.items():
        ratios = {
            server: get_median_ratio([run.rate for run in runs], [run.rate for run in peers[name][server]])
            for server in bolts
        }
        rows.append(make_row(f"durable acks, {name}, {label}", runs, ratios=ratios))
    for server, bolt in bolts.items():
        rows.append(make_row(f"acks, {bolt.name}, {label}", [run for each in peers.values() for run in each[server]]))
    return rows
