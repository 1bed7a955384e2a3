"""Slack's events on their way to receivers: a whole pod between a simulated Slack and receivers on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fake_mesh import SECRET, FakeMesh
from pod_in_process import CHANNEL, CONNECTION_ID, PERSON, SAID, PodInProcess, run_pod
from starlette.responses import Response
from trigger_fakes import Receiver, serve_receiver, verify_webhook

from slack_mcp.core.model import ConnectionSettings, Trigger

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def run(
    directory: Path, *receivers: Receiver, settings: ConnectionSettings | None = None, **environ: str
) -> AsyncIterator[PodInProcess]:
    """Yield a running pod that may tell receivers on loopback, and rings the test's bell when one is told."""
    with anyio.fail_after(60):
        async with run_pod(
            directory,
            settings=settings,
            **{"TRIGGER_ALLOW_PRIVATE_TARGETS": "true", "DEFAULT_AGENT": "echo", "SLACK_MCP_RETRY_MAX_ATTEMPTS": "8"}
            | environ,
        ) as pod:
            for receiver in receivers:
                receiver.on_received.append(pod.simulator.changes.notify)
            yield pod


async def subscribe(pod: PodInProcess, receiver: Receiver, event_type: str, **filters: str) -> Trigger:
    async with pod.admin.open_subscriptions() as subscriptions:
        return await subscriptions.add(CONNECTION_ID, event_type, f"{receiver.url}/hook", filters)


async def receive(pod: PodInProcess, receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """Return the bodies of what a receiver was sent, as soon as there are so many."""
    await pod.wait_until(lambda: len(receiver.received) >= count)
    return [each.json for each in receiver.received]


async def test_a_message_is_told_signed_and_with_what_was_looked_up(tmp_path: Path) -> None:
    async with serve_receiver() as receiver, run(tmp_path, receiver) as pod:
        trigger = await subscribe(pod, receiver, "slack.message.received")
        root = pod.say(f"{SAID} first")
        reply = pod.say(f"{SAID} second", thread_ts=root.ts)
        bodies = await receive(pod, receiver, 2)
        by_ts = {body["data"]["ts"]: body["data"] for body in bodies}
        for each in receiver.received:
            verify_webhook(trigger.secret.reveal(), each.headers, each.body)
            assert each.headers["webhook-id"] == each.json["id"]
            assert each.path == "/hook"
        assert by_ts[root.ts]["user_id"] == PERSON
        assert by_ts[root.ts]["reply_in_thread_ts"] == by_ts[reply.ts]["reply_in_thread_ts"] == root.ts
        assert [each["text"] for each in by_ts[reply.ts]["thread_messages"]] == [f"{SAID} first", f"{SAID} second"]
        await pod.wait_for_outcome("done", "delivered", count=2)
        assert pod.list_events("trigger.delivery") == [("done", "delivered")] * 2


async def test_a_mention_is_told_once_and_answered_once(tmp_path: Path) -> None:
    async with serve_receiver() as receiver, run(tmp_path, receiver) as pod:
        await subscribe(pod, receiver, "slack.message.received")
        await subscribe(pod, receiver, "slack.app_mention")
        root = pod.ask()
        (body,) = await receive(pod, receiver, 1)
        assert body["type"] == "slack.app_mention"
        assert body["data"]["answered_by_bot"] is True
        await pod.simulator.wait_for_answer("T1", CHANNEL, root.ts, text=SAID, timeout_s=20)
        await pod.wait_for_deliveries()
        await pod.wait_for_outcome("done", "answered")
        assert len(pod.list_answers(root)) == 1
        # The answer, too, came back as events, and is told to nobody.
        await pod.wait_for_own_messages(2)
        assert len(receiver.received) == 1


async def test_with_trigger_only_receivers_share_a_placeholder_and_the_bot_answers_nothing(tmp_path: Path) -> None:
    settings = ConnectionSettings(trigger_only=True)
    async with serve_receiver() as one, serve_receiver() as two, run(tmp_path, one, two, settings=settings) as pod:
        for receiver in (one, two):
            await subscribe(pod, receiver, "slack.app_mention")
        root = pod.ask()
        told = [(await receive(pod, receiver, 1))[0]["data"] for receiver in (one, two)]
        (placeholder,) = [message for message in pod.workspace.thread(CHANNEL, root.ts) if message.bot_id]
        assert {each["thinking_message_ts"] for each in told} == {placeholder.ts}
        assert all("SLACK_EDIT_MESSAGE" in each["reply_instruction"] for each in told)
        await pod.wait_for_deliveries()
        await pod.wait_for_outcome("skipped", "trigger_only")
        await pod.wait_for_outcome("done", "delivered", count=2)
        assert pod.list_answers(root) == [["_Thinking…_"]]


async def test_a_receiver_that_fails_gets_everything_in_order_in_the_end(tmp_path: Path) -> None:
    failures = [Response(status_code=500), Response(status_code=404), Response(status_code=500)]
    async with serve_receiver(*failures) as receiver, run(tmp_path, receiver) as pod:
        await subscribe(pod, receiver, "slack.message.received")
        said = []
        for number in range(5):
            said.append(pod.say(f"{SAID} {number}").ts)
            await pod.wait_for_deliveries()
        bodies = await receive(pod, receiver, 8)
        tried = [body["data"]["ts"] for body in bodies]
        assert tried == [said[0]] * 3 + said
        assert len({body["id"] for body in bodies}) == 5


async def test_a_receiver_that_never_takes_anything_leaves_dead_events_and_a_placeholder_that_says_so(
    tmp_path: Path,
) -> None:
    settings = ConnectionSettings(trigger_only=True)
    answers = [Response(status_code=500) for _ in range(3)]
    async with (
        serve_receiver(*answers) as receiver,
        run(tmp_path, receiver, settings=settings, SLACK_MCP_RETRY_MAX_ATTEMPTS="3") as pod,
    ):
        await subscribe(pod, receiver, "slack.app_mention")
        root = pod.ask()
        await pod.wait_for_outcome("dead", "trigger_unavailable")
        ((thinking, apology),) = pod.list_answers(root)
        assert thinking == "_Thinking…_"
        assert "could not get an answer" in apology


async def test_what_no_subscription_asks_for_is_not_told(tmp_path: Path) -> None:
    async with serve_receiver() as receiver, run(tmp_path, receiver) as pod:
        await subscribe(pod, receiver, "slack.message.received", channel_type="im")
        pod.say(SAID)
        channel = pod.workspace.open_im(PERSON).channel_id
        pod.say(f"{SAID} between us", channel=channel)
        (body,) = await receive(pod, receiver, 1)
        assert body["data"]["channel_id"] == channel
        assert body["data"]["is_dm"] is True
        await pod.wait_for_deliveries()
        assert len(pod.list_events("trigger.delivery")) == 1


async def test_a_receiver_that_is_gone_is_told_nothing_more(tmp_path: Path) -> None:
    async with serve_receiver(Response(status_code=410)) as receiver, run(tmp_path, receiver) as pod:
        await subscribe(pod, receiver, "slack.message.received")
        pod.say(SAID)
        await pod.wait_for_outcome("dead", "trigger_refused")
        async with pod.admin.open_subscriptions() as subscriptions:
            (trigger,) = await subscriptions.list_triggers(CONNECTION_ID)
        assert trigger.refused_at_ms is not None
        pod.say(SAID)
        await pod.wait_for_deliveries()
        assert len(receiver.received) == 1
        assert len(pod.list_events("trigger.delivery")) == 1


async def test_receivers_inside_the_network_are_not_called_unless_that_is_allowed(tmp_path: Path) -> None:
    async with serve_receiver() as receiver:
        async with run(tmp_path, receiver) as pod:
            await subscribe(pod, receiver, "slack.message.received")
        async with run(tmp_path, receiver, TRIGGER_ALLOW_PRIVATE_TARGETS="false") as pod:
            pod.say(SAID)
            await pod.wait_for_outcome("dead", "trigger_refused")
        assert receiver.received == []


async def configure(pod: PodInProcess, mesh: FakeMesh, **arguments: Any) -> dict[str, Any]:
    """Do what Mesh does when somebody saves a trigger of an automation."""
    token = mesh.mint_token(CONNECTION_ID, metadata={"organizationId": "org"})
    request = {
        "jsonrpc": "2.0",
        "id": "configure-1",
        "method": "tools/call",
        "params": {"name": "TRIGGER_CONFIGURE", "arguments": {"type": "slack.message.received", **arguments}},
    }
    (pod_url,) = pod.simulator.deliverer.targets
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{pod_url}/mcp",
            json=request,
            headers={"x-mesh-token": token, "Accept": "application/json, text/event-stream"},
        )
    result = answer.json()["result"]
    assert isinstance(result, dict)
    return result


async def test_mesh_is_told_with_its_newest_token_until_it_does_not_know_it_any_more(tmp_path: Path) -> None:
    answers = [Response(status_code=status) for status in (202, 202, 401, 202)]
    mesh = FakeMesh()
    async with serve_receiver(*answers) as receiver, run(tmp_path, receiver, MESH_JWT_SECRET=SECRET) as pod:
        mesh.url = receiver.url
        callback = f"{receiver.url}/api/acme/trigger-callback"
        for token in ("first", "second"):
            result = await configure(
                pod, mesh, params={}, enabled=True, callbackUrl=callback, callbackToken=f"canary-{token}"
            )
            assert result["structuredContent"] == {"success": True}
        pod.say(f"{SAID} 1")
        await receive(pod, receiver, 1)
        pod.say(f"{SAID} 2")
        (first, second) = await receive(pod, receiver, 2)
        assert [body["data"]["text"] for body in (first, second)] == [f"{SAID} 1", f"{SAID} 2"]
        assert first["type"] == "slack.message.received"
        assert receiver.received[0].path == "/api/acme/trigger-callback"
        assert {each.headers["authorization"] for each in receiver.received} == {"Bearer canary-second"}
        pod.say(f"{SAID} 3")
        await pod.wait_for_outcome("dead", "trigger_refused")
        pod.say(f"{SAID} 4")
        await pod.wait_for_deliveries()
        assert len(receiver.received) == 3
        await configure(pod, mesh, params={}, enabled=True, callbackUrl=callback, callbackToken="canary-third")
        pod.say(f"{SAID} 5")
        assert (await receive(pod, receiver, 4))[-1]["data"]["text"] == f"{SAID} 5"
        await configure(pod, mesh, params={}, enabled=False)
        pod.say(f"{SAID} 6")
        await pod.wait_for_deliveries()
        assert len(pod.list_events("trigger.delivery")) == 4
    assert "canary-second" not in pod.log.getvalue()


async def test_a_callback_elsewhere_is_refused(tmp_path: Path) -> None:
    mesh = FakeMesh()
    mesh.url = "http://mesh.example"
    async with serve_receiver() as receiver, run(tmp_path, receiver, MESH_JWT_SECRET=SECRET) as pod:
        result = await configure(
            pod, mesh, params={}, enabled=True, callbackUrl=f"{receiver.url}/callback", callbackToken="canary-token"
        )
        assert result["isError"]
        pod.say(SAID)
        await pod.wait_for_deliveries()
        assert pod.list_events("trigger.delivery") == []
