"""What Mesh and Slack do to a pod that runs as a process."""

import json
import time
from typing import Any

import httpx2
from fake_mesh import FakeMesh
from processes import PodProcess

from slack_mcp.simulator import Workspace, sign


async def configure(
    http: httpx2.AsyncClient, pod: PodProcess, mesh: FakeMesh, workspace: Workspace, *, agent_id: str | None = None
) -> None:
    """Do what Mesh does when a user saves the configuration of a connection."""
    state: dict[str, Any] = {
        "SLACK_CREDENTIALS": {"BOT_TOKEN": workspace.bot_token, "SIGNING_SECRET": workspace.signing_secret}
    }
    if agent_id:
        state["AGENT"] = {"__type": "@deco/agent", "value": agent_id}
    token = mesh.mint_token(str(workspace.connection_id), metadata={"state": state})
    answer = await http.post(
        f"{pod.url}/mcp",
        headers={"x-mesh-token": token, "Accept": "application/json, text/event-stream"},
        json={
            "jsonrpc": "2.0",
            "id": "save-1",
            "method": "tools/call",
            "params": {"name": "ON_MCP_CONFIGURATION", "arguments": {"state": state, "scopes": []}},
        },
    )
    result = answer.json()["result"]
    assert not result.get("isError"), result


async def post_signed(http: httpx2.AsyncClient, pod: PodProcess, workspace: Workspace, body: Any, secret: str) -> int:
    content = json.dumps(body).encode()
    headers = sign(content, secret, int(time.time())) | {"Content-Type": "application/json"}
    url = f"{pod.url}/slack/events/{workspace.connection_id}"
    return (await http.post(url, content=content, headers=headers)).status_code
