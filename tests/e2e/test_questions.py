"""A question to a person, over three processes: asked on one, clicked on another, read on the third, killed between."""

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fake_mesh import FakeMesh
from processes import MESH_SECRET, PodProcess, make_workspace, open_fleet, open_http

from slack_mcp.simulator import Simulator, Workspace, serve
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio


async def call(
    http: httpx2.AsyncClient, pod: PodProcess, mesh: FakeMesh, workspace: Workspace, name: str, **arguments: Any
) -> dict[str, Any]:
    """Return the structured content of one tool's call, as Mesh makes it."""
    state = {"SLACK_CREDENTIALS": {"BOT_TOKEN": workspace.bot_token, "SIGNING_SECRET": workspace.signing_secret}}
    given = {"state": state, "scopes": []} if name == "ON_MCP_CONFIGURATION" else arguments
    token = mesh.mint_token(str(workspace.connection_id), metadata={"state": state})
    answer = await http.post(
        f"{pod.url}/mcp",
        headers={"x-mesh-token": token, "Accept": "application/json, text/event-stream"},
        json={"jsonrpc": "2.0", "id": "1", "method": "tools/call", "params": {"name": name, "arguments": given}},
        timeout=60,
    )
    result = answer.json()["result"]
    assert not result.get("isError"), result
    content: dict[str, Any] = result["structuredContent"]
    return content


async def test_asked_on_one_process_clicked_on_another_and_read_on_a_third(postgres_url: str, tmp_path: Path) -> None:
    workspace = make_workspace()
    simulator = Simulator(workspace)
    mesh = FakeMesh(secret=MESH_SECRET)
    with anyio.fail_after(120):
        async with (
            serve_app(mesh.app) as mesh.url,
            open_http() as http,
            serve(simulator) as address,
            open_fleet(tmp_path, database_url=postgres_url, slack_api_url=address.api_url) as fleet,
        ):
            await fleet.add(3)
            first, second, third = fleet.pods
            await call(http, first, mesh, workspace, "ON_MCP_CONFIGURATION")
            asked = await call(
                http,
                first,
                mesh,
                workspace,
                "SLACK_ASK_HUMAN",
                channel="#general",
                question="Ship?",
                options=["Yes", "No"],
            )
            assert asked["state"] == "open"
            await first.kill()  # whoever asked is gone; the question is not
            simulator.deliverer.targets = [second.url]
            found: list[dict[str, Any]] = []

            async def wait() -> None:
                found.append(
                    await call(
                        http,
                        third,
                        mesh,
                        workspace,
                        "SLACK_GET_ANSWER",
                        question_id=asked["question_id"],
                        wait_s=40,
                    )
                )

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                clicked = await simulator.gestures.click("T1", "U0", "C1", asked["ts"], "slack_mcp_answer_1")
                assert clicked.status == 200
            (answer,) = found
            assert answer["state"] == "answered"
            assert [(each["user_id"], each["answer"]) for each in answer["answers"]] == [("U0", "No")]
            message = workspace.channels["C1"].messages[asked["ts"]]
            await simulator.changes.wait_until(lambda: message.edited_ts is not None, timeout_s=20)
