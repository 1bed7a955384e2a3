from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Limits, Simulator, Workspace
from slack_mcp.simulator.limits import WINDOW_S, Meter

pytestmark = pytest.mark.anyio


async def call(http: httpx2.AsyncClient, method: str, **args: Any) -> httpx2.Response:
    return await http.post(f"/api/{method}", json=args, headers={"Authorization": "Bearer xoxb-1"})


async def test_without_limits_an_app_calls_as_often_as_it_likes(http: httpx2.AsyncClient) -> None:
    assert {(await call(http, "users.list")).status_code for _ in range(30)} == {200}


async def test_each_method_has_its_tier_per_minute(
    http: httpx2.AsyncClient, simulator: Simulator, workspace: Workspace, clock: SteppingClock
) -> None:
    workspace.limits = Limits()
    assert {(await call(http, "users.list")).status_code for _ in range(20)} == {200}
    clock.time_s += 10.5
    refused = await call(http, "users.list")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "50")
    assert refused.json() == {"ok": False, "error": "ratelimited"}
    assert simulator.calls.errors == {"ratelimited": 1}
    assert (await call(http, "users.info", user="UANN1")).status_code == 200
    clock.time_s += 49.5
    assert (await call(http, "users.list")).status_code == 200


async def test_the_limits_of_one_workspace_are_not_those_of_another(
    http: httpx2.AsyncClient, simulator: Simulator
) -> None:
    for each in simulator.workspaces.values():
        each.limits = Limits(per_minute={"auth.test": 1})
    for token, status in (("xoxb-1", 200), ("xoxb-1", 429), ("xoxb-2", 200), ("xoxb-unknown", 200)):
        answer = await http.post("/api/auth.test", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


async def test_one_channel_takes_a_burst_and_then_a_message_a_second(
    http: httpx2.AsyncClient, workspace: Workspace, clock: SteppingClock
) -> None:
    workspace.limits = Limits(post_burst=2)
    workspace.add_channel("C2")
    statuses = [(await call(http, "chat.postMessage", channel="C1", text="x")).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await call(http, "chat.postMessage", channel="C2", text="x")).status_code == 200
    clock.time_s += 1
    statuses = [(await call(http, "chat.postMessage", channel="C1", text="x")).status_code for _ in range(2)]
    assert statuses == [200, 429]
    workspace.limits = Limits(post_burst=2, posts_per_s=None)
    assert (await call(http, "chat.postMessage", channel="C1", text="x")).status_code == 200


async def test_an_unlisted_app_reads_fifteen_messages_once_a_minute(
    http: httpx2.AsyncClient, bot: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    root = workspace.say("UANN1", "C1", "root").message.ts
    for number in range(20):
        workspace.say("UANN1", "C1", str(number))
        workspace.say("UANN1", "C1", str(number), root)
    await bot.control("workspace", team_id="T1", limits={"distribution": "unlisted", "has_tiers": False})
    for method, args in (("conversations.history", {"limit": 999}), ("conversations.replies", {"ts": root})):
        page = (await call(http, method, channel="C1", **args)).json()
        assert sum(each["text"] != "root" for each in page["messages"]) == 15
        assert page["has_more"] is True
        refused = await call(http, method, channel="C1", **args)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert {(await call(http, "users.list")).status_code for _ in range(30)} == {200}
    clock.time_s += 60
    small = (await call(http, "conversations.history", channel="C1", limit=3)).json()
    assert len(small["messages"]) == 3
    await bot.control("workspace", team_id="T1", limits=None)
    assert len((await bot.call("conversations.history", channel="C1", limit=999))["messages"]) == 21


async def test_rules_that_nobody_knows_are_refused(http: httpx2.AsyncClient) -> None:
    for rules in ({"limits": {"speed": 1}}, {"stream_rules": {"speed": 1}}):
        assert (await http.post("/control/workspace", json={"team_id": "T1"} | rules)).status_code == 400


def test_a_method_that_may_never_be_called_asks_for_a_minute(clock: SteppingClock) -> None:
    assert Meter(clock=clock).take(Limits(per_minute={"x": 0}), "x", "") == WINDOW_S


@given(waits_s=st.lists(st.floats(min_value=0, max_value=30), max_size=60), most=st.integers(min_value=1, max_value=5))
def test_no_minute_holds_more_calls_than_it_may(waits_s: list[float], most: int) -> None:
    clock, limits, taken = SteppingClock(), Limits(per_minute={"x": most}), []
    meter = Meter(clock=clock)
    for wait_s in waits_s:
        clock.time_s += wait_s
        if meter.take(limits, "x", "") is None:
            taken.append(clock.time_s)
    for start in taken:
        assert sum(start <= at_s < start + WINDOW_S for at_s in taken) <= most


@given(waits_s=st.lists(st.floats(min_value=0, max_value=3), max_size=60))
def test_who_waits_as_long_as_they_are_told_is_not_refused_again(waits_s: list[float]) -> None:
    clock, limits = SteppingClock(), Limits(per_minute={"chat.postMessage": 4}, post_burst=1)
    meter = Meter(clock=clock)
    for wait_s in waits_s:
        clock.time_s += wait_s
        retry_after_s = meter.take(limits, "chat.postMessage", "C1")
        while retry_after_s is not None:
            clock.time_s += retry_after_s
            again = meter.take(limits, "chat.postMessage", "C1")
            assert again is None or retry_after_s == 1  # the channel's second was over, the minute was not
            retry_after_s = again
