"""One run of the load generator against one server, and the checks that it has to pass."""

import json
import secrets
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.errors import BenchError
from bench.events import Tenant
from bench.processes import HOST, ROOT, Child, run_child
from bench.report import Row
from bench.world import Deployment, World

# More than any server here answers: a run ends by the clock.
MOST_PER_SECOND: Final = 30_000
CEILING_PER_SECOND: Final = 50_000
CEILING_S: Final = 1.0
EXTRA_TIMEOUT_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Target:
    """Where the load goes.

    Attributes:
        deployment: its journal is counted; None for what has none.
        most_per_second: requests that are made ready for each second of a run.
        acked: how many deliveries it has answered with 200 so far.
    """

    name: str
    child: Child
    tenants: list[Tenant]
    deployment: Deployment | None = None
    most_per_second: int = MOST_PER_SECOND
    acked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run measured; the rate is per second."""

    rate: float
    p50_ms: float
    p99_ms: float


def run_load(target: Target, *, connections: int, seconds: float) -> Run:
    """Return one run; raises BenchError unless every answer was a 200 and every event is in the journal, once."""
    prefix = f"Ev{secrets.token_hex(4).upper()}"
    result = run_job(
        {
            "host": HOST,
            "port": target.child.port,
            "tenants": [asdict(each) for each in target.tenants],
            "prefix": prefix,
            "count": int(target.most_per_second * seconds),
            "connections": connections,
            "seconds": seconds,
        },
        timeout_s=seconds + EXTRA_TIMEOUT_S,
    )
    if result["lost"] or set(result["statuses"]) != {"200"}:
        raise BenchError(f"{target.name}: answers {result['statuses']}, and {result['lost']} connections lost.")
    target.acked += result["answers"]
    if target.deployment is not None:
        journalled = target.deployment.count_events(prefix)
        if journalled != result["answers"]:
            raise BenchError(f"{target.name}: {result['answers']} acks and {journalled} events in the journal.")
        # What is left of one run must not slow down the next.
        target.deployment.wait_until_drained()
    return Run(**{name: result[name] for name in ("rate", "p50_ms", "p99_ms")})


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


def measure_ceiling(world: World, *, connections: int) -> Row:
    """Return what the load generator gets out of a server that does nothing; all else has to stay far below."""
    with run_child("null server", ["-m", "bench.null_server"], log=world.make_log("null")) as child:
        child.url = child.wait_for("url")
        target = Target(name="null server", child=child, tenants=world.tenants, most_per_second=CEILING_PER_SECOND)
        runs = [run_load(target, connections=connections, seconds=CEILING_S) for _ in range(2)]
    return make_row(f"ceiling of the load generator, {connections} connections", runs)


def make_row(name: str, runs: Sequence[Run], *, ratios: Mapping[str, float] | None = None) -> Row:
    """Return the row of several runs: percentiles are the medians of the runs' own."""
    return Row(
        name=name,
        values=[run.rate for run in runs],
        unit="/s",
        p50_ms=statistics.median(run.p50_ms for run in runs),
        p99_ms=statistics.median(run.p99_ms for run in runs),
        ratios=ratios or {},
    )
