"""One run of the load generator against one server, and the checks that it has to pass."""

import json
import secrets
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import psutil

from bench.errors import BenchError
from bench.events import Tenant
from bench.processes import HOST, ROOT, Child
from bench.report import Row
from bench.stats import get_medians
from bench.world import Deployment, World

# More than any server here answers: a run ends by the clock.
MOST_PER_SECOND: Final = 30_000
CEILING_PER_SECOND: Final = 60_000
CEILING_S: Final = 0.5
EXTRA_TIMEOUT_S: Final = 60.0
US_PER_S: Final = 1e6


@dataclass(slots=True, kw_only=True)
class Target:
    """Where the load goes.

    Attributes:
        key: in the keys of its rows.
        deployment: its journal is counted; None for what has none.
        most_per_second: requests that are made ready for each second of a run.
        acked: how many deliveries it has answered with 200 so far.
    """

    key: str
    name: str
    child: Child
    tenants: list[Tenant]
    deployment: Deployment | None = None
    most_per_second: int = MOST_PER_SECOND
    acked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent.

    Attributes:
        seconds: how long; in a closed loop each connection sends the next one when the last was answered.
        rate: requests per second of an open loop; None is a closed one.
        count: of requests; None is as many as the time takes.
    """

    connections: int
    seconds: float
    rate: int | None = None
    count: int | None = None

    def count_requests(self, most_per_second: int) -> int:
        """Return how many requests are made ready."""
        return self.count or int((self.rate or most_per_second) * self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run measured.

    Attributes:
        rate: answers per second.
        latencies_ms: by the name of the percentile.
        cpu_us: what an answer cost the server's processes, and their sessions at the database.
    """

    rate: float
    latencies_ms: Mapping[str, float]
    cpu_us: float


@dataclass(slots=True)
class CpuMeter:
    """What the processes of a server, and its sessions at the database, have used since this was made."""

    child: Child
    deployment: Deployment | None = None
    _before: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self._read()

    def read_s(self) -> float:
        """Return the seconds; what ended meanwhile does not count."""
        return sum(used_s - self._before.get(pid, 0.0) for pid, used_s in self._read().items())

    def _read(self) -> dict[int, float]:
        sessions = [] if self.deployment is None else self.deployment.list_sessions()
        return {pid: _get_cpu_s(pid) for pid in (*self.child.list_processes(), *sessions)}


def _get_cpu_s(pid: int) -> float:
    """Return the seconds that a process has used, 0 of one that has just ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def run_load(target: Target, load: Load, *, tenants: Sequence[Tenant] | None = None) -> Run:
    """Return one run; raises BenchError unless every answer was a 200 and every event is in the journal, once.

    Args:
        target: where the load goes.
        load: what is sent.
        tenants: whose deliveries, in turn; None are those of the target.
    """
    prefix = f"Ev{secrets.token_hex(4).upper()}"
    newest = 0 if target.deployment is None else target.deployment.find_newest()
    job = {
        "host": HOST,
        "port": target.child.port,
        "tenants": [asdict(each) for each in tenants or target.tenants],
        "prefix": prefix,
        "count": load.count_requests(target.most_per_second),
        "connections": load.connections,
        "seconds": load.seconds,
        "rate": load.rate,
    }
    result, run = measure_job(job, target.child, target.deployment)
    if result["lost"] or set(result["statuses"]) != {"200"}:
        raise BenchError(f"{target.name}: answers {result['statuses']}, and {result['lost']} connections lost.")
    target.acked += result["answers"]
    if target.deployment is not None:
        journalled = target.deployment.count_events(prefix, newer_than=newest)
        if journalled != result["answers"]:
            raise BenchError(f"{target.name}: {result['answers']} acks and {journalled} events in the journal.")
        # What is left of one run must not slow down the next.
        target.deployment.wait_until_drained()
    return run


def measure_job(job: dict[str, Any], child: Child, deployment: Deployment | None) -> tuple[dict[str, Any], Run]:
    """Return what the load generator said of a job, and the run that it makes; raises BenchError."""
    meter = CpuMeter(child, deployment)
    result = run_job(job, timeout_s=job["seconds"] + EXTRA_TIMEOUT_S)
    cpu_us = meter.read_s() * US_PER_S / max(1, result["answers"])
    return result, Run(rate=result["rate"], latencies_ms=result["latencies_ms"], cpu_us=cpu_us)


def run_job(job: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """Return what the load generator measured of a job; raises BenchError."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=json.dumps(job).encode(),
            capture_output=True,
            cwd=ROOT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"The load generator did not end within {timeout_s:.0f} s.") from error
    if done.returncode:
        raise BenchError(f"The load generator failed: {done.stderr.decode(errors='replace')[-1000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure_ceiling(null: Target, *, connections: int) -> Row:
    """Return what the load generator gets out of a server that does nothing; all else has to stay far below."""
    runs = [run_load(null, Load(connections=connections, seconds=CEILING_S)) for _ in range(2)]
    return make_row(f"ceiling.{connections}", f"ceiling of the load generator, {render_connections(connections)}", runs)


def make_null_target(world: World, child: Child) -> Target:
    """Return the server that does nothing."""
    return Target(
        key="null",
        name="a server that does nothing",
        child=child,
        tenants=world.tenants,
        most_per_second=CEILING_PER_SECOND,
    )


def make_row(
    key: str,
    name: str,
    runs: Sequence[Run],
    *,
    ratios: Mapping[str, float] | None = None,
    ceiling: float | None = None,
) -> Row:
    """Return the row of several runs: percentiles and cost are the medians of the runs' own."""
    return Row(
        key=key,
        name=name,
        values=[run.rate for run in runs],
        unit="/s",
        latencies_ms=get_medians([run.latencies_ms for run in runs]),
        cpu_us=statistics.median(run.cpu_us for run in runs),
        ceiling=ceiling,
        ratios=ratios or {},
    )


def render_connections(connections: int) -> str:
    """Return the number with its noun."""
    return f"{connections} connection{'' if connections == 1 else 's'}"
