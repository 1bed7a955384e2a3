"""What is said of a benchmark: which targets were met, and the page that is kept of it."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench.machine import render_machine
from bench.page import Report, read_runs, render_index, render_page, render_pictures, write_page
from bench.report import Row
from bench.stats import PERCENTILES
from bench.svg import Bar, Group, Line, Panel, render_bars, render_latencies, render_reach
from bench.targets import GOALS, Goal, at_least, at_most, judge, render_sum

RATE = at_least("rate", "acks.postgresql.64", "median", 100, "/s")
LATENCY = at_most("latency", "acks.postgresql.64", "p99", 10, "ms")
SVG = "{http://www.w3.org/2000/svg}"


def make_row(key: str, value: float = 200.0, *, p99_ms: float = 20.0) -> Row:
    latencies_ms = {name: p99_ms * (number + 1) / 3 for number, name in enumerate(PERCENTILES)}
    return Row(
        key=key, name=f"row <{key}>, of it", values=[value, value], unit="/s", latencies_ms=latencies_ms, cpu_us=9
    )


def make_machine(*, load_average: float = 0.1, filesystem: str = "ext4") -> dict[str, Any]:
    return {
        "cores": 2,
        "cpu": "A & B",
        "memory_gb": 8,
        "python": "3.11.7",
        "kernel": "6.1",
        "filesystem": filesystem,
        "fsync_ms": 0.2,
        "load_average": load_average,
        "versions": {"uvicorn": "1.0"},
    }


def make_report(rows: Sequence[Row], *, goals: Sequence[Goal] = (RATE, LATENCY), date: str = "2026-01-02") -> Report:
    return Report(
        date=date,
        commit="abc123",
        is_quick=False,
        duration_s=600,
        machine=make_machine(),
        rows=rows,
        verdicts=judge(rows, goals),
        failed=[],
    )


ROWS = [
    *(make_row(f"acks.{server}.{connections}") for connections in (1, 64) for server in ("postgresql", "bolt")),
    *(make_row(f"rates.{server}.{rate}") for rate in (100, 500) for server in ("null", "postgresql")),
    *(make_row(key) for key in ("stored.single", "stored.few", "journal.acks.many", "journal.work.many")),
    *(make_row(f"tools.{name}.2025-11-25") for name in ("call", "call-fastmcp", "list", "query")),
]


@pytest.mark.parametrize(
    ("goal", "value", "reach", "word"),
    [
        (RATE, 100.0, 1.0, "met"),
        (RATE, 50.0, 0.5, "not met"),
        (LATENCY, 10.0, 1.0, "met"),
        (LATENCY, 20.0, 0.5, "not met"),
        (LATENCY, 4.0, 2.5, "met"),
    ],
)
def test_reach_is_one_exactly_at_the_goal_and_larger_is_better(
    goal: Goal, value: float, reach: float, word: str
) -> None:
    row = Row(key=goal.row, name="", values=[value], latencies_ms={"p99": value})

    [verdict] = judge([row], [goal])

    assert (verdict.measured, verdict.reach, verdict.word) == (value, reach, word)


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    verdicts = judge(
        [make_row("acks.postgresql.64", p99_ms=5)], [RATE, LATENCY, at_least("other", "x", "median", 1, "")]
    )

    assert [each.word for each in verdicts] == ["met", "met", "not measured"]
    assert render_sum(verdicts) == "2 of 2 targets met; 1 not measured."


def test_every_goal_has_a_name_of_its_own() -> None:
    assert len({goal.name for goal in GOALS}) == len(GOALS)


def test_a_verdict_shows_the_goal_the_measure_and_how_far_it_went() -> None:
    verdicts = judge([make_row("acks.postgresql.64", p99_ms=20)], [RATE, LATENCY])

    assert [each.render() for each in verdicts] == [
        ("rate", "≥ 100 /s", "200 /s", "2.00", "met"),
        ("latency", "≤ 10 ms", "20 ms", "0.50", "not met"),
    ]


def read_svg(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def find_rects(svg: ET.Element, kind: str) -> list[dict[str, float]]:
    found = [each for each in svg.iter(f"{SVG}rect") if each.get("class") == kind]
    return [{name: float(each.attrib[name]) for name in ("x", "width")} for each in found]


def read_texts(svg: ET.Element) -> list[str | None]:
    return [each.text for each in svg.iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values_and_say_them() -> None:
    bars = [Bar(label="a < b", value=50, low=40, high=60), Bar(label="c & d", value=100)]

    svg = read_svg(render_bars("A & B", "per second", [Group(label="group", bars=bars)]))

    first, second = find_rects(svg, "f0")
    assert second["width"] == pytest.approx(2 * first["width"], abs=0.2)
    assert {"A & B", "group", "a < b", "c & d", "50", "100", "per second"} <= set(read_texts(svg))
    assert [each.get("class") for each in svg.iter(f"{SVG}line")].count("spread") == 1


def test_reach_goes_to_the_right_of_one_when_met_and_to_the_left_when_not() -> None:
    bars = [Bar(label="met", value=2.0, series=0), Bar(label="missed", value=0.5, series=1)]

    svg = read_svg(render_reach("reach", bars))

    [met], [missed] = find_rects(svg, "f0"), find_rects(svg, "f1")
    assert met["x"] == pytest.approx(missed["x"] + missed["width"], abs=0.2)
    assert met["width"] == pytest.approx(missed["width"], abs=0.2)


def test_a_slower_line_lies_higher_in_every_panel() -> None:
    lines = [
        Line(label="fast", values=[1.0, 10.0], series=0),
        Line(label="slow", values=[2.0, 20.0], series=1),
    ]

    svg = read_svg(render_latencies("latency", ["p50", "p99"], [Panel(label=name, lines=lines) for name in "ab"]))

    heights: dict[str, list[float]] = {"f0": [], "f1": []}
    for dot in svg.iter(f"{SVG}circle"):
        heights[dot.attrib["class"]].append(float(dot.attrib["cy"]))
    assert len(heights["f0"]) == 4
    assert all(slow < fast for fast, slow in zip(heights["f0"], heights["f1"], strict=True))


def test_nothing_of_a_picture_lies_outside_of_it() -> None:
    for _, text in render_pictures(make_report(ROWS)).values():
        svg = read_svg(text)
        width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
        places = [(float(each.attrib["x"]), float(each.attrib["y"])) for each in svg.iter(f"{SVG}text")]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_pictures_have_colours_for_light_and_for_dark_ground() -> None:
    for _, text in render_pictures(make_report(ROWS)).values():
        light, _, dark = text.partition("@media(prefers-color-scheme:dark)")
        assert ".ground{fill:#ffffff}" in light
        assert re.search(r"\.ground\{fill:#0", dark)


def test_a_picture_is_left_out_when_nothing_of_it_was_measured() -> None:
    assert set(render_pictures(make_report(ROWS))) == {
        "targets.svg",
        "acks.svg",
        "latencies.svg",
        "cost.svg",
        "tools.svg",
    }
    assert set(render_pictures(make_report(ROWS[2:3]))) == {"targets.svg", "acks.svg"}
    assert not render_pictures(make_report([]))


def test_the_page_has_the_targets_the_pictures_and_every_row() -> None:
    report = make_report(ROWS)

    page = render_page(report, {"acks.svg": "Acks"})

    assert "Commit abc123, 2026-01-02, measured in 10 minutes." in page
    assert "| latency | ≤ 10 ms | 20 ms | 0.50 | not met |" in page
    assert "![Acks](acks.svg)" in page
    assert all(row.name in page for row in ROWS)


def test_a_kept_run_is_written_whole_and_listed_with_the_newest_first(tmp_path: Path) -> None:
    for date in ("2026-01-02", "2026-02-03"):
        page = write_page(tmp_path, make_report(ROWS, date=date))
        pictures = re.findall(r"\]\((\S+\.svg)\)", page.read_text(encoding="utf-8"))
        assert len(pictures) == 5
        assert all((page.parent / each).is_file() for each in pictures)

    index = (tmp_path / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\((2026-\S+)\)", index)
    assert links == ["2026-02-03-abc123/README.md", "2026-01-02-abc123/README.md"]
    assert all((tmp_path / each).is_file() for each in links)
    assert "1 of 2" in index


def test_the_numbers_of_a_kept_run_can_be_read_again(tmp_path: Path) -> None:
    report = make_report(ROWS)

    write_page(tmp_path, report)

    assert read_runs(tmp_path) == {"2026-01-02-abc123": json.loads(json.dumps(report.render_json()))}


def test_the_list_of_kept_runs_is_that_of_those_in_the_repository() -> None:
    kept = Path(__file__).parents[2] / "docs" / "benchmarks"

    assert (kept / "README.md").read_text(encoding="utf-8") == render_index(read_runs(kept))


@pytest.mark.parametrize(
    ("machine", "warnings"),
    [
        (make_machine(), 0),
        (make_machine(load_average=2.0), 1),
        (make_machine(load_average=2.0, filesystem="tmpfs"), 2),
    ],
)
def test_a_machine_tells_what_makes_its_numbers_worth_less(machine: dict[str, Any], warnings: int) -> None:
    first, *others = render_machine(machine).splitlines()

    assert first.startswith("2 cores (A & B), 8 GB")
    assert len(others) == warnings
