"""What the Slack client asks of the budget and tells it, and reads that are one, over real loopback HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from bot_fakes import make_connection
from budget_fakes import FakeBuckets, NotedBudget, open_call_budget
from starlette.requests import Request
from starlette.responses import JSONResponse

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import RateLimitedError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.secret import Secret
from slack_mcp.ports.budget import CallBudget, Urgency
from slack_mcp.simulator.server import serve_app
from slack_mcp.slack.client import UNLIMITED, SlackWebApi, SlackWebApis, open_slack_apis

pytestmark = pytest.mark.anyio

CONNECTION = make_connection(user_token=Secret("xoxp-1"))
INFO = "users.info"


class Slack:
    """Answers each call with its number, once the test lets it; `limited` methods are refused."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.limited: set[str] = set()
        self.gate = anyio.Event()
        self.gate.set()
        self.has_call = anyio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method = Request(scope).url.path.removeprefix("/api/")
        self.calls.append(method)
        number = len(self.calls)
        self.has_call.set()
        await self.gate.wait()
        answer = JSONResponse({"ok": True, "number": number, "ts": "1.000001", "messages": []})
        if method in self.limited:
            answer = JSONResponse({"ok": False, "error": "ratelimited"}, 429, headers={"retry-after": "7"})
        await answer(scope, receive, send)


@asynccontextmanager
async def open_world(budget: CallBudget = UNLIMITED) -> AsyncIterator[tuple[SlackWebApis, Slack]]:
    slack = Slack()
    with anyio.fail_after(10):
        async with serve_app(slack) as address, open_slack_apis(base_url=f"{address}/api/", budget=budget) as apis:
            yield apis, slack


async def read_at_once(slack: Slack, *reads: Callable[[], Any]) -> list[int]:
    """Return the numbers of the calls that answered these reads."""
    slack.gate = anyio.Event()
    numbers: list[int] = []

    async def read(one: Callable[[], Any]) -> None:
        numbers.append((await one())["number"])

    async with anyio.create_task_group() as tasks:
        for each in reads:
            tasks.start_soon(read, each)
        await slack.has_call.wait()
        await anyio.wait_all_tasks_blocked()
        slack.gate.set()
    return sorted(numbers)


async def test_every_call_is_asked_for_with_its_channel_and_its_urgency() -> None:
    budget = NotedBudget()
    async with open_world(budget) as (apis, _):
        await apis.open(CONNECTION).post_message(ChannelId("C1"), "hello", thread_ts=None)
        await apis.for_batch().open(CONNECTION).read(INFO, user="U1")
        await apis.open_as_user(CONNECTION).fetch_own_replies(ChannelId("C2"), Ts("1.0"), oldest=Ts("1.0"))
    assert budget.taken == [
        ("conn_1", "chat.postMessage", "C1", Urgency.PERSON, 5.0),
        ("conn_1", INFO, None, Urgency.BATCH, 5.0),
        ("conn_1", "conversations.replies", "C2", Urgency.PERSON, 5.0),
    ]


async def test_what_the_budget_refuses_is_not_called() -> None:
    budget = NotedBudget(refused={"chat.update": 12.0})
    async with open_world(budget) as (apis, slack):
        with pytest.raises(RateLimitedError) as refusal:
            await apis.open(CONNECTION).update_message(ChannelId("C1"), Ts("1.0"), "hello")
        assert slack.calls == []
    assert refusal.value.retry_after_s == 12
    assert budget.held_back == [], "Slack has said nothing"


async def test_the_budget_hears_what_slack_refuses() -> None:
    budget = NotedBudget()
    async with open_world(budget) as (apis, slack):
        slack.limited.add("chat.update")
        with pytest.raises(RateLimitedError):
            await apis.open(CONNECTION).update_message(ChannelId("C1"), Ts("1.0"), "hello")
    assert budget.held_back == [("conn_1", "chat.update", 7.0)]
    assert budget.finished == []


async def test_the_budget_hears_of_the_end_of_a_call() -> None:
    budget = NotedBudget()
    async with open_world(budget) as (apis, _):
        await apis.open(CONNECTION).update_message(ChannelId("C1"), Ts("1.0"), "hello")
    assert budget.finished == [("conn_1", "chat.update")]


async def test_a_refusal_keeps_the_next_calls_from_slack() -> None:
    clock = SystemClock()
    async with (
        open_call_budget(buckets=FakeBuckets(clock), clock=clock) as budget,
        open_world(budget) as (apis, slack),
    ):
        slack.limited.add("chat.update")
        for _ in range(3):
            with pytest.raises(RateLimitedError):
                await apis.open(CONNECTION).update_message(ChannelId("C1"), Ts("1.0"), "hello")
        assert slack.calls == ["chat.update"]


async def test_the_same_read_at_the_same_moment_is_one_call() -> None:
    async with open_world() as (apis, slack):
        numbers = await read_at_once(
            slack,
            lambda: apis.open(CONNECTION).read(INFO, user="U1", include_locale=True),
            lambda: apis.open(CONNECTION).read(INFO, include_locale=True, user="U1"),
            lambda: apis.open(CONNECTION).read(INFO, user="U1", include_locale=True),
        )
        assert (numbers, slack.calls) == ([1, 1, 1], [INFO])
        assert (await apis.open(CONNECTION).read(INFO, user="U1", include_locale=True))["number"] == 2


async def test_what_differs_in_anything_is_a_call_of_its_own() -> None:
    other = replace(CONNECTION, connection_id=ConnectionId("conn_2"))
    rotated = replace(CONNECTION, bot_token=Secret("xoxb-2"))
    async with open_world() as (apis, slack):
        numbers = await read_at_once(
            slack,
            lambda: apis.open(CONNECTION).read(INFO, user="U1"),
            lambda: apis.open(CONNECTION).read(INFO, user="U2"),
            lambda: apis.open(CONNECTION).read("users.profile.get", user="U1"),
            lambda: apis.open_as_user(CONNECTION).read(INFO, user="U1"),
            lambda: apis.open(other).read(INFO, user="U1"),
            lambda: apis.open(rotated).read(INFO, user="U1"),
            lambda: apis.for_batch().open(CONNECTION).read(INFO, user="U1"),
        )
        assert numbers == [1, 2, 3, 4, 5, 6, 7]


async def test_writes_are_never_one() -> None:
    async with open_world() as (apis, slack):
        numbers = await read_at_once(
            slack,
            lambda: apis.open(CONNECTION).write("pins.add", channel="C1", timestamp="1.0"),
            lambda: apis.open(CONNECTION).write("pins.add", channel="C1", timestamp="1.0"),
        )
        assert numbers == [1, 2]


async def test_who_has_written_does_not_get_what_was_read_before() -> None:
    async with open_world() as (apis, slack):
        api = apis.open(CONNECTION)
        numbers: list[int] = []

        async def read(one: SlackWebApi) -> None:
            numbers.append((await one.read("pins.list", channel="C1"))["number"])

        async with anyio.create_task_group() as tasks:
            slack.gate = anyio.Event()
            tasks.start_soon(read, api)
            await slack.has_call.wait()
            first_gate, slack.gate = slack.gate, anyio.Event()
            slack.gate.set()
            await api.write("pins.add", channel="C1", timestamp="1.0")
            await read(apis.open(CONNECTION))
            first_gate.set()
        assert numbers == [3, 1]


async def test_a_call_that_waits_for_the_budget_can_be_cancelled_and_is_not_made() -> None:
    clock = SystemClock()
    buckets = FakeBuckets(clock)
    buckets.answers = anyio.Event()
    async with open_call_budget(buckets=buckets, clock=clock) as budget, open_world(budget) as (apis, slack):
        with anyio.move_on_after(0.05) as scope:
            await apis.open(CONNECTION).post_message(ChannelId("C1"), "hello", thread_ts=None)
        assert scope.cancelled_caught
        assert slack.calls == []
