"""What people do with an app reaches it as events, over real loopback HTTP; and so do files that are hostile."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
from simulator_client import make_plain_workspace
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slack_mcp.simulator import Address, Simulator, serve
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio


class Ear:
    """Receives events."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    async def receive(self, request: Request) -> Response:
        self.heard.append((await request.json())["event"])
        return Response()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def simulator(ear: Ear) -> AsyncIterator[Simulator]:
    routes = [Route("/slack/events", ear.receive, methods=["POST"])]
    async with serve_app(Starlette(routes=routes)) as pod:
        yield Simulator(make_plain_workspace(), targets=[pod])


@pytest.fixture
async def address(simulator: Simulator) -> AsyncIterator[Address]:
    async with serve(simulator) as address:
        yield address


async def hear(simulator: Simulator, ear: Ear, count: int) -> list[str]:
    """Return the types and subtypes of what the app heard, once it is so many events."""
    await simulator.changes.wait_until(
        lambda: len(ear.heard) >= count and simulator.deliverer.pending == 0, timeout_s=5
    )
    kinds = sorted(str(event.get("subtype") or event["type"]) for event in ear.heard)
    ear.heard.clear()
    return kinds


async def test_gestures_are_delivered(simulator: Simulator, address: Address, ear: Ear) -> None:
    gestures, client = simulator.gestures, AsyncWebClient(token="xoxb-1", base_url=address.api_url)
    simulator.workspaces["T1"].add_app("AOTHER", "BOTHER", "UOTHER", "builds")
    opened = gestures.open_assistant("T1", "UANN1", "C1")
    gestures.look_at("T1", "UANN1", "C1")
    gestures.open_home("T1", "UANN1")
    shared = gestures.share("T1", "UANN1", opened.channel_id, "a.txt", b"x", thread_ts=opened.thread_ts)
    gestures.speak("T1", "BOTHER", "C1", "done", is_classic=True)
    assert await hear(simulator, ear, 5) == [
        "app_home_opened",
        "assistant_thread_context_changed",
        "assistant_thread_started",
        "bot_message",
        "file_share",
    ]
    gestures.edit("T1", "UANN1", opened.channel_id, shared.message.ts, "look")
    gestures.unsay("T1", "UANN1", opened.channel_id, shared.message.ts)
    assert await hear(simulator, ear, 2) == ["message_changed", "message_deleted"]
    await client.chat_startStream(channel=opened.channel_id, thread_ts=opened.thread_ts, markdown_text="x")
    assert await hear(simulator, ear, 1) == ["message"]
    gestures.stop("T1", "UANN1", opened.channel_id, opened.thread_ts)
    assert await hear(simulator, ear, 2) == ["agent_session_stopped", "message_stream_stopped"]


async def test_an_endless_file_ends_when_its_reader_leaves(simulator: Simulator, address: Address) -> None:
    posted = simulator.workspaces["T1"].share_file("UANN1", "C1", "a.bin", b"0123456789", is_endless=True)
    url, headers = posted.message.files[0]["url_private"], {"Authorization": "Bearer xoxb-1"}
    read = 0
    with anyio.fail_after(5):
        async with (
            httpx2.AsyncClient(trust_env=False) as http,
            http.stream("GET", url, headers=headers) as answer,
        ):
            assert "content-length" not in answer.headers
            async for piece in answer.aiter_raw():
                read += len(piece)
                if read > 100_000:
                    break
    assert read > 100_000
    assert url.startswith(address.base_url)
