"""A run as a page that is kept: what was reached, pictures, and all numbers, with date and commit."""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.machine import render_machine
from bench.processes import ROOT
from bench.report import HEADER, Row, render_ceilings, render_markdown
from bench.stats import PERCENTILES
from bench.svg import Bar, Group, Line, Panel, render_bars, render_latencies, render_reach
from bench.targets import HEADER as TARGETS_HEADER
from bench.targets import Verdict, render_sum

NUMBERS: Final = "numbers.json"
# What a picture calls a server, and its colour.
SERVERS: Final[Mapping[str, tuple[str, int]]] = {
    "postgresql": ("PostgreSQL", 0),
    "postgresql-2": ("PostgreSQL, two processes", 1),
    "sqlite": ("SQLite", 2),
    "bolt": ("Bolt for Python", 3),
    "bolt-tuned": ("Bolt for Python, tuned", 4),
    "bolt-js": ("Bolt JS", 5),
    "null": ("a server that does nothing", 6),
}
MET, NOT_MET = 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that one run found out.

    Attributes:
        date: of the run, as 2026-11-25.
        commit: of the code, with `-changed` behind it when it was not all of it.
        failed: the parts that could not be measured.
    """

    date: str
    commit: str
    is_quick: bool
    duration_s: float
    machine: Mapping[str, Any]
    rows: Sequence[Row]
    verdicts: Sequence[Verdict]
    failed: Sequence[str]

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.date}-{self.commit}"

    def render_json(self) -> dict[str, Any]:
        """Return the numbers."""
        return {
            "date": self.date,
            "commit": self.commit,
            "is_quick": self.is_quick,
            "duration_s": round(self.duration_s, 1),
            "machine": dict(self.machine),
            "targets": [each.render_json() for each in self.verdicts],
            "rows": [row.render_json() for row in self.rows],
            "failed": list(self.failed),
        }


def write_page(directory: Path, report: Report) -> Path:
    """Return the page's file, written with its pictures and numbers into a folder of its own, and list it."""
    folder = directory / report.name
    folder.mkdir(parents=True, exist_ok=True)
    pictures = render_pictures(report)
    for name, (_, svg) in pictures.items():
        (folder / name).write_text(svg, encoding="utf-8")
    write_json(folder / NUMBERS, report)
    page = folder / "README.md"
    captions = {name: caption for name, (caption, _) in pictures.items()}
    page.write_text(render_page(report, captions), encoding="utf-8")
    (directory / "README.md").write_text(render_index(read_runs(directory)), encoding="utf-8")
    return page


def write_json(path: Path, report: Report) -> None:
    """Write the numbers."""
    path.write_text(json.dumps(report.render_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_runs(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the numbers of all runs that are kept, by the name of their folder, the newest first."""
    paths = sorted(directory.glob(f"*/{NUMBERS}"), reverse=True)
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def find_commit() -> str:
    """Return the commit that is measured, with a mark when files differ from it; `unknown` without git."""
    commands = (["git", "rev-parse", "--short=10", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        commit, changes = (
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-changed" if changes else commit


def find_date() -> str:
    """Return today's date in UTC."""
    return datetime.now(UTC).date().isoformat()


def render_page(report: Report, pictures: Mapping[str, str]) -> str:
    """Return the page; `pictures` are the captions by the names of the files."""
    notes = [f"Commit {report.commit}, {report.date}, measured in {report.duration_s / 60:.0f} minutes."]
    if report.is_quick:
        notes.append("A quick run: the numbers are coarse.")
    notes += [f"Not measured: {name}." for name in report.failed]
    about = (
        "[bench/README.md](../../../bench/README.md) says what is measured and how to read it;\n"
        "[notes.md](../notes.md) what was tried, and why a target is missed."
    )
    parts = [
        f"# Benchmark of {report.date}",
        " ".join(notes),
        *render_machine(report.machine).splitlines(),
        about,
        "## Targets",
        render_sum(report.verdicts),
        render_markdown(TARGETS_HEADER, [each.render() for each in report.verdicts]),
        "## Pictures",
        *(f"![{caption}]({name})" for name, caption in pictures.items()),
        "## All numbers",
        render_ceilings(report.rows),
        render_markdown(HEADER, [row.render() for row in report.rows]),
        f"The same for programs: [{NUMBERS}]({NUMBERS}).",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_index(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page that lists all runs, by the name of their folder."""
    lines = [
        (
            f"[{run['date']}]({name}/README.md)",
            run["commit"],
            f"{run['machine']['cores']} cores, {run['machine']['cpu']}",
            run["machine"]["python"],
            str(run["machine"]["load_average"]),
            _render_met(run),
        )
        for name, run in runs.items()
    ]
    header = ("run", "commit", "machine", "Python", "load", "targets met")
    about = (
        "Runs of `make bench-page`, which writes this list; [bench/README.md](../../bench/README.md) says what is\n"
        "measured and how to read it. [notes.md](notes.md) has what was tried and what it gave."
    )
    parts = [
        "# Benchmarks",
        about,
        render_markdown(header, lines) if lines else "No run has been kept yet.",
    ]
    return "\n\n".join(parts) + "\n"


def _render_met(run: Mapping[str, Any]) -> str:
    """Return how many of the measured targets a run met."""
    words = [each["verdict"] for each in run["targets"] if each["reach"] is not None]
    return f"{words.count('met')} of {len(words)}{' (quick)' if run['is_quick'] else ''}"


def render_pictures(report: Report) -> dict[str, tuple[str, str]]:
    """Return caption and SVG by the name of the file; without those for which nothing was measured."""
    rows = {row.key: row for row in report.rows}
    pictures = {
        "targets.svg": ("How far each target was reached", _draw_targets(report.verdicts)),
        "acks.svg": ("Deliveries answered per second, every server at its limit", _draw_acks(rows)),
        "latencies.svg": ("Latency of an ack, from the moment it was to be sent", _draw_latencies(rows)),
        "cost.svg": ("CPU that one event costs the service and its database", _draw_cost(rows)),
        "tools.svg": ("Requests to /mcp answered per second, 64 connections", _draw_tools(rows)),
    }
    return {
        name: (caption, drawn if isinstance(drawn, str) else render_bars(caption, *drawn))
        for name, (caption, drawn) in pictures.items()
        if drawn
    }


def _draw_targets(verdicts: Iterable[Verdict]) -> str:
    bars = [
        Bar(label=each.goal.name, value=each.reach, series=MET if each.reach >= 1 else NOT_MET)
        for each in verdicts
        if each.reach is not None
    ]
    return render_reach("How far each target was reached: to the right of 1 it is met", bars) if bars else ""


def _make_bar(row: Row, label: str, series: int) -> Bar:
    return Bar(label=label, value=row.median or 0.0, low=min(row.values), high=max(row.values), series=series)


def _draw_acks(rows: Mapping[str, Row]) -> tuple[str, list[Group]] | None:
    by_connections: dict[int, list[Bar]] = {}
    for key, row in rows.items():
        part, _, rest = key.partition(".")
        server, _, connections = rest.rpartition(".")
        if part == "acks" and server in SERVERS:
            by_connections.setdefault(int(connections), []).append(_make_bar(row, *SERVERS[server]))
    groups = [
        Group(label=f"{connections} connection{'' if connections == 1 else 's'}", bars=bars)
        for connections, bars in sorted(by_connections.items())
    ]
    return ("per second", groups) if groups else None


def _draw_latencies(rows: Mapping[str, Row]) -> str:
    by_rate: dict[int, list[Line]] = {}
    for key, row in rows.items():
        part, _, rest = key.partition(".")
        server, _, rate = rest.rpartition(".")
        if part == "rates" and server in SERVERS:
            label, series = SERVERS[server]
            values = [row.latencies_ms[name] for name in PERCENTILES]
            by_rate.setdefault(int(rate), []).append(Line(label=label, values=values, series=series))
    panels = [Panel(label=f"{rate:,} per second", lines=lines) for rate, lines in sorted(by_rate.items())]
    title = "Latency of an ack, from the moment it was to be sent (ms, by percentile)"
    return render_latencies(title, list(PERCENTILES), panels) if panels else ""


def _draw_cost(rows: Mapping[str, Row]) -> tuple[str, list[Group]] | None:
    parts = {
        "ack": [row for key, row in rows.items() if key.startswith(("stored.", "journal.acks.")) and row.cpu_us],
        "work behind the ack": [row for key, row in rows.items() if key.startswith("journal.work.")],
    }
    groups = [
        Group(
            label=label,
            bars=[
                Bar(label=row.name.partition(", ")[2], value=row.cpu_us or row.median or 0.0, series=number)
                for row in found
            ],
        )
        for number, (label, found) in enumerate(parts.items())
        if found
    ]
    return ("µs", groups) if groups else None


def _draw_tools(rows: Mapping[str, Row]) -> tuple[str, list[Group]] | None:
    by_version: dict[str, list[Bar]] = {}
    names = {
        "call": ("tools/call", 0),
        "call-fastmcp": ("tools/call, fastmcp", 3),
        "list": ("tools/list", 0),
        "list-fastmcp": ("tools/list, fastmcp", 3),
        "query": ("tools/call with a query", 0),
    }
    for key, row in rows.items():
        part, _, rest = key.partition(".")
        name, _, version = rest.partition(".")
        if part == "tools" and name in names:
            by_version.setdefault(version, []).append(_make_bar(row, *names[name]))
    groups = [Group(label=f"protocol {version}", bars=bars) for version, bars in by_version.items()]
    return ("per second", groups) if groups else None
