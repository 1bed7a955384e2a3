"""Ports that count what goes through them, and change nothing of it."""

from collections.abc import Mapping, Sequence
from time import perf_counter

from slack_mcp.core.errors import RateLimitedError, SlackMcpError
from slack_mcp.core.ids import ChannelId, ConnectionId, PodId, Ts, UserId
from slack_mcp.core.model import (
    Claim,
    Connection,
    Delivery,
    EventState,
    JournalBacklog,
    JournalledEvent,
    Outcome,
    Settlement,
)
from slack_mcp.metrics import catalogue
from slack_mcp.metrics.values import Values
from slack_mcp.ports.budget import CallBudget, Urgency
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.store import Journal
from slack_mcp.ports.surfaces import Rating, Ratings


class WatchedJournal:
    """A `Journal`: what came in, what was claimed, and how it ended."""

    def __init__(self, journal: Journal, values: Values) -> None:
        self._journal = journal
        self._appended = values.counter(catalogue.JOURNAL_APPENDED)
        self._commits = values.histogram(catalogue.JOURNAL_COMMIT_SECONDS)
        self._claims = values.counter(catalogue.CLAIMS)
        self._takeovers = values.counter(catalogue.TAKEOVERS)
        self._lost = values.counter(catalogue.LANES_LOST)
        self._settled = values.counter(catalogue.EVENTS_SETTLED)
        self._failures = values.counter(catalogue.EVENT_FAILURES)

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """See `ports.store.Journal`."""
        begun_s = perf_counter()
        news = await self._journal.append(deliveries)
        self._commits.observe(perf_counter() - begun_s)
        skipped = sum(is_new and each.skip_reason is not None for is_new, each in zip(news, deliveries, strict=True))
        new = sum(news)
        self._appended.add("received", by=new - skipped)
        self._appended.add("skipped", by=skipped)
        self._appended.add("duplicate", by=len(news) - new)
        return news

    async def claim(
        self, pod_id: PodId, *, max_lanes: int, lanes_per_connection: int, lease_s: float, events_per_lane: int
    ) -> Sequence[Claim]:
        """See `ports.store.Journal`."""
        claims = await self._journal.claim(
            pod_id,
            max_lanes=max_lanes,
            lanes_per_connection=lanes_per_connection,
            lease_s=lease_s,
            events_per_lane=events_per_lane,
        )
        self._claims.add(by=len(claims))
        self._takeovers.add(by=sum(bool(claim.takeovers) for claim in claims))
        return claims

    async def renew(self, pod_id: PodId, claims: Sequence[Claim], *, lease_s: float) -> Sequence[Claim]:
        """See `ports.store.Journal`."""
        return await self._journal.renew(pod_id, claims, lease_s=lease_s)

    async def settle(
        self, settlements: Sequence[Settlement], *, lease_s: float, events_per_lane: int
    ) -> Sequence[Sequence[JournalledEvent] | None]:
        """See `ports.store.Journal`."""
        following = await self._journal.settle(settlements, lease_s=lease_s, events_per_lane=events_per_lane)
        for settlement, events in zip(settlements, following, strict=True):
            if events is None:
                self._lost.add()
                continue
            for _, outcome in settlement.outcomes:
                self._settled.add(outcome.state.value)
                if outcome.state in {EventState.WAITING, EventState.DEAD}:
                    self._failures.add(outcome.state.value, outcome.reason)
        return following

    async def take_back(self) -> int:
        """See `ports.store.Journal`."""
        return await self._journal.take_back()

    async def load_backlog(self) -> JournalBacklog:
        """See `ports.store.Journal`."""
        return await self._journal.load_backlog()

    async def delete_finished(self, *, done_before_s: float, dead_before_s: float, limit: int) -> int:
        """See `ports.store.Journal`."""
        return await self._journal.delete_finished(
            done_before_s=done_before_s, dead_before_s=dead_before_s, limit=limit
        )

    async def tend_weeks(self, *, done_before_s: float, dead_before_s: float) -> int:
        """See `ports.store.Journal`."""
        return await self._journal.tend_weeks(done_before_s=done_before_s, dead_before_s=dead_before_s)

    async def notify_work(self) -> None:
        """See `ports.store.Journal`."""
        await self._journal.notify_work()


class WatchedBudget:
    """A `CallBudget`: how long calls wait for it."""

    def __init__(self, budget: CallBudget, values: Values) -> None:
        self._budget = budget
        self._waits = values.histogram(catalogue.BUDGET_WAIT_SECONDS)

    async def take(
        self, connection: Connection, method: str, channel_id: str | None, *, urgency: Urgency, max_wait_s: float
    ) -> None:
        """See `ports.budget.CallBudget`."""
        begun_s = perf_counter()
        try:
            await self._budget.take(connection, method, channel_id, urgency=urgency, max_wait_s=max_wait_s)
        except SlackMcpError as error:
            outcome = "refused" if isinstance(error, RateLimitedError) else "unavailable"
            self._waits.observe(perf_counter() - begun_s, outcome)
            raise
        self._waits.observe(perf_counter() - begun_s, "granted")

    async def hold_back(self, connection: Connection, method: str, retry_after_s: float) -> None:
        """See `ports.budget.CallBudget`."""
        await self._budget.hold_back(connection, method, retry_after_s)

    async def finish(self, connection: Connection, method: str) -> None:
        """See `ports.budget.CallBudget`."""
        await self._budget.finish(connection, method)


class WatchedTriggers:
    """An `EventHandler` that tells the receivers of triggers: how it ended."""

    def __init__(self, handler: EventHandler, values: Values) -> None:
        self._handler = handler
        self._deliveries = values.counter(catalogue.TRIGGER_DELIVERIES)

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """See `ports.handler.EventHandler`."""
        try:
            outcome = await self._handler.handle(connection, event, claim)
        except SlackMcpError as error:
            self._deliveries.add(error.code)
            raise
        self._deliveries.add("delivered" if outcome.state is EventState.DONE else "skipped")
        return outcome

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """See `ports.handler.EventHandler`."""
        await self._handler.give_up(connection, event, claim, error)


class WatchedRatings:
    """`Ratings`: how often which was given."""

    def __init__(self, ratings: Ratings, values: Values) -> None:
        self._ratings = ratings
        self._given = values.counter(catalogue.RATINGS)

    async def save_rating(
        self,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        thread_ts: Ts,
        ts: Ts,
        *,
        user_id: UserId,
        rating: Rating,
    ) -> bool:
        """See `ports.surfaces.Ratings`."""
        is_kept = await self._ratings.save_rating(
            connection_id, channel_id, thread_ts, ts, user_id=user_id, rating=rating
        )
        if is_kept:
            self._given.add(rating.value)
        return is_kept

    async def count_ratings(self, connection_id: ConnectionId | None, *, since_s: float) -> Mapping[Rating, int]:
        """See `ports.surfaces.Ratings`."""
        return await self._ratings.count_ratings(connection_id, since_s=since_s)
