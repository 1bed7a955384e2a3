"""The few statistics of the report. Pure."""

import math
import statistics
from collections.abc import Sequence


def get_percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile, 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def get_median_ratio(values: Sequence[float], peers: Sequence[float]) -> float:
    """Return the median of the ratios, pair by pair: what slows a whole pair down does not count."""
    return statistics.median(value / peer for value, peer in zip(values, peers, strict=True))
