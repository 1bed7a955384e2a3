"""An approval in a whole pod: asked of whoever the bot is answering, given by a click, and done."""

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from pod_in_process import CHANNEL, CONNECTION_ID, PERSON, TEAM, WAIT_S, PodInProcess, run_pod

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.model import Access, ConnectionSettings, ToolPolicy
from slack_mcp.identity.api_keys import make_key
from slack_mcp.simulator.model import Message

pytestmark = pytest.mark.anyio

SETTINGS = ConnectionSettings(tools=ToolPolicy(approve_outside_thread=True))
OTHER = "C0OTHER00"
SEND = {"channel": "#other", "text": "Deployed."}


async def call(pod: PodInProcess, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a tool's call, as an agent makes it that nobody can tell a turn of."""
    made = make_key(CONNECTION_ID, name="agent", access=Access.WRITE, expires_in_s=None, clock=SystemClock())
    await pod.admin.keys.add_key(made.kept)
    headers = {"Authorization": f"Bearer {made.shown.reveal()}", "Accept": "application/json, text/event-stream"}
    params = {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
        answer = await http.post(f"{pod.simulator.deliverer.targets[0]}/mcp", json=body)
    result: dict[str, Any] = answer.json()["result"]
    return result


def find_question(pod: PodInProcess) -> Message | None:
    messages = pod.workspace.find_channel(CHANNEL).messages.values()
    return next((each for each in messages if (each.metadata or {}).get("event_type") == "slack_mcp_question"), None)


@pytest.mark.parametrize(("button", "said"), [("slack_mcp_answer_0", ["Deployed."]), ("slack_mcp_answer_1", [])])
async def test_agent_writes_elsewhere_once_whoever_asked_has_clicked(
    tmp_path: Path, button: str, said: list[str]
) -> None:
    async with run_pod(tmp_path, settings=SETTINGS, SLACK_MCP_DRAIN_TIMEOUT_S="0.1") as pod:
        pod.workspace.add_channel(OTHER, "other")
        root = pod.ask("[[hangs]] Deploy, and tell the others.")
        await pod.wait_for_model()
        inside = await call(
            pod, "SLACK_REPLY_IN_THREAD", {"channel": "#general", "thread_ts": root.ts, "text": "Here."}
        )
        assert not inside.get("isError"), inside
        results: list[dict[str, Any]] = []

        async def send() -> None:
            results.append(await call(pod, "SLACK_SEND_MESSAGE", SEND))

        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                await pod.wait_until(lambda: find_question(pod) is not None)
                question = find_question(pod)
                assert question is not None
                assert question.thread_ts == root.ts
                assert pod.workspace.find_channel(OTHER).messages == {}
                clicked = await pod.simulator.gestures.click(TEAM, PERSON, CHANNEL, question.ts, button)
                assert clicked.status == 200
        assert bool(results[0].get("isError")) is not bool(said)
        assert [each.text for each in pod.workspace.find_channel(OTHER).messages.values()] == said
