"""A question as the collector sees it, and the log beside it."""

from pathlib import Path

import anyio
import pytest
from fake_collector import FakeCollector
from pod_in_process import CANARIES, CONNECTION_ID, SAID, Log, PodInProcess, run_pod

from slack_mcp.core.ids import EventId
from slack_mcp.protocol.trace_ids import make_trace_ids
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio


async def ask_and_wait(pod: PodInProcess) -> Log:
    root = pod.ask()
    await pod.simulator.wait_for_answer("T1", "C1", root.ts, text=f"Answer to: {SAID}", timeout_s=20)
    await pod.wait_for_outcome("done", "answered")
    return pod.log


async def test_one_question_is_one_trace_from_the_webhook_to_slack(tmp_path: Path) -> None:
    collector = FakeCollector()
    with anyio.fail_after(60):
        async with (
            serve_app(collector.app) as url,
            run_pod(
                tmp_path,
                OTEL_EXPORTER_OTLP_ENDPOINT=url,
                OTEL_EXPORTER_OTLP_HEADERS="x-api-key=canary%2Dkey",
                OTEL_SERVICE_NAME="bot",
            ) as pod,
        ):
            log = await ask_and_wait(pod)
    (finished,) = log.select("turn.finished")
    (agent,) = collector.find("agent answers")
    spans = {span.name: span for span in collector.spans if span.trace_id == agent.trace_id}
    root, work, post = (spans[name] for name in ("journal delivery", "work on event", "slack chat.postMessage"))
    assert (root.parent_id, work.parent_id) == ("", root.span_id)
    assert agent.parent_id == post.parent_id == work.span_id
    assert work.events == ("first text",)
    assert (work.attributes["slack_mcp.state"], work.attributes["slack_mcp.reason"]) == ("done", "answered")
    assert work.resource["service.name"] == "bot"
    # The log has the same id, and so has whoever knows the event.
    assert finished["trace_id"] == root.trace_id
    assert root.trace_id == make_trace_ids(CONNECTION_ID, EventId(finished["event_id"])).trace_id
    assert all(headers["x-api-key"] == "canary-key" for headers in collector.headers)
    assert [word for word in CANARIES if word.encode() in collector.raw] == []


async def test_without_a_collector_the_log_has_the_id_all_the_same(tmp_path: Path) -> None:
    async with run_pod(tmp_path) as pod:
        log = await ask_and_wait(pod)
    (finished,) = log.select("turn.finished")
    assert finished["trace_id"] == make_trace_ids(CONNECTION_ID, EventId(finished["event_id"])).trace_id


async def test_a_collector_that_is_gone_keeps_nobody_waiting(tmp_path: Path) -> None:
    with anyio.fail_after(60):
        async with run_pod(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as pod:
            log = await ask_and_wait(pod)
    assert log.select("turn.finished")
