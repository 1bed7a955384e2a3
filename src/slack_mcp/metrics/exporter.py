"""The figures in Prometheus's text format."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from slack_mcp.metrics.catalogue import METRICS, Kind, Metric
from slack_mcp.metrics.merge import merge
from slack_mcp.metrics.shared import SharedFigures
from slack_mcp.metrics.values import Labels, Row, Snapshot, Values

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Exporter:
    """Writes down the figures of this process, and of all others of the service.

    Args:
        values: of this process.
        shared: where the others' are; None where there is no other.
    """

    def __init__(self, values: Values, *, shared: SharedFigures | None = None) -> None:
        self._values = values
        self._shared = shared

    def publish(self) -> None:
        """Let the other processes see this one's figures."""
        if self._shared is not None:
            self._shared.publish(self._values.take_snapshot())

    def take_snapshot(self) -> Snapshot:
        """Return this process's figures as they are now."""
        return self._values.take_snapshot()

    def render(self, own: Snapshot) -> bytes:
        """Return everything as text; reads files, and may be called in a thread."""
        live, gone = ([], []) if self._shared is None else self._shared.load_others()
        # A registry of its own for each time: it is where the library takes what it writes from.
        registry = CollectorRegistry()
        registry.register(_Collected(merge([own, *live], gone)))
        return generate_latest(registry)


class _Collected(Collector):
    """Gives the library what was collected."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Family]:
        """Yield each metric in the order of the table."""
        return (make_family(metric, self._snapshot.get(metric.name, {})) for metric in METRICS)


def make_family(metric: Metric, rows: Mapping[Labels, Row]) -> Family:
    """Return a metric as the library has it."""
    if metric.kind is Kind.HISTOGRAM:
        return _make_histogram(metric, rows)
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(
        metric.name, metric.help, labels=metric.labels
    )
    for labels, row in rows.items():
        family.add_metric(labels, row[0])
    return family


def _make_histogram(metric: Metric, rows: Mapping[Labels, Row]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [*map(str, metric.bounds), "+Inf"]
    for labels, row in rows.items():
        family.add_metric(labels, list(zip(bounds, accumulate(row[:-1]), strict=True)), sum_value=row[-1])
    return family
