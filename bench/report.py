"""The report: one table for people, one document for programs."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from bench.stats import get_percentile

PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "slack-bolt", "aiohttp", "asyncpg", "mcp", "fastmcp")
PEERS: Final = {"stock": "x Bolt stock", "tuned": "x Bolt tuned", "fastmcp": "x fastmcp"}
HEADER: Final = ("measurement", "median", "spread", "p50 ms", "p99 ms", *PEERS.values())
FSYNCS: Final = 60
IN_MEMORY: Final = ("tmpfs", "ramfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report; what does not apply is None.

    Attributes:
        values: one per run, in `unit`; the median stands for them.
        p50_ms, p99_ms: of the single requests.
        ratios: to each peer, the median of the pairs; Bolt by how it is served.
    """

    name: str
    values: Sequence[float] = ()
    unit: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)

    def render(self) -> tuple[str, ...]:
        """Return the cells."""
        median = f"{_round(statistics.median(self.values))} {self.unit}" if self.values else ""
        spread = f"{_round(min(self.values))}-{_round(max(self.values))}" if len(self.values) > 1 else ""
        latencies = ("" if each is None else f"{each:.2f}" for each in (self.p50_ms, self.p99_ms))
        ratios = (f"{self.ratios[peer]:.2f}" if peer in self.ratios else "" for peer in PEERS)
        return (self.name, median, spread, *latencies, *ratios)

    def render_json(self) -> dict[str, Any]:
        """Return the numbers."""
        return {
            "name": self.name,
            "unit": self.unit or None,
            "median": statistics.median(self.values) if self.values else None,
            "values": list(self.values),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "ratios": dict(self.ratios),
        }


def make_latency_row(name: str, latencies_s: Sequence[float]) -> Row:
    """Return a row of single latencies in seconds."""
    latencies_ms = [1000 * each for each in latencies_s]
    return Row(name=name, p50_ms=get_percentile(latencies_ms, 50), p99_ms=get_percentile(latencies_ms, 99))


def render_table(rows: Sequence[Row]) -> str:
    """Return the table, numbers to the right."""
    cells = [HEADER, *(row.render() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in cells)
    )


def describe_machine(directory: Path) -> dict[str, Any]:
    """Return what the numbers depend on; `directory` is where the databases lie."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "filesystem": find_filesystem(directory),
        "fsync_ms": round(1000 * measure_fsync_s(directory), 2),
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def render_machine(machine: dict[str, Any]) -> str:
    """Return the machine as one line, and a warning where the disk is none."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    line = (
        f"{machine['cores']} cores (load {machine['load_average']} at the start), Python {machine['python']}, "
        f"Linux {machine['kernel']}, {machine['filesystem']} with fsync in {machine['fsync_ms']} ms; {versions}"
    )
    if machine["filesystem"] in IN_MEMORY:
        line += "\nThe databases lie in memory, not on a disk: choose another place with --directory."
    return line


def find_filesystem(directory: Path) -> str:
    """Return the type of the file system that a directory is on."""
    resolved = directory.resolve()
    mounts = [each for each in psutil.disk_partitions(all=True) if resolved.is_relative_to(each.mountpoint)]
    return str(max(mounts, key=lambda each: len(each.mountpoint)).fstype) if mounts else "unknown"


def measure_fsync_s(directory: Path) -> float:
    """Return the median time of a 4 KiB append with fsync."""
    durations = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            started_s = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            durations.append(time.perf_counter() - started_s)
    return statistics.median(durations)


def _round(value: float) -> str:
    """Return a number with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
