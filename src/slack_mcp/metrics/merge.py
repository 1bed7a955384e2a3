"""The figures of several processes as one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from slack_mcp.metrics.catalogue import METRICS, Kind, Merge, Metric
from slack_mcp.metrics.values import Labels, Row, Snapshot


def merge(live: Sequence[Snapshot], gone: Sequence[Snapshot] = ()) -> Snapshot:
    """Return them together.

    Args:
        live: of processes that run.
        gone: of processes that have ended: what they counted was counted, and their gauges say nothing any more.
    """
    return {metric.name: _merge_metric(metric, live, gone) for metric in METRICS}


def drop_gauges(snapshot: Snapshot) -> Snapshot:
    """Return what stays of a process that has ended."""
    gauges = {metric.name for metric in METRICS if metric.kind is Kind.GAUGE}
    return {name: rows for name, rows in snapshot.items() if name not in gauges}


def _merge_metric(metric: Metric, live: Sequence[Snapshot], gone: Sequence[Snapshot]) -> Mapping[Labels, Row]:
    add = _MERGES[metric.merge] if metric.kind is Kind.GAUGE else _add
    together: dict[Labels, Row] = {}
    for snapshot in live if metric.kind is Kind.GAUGE else (*live, *gone):
        for labels, row in snapshot.get(metric.name, {}).items():
            known = together.get(labels)
            together[labels] = row if known is None else add(known, row)
    return together


def _add(one: Row, other: Row) -> Row:
    return tuple(a + b for a, b in zip(one, other, strict=True))


_MERGES: Final[Mapping[Merge, Callable[[Row, Row], Row]]] = {
    Merge.SUM: lambda one, other: (one[0] + other[0], max(one[1], other[1])),
    Merge.LOWEST: min,
    Merge.HIGHEST: max,
    Merge.LATEST: lambda one, other: max(one, other, key=lambda row: row[1]),
}
