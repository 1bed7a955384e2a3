"""The table of all metrics. docs/metrics.md, the alerts and the dashboard name these and no others: tests compare them.

No label tells a tenant, a channel or a person: neither their number nor their names belong here. Where one of a fixed
set of values is meant, `values` lists them, so that each is there from the start as 0.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "slack_mcp_"

# Slack takes an answer for missing after 3 s: https://docs.slack.dev/apis/events-api/#responding
ACK_OBJECTIVE_S: Final = 3.0
ACK_BOUNDS_S: Final = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, ACK_OBJECTIVE_S, 5.0, 10.0)
CALL_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
TURN_BOUNDS_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Kind(StrEnum):
    """Prometheus's own kinds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """What the gauges of several processes are together; counters and histograms are added up."""

    SUM = "sum"
    LOWEST = "lowest"
    HIGHEST = "highest"
    LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: what Prometheus stores; a counter's ends with `_total`.
        help: what it tells, in one sentence.
        labels: their names.
        values: the combinations of label values that are there from the start.
        bounds: of a histogram's buckets, upper ones, in the metric's unit.
        merge: of a gauge.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    bounds: tuple[float, ...] = ()
    merge: Merge = Merge.SUM


def _counter(name: str, text: str, labels: tuple[str, ...] = (), values: tuple[tuple[str, ...], ...] = ((),)) -> Metric:
    return Metric(name=f"{PREFIX}{name}_total", kind=Kind.COUNTER, help=text, labels=labels, values=values)


def _gauge(name: str, text: str, merge: Merge, labels: tuple[str, ...] = ()) -> Metric:
    return Metric(name=PREFIX + name, kind=Kind.GAUGE, help=text, labels=labels, merge=merge)


def _histogram(
    name: str,
    text: str,
    bounds: tuple[float, ...],
    labels: tuple[str, ...] = (),
    values: tuple[tuple[str, ...], ...] = ((),),
) -> Metric:
    return Metric(name=PREFIX + name, kind=Kind.HISTOGRAM, help=text, labels=labels, values=values, bounds=bounds)


EVENTS, FORMS = "events", "forms"

DELIVERIES: Final = _counter(
    "deliveries",
    "Requests to the webhook that were answered, by door and by what was answered.",
    ("door", "outcome"),
    (
        (EVENTS, "accepted"),
        (EVENTS, "duplicate"),
        (EVENTS, "store_unavailable"),
        (EVENTS, "overloaded"),
        (EVENTS, "signature_mismatch"),
        (FORMS, "accepted"),
    ),
)
ACK_SECONDS: Final = _histogram(
    "ack_seconds",
    "From a whole request at the webhook to its answer, whatever it is.",
    ACK_BOUNDS_S,
    ("door",),
    ((EVENTS,), (FORMS,)),
)
DELIVERIES_WAITING: Final = _gauge(
    "deliveries_waiting", "Deliveries that wait for the journal's next commit.", Merge.SUM
)

JOURNAL_APPENDED: Final = _counter(
    "journal_appended",
    "Events that came to the journal: to be worked on, skipped at once, or known already.",
    ("result",),
    (("received",), ("skipped",), ("duplicate",)),
)
JOURNAL_COMMIT_SECONDS: Final = _histogram(
    "journal_commit_seconds", "One commit of the journal, of one or many deliveries.", CALL_BOUNDS_S
)
JOURNAL_BACKLOG: Final = _gauge("journal_backlog", "Events that are received or waiting, of all pods.", Merge.LATEST)
JOURNAL_OLDEST_AGE_SECONDS: Final = _gauge(
    "journal_oldest_age_seconds", "Age of the oldest of them; 0 without any.", Merge.LATEST
)
JOURNAL_DEAD: Final = _gauge("journal_dead", "Events that were given up and are still kept, of all pods.", Merge.LATEST)
LAST_BACKUP_TIMESTAMP_SECONDS: Final = _gauge(
    "last_backup_timestamp_seconds",
    "When the last good backup of this database ended, in unix time; NaN where none was made with `slack-mcp backup`.",
    Merge.LATEST,
)

CLAIMS: Final = _counter("claims", "Lanes that were claimed.")
TAKEOVERS: Final = _counter("takeovers", "Those of them that another pod had left unfinished.")
LANES_LOST: Final = _counter("lanes_lost", "Lanes whose lease was lost while they were worked on.")
LANES_HELD: Final = _gauge("lanes_held", "Lanes that are worked on now.", Merge.SUM)
EVENTS_SETTLED: Final = _counter(
    "events_settled",
    "Events whose work has ended, or has to wait for another attempt.",
    ("state",),
    (("done",), ("skipped",), ("waiting",), ("dead",)),
)
EVENT_FAILURES: Final = _counter(
    "event_failures",
    "Attempts at an event that failed, by whether it is tried again (`waiting`) or given up (`dead`), and why.",
    ("state", "code"),
    (),
)

TURN_SECONDS: Final = _histogram(
    "turn_seconds",
    "From the journalled question to the end of its answer, by how it ended.",
    TURN_BOUNDS_S,
    ("outcome",),
    (("answered",),),
)
FIRST_TEXT_SECONDS: Final = _histogram(
    "first_text_seconds", "From the journalled question to the first text of its answer in Slack.", TURN_BOUNDS_S
)
AGENT_ERRORS: Final = _counter("agent_errors", "Runs of a turn that ended with an error of the agent.", ("code",), ())
RATINGS: Final = _counter(
    "ratings", "Answers that people rated, each time they did.", ("rating",), (("good",), ("bad",))
)

SLACK_CALLS: Final = _counter(
    "slack_calls", "Calls of Slack's Web API, by method and by `ok` or the error's code.", ("method", "outcome"), ()
)
SLACK_CALL_SECONDS: Final = _histogram(
    "slack_call_seconds", "One call of Slack's Web API, without the wait for the budget.", CALL_BOUNDS_S
)
BUDGET_WAIT_SECONDS: Final = _histogram(
    "budget_wait_seconds",
    "How long a call waited for the shared budget, by what came of it.",
    CALL_BOUNDS_S,
    ("outcome",),
    (("granted",), ("refused",), ("unavailable",)),
)
TRIGGER_DELIVERIES: Final = _counter(
    "trigger_deliveries",
    "Attempts to tell a trigger's receiver of an event: `delivered`, `skipped`, or the error's code.",
    ("outcome",),
    (("delivered",),),
)

DIRECTORY_HITS: Final = _counter("directory_hits", "Connections that were found in memory.")
DIRECTORY_MISSES: Final = _counter("directory_misses", "Connections that had to be loaded.")
DIRECTORY_LOADS: Final = _counter("directory_loads", "Loads from the database; those at one moment share one.")
DIRECTORY_INVALIDATIONS: Final = _counter("directory_invalidations", "Changes that were heard of.")
DIRECTORY_SIZE: Final = _gauge("directory_size", "Connections in memory.", Merge.SUM)
INVALIDATION_LAG_SECONDS: Final = _histogram(
    "invalidation_lag_seconds",
    "From the commit of a change, on whatever pod, to the moment this one dropped what it had.",
    CALL_BOUNDS_S,
)

DATABASE_UP: Final = _gauge("database_up", "1 when the database answered the last scrape's question.", Merge.LATEST)
POOL_SIZE: Final = _gauge("database_pool_size", "Connections that the pool may have.", Merge.SUM)
POOL_IN_USE: Final = _gauge("database_pool_in_use", "Those of them that are in use.", Merge.SUM)
POOL_WAITS: Final = _counter("database_pool_waits", "How often all of them were in use when one was wanted.")
POOL_WAIT_SECONDS: Final = _counter("database_pool_wait_seconds", "How long was waited for one then, all together.")
LISTENER_UP: Final = _gauge(
    "listener_up", "1 while changes and work of other pods are heard; also where there is nobody to hear.", Merge.LOWEST
)
DATABASE_CLOCK_OFFSET_SECONDS: Final = _gauge(
    "database_clock_offset_seconds", "How far the database's clock is ahead of this pod's.", Merge.HIGHEST
)

READY: Final = _gauge("ready", "1 while requests are welcome, as far as it is known without asking.", Merge.LOWEST)
DRAINING: Final = _gauge("draining", "1 while the process is on its way out.", Merge.HIGHEST)
DUTY_FAILING: Final = _gauge(
    "duty_failing", "1 for background work that has failed several times in a row.", Merge.HIGHEST, ("duty",)
)
WORKERS: Final = _gauge("workers", "Processes that are in these figures.", Merge.SUM)
BUILD_INFO: Final = _gauge(
    "build_info", "Always 1; its labels say what runs.", Merge.HIGHEST, ("version", "python", "database")
)

METRICS: Final = tuple(each for each in globals().values() if isinstance(each, Metric))
