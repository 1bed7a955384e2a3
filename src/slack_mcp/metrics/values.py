"""The figures of one process: plain numbers in memory, since the webhook counts for every delivery.

All of it happens in the event loop, so that nothing is locked.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from slack_mcp.metrics.catalogue import METRICS, Kind, Metric

Labels: TypeAlias = tuple[str, ...]
Row: TypeAlias = tuple[float, ...]
"""A counter's value; a gauge's value and when it was set; a histogram's buckets and the sum of what was seen."""
Snapshot: TypeAlias = Mapping[str, Mapping[Labels, Row]]
"""Rows by the metric's name and the label values."""


class Counter:
    """Something that only grows."""

    def __init__(self, metric: Metric) -> None:
        self._values: dict[Labels, float] = dict.fromkeys(metric.values, 0.0)
        self._totals: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count something."""
        self._values[labels] = self._values.get(labels, 0.0) + by

    def follow(self, total: float, *labels: str) -> None:
        """Count what has come since the last time to something that is counted elsewhere in this process."""
        self.add(*labels, by=total - self._totals.get(labels, 0.0))
        self._totals[labels] = total

    def list_rows(self) -> Iterable[tuple[Labels, Row]]:
        """Yield the values."""
        return ((labels, (value,)) for labels, value in self._values.items())


class Gauge:
    """Something that is so much now."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._values: dict[Labels, Row] = {}

    def set(self, value: float, *labels: str) -> None:
        """Say how much it is."""
        self._values[labels] = (float(value), self._now_s())

    def set_only(self, labels: Iterable[Labels]) -> None:
        """Say that it is 1 with these labels, and 0 with any other that it ever had."""
        wanted = set(labels)
        for each in wanted | self._values.keys():
            self.set(float(each in wanted), *each)

    def list_rows(self) -> Iterable[tuple[Labels, Row]]:
        """Yield the values."""
        return self._values.items()


class Histogram:
    """How often something was how much."""

    def __init__(self, metric: Metric) -> None:
        self._bounds = metric.bounds
        self._rows: dict[Labels, list[float]] = {labels: self._open() for labels in metric.values}

    def observe(self, value: float, *labels: str) -> None:
        """Note a value."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = self._open()
        row[bisect_left(self._bounds, value)] += 1
        row[-1] += value

    def list_rows(self) -> Iterable[tuple[Labels, Row]]:
        """Yield the values."""
        return ((labels, tuple(row)) for labels, row in self._rows.items())

    def _open(self) -> list[float]:
        return [0.0] * (len(self._bounds) + 2)  # what is above all bounds, and the sum


class Values:
    """All metrics of the table, for one process."""

    def __init__(self, *, now_s: Callable[[], float] = time.time) -> None:
        self._counters: Final = {each: Counter(each) for each in METRICS if each.kind is Kind.COUNTER}
        self._gauges: Final = {each: Gauge(now_s) for each in METRICS if each.kind is Kind.GAUGE}
        self._histograms: Final = {each: Histogram(each) for each in METRICS if each.kind is Kind.HISTOGRAM}

    def counter(self, metric: Metric) -> Counter:
        """Return one of them."""
        return self._counters[metric]

    def gauge(self, metric: Metric) -> Gauge:
        """Return one of them."""
        return self._gauges[metric]

    def histogram(self, metric: Metric) -> Histogram:
        """Return one of them."""
        return self._histograms[metric]

    def take_snapshot(self) -> Snapshot:
        """Return all of it as it is now."""
        held: dict[Metric, Counter | Gauge | Histogram] = {**self._counters, **self._gauges, **self._histograms}
        return {metric.name: dict(each.list_rows()) for metric, each in held.items()}
