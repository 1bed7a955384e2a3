import math

import pytest

from slack_mcp.metrics import catalogue
from slack_mcp.metrics.catalogue import METRICS, Kind, Merge
from slack_mcp.metrics.merge import drop_gauges, merge
from slack_mcp.metrics.values import Snapshot, Values


def test_a_counter_follows_what_is_counted_elsewhere_and_is_counted_on_by_itself() -> None:
    hits = Values().counter(catalogue.DIRECTORY_HITS)
    for total in (3, 3, 10):
        hits.follow(total)
    hits.add(by=2)
    assert dict(hits.list_rows()) == {(): (12.0,)}


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0.0025), (0.0025, 0.0025), (3.0, 3.0), (3.001, 5.0)])
def test_a_value_on_a_bound_is_within_it(seconds: float, bucket: float) -> None:
    acks = Values().histogram(catalogue.ACK_SECONDS)
    acks.observe(seconds, "events")
    row = dict(acks.list_rows())[("events",)]
    assert row[catalogue.ACK_BOUNDS_S.index(bucket)] == 1
    assert row[-1] == seconds
    assert sum(row[:-1]) == 1


def test_what_is_above_all_bounds_is_seen_too() -> None:
    acks = Values().histogram(catalogue.ACK_SECONDS)
    acks.observe(100.0, "events")
    assert dict(acks.list_rows())[("events",)][-2:] == (1, 100.0)


def test_a_duty_that_recovered_is_no_longer_named_as_failing() -> None:
    duties = Values().gauge(catalogue.DUTY_FAILING)
    duties.set_only([("dispatch",), ("claim",)])
    duties.set_only([("claim",)])
    assert {labels: row[0] for labels, row in duties.list_rows()} == {("dispatch",): 0.0, ("claim",): 1.0}


def make(now_s: float, **figures: float) -> Values:
    values = Values(now_s=lambda: now_s)
    values.counter(catalogue.CLAIMS).add(by=figures["claims"])
    values.histogram(catalogue.FIRST_TEXT_SECONDS).observe(figures["seconds"])
    for gauge in (catalogue.LANES_HELD, catalogue.LISTENER_UP, catalogue.DRAINING, catalogue.JOURNAL_BACKLOG):
        values.gauge(gauge).set(figures["gauge"])
    return values


def test_processes_are_added_up_and_their_gauges_each_in_its_way() -> None:
    one = make(10.0, claims=1, seconds=0.2, gauge=1).take_snapshot()
    other = make(20.0, claims=2, seconds=0.3, gauge=0).take_snapshot()
    for pair in ([one, other], [other, one]):
        together = merge(pair)
        assert together["slack_mcp_claims_total"] == {(): (3.0,)}
        assert together["slack_mcp_first_text_seconds"][()][:2] == (1.0, 1.0)
        assert together["slack_mcp_first_text_seconds"][()][-1] == pytest.approx(0.5)
        gauges = {
            metric.merge: together[metric.name][()][0]
            for metric in (
                catalogue.LANES_HELD,
                catalogue.LISTENER_UP,
                catalogue.DRAINING,
                catalogue.JOURNAL_BACKLOG,
            )
        }
        assert gauges == {Merge.SUM: 1.0, Merge.LOWEST: 0.0, Merge.HIGHEST: 1.0, Merge.LATEST: 0.0}


def test_of_a_process_that_has_ended_only_what_it_counted_stays() -> None:
    live = make(10.0, claims=1, seconds=0.2, gauge=1).take_snapshot()
    gone = make(99.0, claims=5, seconds=0.2, gauge=7).take_snapshot()
    for ended in (gone, drop_gauges(gone)):
        together = merge([live], [ended])
        assert together["slack_mcp_claims_total"] == {(): (6.0,)}
        assert together["slack_mcp_lanes_held"][()][0] == 1.0


def test_a_figure_of_a_version_that_has_other_metrics_is_no_obstacle() -> None:
    live = make(10.0, claims=1, seconds=0.2, gauge=1).take_snapshot()
    other: Snapshot = {"slack_mcp_unheard_of_total": {(): (1.0,)}, "slack_mcp_claims_total": {(): (2.0,)}}
    assert merge([live], [other])["slack_mcp_claims_total"] == {(): (3.0,)}


def test_what_nobody_knows_is_no_number() -> None:
    values = Values(now_s=lambda: 1.0)
    values.gauge(catalogue.JOURNAL_BACKLOG).set(math.nan)
    assert math.isnan(merge([values.take_snapshot()])["slack_mcp_journal_backlog"][()][0])


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_named_as_prometheus_wants_it(metric: catalogue.Metric) -> None:
    assert metric.name.startswith("slack_mcp_")
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.bounds)
    assert all(len(values) == len(metric.labels) for values in metric.values)
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert len(metric.help.split()) > 2


def test_no_label_could_name_a_tenant_a_person_or_a_place() -> None:
    allowed = {
        "door", "outcome", "result", "state", "code", "rating", "method", "duty", "version", "python", "database",
    }  # fmt: skip
    assert {label for metric in METRICS for label in metric.labels} <= allowed


def test_slacks_three_seconds_are_a_bound_of_the_acks() -> None:
    assert 3.0 in catalogue.ACK_SECONDS.bounds
