"""`python -m bench`: measures, prints one table, and ends with 0 only when everything could be measured."""

import argparse
import http.client
import json
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
from bench.report import Row, describe_machine, render_machine, render_table
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
NAMES: Final = ("acks", "tools", "directory", "changes", "valkey", "pickup", "drain", "turns")


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
    parser.add_argument("--quick", action="store_true", help="about a minute instead of about four")
    parser.add_argument("--only", choices=NAMES, action="append", help="measure only this; may be given several times")
    parser.add_argument(
        "--connections", type=_positive, default=64, help="of the load generator (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file as well")
    parser.add_argument(
        "--directory", type=Path, help="where the databases lie for the time being (default: the system's own place)"
    )
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Measure, print, and return the exit code."""
    started_s = time.monotonic()
    rows: list[Row] = []
    problems: list[str] = []
    # A short name: that of the database's unix socket is limited to about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory, ignore_cleanup_errors=True) as directory:
        machine = describe_machine(Path(directory))
        print(render_machine(machine), flush=True)
        with open_world(Path(directory)) as world:
            for name, measure in make_measurements(options).items():
                if name in (options.only or NAMES):
                    print(f"measuring {name} …", file=sys.stderr, flush=True)
                    try:
                        rows += measure(world)
                    except FAILURES as error:
                        problems.append(f"{name} could not be measured: {str(error) or type(error).__name__}")
    print(render_table(rows))
    for problem in problems:
        print(problem, file=sys.stderr)
    if options.json is not None:
        document = {
            "machine": machine,
            "duration_s": round(time.monotonic() - started_s, 1),
            "rows": [row.render_json() for row in rows],
            "problems": problems,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if problems else 0


def make_measurements(options: argparse.Namespace) -> dict[str, Callable[[World], Sequence[Row]]]:
    """Return the measurements by name, in their order and as large as asked for."""
    quick: bool = options.quick
    connections = tuple(dict.fromkeys((options.connections, 1)))
    acks = AckPlan(
        connections=connections[:1] if quick else connections, rounds=3 if quick else 4, seconds=1.0 if quick else 3.0
    )
    tools = ToolPlan(connections=options.connections, rounds=3 if quick else 4, seconds=1.0 if quick else 3.0)
    return {
        "acks": lambda world: measure_acks(world, acks),
        "tools": lambda world: measure_tools(world, tools),
        "directory": lambda world: measure_directory(world, misses=200 if quick else 1000),
        "changes": lambda world: measure_changes(world, changes=30 if quick else 60),
        "valkey": lambda world: measure_valkey(world, rounds=200 if quick else 1000),
        "pickup": lambda world: measure_pickup(world, events=10 if quick else 30),
        "drain": lambda world: measure_drain(world, events=2_000 if quick else 10_000),
        "turns": lambda world: measure_turns(world, turns=1_000 if quick else 5_000, singles=20 if quick else 60),
    }


def _positive(text: str) -> int:
    """Return a number of at least 1; argparse makes a sentence of the ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """End in good order; a second signal must not cut that short."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
