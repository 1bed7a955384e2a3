"""The budget as the Slack client meets it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
import pytest
from budget_fakes import FakeBuckets, open_call_budget
from directory_fake import make_connection
from stepping_clock import SteppingClock

from slack_mcp.budget.limits import LEASE_S
from slack_mcp.budget.shared import SharedBudget
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import RateLimitedError, SlackUnavailableError
from slack_mcp.core.model import Connection, Distribution
from slack_mcp.ports.budget import BucketBlock, Urgency

pytestmark = pytest.mark.anyio

ACME, OTHER = make_connection("conn_acme"), make_connection("conn_other")
UPDATE, POST, READ = "chat.update", "chat.postMessage", "conversations.replies"
BURST = 12  # of a method of the third tier


@asynccontextmanager
async def open_world(factor: float = 1.0) -> AsyncIterator[tuple[SharedBudget, FakeBuckets, SteppingClock]]:
    clock = SteppingClock()
    buckets = FakeBuckets(clock)
    with anyio.fail_after(5):
        async with open_call_budget(buckets=buckets, clock=clock, factor=factor) as budget:
            yield budget, buckets, clock


async def take(
    budget: SharedBudget,
    method: str = UPDATE,
    channel_id: str | None = None,
    *,
    urgency: Urgency = Urgency.PERSON,
    max_wait_s: float = 1.0,
    connection: Connection = ACME,
) -> None:
    await budget.take(connection, method, channel_id, urgency=urgency, max_wait_s=max_wait_s)


async def test_a_burst_passes_and_the_next_call_is_told_at_once_for_how_long_to_wait() -> None:
    async with open_world() as (budget, _, _):
        for _ in range(BURST):
            await take(budget)
        with pytest.raises(RateLimitedError) as refusal:
            await take(budget)
        assert refusal.value.method == UPDATE
        assert 1 < refusal.value.retry_after_s < 2


async def test_methods_and_connections_have_budgets_of_their_own() -> None:
    async with open_world() as (budget, _, _):
        for _ in range(BURST):
            await take(budget)
        await take(budget, "chat.delete")
        await take(budget, connection=OTHER)


async def test_one_channel_gets_a_message_a_second_and_the_others_are_not_slowed_by_it() -> None:
    async with open_world() as (budget, _, clock):
        for _ in range(5):
            await take(budget, POST, "C1")
        with pytest.raises(RateLimitedError):
            await take(budget, POST, "C1", max_wait_s=0.5)
        await take(budget, POST, "C2")
        clock.time_s += 1.2
        await take(budget, POST, "C1")


async def test_batch_leaves_half_of_the_budget_to_people() -> None:
    async with open_world() as (budget, _, _):
        for _ in range(BURST // 2):
            await take(budget, urgency=Urgency.BATCH)
        with pytest.raises(RateLimitedError):
            await take(budget, urgency=Urgency.BATCH)
        for _ in range(BURST // 2):
            await take(budget)


async def test_what_many_want_at_one_moment_is_asked_for_in_one_statement() -> None:
    async with open_world() as (budget, buckets, _):
        buckets.answers = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, budget)
            await buckets.asked.wait()
            for method in (UPDATE, "chat.delete", "users.info"):
                tasks.start_soon(take, budget, method)
                tasks.start_soon(take, budget, method)
            await anyio.wait_all_tasks_blocked()
            buckets.answers.set()
        first, second = buckets.statements
        assert [each.wanted for each in first] == [1]
        assert {each.bucket: each.wanted for each in second} == {
            "call:chat.update": 2,
            "call:chat.delete": 2,
            "call:users.info": 2,
        }


async def test_a_wait_that_fits_is_waited() -> None:
    clock = SystemClock()
    with anyio.fail_after(5):
        # A token every 80 ms.
        async with open_call_budget(buckets=FakeBuckets(clock), clock=clock, factor=20) as budget:
            for _ in range(250):
                await take(budget)
            started_s = clock.monotonic_s()
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(take, budget)
            assert clock.monotonic_s() - started_s > 0.1


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async with open_world() as (budget, buckets, _):
        buckets.answers = anyio.Event()
        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(0.01):
                await take(budget)
            tasks.start_soon(take, budget)
            buckets.answers.set()
        assert buckets.buckets[ACME.connection_id, "call:chat.update"].tokens >= BURST - 2


async def test_a_token_that_came_too_late_to_be_young_is_not_used() -> None:
    async with open_world() as (budget, buckets, clock):
        buckets.answers = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, budget)
            await buckets.asked.wait()
            clock.time_s += LEASE_S
            buckets.answers.set()
        assert len(buckets.statements) == 2


async def test_a_budget_that_does_not_come_in_time_is_a_rate_limit() -> None:
    async with open_world() as (budget, buckets, _):
        buckets.answers = anyio.Event()
        with pytest.raises(RateLimitedError):
            await take(budget, max_wait_s=0.01)
        buckets.answers.set()


async def test_after_a_429_nobody_starts_the_method_and_the_others_go_on() -> None:
    async with open_world() as (budget, buckets, clock):
        await take(budget)
        await budget.hold_back(ACME, UPDATE, 30)
        assert buckets.buckets[ACME.connection_id, "call:chat.update"].blocked_until_s == clock.time_s + 30
        asked = len(buckets.statements)
        with pytest.raises(RateLimitedError) as refusal:
            await take(budget)
        assert refusal.value.retry_after_s == 30
        assert len(buckets.statements) == asked, "this pod knows it without the database"
        await take(budget, "chat.delete")
        await take(budget, connection=OTHER)
        clock.time_s += 31
        await take(budget)


async def test_a_pod_that_hears_of_a_429_drops_what_it_has_at_hand_and_what_is_on_its_way() -> None:
    async with open_world() as (budget, buckets, _):
        buckets.answers = anyio.Event()
        refused: list[float] = []

        async def call() -> None:
            with pytest.raises(RateLimitedError) as refusal:
                await take(budget)
            refused.append(refusal.value.retry_after_s)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await buckets.asked.wait()
            for for_s in (30, 10):
                budget.hear(BucketBlock(connection_id=ACME.connection_id, bucket="call:chat.update", for_s=for_s))
            buckets.answers.set()
        assert refused == [30]


async def test_a_short_block_is_waited_for() -> None:
    clock = SystemClock()
    with anyio.fail_after(5):
        async with open_call_budget(buckets=FakeBuckets(clock), clock=clock) as budget:
            started_s = clock.monotonic_s()
            budget.hear(BucketBlock(connection_id=ACME.connection_id, bucket="call:chat.update", for_s=0.05))
            await take(budget)
            assert clock.monotonic_s() - started_s >= 0.05


async def test_a_pod_that_hears_nothing_is_stopped_by_the_database() -> None:
    async with open_world() as (budget, buckets, _):
        await take(budget)
        await buckets.block(ACME.connection_id, "call:chat.update", for_s=30)
        with pytest.raises(RateLimitedError) as refusal:
            await take(budget)
        assert refusal.value.retry_after_s == pytest.approx(30)


async def test_the_minute_of_a_read_that_an_app_has_once_a_minute_begins_with_its_end() -> None:
    unlisted = replace(ACME, settings=replace(ACME.settings, distribution=Distribution.UNLISTED))
    async with open_world() as (budget, _, clock):
        await take(budget, READ, connection=unlisted)
        clock.time_s += 3  # on its way to Slack and back
        await budget.finish(unlisted, READ)
        clock.time_s += 59.9
        with pytest.raises(RateLimitedError):
            await take(budget, READ, connection=unlisted, max_wait_s=0)
        clock.time_s += 1
        await take(budget, READ, connection=unlisted)


async def test_the_end_of_other_calls_changes_nothing() -> None:
    async with open_world() as (budget, buckets, _):
        await take(budget)
        await budget.finish(ACME, UPDATE)
        await take(budget)
        assert buckets.buckets[ACME.connection_id, f"call:{UPDATE}"].blocked_until_s == 0


async def test_without_the_database_nothing_is_called_and_a_429_still_stops_this_pod() -> None:
    async with open_world() as (budget, buckets, _):
        buckets.is_gone = True
        with pytest.raises(SlackUnavailableError) as failure:
            await take(budget)
        assert failure.value.slack_error == "budget_unavailable"
        await budget.hold_back(ACME, UPDATE, 30)
        buckets.is_gone = False
        with pytest.raises(RateLimitedError):
            await take(budget)
        await take(budget, "chat.delete")


async def test_what_nobody_uses_is_forgotten() -> None:
    async with open_world() as (budget, _, clock):
        for number in range(50):
            await take(budget, POST, f"C{number}")
            clock.time_s += 1
        assert len(budget._lines) <= 2


async def test_many_workspaces_at_once_are_served_in_a_few_statements() -> None:
    async with open_world() as (budget, buckets, _):
        async with anyio.create_task_group() as tasks:
            for number in range(600):
                tasks.start_soon(partial(take, budget, connection=make_connection(f"conn_{number}")))
        assert len(buckets.statements) <= 5
        assert sum(len(each) for each in buckets.statements) == 600
