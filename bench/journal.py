"""A journal of years: what an event costs with no other in the journal, and with millions, in turn."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from bench.events import make_event
from bench.report import Row
from bench.runs import US_PER_S, CpuMeter, Load, Run, Target, make_row, run_load
from bench.stats import get_median_ratio
from bench.work import fill_journal
from bench.world import Deployment, World
from slack_mcp.app.compose import open_store
from slack_mcp.settings import Settings
from slack_mcp.store.weeks import make_weeks

CONNECTIONS: Final = 64
MS_PER_DAY: Final = 86_400_000
# Finished events are deleted after seven days: none of these becomes that old while it is measured.
OLDEST_DAYS: Final = 6
PAYLOAD_BYTES: Final = 64
# In the tenants' names, spread over the last days in the order of arrival, as a journal has them.
FILL: Final = """
INSERT INTO slack_events (connection_id, event_id, lane, event_type, payload, state, received_by, received_at_ms,
                          finished_at_ms, reason, event_time)
SELECT 'conn_bench' || n % $2, 'EvOLD' || n, 'CBENCH' || n % 20 || ':' || n, 'message', $3, 'skipped', 'bench',
  $4 + n * $5 / $1, $4 + n * $5 / $1, 'not_addressed', ($4 + n * $5 / $1) / 1000
FROM generate_series(1::bigint, $1::bigint) AS n
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlan:
    """How much is measured.

    Attributes:
        rows: finished events in the full journal.
        rounds: of the two.
        seconds: of one run of acks.
        events: worked off in each round, beside them.
    """

    rows: int
    rounds: int
    seconds: float
    events: int


def measure_journal(world: World, plan: JournalPlan) -> list[Row]:
    """Return what it costs to take an event, and to work one off that leads to nothing, in both journals."""
    load = Load(connections=CONNECTIONS, seconds=plan.seconds)
    with ExitStack() as stack:
        empty = stack.enter_context(serve_journal(world, "none", 0))
        full = stack.enter_context(serve_journal(world, "many", plan.rows))
        acks: dict[str, list[Run]] = {"none": [], "many": []}
        work_us: dict[str, list[float]] = {"none": [], "many": []}
        for target in (empty, full):
            run_load(target, load)
            work_off(world, target, plan.events)
        for number in range(plan.rounds):
            for target in (empty, full) if number % 2 == 0 else (full, empty):
                acks[target.key].append(run_load(target, load))
                work_us[target.key].append(work_off(world, target, plan.events))
        names = {target.key: target.name for target in (empty, full)}
    ratio = get_median_ratio([run.cpu_us for run in acks["many"]], [run.cpu_us for run in acks["none"]])
    work_ratio = get_median_ratio(work_us["many"], work_us["none"])
    return [
        make_row("journal.acks.none", f"acks, {names['none']}", acks["none"]),
        make_row("journal.acks.many", f"acks, {names['many']}", acks["many"], ratios={"empty": ratio}),
        make_work_row("none", names["none"], work_us["none"], {}),
        make_work_row("many", names["many"], work_us["many"], {"empty": work_ratio}),
    ]


def make_work_row(key: str, name: str, work_us: Sequence[float], ratios: dict[str, float]) -> Row:
    """Return the row of what an event costs behind its ack."""
    return Row(
        key=f"journal.work.{key}", name=f"CPU of an event's work, {name}", values=work_us, unit="µs", ratios=ratios
    )


@contextmanager
def serve_journal(world: World, key: str, rows: int) -> Iterator[Target]:
    """Yield a pod on PostgreSQL with so many finished events in the journal."""
    deployment = world.deploy("postgresql", name=f"journal{key}")
    fill_with_old(deployment, len(world.tenants), rows)
    name = f"{rows:,} rows in the journal"
    with world.serve(deployment) as pod:
        yield Target(key=key, name=name, child=pod, tenants=world.tenants, deployment=deployment)


def fill_with_old(deployment: Deployment, tenants: int, rows: int) -> None:
    """Put finished events into the journal, and leave nothing for the database to do about them."""
    span_ms = (OLDEST_DAYS - 1) * MS_PER_DAY
    oldest_ms = int(time.time() * 1000) - OLDEST_DAYS * MS_PER_DAY
    postgres, name = deployment.postgres, deployment.name
    anyio.run(make_last_week, deployment.get_settings())
    postgres.fetch_value(FILL, rows, tenants, bytes(PAYLOAD_BYTES), oldest_ms, span_ms, database=name)
    postgres.fetch_value("VACUUM (ANALYZE) slack_events", database=name)
    postgres.fetch_value("CHECKPOINT", database=name)


async def make_last_week(settings: Settings) -> None:
    """Make the partition that a journal of more than a week has beside those that it begins with."""
    async with open_store(settings) as database, database.driver() as driver, driver.transaction():
        await make_weeks(driver, back=1)


def work_off(world: World, target: Target, events: int) -> float:
    """Return the µs of CPU that the pod and its sessions need for an event that leads to nothing."""
    assert target.deployment is not None
    first = target.deployment.find_newest()
    numbers = range(first, first + events)
    meter = CpuMeter(target.child, target.deployment)
    anyio.run(fill_journal, target.deployment.get_settings(), world.tenants, numbers, make_event)
    target.deployment.wait_until_drained()
    return meter.read_s() * US_PER_S / events
