"""`python -m bench`: measures, prints the tables, and ends with 0 only when everything could be measured."""

import argparse
import http.client
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import asyncpg
import httpx2

from bench.acks import AckPlan, measure_acks
from bench.directory import measure_changes, measure_directory
from bench.errors import BenchError
from bench.journal import JournalPlan, measure_journal
from bench.machine import describe_machine, render_machine
from bench.page import Report, find_commit, find_date, write_json, write_page
from bench.report import Row, render_ceilings, render_rows, render_table
from bench.start import measure_memory, measure_start
from bench.stored import StoredPlan, StoredSizes, measure_stored
from bench.targets import HEADER, NOT_MEASURED, judge, render_sum
from bench.tools import ToolPlan, measure_tools
from bench.turns import measure_turns
from bench.valkey import measure_valkey
from bench.work import measure_drain, measure_pickup
from bench.world import World, open_world
from slack_mcp.core.errors import SlackMcpError
from slack_mcp.telemetry import configure_logging

INTERRUPTED: Final = 130
FAILURES: Final = (
    BenchError,
    SlackMcpError,
    OSError,
    httpx2.HTTPError,
    http.client.HTTPException,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
NAMES: Final = (
    "acks",
    "stored",
    "journal",
    "start",
    "memory",
    "tools",
    "directory",
    "changes",
    "valkey",
    "pickup",
    "drain",
    "turns",
)


def main() -> int:
    """Return the exit code: 0, 1 when something could not be measured, 130 after Ctrl+C."""
    options = read_options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    configure_logging(level="warning", log_format="auto")
    try:
        return run(options)
    except KeyboardInterrupt:
        print("Interrupted: everything that was started has been ended.", file=sys.stderr)
        return INTERRUPTED


def read_options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the service; see bench/README.md.")
    parser.add_argument("--quick", action="store_true", help="about four minutes instead of about fifteen")
    parser.add_argument("--only", choices=NAMES, action="append", help="measure only this; may be given several times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file as well")
    parser.add_argument("--page", type=Path, metavar="DIRECTORY", help="write a page with pictures below this as well")
    parser.add_argument(
        "--directory", type=Path, help="where the databases lie for the time being (default: the system's own place)"
    )
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Measure, print, and return the exit code."""
    started_s = time.monotonic()
    # What is measured is the code as it was at the start.
    date, commit = find_date(), find_commit()
    rows: list[Row] = []
    problems: dict[str, str] = {}
    # A short name: that of the database's unix socket is limited to about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory, ignore_cleanup_errors=True) as directory:
        machine = describe_machine(Path(directory))
        with open_world(Path(directory)) as world:
            machine["versions"]["PostgreSQL"] = world.postgres_version
            print(render_machine(machine), flush=True)
            for name, measure in make_measurements(quick=options.quick).items():
                if name in (options.only or NAMES):
                    print(f"{time.monotonic() - started_s:4.0f} s: measuring {name} …", file=sys.stderr, flush=True)
                    try:
                        rows += measure(world)
                    except FAILURES as error:
                        problems[name] = str(error) or type(error).__name__
    verdicts = judge(rows)
    missing = [each.goal.name for each in verdicts if each.word == NOT_MEASURED]
    if missing and not (options.only or problems):
        problems["targets"] = f"nothing was measured for {', '.join(missing)}"
    report = Report(
        date=date,
        commit=commit,
        is_quick=options.quick,
        duration_s=time.monotonic() - started_s,
        machine=machine,
        rows=rows,
        verdicts=verdicts,
        failed=list(problems),
    )
    show(report, options)
    for name, problem in problems.items():
        print(f"{name} could not be measured: {problem}", file=sys.stderr)
    return 1 if problems else 0


def show(report: Report, options: argparse.Namespace) -> None:
    """Print the tables, and write what was asked for."""
    print(render_rows(report.rows))
    print(f"\n{render_ceilings(report.rows)}".rstrip())
    print(f"\n{render_table(HEADER, [each.render() for each in report.verdicts])}\n\n{render_sum(report.verdicts)}")
    if options.json is not None:
        write_json(options.json, report)
    if options.page is not None:
        print(f"Written: {write_page(options.page, report)}", file=sys.stderr)


def make_measurements(*, quick: bool) -> dict[str, Callable[[World], Sequence[Row]]]:
    """Return the measurements by name, in their order and as large as asked for."""
    acks = AckPlan(
        rounds={64: 2, 1: 1, 256: 1} if quick else {64: 4, 1: 2, 256: 2},
        seconds=0.5 if quick else 2.0,
        rates=(500, 2000) if quick else (100, 500, 2000),
        rate_rounds=1 if quick else 2,
        rate_seconds=0.5 if quick else 2.0,
    )
    stored = StoredPlan(
        sizes=StoredSizes(single=1, few=1_000, many=20_000 if quick else 100_000),
        rounds=2 if quick else 3,
        seconds=0.5 if quick else 2.0,
        once=1_500 if quick else 5_000,
    )
    journal = JournalPlan(
        rows=100_000 if quick else 10_000_000,
        rounds=2 if quick else 3,
        seconds=0.5 if quick else 2.0,
        events=1_000 if quick else 5_000,
    )
    tools = ToolPlan(connections=64, rounds=2 if quick else 3, seconds=0.5 if quick else 2.0)
    return {
        "acks": lambda world: measure_acks(world, acks),
        "stored": lambda world: measure_stored(world, stored),
        "journal": lambda world: measure_journal(world, journal),
        "start": lambda world: measure_start(world, starts=2 if quick else 4),
        "memory": lambda world: measure_memory(world, events=30_000 if quick else 1_000_000),
        "tools": lambda world: measure_tools(world, tools),
        "directory": lambda world: measure_directory(world, misses=200 if quick else 1000),
        "changes": lambda world: measure_changes(world, changes=30 if quick else 60),
        "valkey": lambda world: measure_valkey(world, rounds=200 if quick else 1000),
        "pickup": lambda world: measure_pickup(world, events=10 if quick else 30),
        "drain": lambda world: measure_drain(world, events=2_000 if quick else 10_000),
        "turns": lambda world: measure_turns(world, turns=500 if quick else 2_000, singles=10 if quick else 40),
    }


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in good order; a second signal must not cut that short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
