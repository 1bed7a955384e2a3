"""What a pod counts of a day of work, and that nothing of the day itself is in it."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pod_in_process import BOT, CANARIES, CHANNEL, CONNECTION_ID, NOT_STREAMED, PERSON, TEAM, PodInProcess, run_pod
from processes import open_http
from scrape import TOKEN, Scrape, scrape

from slack_mcp.core import errors
from slack_mcp.core.errors import SlackMcpError

pytestmark = pytest.mark.anyio


async def read_page(pod: PodInProcess, **settled: int) -> Scrape:
    """Return the page once so many events are settled, by state: a moment after the database has it."""
    with anyio.fail_after(20):
        while True:
            async with open_http() as http:
                page = await scrape(http, pod.simulator.deliverer.targets[0])
            if all(page.get("events_settled_total", state=state) == count for state, count in settled.items()):
                return page


async def test_a_question_is_counted_from_the_webhook_to_slack(tmp_path: Path) -> None:
    async with run_pod(tmp_path, METRICS_TOKEN=TOKEN) as pod:
        root = pod.ask()
        await pod.close_thread(root)
        await pod.wait_for_outcome("done", "answered", count=2)
        page = await read_page(pod, done=2)
    assert page.get("deliveries_total", outcome="accepted") == page.get("ack_seconds_count") >= 4
    assert page.get("turn_seconds_count", outcome="answered") == 2
    assert page.get("first_text_seconds_count") == 2
    assert page.get("first_text_seconds_sum") <= page.get("turn_seconds_sum")
    assert page.get("slack_calls_total", method="chat.postMessage", outcome="ok") == 2
    assert page.get("slack_calls_total") == page.get("slack_call_seconds_count")
    assert page.get("claims_total") >= 1
    assert page.get("directory_loads_total") >= 1
    assert page.get("journal_dead") == page.get("takeovers_total") == page.get("draining") == 0
    assert (page.get("ready"), page.get("workers"), page.get("build_info", database="sqlite")) == (1, 1, 1)
    check_silence(page)


async def test_an_answer_that_streams_is_counted_from_its_first_words(tmp_path: Path) -> None:
    streamed = replace(NOT_STREAMED, streaming=True)
    async with run_pod(tmp_path, settings=streamed, METRICS_TOKEN=TOKEN) as pod:
        pod.ask("[[words]] go on")
        await pod.wait_for_outcome("done", "answered")
        page = await read_page(pod, done=1)
    assert page.get("first_text_seconds_count") == page.get("turn_seconds_count") == 1
    assert page.get("first_text_seconds_sum") < page.get("turn_seconds_sum")
    assert page.get("slack_calls_total", method="chat.startStream", outcome="ok") == 1
    check_silence(page)


async def test_an_agent_that_fails_is_counted_by_its_errors_code(tmp_path: Path) -> None:
    async with run_pod(tmp_path, METRICS_TOKEN=TOKEN) as pod:
        pod.model.scripts.append("401")
        pod.ask()
        await pod.wait_for_outcome("dead", "agent_refused")
        page = await read_page(pod, dead=1)
    assert page.get("agent_errors_total", code="agent_refused") == 1
    assert page.get("event_failures_total", state="dead", code="agent_refused") == 1
    assert page.get("journal_dead") == 1
    check_silence(page)


def check_silence(page: Scrape) -> None:
    """Find nothing of a tenant, a person, a place or what was said."""
    secret = (*CANARIES, "canary", CONNECTION_ID)
    assert [word for word in secret if word in page.text] == []
    assert {TEAM, CHANNEL, PERSON, BOT}.isdisjoint(page.list_label_values())
    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SlackMcpError)}
    known = codes | {"ok", "accepted", "duplicate", "granted", "refused", "unavailable", "delivered", "answered"}
    for family in page.families.values():
        for sample in family.samples:
            assert {sample.labels.get("code", "ok"), sample.labels.get("outcome", "ok")} <= known
