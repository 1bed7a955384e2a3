"""The few statistics of the report. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

PERCENTILES: Final[Mapping[str, float]] = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9, "max": 100}


def get_percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile, 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def get_percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return all percentiles of the report, by name."""
    ordered = sorted(values)
    return {name: get_percentile(ordered, percent) for name, percent in PERCENTILES.items()}


def get_medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the runs, which all have the same ones."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def get_median_ratio(values: Sequence[float], peers: Sequence[float]) -> float:
    """Return the median of the ratios, pair by pair: what slows a whole pair down does not count."""
    return statistics.median(value / peer for value, peer in zip(values, peers, strict=True))
