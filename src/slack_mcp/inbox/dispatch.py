"""Work on the journal: claim lanes, run their events in order, settle the outcomes, hand everything back at the end.

A lane is worked on by one task at a time. While it works, its lease is renewed; when the lease is lost, or may be, the
task is cancelled and writes nothing any more. Most events take no waiting at all, so that one task goes from lane to
lane until it has to wait for something; another one, started before, then goes on with the next. Nor does a task wait
for outcomes to be written: the lane comes back with what is next in it.
Wake-ups come from this pod's own deliveries, from other pods that have more than they can take, from a lane that ends,
and from a slow poll behind them all.
"""

import random
from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import anyio
import structlog
from structlog.contextvars import bound_contextvars

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    InternalError,
    LeaseLostError,
    SlackMcpError,
    SlackUnavailableError,
    StoreUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.ids import PodId
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome, Settlement
from slack_mcp.inbox.duty import Duty
from slack_mcp.inbox.group_commit import CommitLimits, GroupCommit
from slack_mcp.ports.directory import Directory
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.store import Journal
from slack_mcp.protocol.backoff import RetryLimits, plan_retry
from slack_mcp.protocol.trace_ids import make_trace_ids

EVENTS_PER_LANE: Final = 32
SETTLE_BATCH: Final = 256
SETTLE_TIMEOUT_S: Final = 5.0
GIVE_UP_TIMEOUT_S: Final = 10.0
# Part of the lease after the last sign of life in which work may go on: the rest is for clocks, and for a call that has
# left already.
SAFE_LEASE: Final = 0.6

Following: TypeAlias = Sequence[JournalledEvent] | None
"""What comes next in a lane that was settled, None when it is this pod's no more; see `ports.store.Journal.settle`."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkLimits:
    """How much at once, and how leases go.

    Attributes:
        lanes_per_pod: lanes that this process works on at once; of as many again outcomes may be on their way.
        lanes_per_connection: lanes of one connection worked on at once, by all pods.
        lease_s: how long a lane is held without a sign of life.
        lease_renew_s: time between signs of life.
        poll_s: time between looks into the journal when nothing calls.
    """

    lanes_per_pod: int = 64
    lanes_per_connection: int = 16
    lease_s: float = 15.0
    lease_renew_s: float = 5.0
    poll_s: float = 1.0


@dataclass(eq=False, slots=True)
class _Held:
    """A lane in hand.

    Attributes:
        events: what is to be worked on next.
        deadline_s: until when, without a sign of life, on the event loop's clock.
        scope: of the task that works on it, while one does.
    """

    claim: Claim
    events: Sequence[JournalledEvent]
    deadline_s: float
    scope: anyio.CancelScope | None = None


class Dispatcher:
    """One pod's share of the work. `run` works until `stop` is called or it is cancelled.

    Args:
        types_when_disabled: the events that are worked on although their connection is disabled.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        directory: Directory,
        handler: EventHandler,
        pod_id: PodId,
        clock: Clock,
        limits: WorkLimits | None = None,
        retries: RetryLimits | None = None,
        types_when_disabled: Collection[str] = (),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._handler = handler
        self._pod_id = pod_id
        self._clock = clock
        self._limits = limits or WorkLimits()
        self._retries = retries or RetryLimits()
        self._types_when_disabled = frozenset(types_when_disabled)
        self._chance = chance
        self._held: set[_Held] = set()
        self._most_held = 2 * self._limits.lanes_per_pod
        # How many of those in hand a task works on, and which wait for one.
        self._working = 0
        self._queue: deque[_Held] = deque()
        # Whether the last look took all that there was room for: another one is worth while as soon as there is again.
        self._may_be_more = False
        self._workers: anyio.abc.TaskGroup | None = None
        self._is_worker_coming = False
        self._settling: GroupCommit[Settlement, Following] = GroupCommit(
            self._settle_batch,
            limits=CommitLimits(
                max_batch=SETTLE_BATCH,
                max_waiting=2 * self._most_held,  # a last outcome, and then the lane itself
                timeout_s=SETTLE_TIMEOUT_S,
            ),
        )
        self._call = anyio.Event()
        self._has_local_work = False
        self._is_stopping = False
        self._claiming = Duty("claim")
        self._renewing = Duty("renew")

    @property
    def is_failing(self) -> bool:
        """Whether claiming or renewing has failed several times in a row."""
        return self._claiming.is_failing or self._renewing.is_failing

    @property
    def lanes_held(self) -> int:
        """How many lanes this pod works on now."""
        return self._working

    def wake(self) -> None:
        """Look into the journal now: something was journalled here."""
        self._has_local_work = True
        self._call.set()

    def wake_from_outside(self) -> None:
        """Look into the journal now: another pod has more than it can take."""
        self._call.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when the work in hand has ended or was handed back."""
        self._is_stopping = True
        self._call.set()

    async def run(self, *, drain_timeout_s: float = 15.0) -> None:
        """Work until `stop`; then finish what is in hand within the time-out, and hand back the rest."""
        async with anyio.create_task_group() as background:
            background.start_soon(self._settling.run, name="settle")
            background.start_soon(self._renew_forever, name="renew leases")
            async with anyio.create_task_group() as workers:
                self._workers = workers
                await self._claim_until_stopped()
                with anyio.move_on_after(drain_timeout_s):
                    while self._held:
                        await self._wait_for_call(drain_timeout_s)
                self._workers = None
                workers.cancel_scope.cancel()
            if self._held:
                _log.info("dispatch.handed_back", lanes=len(self._held))
                await self._hand_back()
            await self._claiming.attempt(self._journal.notify_work)
            background.cancel_scope.cancel()

    async def _claim_until_stopped(self) -> None:
        while not self._is_stopping:
            is_well = await self._claiming.attempt(self._claim)
            if is_well and self._call.is_set():
                self._call = anyio.Event()
                continue
            await self._wait_for_call(self._limits.poll_s, heeds_calls=is_well)

    async def _wait_for_call(self, timeout_s: float, *, heeds_calls: bool = True) -> None:
        """Return after a call or the time-out; a database that is down is not asked more often for being called."""
        if not heeds_calls and not self._is_stopping:
            await anyio.sleep(timeout_s)
            return
        with anyio.move_on_after(timeout_s):
            await self._call.wait()
        self._call = anyio.Event()

    async def _claim(self) -> None:
        """Take as many lanes as there is room for, and start to work on them."""
        is_local, self._has_local_work = self._has_local_work, False
        room = min(self._limits.lanes_per_pod - self._working - len(self._queue), self._most_held - len(self._held))
        claims: Sequence[Claim] = ()
        deadline = self._get_deadline()
        if room > 0:
            claims = await self._journal.claim(
                self._pod_id,
                max_lanes=room,
                lanes_per_connection=self._limits.lanes_per_connection,
                lease_s=self._limits.lease_s,
                events_per_lane=EVENTS_PER_LANE,
            )
        for claim in claims:
            held = _Held(claim, claim.events, deadline)
            self._held.add(held)
            if claim.takeovers:
                _log.info(
                    "lane.taken_over",
                    connection_id=claim.connection_id,
                    lane_id=claim.lane_id,
                    takeovers=claim.takeovers,
                )
            self._put_to_work(held)
        self._may_be_more = len(claims) >= room
        if is_local and self._may_be_more:
            await self._journal.notify_work()

    def _get_deadline(self) -> float:
        """Return until when work may go on after a sign of life that was sent now, on the event loop's clock."""
        return anyio.current_time() + self._limits.lease_s * SAFE_LEASE

    async def _renew_forever(self) -> None:
        while True:
            await anyio.sleep(self._limits.lease_renew_s)
            if self._held:
                await self._renewing.attempt(self._renew)

    async def _renew(self) -> None:
        deadline = self._get_deadline()
        held = list(self._held)
        kept = await self._journal.renew(self._pod_id, [each.claim for each in held], lease_s=self._limits.lease_s)
        kept_ids = {claim.lane_id for claim in kept}
        for each in held:
            if each.claim.lane_id in kept_ids:
                self._prolong(each, deadline)
            elif each.scope is not None:
                each.scope.cancel()
            elif each in self._queue:
                self._queue.remove(each)
                self._lose(each)

    def _prolong(self, held: _Held, deadline_s: float) -> None:
        held.deadline_s = max(held.deadline_s, deadline_s)
        if held.scope is not None:
            held.scope.deadline = held.deadline_s

    def _put_to_work(self, held: _Held) -> None:
        self._queue.append(held)
        self._call_worker()

    def _may_work(self) -> bool:
        """Tell whether a lane waits for a task, and may have one."""
        return bool(self._queue) and self._working < self._limits.lanes_per_pod

    def _call_worker(self) -> None:
        """Have a task come to the lanes that wait for one, unless it is on its way already."""
        if self._may_work() and not self._is_worker_coming and self._workers is not None:
            self._is_worker_coming = True
            self._workers.start_soon(self._work, name="lanes")

    async def _work(self) -> None:
        """Work on the lanes that wait, one after the other, until there is none or this one was lost."""
        self._is_worker_coming = False
        held: _Held | None = None
        with anyio.CancelScope() as scope:
            while self._may_work() and not scope.cancel_called:
                held = self._queue.popleft()
                await self._work_on(held, scope)
        if scope.cancelled_caught and held is not None:
            self._lose(held)
        self._call_worker()

    async def _work_on(self, held: _Held, scope: anyio.CancelScope) -> None:
        """Work on one lane until something is to be written for it, and have it written."""
        held.scope = scope
        self._working += 1
        self._call_worker()  # for the next lane, in case that this one has to wait
        if scope.deadline != held.deadline_s:
            scope.deadline = held.deadline_s
        try:
            self._settle(held, await self._work_on_events(held))
        except LeaseLostError:
            self._lose(held)
        except SlackMcpError as error:
            self._drop(held, error)
        finally:
            held.scope = None
            self._working -= 1
            if self._may_be_more:
                self._call.set()

    async def _work_on_events(self, held: _Held) -> Settlement:
        claim = held.claim
        outcomes: list[tuple[JournalledEvent, Outcome]] = []
        for event in held.events:
            trace_id, _ = make_trace_ids(event.connection_id, event.event_id)
            with bound_contextvars(trace_id=trace_id):
                outcome = await self._run_event(event, claim)
            outcomes.append((event, outcome))
            # What was skipped left no trace, so that it is settled together with whatever comes next.
            if outcome.state is not EventState.SKIPPED or self._is_stopping:
                break
        return Settlement(claim=claim, outcomes=tuple(outcomes), release=self._is_stopping)

    def _settle(self, held: _Held, settlement: Settlement) -> None:
        """Have outcomes written, and go on with what comes next in the lane. Raises what `GroupCommit.submit` does."""
        self._settling.submit(settlement).add_done_callback(partial(self._go_on, held, self._get_deadline()))

    def _go_on(self, held: _Held, deadline_s: float, settled: Future[Following]) -> None:
        error = settled.exception()
        if isinstance(error, SlackMcpError):
            self._drop(held, error)
        elif (following := settled.result()) is None:
            self._lose(held)
        elif following:
            self._prolong(held, deadline_s)
            held.events = following
            self._put_to_work(held)
        else:
            self._let_go(held)

    def _lose(self, held: _Held) -> None:
        _log.warning("lane.lost", connection_id=held.claim.connection_id, lane_id=held.claim.lane_id)
        self._let_go(held)

    def _drop(self, held: _Held, error: SlackMcpError) -> None:
        """Forget a lane for which nothing was settled: whoever claims it after its lease begins with the same event.

        Given back at once, a lane that cannot be settled would be worked on again and again without a pause.
        """
        claim = held.claim
        _log.warning("lane.dropped", connection_id=claim.connection_id, lane_id=claim.lane_id, code=error.code)
        self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        self._held.discard(held)
        self._call.set()

    async def _settle_batch(self, settlements: Sequence[Settlement]) -> Sequence[Following]:
        return await self._journal.settle(settlements, lease_s=self._limits.lease_s, events_per_lane=EVENTS_PER_LANE)

    async def _hand_back(self) -> None:
        """Give back the lanes in hand; what is on its way to be written is written before."""
        claims = [held.claim for held in self._held]
        released = [self._settling.submit(Settlement(claim=claim, outcomes=(), release=True)) for claim in claims]
        for claim, settled in zip(claims, released, strict=True):
            try:
                await settled
            except SlackMcpError as error:
                _log.warning(
                    "lane.not_handed_back", connection_id=claim.connection_id, lane_id=claim.lane_id, code=error.code
                )

    async def _run_event(self, event: JournalledEvent, claim: Claim) -> Outcome:
        """Return how the work on one event ended; raises LeaseLostError, and the store's errors on the way in."""
        try:
            connection = await self._directory.load(event.connection_id)
        except ConnectionNotFoundError:
            return Outcome(state=EventState.SKIPPED, reason="connection_removed")
        except StoreUnavailableError:
            raise
        except SlackMcpError as unreadable:  # a row that cannot be read is its own tenant's trouble
            return self._plan(event, unreadable)
        skipped = self._find_reason_to_skip(connection, event)
        if skipped is not None:
            return skipped
        if claim.takeovers >= self._retries.max_attempts and event is claim.events[0]:
            error = InternalError(f"{claim.takeovers} pods in a row ended while they worked on it.")
            return await self._fail(connection, event, claim, error)
        if event.unreadable is not None:
            return await self._fail(connection, event, claim, event.unreadable)
        return await self._handle(connection, event, claim)

    def _find_reason_to_skip(self, connection: Connection, event: JournalledEvent) -> Outcome | None:
        if connection.disabled and event.event_type not in self._types_when_disabled:
            return Outcome(state=EventState.SKIPPED, reason="connection_disabled")
        if event.unreadable is not None and event.unreadable.is_destroyed:
            return Outcome(state=EventState.SKIPPED, reason="data_key_destroyed")
        return None

    async def _handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        try:
            return await self._handler.handle(connection, event, claim)
        except LeaseLostError:
            raise
        except SlackMcpError as raised:
            if isinstance(raised, TokenRevokedError) and await self._was_replaced(connection):
                return Outcome(state=EventState.WAITING, reason=raised.code, detail=str(raised))
            error = _soften(connection, raised)
        except Exception as raised:  # noqa: BLE001 - one tenant's event must not stop the others'
            _log.exception("event.crashed", connection_id=event.connection_id, event_id=event.event_id)
            error = InternalError(f"A bug was met ({type(raised).__name__}); the log has its traceback.")
        return await self._fail(connection, event, claim, error)

    async def _was_replaced(self, connection: Connection) -> bool:
        """Tell whether the connection was saved anew, or removed, while the work went on with what it was before."""
        try:
            return (await self._directory.reload(connection.connection_id)).version > connection.version
        except ConnectionNotFoundError:
            return True

    async def _fail(
        self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError
    ) -> Outcome:
        outcome = self._plan(event, error)
        if outcome.state is EventState.DEAD:
            await self._give_up(connection, event, claim, error)
        return outcome

    def _plan(self, event: JournalledEvent, error: SlackMcpError) -> Outcome:
        """Return whether and when the event is tried again, and say so."""
        outcome = plan_retry(
            error,
            attempts=event.attempts,
            age_s=max(0.0, self._clock.now_s() - event.due_since_ms / 1000),
            limits=self._retries,
            chance=self._chance(),
        )
        _log.warning(
            "event.failed",
            connection_id=event.connection_id,
            event_id=event.event_id,
            state=outcome.state.value,
            code=error.code,
            error=str(error),
            attempts=event.attempts + int(outcome.counts),
            retry_after_s=round(outcome.retry_after_s, 1),
        )
        return outcome

    async def _give_up(
        self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError
    ) -> None:
        try:
            with anyio.fail_after(GIVE_UP_TIMEOUT_S):
                await self._handler.give_up(connection, event, claim, error)
        except LeaseLostError:
            raise
        except (SlackMcpError, TimeoutError) as raised:
            _log.warning(
                "event.not_told",
                connection_id=event.connection_id,
                event_id=event.event_id,
                code=getattr(raised, "code", "timeout"),
            )
        except Exception:  # noqa: BLE001 - as in `_run_event`
            _log.exception("event.crashed", connection_id=event.connection_id, event_id=event.event_id)


def _soften(connection: Connection, error: SlackMcpError) -> SlackMcpError:
    """Return the error, or for a token that has expired and is about to be replaced one that is worth another attempt.

    Source: https://docs.slack.dev/authentication/using-token-rotation.
    """
    if isinstance(error, TokenRevokedError) and error.slack_error == "token_expired" and connection.refresh_token:
        return SlackUnavailableError(
            error.method, error.slack_error, "The bot token has expired, and is being replaced."
        )
    return error
