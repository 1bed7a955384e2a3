"""Charts as SVG, readable on light and dark ground: labelled bars, and latencies by percentile. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final, NamedTuple

from bench.report import render_number

WIDTH: Final = 900
MARGIN: Final = 20
CHAR_PX: Final = 6.6  # of the font below, on average
BAR_PX: Final = 18
LINE_PX: Final = 22
VALUE_PX: Final = 130
TITLE_PX: Final = 52
PANEL_PX: Final = 260
# Light and dark ground, one pair a series.
COLORS: Final = (
    ("#1d4ed8", "#60a5fa"),
    ("#7c3aed", "#c4b5fd"),
    ("#0f766e", "#2dd4bf"),
    ("#c2410c", "#fb923c"),
    ("#a16207", "#facc15"),
    ("#be123c", "#fb7185"),
    ("#6b7280", "#9ca3af"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar.

    Attributes:
        low, high: the spread; None without one.
        series: which colour; an index of `COLORS`.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Bars that belong together."""

    label: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: a value above each place of the axis."""

    label: str
    values: Sequence[float]
    series: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of several diagrams beside each other, all with the same axes."""

    label: str
    lines: Sequence[Line]


@dataclass(slots=True)
class _Canvas:
    """Collects the elements of one picture."""

    title: str
    height: float
    _parts: list[str] = field(default_factory=list)

    def add_text(self, x: float, y: float, text: str, *, anchor: str = "start", kind: str = "text") -> None:
        self._parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def add_line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def add_bar(self, x1: float, x2: float, y: float, series: int) -> None:
        left, width = min(x1, x2), max(1.0, abs(x2 - x1))
        self._parts.append(
            f'<rect class="f{series}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR_PX - 4}" rx="2"/>'
        )

    def add_dot(self, x: float, y: float, series: int) -> None:
        self._parts.append(f'<circle class="f{series}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')

    def add_path(self, points: Sequence[tuple[float, float]], series: int) -> None:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="l{series}" points="{places}"/>')

    def render(self) -> str:
        light = "".join(f".f{n}{{fill:{one}}}.l{n}{{stroke:{one}}}" for n, (one, _) in enumerate(COLORS))
        dark = "".join(f".f{n}{{fill:{one}}}.l{n}{{stroke:{one}}}" for n, (_, one) in enumerate(COLORS))
        lines = ",".join(f".l{number}" for number in range(len(COLORS)))
        style = (
            "text{font:12px system-ui,sans-serif;fill:#1f2937}.title{font-size:16px;font-weight:600}"
            f".group{{font-weight:600}}.small{{font-size:11px;fill:#4b5563}}{lines}{{fill:none;stroke-width:2}}"
            ".ground{fill:#ffffff}.grid{stroke:#d1d5db}.mark{stroke:#111827;stroke-width:1.5}"
            f".spread{{stroke:#111827;stroke-width:1.5}}{light}"
            "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.small{fill:#9ca3af}.ground{fill:#0d1117}"
            f".grid{{stroke:#374151}}.mark,.spread{{stroke:#f9fafb}}{dark}}}"
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:.0f}" width="{WIDTH}" '
            f'height="{self.height:.0f}" role="img" aria-label="{escape(self.title)}">'
            f"<title>{escape(self.title)}</title><style>{style}</style>"
            f'<rect class="ground" width="{WIDTH}" height="{self.height:.0f}"/>'
            f"{''.join(self._parts)}</svg>\n"
        )


def render_bars(title: str, unit: str, groups: Sequence[Group]) -> str:
    """Return bars from zero, each with its value, and its spread as a thin line."""
    bars = [bar for group in groups for bar in group.bars]
    top = max((bar.high or bar.value for bar in bars), default=1.0) or 1.0
    ticks = _find_ticks(top)
    return _render_bars(title, unit, groups, ticks=ticks, begins=0.0, place=lambda value: value / ticks[-1])


def render_reach(title: str, bars: Sequence[Bar]) -> str:
    """Return bars to both sides of 1: to the right what is better, to the left what is worse, by powers of ten."""
    decades = max((abs(math.log10(bar.value)) for bar in bars if 0 < bar.value < math.inf), default=1.0)
    most = max(1, math.ceil(decades))
    ticks = [10.0**power for power in range(-most, most + 1)]

    def place(value: float) -> float:
        held = min(max(value, ticks[0]), ticks[-1])
        return (math.log10(held) + most) / (2 * most)

    return _render_bars(title, "times the goal", [Group(label="", bars=bars)], ticks=ticks, begins=1.0, place=place)


def _render_bars(
    title: str,
    unit: str,
    groups: Sequence[Group],
    *,
    ticks: Sequence[float],
    begins: float,
    place: Callable[[float], float],
) -> str:
    """Return the picture; `place` says where a value lies, 0 to 1, and bars begin at `begins`."""
    longest = max((len(bar.label) for group in groups for bar in group.bars), default=0)
    left = MARGIN + longest * CHAR_PX + 10
    width = WIDTH - left - VALUE_PX
    rows = sum(len(group.bars) for group in groups)
    labels = sum(bool(group.label) for group in groups)
    bottom = TITLE_PX + rows * LINE_PX + labels * LINE_PX + 6
    canvas = _Canvas(title, bottom + 40)
    canvas.add_text(MARGIN, 28, title, kind="title")
    for tick in ticks:
        x = left + width * place(tick)
        canvas.add_line(x, TITLE_PX - 6, x, bottom, "grid")
        canvas.add_text(x, bottom + 16, render_number(tick), anchor="middle", kind="small")
    canvas.add_text(left + width + 30, bottom + 16, unit, kind="small")
    start = left + width * place(begins)
    canvas.add_line(start, TITLE_PX - 6, start, bottom, "mark")
    y = float(TITLE_PX)
    for group in groups:
        if group.label:
            canvas.add_text(MARGIN, y + 14, group.label, kind="group")
            y += LINE_PX
        for bar in group.bars:
            end = left + width * place(bar.value)
            canvas.add_text(left - 8, y + 12, bar.label, anchor="end")
            canvas.add_bar(start, end, y, bar.series)
            after = end
            if bar.low is not None and bar.high is not None and bar.low < bar.high:
                low, high = (left + width * place(each) for each in (bar.low, bar.high))
                canvas.add_line(low, y + 7, high, y + 7, "spread")
                after = max(after, high)
            canvas.add_text(max(after, start) + 6, y + 12, render_number(bar.value))
            y += LINE_PX
    return canvas.render()


def render_latencies(title: str, places: Sequence[str], panels: Sequence[Panel]) -> str:
    """Return lines of latencies in ms by percentile, on a scale of powers of ten; a legend names the lines."""
    values = [value for panel in panels for line in panel.lines for value in line.values if value > 0]
    powers = range(math.floor(math.log10(min(values, default=1))), math.ceil(math.log10(max(values, default=10))) + 1)
    legend = {line.label: line.series for panel in panels for line in panel.lines}
    top = TITLE_PX + LINE_PX * math.ceil(len(legend) / 3) + 30
    bottom = top + PANEL_PX
    canvas = _Canvas(title, bottom + 44)
    canvas.add_text(MARGIN, 28, title, kind="title")
    for number, (label, series) in enumerate(legend.items()):
        x, y = MARGIN + (number % 3) * (WIDTH - 2 * MARGIN) / 3, TITLE_PX + LINE_PX * (number // 3)
        canvas.add_bar(x, x + 22, y - 10, series)
        canvas.add_text(x + 30, y + 2, label)
    width = (WIDTH - 2 * MARGIN) / max(1, len(panels))
    for number, panel in enumerate(panels):
        left = MARGIN + number * width
        _draw_panel(canvas, panel, places, powers, _Area(left + 52, left + width - 16, top, bottom))
    return canvas.render()


class _Area(NamedTuple):
    """Where a diagram lies."""

    left: float
    right: float
    top: float
    bottom: float


def _draw_panel(canvas: _Canvas, panel: Panel, places: Sequence[str], powers: range, area: _Area) -> None:
    """Draw one diagram; its scale goes over these powers of ten."""
    lowest = 10.0 ** powers[0]

    def find_y(value: float) -> float:
        share = (math.log10(max(value, lowest)) - powers[0]) / max(1, len(powers) - 1)
        return area.bottom - share * (area.bottom - area.top)

    canvas.add_text(area.left, area.top - 12, panel.label, kind="group")
    for power in powers:
        value = 10.0**power
        canvas.add_line(area.left, find_y(value), area.right, find_y(value), "grid")
        canvas.add_text(area.left - 6, find_y(value) + 4, f"{render_number(value)} ms", anchor="end", kind="small")
    step = (area.right - area.left - 28) / max(1, len(places) - 1)
    columns = [area.left + 14 + step * at for at in range(len(places))]
    for x, name in zip(columns, places, strict=True):
        canvas.add_text(x, area.bottom + 18, name, anchor="middle", kind="small")
    for line in panel.lines:
        points = [(x, find_y(value)) for x, value in zip(columns, line.values, strict=True)]
        canvas.add_path(points, line.series)
        for point in points:
            canvas.add_dot(*point, line.series)


def _find_ticks(top: float) -> list[float]:
    """Return round numbers from zero to the first that is not below `top`, about five of them."""
    rough = top / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough)
    return [step * number for number in range(math.ceil(top / step - 1e-9) + 1)]
