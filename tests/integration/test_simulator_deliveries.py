"""Deliveries of the simulator, over real loopback HTTP to an app that this test plays."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
import httpx2
import pytest
from simulator_client import make_plain_workspace
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from slack_mcp.simulator import Simulator, Workspace, build_app, sign
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio


class App:
    """Receives deliveries and answers what it is told to."""

    def __init__(self) -> None:
        self.received: list[tuple[Request, bytes]] = []
        self.answers: list[Callable[[], Response]] = []
        self.hold = anyio.Event()
        self.is_holding = False
        self.has_twenty = anyio.Event()

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        self.received.append((request, body))
        if len(self.received) == 20:
            self.has_twenty.set()
        if self.is_holding:
            await self.hold.wait()
        if json.loads(body)["type"] == "url_verification":
            return PlainTextResponse(json.loads(body)["challenge"])
        return self.answers.pop(0)() if self.answers else Response()

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request, _ in self.received]


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def workspace() -> Workspace:
    return make_plain_workspace(connection_id="conn_1")


@pytest.fixture
async def pod(app: App) -> AsyncIterator[str]:
    route = Route("/slack/events/conn_1", app.receive, methods=["POST", "GET"])
    async with serve_app(Starlette(routes=[route])) as base_url:
        yield base_url
        app.hold.set()


@pytest.fixture
async def simulator(workspace: Workspace, pod: str) -> AsyncIterator[Simulator]:
    simulator = Simulator(workspace, targets=[pod], time_scale=0.0001, timeout_s=2)
    async with simulator.running():
        yield simulator


async def test_delivery_is_signed_over_its_raw_body(simulator: Simulator, workspace: Workspace, app: App) -> None:
    (envelope,) = workspace.say("UANN1", "C1", "grüße").envelopes
    delivery = await simulator.deliver("T1", envelope)
    assert delivery.is_accepted
    ((request, body),) = app.received
    assert json.loads(body) == envelope
    assert SignatureVerifier("secret-1").is_valid_request(body, dict(request.headers))
    assert not SignatureVerifier("secret-2").is_valid_request(body, dict(request.headers))
    assert "x-slack-retry-num" not in request.headers


async def test_failed_delivery_is_tried_four_times_with_number_and_reason(
    simulator: Simulator, workspace: Workspace, app: App
) -> None:
    app.answers += [lambda: Response(status_code=503)] * 4
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    assert not delivery.is_accepted
    assert delivery.is_over
    assert [attempt.status for attempt in delivery.attempts] == [503] * 4
    assert app.headers("x-slack-retry-num") == [None, "1", "2", "3"]
    assert app.headers("x-slack-retry-reason") == [None, "http_error", "http_error", "http_error"]
    assert len({body for _, body in app.received}) == 1


async def test_retries_follow_slacks_schedule_on_the_given_scale(
    simulator: Simulator, workspace: Workspace, app: App
) -> None:
    simulator.deliverer.time_scale = 0.001
    app.answers += [lambda: Response(status_code=500)] * 4
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    starts_s = [attempt.at_s for attempt in delivery.attempts]
    assert starts_s[2] - starts_s[1] >= 0.06
    assert starts_s[3] - starts_s[2] >= 0.3


async def test_delivery_stops_at_the_first_2xx(simulator: Simulator, workspace: Workspace, app: App) -> None:
    app.answers += [lambda: Response(status_code=500), lambda: Response(status_code=204)]
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    assert [attempt.status for attempt in delivery.attempts] == [500, 204]
    assert delivery.is_accepted


async def test_no_retry_header_ends_a_failed_delivery(simulator: Simulator, workspace: Workspace, app: App) -> None:
    app.answers.append(lambda: Response(status_code=500, headers={"X-Slack-No-Retry": "1"}))
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    assert len(delivery.attempts) == 1


async def test_silent_app_times_out(simulator: Simulator, workspace: Workspace, app: App) -> None:
    simulator.deliverer.timeout_s = 0.02
    app.is_holding = True
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    assert [attempt.reason for attempt in delivery.attempts] == ["http_timeout"] * 4
    assert [attempt.status for attempt in delivery.attempts] == [None] * 4


async def test_third_redirect_is_one_too_many(simulator: Simulator, workspace: Workspace, app: App) -> None:
    app.answers += [lambda: RedirectResponse("/slack/events/conn_1")] * 2
    assert (await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])).is_accepted
    app.answers += [lambda: RedirectResponse("/slack/events/conn_1")] * 12
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    assert [attempt.reason for attempt in delivery.attempts] == ["too_many_redirects"] * 4


async def test_retry_goes_to_the_next_pod(simulator: Simulator, workspace: Workspace, pod: str) -> None:
    dead = "http://127.0.0.1:1"
    simulator.deliverer.targets = [dead, pod]
    delivery = await simulator.deliver("T1", workspace.say("UANN1", "C1", "x").envelopes[0])
    assert [(attempt.url.startswith(dead), attempt.reason) for attempt in delivery.attempts] == [
        (True, "connection_failed"),
        (False, None),
    ]


async def test_url_verification_and_broken_posts(simulator: Simulator, workspace: Workspace, app: App) -> None:
    assert (await simulator.deliverer.verify_url(workspace, challenge="abc")).text == "abc"
    body = b'{"type": "x", "bytes": "\\u00ff"}'
    await simulator.deliverer.send(workspace, body, headers=sign(body, "wrong", 1))
    request, received = app.received[-1]
    assert received == body
    assert request.headers["x-slack-request-timestamp"] == "1"
    assert sign(b"\xff", "s", "garbage")["X-Slack-Signature"].startswith("v0=")


async def test_bots_own_messages_and_changes_are_delivered_too(
    simulator: Simulator, workspace: Workspace, app: App
) -> None:
    async with serve_app(build_app(simulator)) as base_url:
        client = AsyncWebClient(token="xoxb-1", base_url=f"{base_url}/api/")
        ts = (await client.chat_postMessage(channel="C1", text="x"))["ts"]
        await client.chat_update(channel="C1", ts=ts, text="y")
        await simulator.changes.wait_until(lambda: accepted(simulator) == 2, timeout_s=5)
        events = [json.loads(body)["event"] for _, body in app.received]
        assert sorted(event.get("subtype", "") for event in events) == ["", "message_changed"]
        simulator.deliver_bot_messages = False
        await client.chat_postMessage(channel="C1", text="z")
        assert len(simulator.deliverer.deliveries) == 2


async def test_events_of_one_moment_are_in_flight_together(
    simulator: Simulator, workspace: Workspace, app: App
) -> None:
    app.is_holding = True
    for index in range(20):
        simulator.say("T1", "UANN1", "C1", str(index))
    with anyio.fail_after(5):
        await app.has_twenty.wait()
    app.hold.set()
    await simulator.changes.wait_until(lambda: accepted(simulator) == 20, timeout_s=5)


async def test_simulator_runs_as_its_own_process(tmp_path: Path, app: App, pod: str) -> None:
    spec = tmp_path / "spec.json"
    described = {
        "team_id": "T1",
        "bot_token": "xoxb-1",
        "signing_secret": "secret-1",
        "app_id": "A1",
        "bot_user_id": "UBOT1",
        "connection_id": "conn_1",
        "users": [{"user_id": "UANN1", "name": "ann"}],
        "channels": [{"channel_id": "C1"}],
    }
    spec.write_text(json.dumps({"workspaces": [described], "targets": [pod]}))
    command = [sys.executable, "-m", "slack_mcp.simulator", "--spec", str(spec)]
    async with await anyio.open_process(
        command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        with anyio.fail_after(20):
            address = json.loads(await process.stdout.receive())
            async with httpx2.AsyncClient(base_url=address["base_url"]) as http:
                said = {"team_id": "T1", "user": "UANN1", "channel": "C1", "text": "x", "deliver": False}
                envelope = (await http.post("/control/say", json=said)).json()["envelopes"][0]
                body = {"team_id": "T1", "envelope": envelope}
                assert (await http.post("/control/deliver", json=body)).json()["is_accepted"]
                listed = (await http.get("/control/deliveries", params={"list": "1"})).json()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    assert [attempt["status"] for attempt in listed["deliveries"][0]["attempts"]] == [200]
    assert json.loads(app.received[0][1])["event_id"] == envelope["event_id"]


def accepted(simulator: Simulator) -> int:
    return sum(delivery.is_accepted for delivery in simulator.deliverer.deliveries)
