"""The rows of the report, and the table of them for people."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench.stats import get_percentiles

# What a row is compared with, by the key of the ratio.
RATIOS: Final[Mapping[str, str]] = {
    "bolt": "x Bolt",
    "bolt-tuned": "x Bolt tuned",
    "bolt-js": "x Bolt JS",
    "fastmcp": "x fastmcp",
    "one": "x one process",
    "single": "x the CPU with 1 connection",
    "miss": "x the time with 1 connection",
    "empty": "x the CPU without rows",
    "full": "x the first",
    "valkey": "x Valkey's time",
}
HEADER: Final = ("measurement", "median", "spread", "p50 ms", "p99 ms", "CPU µs", "ratios")
# From here on the load generator itself may be what limits a run.
NEAR: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report; what does not apply is None or empty.

    Attributes:
        key: by which targets and plots find it; stays the same however the row is called.
        values: one per run, in `unit`; the median stands for them.
        latencies_ms: of the single requests, by the name of the percentile.
        cpu_us: what one request costs the server's processes and their sessions at the database.
        ceiling: what the load generator gets out of a server that does nothing, in `unit`.
        ratios: the median of the pairs, by what is compared with; a key of `RATIOS`.
    """

    key: str
    name: str
    values: Sequence[float] = ()
    unit: str = ""
    latencies_ms: Mapping[str, float] = field(default_factory=dict)
    cpu_us: float | None = None
    ceiling: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        """The median of the values, None without any."""
        return statistics.median(self.values) if self.values else None

    def get(self, figure: str) -> float | None:
        """Return one of its figures: `median`, `cpu`, a percentile's name, or `ratio:` and a key; None without it."""
        if figure == "median":
            return self.median
        if figure == "cpu":
            return self.cpu_us
        kind, _, key = figure.partition(":")
        return self.ratios.get(key) if kind == "ratio" else self.latencies_ms.get(kind)

    def render(self) -> tuple[str, ...]:
        """Return the cells."""
        median = "" if self.median is None else f"{render_number(self.median)} {self.unit}".rstrip()
        several = len(self.values) > 1
        spread = f"{render_number(min(self.values))}-{render_number(max(self.values))}" if several else ""
        latencies = (f"{self.latencies_ms[name]:.2f}" if name in self.latencies_ms else "" for name in ("p50", "p99"))
        cpu = "" if self.cpu_us is None else render_number(self.cpu_us)
        ratios = ", ".join(f"{ratio:.2f} {RATIOS[key]}" for key, ratio in self.ratios.items())
        return (self.name, median, spread, *latencies, cpu, ratios)

    def render_json(self) -> dict[str, Any]:
        """Return the numbers."""
        return {
            "key": self.key,
            "name": self.name,
            "unit": self.unit or None,
            "median": self.median,
            "values": list(self.values),
            "latencies_ms": dict(self.latencies_ms),
            "cpu_us": self.cpu_us,
            "ceiling": self.ceiling,
            "ratios": dict(self.ratios),
        }


def make_latency_row(key: str, name: str, latencies_s: Sequence[float]) -> Row:
    """Return a row of single latencies in seconds."""
    return Row(key=key, name=name, latencies_ms=get_percentiles([1000 * each for each in latencies_s]))


def render_rows(rows: Iterable[Row]) -> str:
    """Return the table of all rows for a terminal."""
    return render_table(HEADER, [row.render() for row in rows])


def render_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table for a terminal: first and last column to the left, the others to the right."""
    cells = [header, *lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    sides = {0, len(header) - 1}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in sides else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def render_markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return the same table in Markdown."""
    rule = ["---" if column in {0, len(header) - 1} else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def render_ceilings(rows: Iterable[Row]) -> str:
    """Return a sentence on whether the load generator was near to limiting a run; empty when nothing was held to it."""
    shares = {row.name: row.median / row.ceiling for row in rows if row.median and row.ceiling}
    if not shares:
        return ""
    near = [f"{name} ({share:.0%})" for name, share in shares.items() if share > NEAR]
    if near:
        return f"Within half of what the load generator can do, and perhaps held back by it: {'; '.join(near)}."
    name, share = max(shares.items(), key=lambda each: each[1])
    return (
        f"The load generator had at least half of its rate to spare in every run; the nearest was {name} ({share:.0%})."
    )


def render_number(value: float) -> str:
    """Return a number with about three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
