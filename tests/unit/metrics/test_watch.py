from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from store_samples import make_connection

from slack_mcp.core.errors import RateLimitedError, SlackMcpError, SlackUnavailableError, TriggerRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, Ts, UserId
from slack_mcp.core.model import Claim, Delivery, EventState, JournalledEvent, Outcome, Settlement
from slack_mcp.metrics import catalogue
from slack_mcp.metrics.catalogue import Metric
from slack_mcp.metrics.values import Values
from slack_mcp.metrics.watch import WatchedBudget, WatchedJournal, WatchedRatings, WatchedTriggers
from slack_mcp.ports.budget import Urgency
from slack_mcp.ports.surfaces import Rating

pytestmark = pytest.mark.anyio

EVENT = JournalledEvent(
    id=1,
    connection_id=ConnectionId("conn_1"),
    event_id=EventId("Ev1"),
    event_time=1_800_000_000,
    lane="C1:1",
    event_type="message",
    payload=b"",
    attempts=0,
    received_at_ms=0,
    redone=False,
)
CLAIM = Claim(lane_id=1, fence=1, connection_id=ConnectionId("conn_1"), lane="C1:1", takeovers=0, events=(EVENT,))


def read(values: Values, metric: Metric) -> dict[tuple[str, ...], float]:
    """Return what was counted, without what was not; of a histogram, how often something was seen."""
    rows = values.take_snapshot()[metric.name]
    counts = {labels: sum(row[:-1]) if metric.bounds else row[0] for labels, row in rows.items()}
    return {labels: count for labels, count in counts.items() if count}


class FakeJournal:
    """Answers as a test says."""

    def __init__(self, *answers: Sequence[Any]) -> None:
        self.answers = list(answers)

    async def append(self, _deliveries: object) -> Sequence[Any]:
        return self.answers.pop(0)

    async def claim(self, _pod_id: object, **_limits: object) -> Sequence[Any]:
        return self.answers.pop(0)

    async def settle(self, _settlements: object, **_limits: object) -> Sequence[Any]:
        return self.answers.pop(0)


async def test_what_comes_to_the_journal_is_counted_as_new_skipped_or_known() -> None:
    values = Values()
    journal = WatchedJournal(FakeJournal([True, True, False]), values)  # type: ignore[arg-type]
    skipped = Delivery(
        connection_id=ConnectionId("conn_1"),
        event_id=EventId("Ev1"),
        event_time=1_800_000_000,
        lane="C1:1",
        event_type="message",
        payload=b"{}",
        skip_reason="not_addressed",
    )
    deliveries = [skipped, replace(skipped, event_id=EventId("Ev2"), skip_reason=None), skipped]
    assert await journal.append(deliveries) == [True, True, False]
    assert read(values, catalogue.JOURNAL_APPENDED) == {("received",): 1, ("skipped",): 1, ("duplicate",): 1}
    assert read(values, catalogue.JOURNAL_COMMIT_SECONDS) == {(): 1}


async def test_take_overs_are_counted_beside_the_claims() -> None:
    values = Values()
    journal = WatchedJournal(FakeJournal([CLAIM, replace(CLAIM, takeovers=2)]), values)  # type: ignore[arg-type]
    await journal.claim(PodId("pod"), max_lanes=2, lanes_per_connection=2, lease_s=1, events_per_lane=1)
    assert read(values, catalogue.CLAIMS) == {(): 2}
    assert read(values, catalogue.TAKEOVERS) == {(): 1}


async def test_how_events_end_is_counted_unless_the_lane_was_lost() -> None:
    values = Values()
    outcomes = [
        Outcome(state=EventState.DONE, reason="answered"),
        Outcome(state=EventState.WAITING, reason="slack_rate_limited"),
        Outcome(state=EventState.DEAD, reason="agent_refused", detail="canary"),
    ]
    settlements = [Settlement(claim=CLAIM, outcomes=((EVENT, each),)) for each in outcomes]
    lost = Settlement(claim=CLAIM, outcomes=((EVENT, outcomes[0]),))
    journal = WatchedJournal(FakeJournal([(), (), (), None]), values)  # type: ignore[arg-type]
    await journal.settle([*settlements, lost], lease_s=1, events_per_lane=1)
    assert read(values, catalogue.EVENTS_SETTLED) == {("done",): 1, ("waiting",): 1, ("dead",): 1}
    assert read(values, catalogue.EVENT_FAILURES) == {
        ("waiting", "slack_rate_limited"): 1,
        ("dead", "agent_refused"): 1,
    }
    assert read(values, catalogue.LANES_LOST) == {(): 1}


class FakeBudget:
    """Lets pass, or raises."""

    def __init__(self, error: SlackMcpError | None) -> None:
        self.error = error

    async def take(self, *_call: object, **_how: object) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "granted"),
        (RateLimitedError("chat.update", 1.0), "refused"),
        (SlackUnavailableError("chat.update", "budget_unavailable"), "unavailable"),
    ],
)
async def test_the_wait_for_the_budget_is_counted_however_it_ends(error: SlackMcpError | None, outcome: str) -> None:
    values = Values()
    budget = WatchedBudget(FakeBudget(error), values)  # type: ignore[arg-type]
    with nullcontext() if error is None else pytest.raises(type(error)):
        await budget.take(make_connection(), "chat.update", "C1", urgency=Urgency.PERSON, max_wait_s=1)
    assert read(values, catalogue.BUDGET_WAIT_SECONDS) == {(outcome,): 1}


class FakeHandler:
    """Ends as a test says."""

    def __init__(self, end: Outcome | SlackMcpError) -> None:
        self.end = end

    async def handle(self, *_event: object) -> Outcome:
        if isinstance(self.end, SlackMcpError):
            raise self.end
        return self.end


@pytest.mark.parametrize(
    ("end", "counted"),
    [
        (Outcome(state=EventState.DONE, reason="delivered"), "delivered"),
        (Outcome(state=EventState.SKIPPED, reason="trigger_removed"), "skipped"),
        (TriggerRefusedError("no"), "trigger_refused"),
    ],
)
async def test_each_attempt_at_a_receiver_is_counted(end: Outcome | SlackMcpError, counted: str) -> None:
    values = Values()
    triggers = WatchedTriggers(FakeHandler(end), values)  # type: ignore[arg-type]
    with pytest.raises(type(end)) if isinstance(end, SlackMcpError) else nullcontext():
        assert await triggers.handle(make_connection(), EVENT, CLAIM) is end
    assert read(values, catalogue.TRIGGER_DELIVERIES) == {(counted,): 1}


class FakeRatings:
    """Keeps a rating, or finds no answer that it is for."""

    def __init__(self, *, is_kept: bool) -> None:
        self.is_kept = is_kept

    async def save_rating(self, *_place: object, **_rating: object) -> bool:
        return self.is_kept


@pytest.mark.parametrize(("is_kept", "counted"), [(True, {("good",): 1}), (False, {})])
async def test_a_rating_is_counted_when_it_is_kept(is_kept: bool, counted: dict[tuple[str, ...], float]) -> None:
    values = Values()
    ratings = WatchedRatings(FakeRatings(is_kept=is_kept), values)  # type: ignore[arg-type]
    place = (ConnectionId("conn_1"), ChannelId("C1"), Ts("1.0"), Ts("2.0"))
    assert await ratings.save_rating(*place, user_id=UserId("U1"), rating=Rating.GOOD) is is_kept
    assert read(values, catalogue.RATINGS) == counted
