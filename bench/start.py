"""A pod's beginning and its size: time until it is ready, and memory at rest and after many events."""

import time
from typing import Final

from bench.acks import DATABASES
from bench.report import Row
from bench.runs import Load, Target, run_load
from bench.world import World

CONNECTIONS: Final = 64
CHUNK: Final = 100_000
CHUNK_TIMEOUT_S: Final = 120.0
# Behind the start: what is done once, and the first rounds of what is done again and again.
REST_S: Final = 1.0


def measure_start(world: World, *, starts: int) -> list[Row]:
    """Return how long it takes from the start of the process until `/readyz` is 200, and what an idle one keeps."""
    rows = []
    for name, dialect in DATABASES.items():
        deployment = world.deploy(dialect, name="start")
        ready_s: list[float] = []
        memory_mb: list[float] = []
        for _ in range(starts):
            started_s = time.perf_counter()
            with world.serve(deployment) as pod:
                ready_s.append(time.perf_counter() - started_s)
                time.sleep(REST_S)
                memory_mb.append(pod.get_memory_mb())
        rows.append(Row(key=f"start.{dialect}", name=f"start to ready, {name}", values=ready_s, unit="s"))
        rows.append(
            Row(key=f"memory.idle.{dialect}", name=f"resident memory, idle, {name}", values=memory_mb, unit="MB")
        )
    return rows


def measure_memory(world: World, *, events: int) -> list[Row]:
    """Return what a pod on PostgreSQL keeps after so many events."""
    deployment = world.deploy("postgresql", name="memory")
    with world.serve(deployment) as pod:
        target = Target(key="memory", name="PostgreSQL", child=pod, tenants=world.tenants, deployment=deployment)
        while target.acked < events:
            count = min(CHUNK, events - target.acked)
            run_load(target, Load(connections=CONNECTIONS, seconds=CHUNK_TIMEOUT_S, count=count))
        time.sleep(REST_S)
        memory_mb = pod.get_memory_mb()
    name = f"resident memory after {events:,} events, PostgreSQL"
    return [Row(key="memory.after", name=name, values=[memory_mb], unit="MB")]
