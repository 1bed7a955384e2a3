"""Who may call `/mcp` of a whole pod."""

from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from pod_in_process import CONNECTION_ID, PodInProcess, run_pod

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.model import Access
from slack_mcp.identity.api_keys import make_key
from slack_mcp.ports.identity import ApiKey

pytestmark = pytest.mark.anyio

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def get_url(pod: PodInProcess) -> str:
    return f"{pod.simulator.deliverer.targets[0]}/mcp"


async def add_key(pod: PodInProcess) -> tuple[str, ApiKey]:
    """Return a new key and its row, made as the command line does."""
    made = make_key(CONNECTION_ID, name="test", access=Access.READ, expires_in_s=None, clock=SystemClock())
    await pod.admin.keys.add_key(made.kept)
    return made.shown.reveal(), made.kept


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_an_api_key_opens_a_running_pod_until_it_is_revoked(tmp_path: Path, mode: str) -> None:
    async with run_pod(tmp_path) as pod:
        key, _kept = await add_key(pod)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=5) as http:
            async with Client(streamable_http_client(get_url(pod), http_client=http), mode=mode) as client:
                await client.list_tools()
            assert (await http.post(get_url(pod), json=PING)).status_code == 200
        revoked, unused = await add_key(pod)
        await pod.admin.keys.revoke_key(unused.key_id, now_ms=1)
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as http:
            refused = await http.post(get_url(pod), json=PING, headers={"Authorization": f"Bearer {revoked}"})
        assert refused.status_code == 401
        assert "was revoked" in refused.json()["error"]["message"]
    assert key not in pod.log.getvalue()
    assert key.split("_", 2)[2] not in pod.log.getvalue()


@pytest.mark.parametrize("body_bytes", [0, 300_000])
async def test_headers_of_forty_kilobytes_reach_it_whole(tmp_path: Path, body_bytes: int) -> None:
    """Through the fast way in, uvicorn and its parser, with bodies that come in one piece and in many."""
    token = "t" * 40 * 1024
    async with run_pod(tmp_path) as pod, httpx2.AsyncClient(trust_env=False, timeout=5) as http:
        for _ in range(2):
            answer = await http.post(
                get_url(pod),
                json={**PING, "params": {"_meta": {"padding": "x" * body_bytes}}},
                headers={"x-mesh-token": token},
            )
            assert answer.status_code == 200, answer.text
            assert answer.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


async def test_the_settings_say_how_much_a_caller_may_ask(tmp_path: Path) -> None:
    async with (
        run_pod(tmp_path, MCP_RATE_LIMIT_PER_MIN="2") as pod,
        httpx2.AsyncClient(trust_env=False, timeout=5) as http,
    ):
        key, _ = await add_key(pod)
        headers = {"Authorization": f"Bearer {key}"}
        statuses = [(await http.post(get_url(pod), json=PING, headers=headers)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await http.post(get_url(pod), json=LIST)).status_code == 200


async def test_the_settings_name_an_issuer_to_clients(tmp_path: Path) -> None:
    opened = run_pod(
        tmp_path,
        PUBLIC_URL="https://slack.example",
        OAUTH_ISSUER="https://login.example/",
        OAUTH_CONNECTION_ID=CONNECTION_ID,
    )
    async with opened as pod, httpx2.AsyncClient(trust_env=False, timeout=5) as http:
        base_url = pod.simulator.deliverer.targets[0]
        document = await http.get(f"{base_url}/.well-known/oauth-protected-resource/mcp")
        assert document.json()["authorization_servers"] == ["https://login.example/"]
        refused = await http.post(f"{base_url}/mcp", json=PING, headers={"Authorization": "Bearer a.b.c"})
        assert refused.status_code == 401
        assert document.url.path in refused.headers["www-authenticate"]
