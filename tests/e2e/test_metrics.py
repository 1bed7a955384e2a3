"""One service of two processes: whoever of them is asked knows what both have done, also when one is killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from processes import PodProcess, make_workspace, open_fleet, open_http
from scrape import TOKEN, Scrape, scrape

from slack_mcp.simulator import Simulator, Workspace, serve

pytestmark = pytest.mark.anyio

EVENTS = 60


async def scrape_until(url: str, is_so: Callable[[Scrape], bool]) -> Scrape:
    """Return the first page on which it is so; every look is a connection of its own, so that any worker may answer."""
    with anyio.fail_after(30):
        while True:
            async with open_http() as http:
                page = await scrape(http, url)
            if is_so(page):
                return page


def list_workers(pod: PodProcess) -> list[int]:
    return [int(line["pod_id"].split("-")[-2]) for line in pod.find("pod.listening")]


async def say(simulator: Simulator, workspace: Workspace, count: int) -> None:
    """Let people say things that are not for the bot, each over a connection of its own, and wait for the answers."""
    for number in range(count):
        simulator.say(workspace.team_id, "U0", "C1", f"canary-said {number}", None)
    deliveries = simulator.deliverer.deliveries
    await simulator.changes.wait_until(lambda: all(each.is_over for each in deliveries), timeout_s=30)


def count_accepted(page: Scrape) -> float:
    return page.get("deliveries_total", door="events", outcome="accepted")


async def test_any_worker_counts_for_all_also_for_one_that_was_killed(postgres_url: str, tmp_path: Path) -> None:
    workspace = make_workspace()
    simulator = Simulator(workspace)
    with anyio.fail_after(150):
        async with (
            serve(simulator) as address,
            open_fleet(
                tmp_path, database_url=postgres_url, slack_api_url=address.api_url, WORKERS="2", METRICS_TOKEN=TOKEN
            ) as fleet,
        ):
            (pod,) = await fleet.add()
            await fleet.connect(workspace)
            simulator.deliverer.targets = fleet.urls
            await scrape_until(pod.url, lambda page: page.get("workers") == 2)

            await say(simulator, workspace, EVENTS)
            page = await scrape_until(pod.url, lambda page: count_accepted(page) == EVENTS)
            assert page.get("ack_seconds_count", door="events") == EVENTS
            assert page.get("ack_seconds_bucket", door="events", le="3.0") == EVENTS
            assert page.get("journal_appended_total", result="skipped") == EVENTS
            assert page.get("ready") == page.get("database_up") == page.get("listener_up") == 1
            assert page.get("database_pool_size") == 20
            check_silence(page)

            os.kill(list_workers(pod)[0], signal.SIGKILL)
            await pod.wait_until(lambda: bool(pod.find("worker.died")))
            async with open_http() as http:
                assert count_accepted(await scrape(http, pod.url)) == EVENTS
            # Whoever listens is in the figures already: what the dead one had in hand is not.
            await pod.wait_until(lambda: len(pod.find("pod.listening")) == 3)
            async with open_http() as http:
                page = await scrape(http, pod.url)
            assert (page.get("workers"), page.get("database_pool_size")) == (2, 20)
            assert count_accepted(page) == EVENTS

            await say(simulator, workspace, EVENTS)
            await scrape_until(pod.url, lambda page: count_accepted(page) == 2 * EVENTS)
            assert await pod.stop() == 0
            await fleet.restart(pod)
            page = await scrape_until(pod.url, lambda page: page.get("workers") == 2)
            assert count_accepted(page) == 0
            assert await pod.stop() == 0  # its workers would outlive it for a moment, were it killed


def check_silence(page: Scrape) -> None:
    """Find nothing of a tenant, a person, a place or what was said."""
    known = ("conn_1", "T1", "A1", "C1", "U0", "UBOT", "B1")
    assert "canary" not in page.text
    assert [value for value in page.list_label_values() if value in known] == []
    assert not any(word in page.text for word in ("conn_1", '"T1"', '"C1"', '"U0"', "UBOT"))
