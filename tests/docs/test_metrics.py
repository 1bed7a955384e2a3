"""That alerts, dashboard and pages speak of the metrics that there are, as they are."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import promql_parser
import pytest
import yaml
from doc_pages import ROOT, load_page, read_tables

from slack_mcp.metrics.catalogue import METRICS, Kind, Metric

ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/slack-mcp.json").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
# What Prometheus itself adds when it scrapes.
SCRAPED = {"instance", "job"}
GROWING = {"rate", "increase", "irate", "resets"}
STANDING = {"deriv", "delta", "predict_linear", "avg_over_time", "max_over_time", "min_over_time"}


def list_series() -> dict[str, tuple[Metric, set[str], bool]]:
    """Return (metric, labels, whether it only grows) by the name of each series."""
    series = {}
    for metric in METRICS:
        labels = {*metric.labels, *SCRAPED}
        if metric.kind is Kind.HISTOGRAM:
            series[f"{metric.name}_bucket"] = (metric, labels | {"le"}, True)
            series[f"{metric.name}_sum"] = series[f"{metric.name}_count"] = (metric, labels, True)
        else:
            series[metric.name] = (metric, labels, metric.kind is Kind.COUNTER)
    return series


SERIES = list_series()


def list_queries() -> Iterator[tuple[str, str]]:
    """Yield (whose, query)."""
    for rule in RULES:
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


QUERIES = list(list_queries())


class Reader:
    """Walks through a query and notes what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.names: set[str] = set()

    def read(self, node: Any, function: str | None = None) -> set[str]:
        """Return the labels that are known of what the node gives; empty where nothing is."""
        kind = type(node).__name__
        if kind in {"ParenExpr", "UnaryExpr"}:
            return self.read(node.expr)
        if kind in {"BinaryExpr", "Call"}:
            parts = (node.lhs, node.rhs) if kind == "BinaryExpr" else node.args
            under = None if kind == "BinaryExpr" else node.func.name
            return set().union(*(self.read(each, under) for each in parts))
        if kind == "AggregateExpr":
            return self._read_aggregate(node)
        if kind == "MatrixSelector":
            return self._read_selector(node.vector_selector, function or "")
        if kind == "VectorSelector":
            return self._read_selector(node, None)
        assert kind in {"NumberLiteral", "StringLiteral"}, f"{kind} is not read here yet"
        return set()

    def _read_aggregate(self, node: Any) -> set[str]:
        labels = self.read(node.expr)
        wanted = set(node.modifier.labels) if node.modifier is not None else set()
        if wanted - labels:
            self.problems.append(f"by {wanted - labels}")
        return wanted

    def _read_selector(self, node: Any, function: str | None) -> set[str]:
        name = node.name
        self.names.add(name)
        matched = {matcher.name: matcher for matcher in node.matchers.matchers}
        if name in RECORDED:
            return set()
        if name not in SERIES:
            self.problems.append(f"no metric {name}")
            return set()
        metric, labels, grows = SERIES[name]
        if grows != (function in GROWING) or (function is not None and function not in GROWING | STANDING):
            self.problems.append(f"{name} under {function}")
        self._check_bound(metric, matched.get("le"))
        if matched.keys() - labels:
            self.problems.append(f"{name} has no {matched.keys() - labels}")
        return labels

    def _check_bound(self, metric: Metric, matcher: Any) -> None:
        if matcher is not None and matcher.value not in {str(bound) for bound in metric.bounds}:
            self.problems.append(f"{metric.name} has no bound {matcher.value}")


def read_query(query: str) -> Reader:
    reader = Reader()
    reader.read(promql_parser.parse(query))
    return reader


@pytest.mark.parametrize(("whose", "query"), QUERIES, ids=[whose for whose, _ in QUERIES])
def test_each_query_asks_for_what_there_is(whose: str, query: str) -> None:
    assert read_query(query).problems == []


@pytest.mark.parametrize(
    "query",
    [
        "sum(slack_mcp_unheard_of)",
        "sum(slack_mcp_claims_total)",
        "rate(slack_mcp_ready[5m])",
        "rate(slack_mcp_ack_seconds[5m])",
        "sum by (tenant) (rate(slack_mcp_deliveries_total[5m]))",
        'rate(slack_mcp_deliveries_total{channel="C1"}[5m])',
        'rate(slack_mcp_ack_seconds_bucket{le="4.0"}[5m])',
        "slack_mcp:unheard_of:ratio",
    ],
)
def test_a_query_for_what_there_is_not_would_be_seen(query: str) -> None:
    assert read_query(query).problems


def test_every_metric_is_shown_or_watched() -> None:
    used = {SERIES[name][0] for _, query in QUERIES for name in read_query(query).names if name in SERIES}
    assert set(METRICS) - used == set()


def test_every_recorded_query_is_used() -> None:
    assert {name for _, query in QUERIES for name in read_query(query).names} >= RECORDED


def test_the_page_has_each_metric_as_it_is() -> None:
    page = load_page("docs/metrics.md")
    rows = [cells for cells in read_tables(page.prose) if cells[0].startswith("`slack_mcp_")]
    assert sorted(rows) == sorted(
        [f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels) or "-", each.help]
        for each in METRICS
    )


def test_pages_name_no_metric_that_there_is_not() -> None:
    named = {
        name
        for page in ("docs/metrics.md", "docs/operate.md", "README.md", "docs/deploy.md", "docs/troubleshooting.md")
        for span in load_page(page).spans
        for name in re.findall(r"slack_mcp_\w+", span)
        if not span.endswith("…")
    }
    assert named - SERIES.keys() - {metric.name for metric in METRICS} == set()
    assert "slack_mcp_journal_backlog" in named


def list_alerts() -> Sequence[dict[str, Any]]:
    return [rule for rule in RULES if "alert" in rule]


@pytest.mark.parametrize("alert", list_alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["runbook"] == f"docs/operate.md#{alert['alert'].lower()}"
    paragraph = load_page("docs/operate.md").get_section(alert["alert"])
    assert all(f"*{word}*" in paragraph or f"*{word.capitalize()}*" in paragraph for word in ("means", "look", "mend"))


def test_operate_tells_of_no_alert_that_there_is_not() -> None:
    told = {heading for heading in load_page("docs/operate.md").headings if heading.startswith("SlackMcp")}
    assert told == {alert["alert"] for alert in list_alerts()}


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert max(x for x, _ in cells) < 24
        assert taken.isdisjoint(cells)
        taken |= cells
