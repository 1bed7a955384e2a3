from typing import Any

import httpx2
import pytest

from slack_mcp.simulator import Simulator, Workspace
from slack_mcp.simulator.spec import build_simulator

pytestmark = pytest.mark.anyio
SPEC: dict[str, Any] = {
    "workspaces": [
        {
            "team_id": "T5",
            "bot_token": "xoxb-5",
            "signing_secret": "secret-5",
            "app_id": "A5",
            "bot_user_id": "UBOT5",
            "users": [{"user_id": "UEVE", "name": "eve"}],
            "channels": [{"channel_id": "C5", "name": "general"}, {"channel_id": "G5", "kind": "group"}],
            "user_tokens": [{"user_id": "UEVE", "token": "xoxp-eve", "scopes": "search:read"}],
        }
    ],
    "time_scale": 0.5,
}


async def test_saying_and_reading_through_the_control_api(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    said = await http.post(
        "/control/say", json={"team_id": "T1", "user": "UANN1", "channel": "C1", "text": "<@UBOT1> hello"}
    )
    ts = said.json()["ts"]
    assert len(said.json()["envelopes"]) == 2
    answer = workspace.post(workspace.channels["C1"], "hi", thread_ts=ts).message
    waited = await http.post("/control/wait", json={"team_id": "T1", "channel": "C1", "thread_ts": ts, "text": "hi"})
    assert [message["ts"] for message in waited.json()["messages"]] == [answer.ts]
    params = {"team_id": "T1", "channel": "C1", "thread_ts": ts}
    thread = (await http.get("/control/messages", params=params)).json()
    assert [message["text"] for message in thread["messages"]] == ["<@UBOT1> hello", "hi"]
    assert thread["messages"][1]["revisions"][0]["action"] == "posted"
    whole = (await http.get("/control/messages", params={"team_id": "T1", "channel": "C1"})).json()
    assert len(whole["messages"]) == 2


async def test_waiting_in_vain_is_a_timeout(http: httpx2.AsyncClient) -> None:
    body = {"team_id": "T1", "channel": "C1", "thread_ts": "1.2", "timeout_s": 0.01}
    assert (await http.post("/control/wait", json=body)).status_code == 408


async def test_calls_and_faults_through_the_control_api(http: httpx2.AsyncClient) -> None:
    fault = {"method": "auth.test", "status": 429, "retry_after_s": 3}
    assert (await http.post("/control/faults", json=fault)).status_code == 200
    assert (await http.post("/control/faults", json={"nonsense": 1})).status_code == 400
    headers = {"Authorization": "Bearer xoxb-1"}
    assert (await http.get("/api/auth.test", headers=headers)).status_code == 429
    await http.post("/control/faults", json={"method": "*", "status": 500, "times": None})
    assert (await http.request("DELETE", "/control/faults", json={})).status_code == 200
    await http.get("/api/conversations.info", params={"channel": "C2"}, headers=headers)
    summary = (await http.get("/control/calls", params={"list": "1", "team_id": "T1"})).json()
    assert summary["counts"] == {"auth.test": 1, "conversations.info": 1}
    assert summary["errors"] == {"ratelimited": 1, "channel_not_found": 1}
    assert summary["cross_tenant"] == 1
    assert [each["method"] for each in summary["calls"]] == ["auth.test", "conversations.info"]
    crossing = (await http.get("/control/cross_tenant")).json()["calls"]
    assert [each["channel_team_id"] for each in crossing] == ["T2"]


async def test_workspace_and_targets_can_be_changed(
    http: httpx2.AsyncClient, simulator: Simulator, workspace: Workspace
) -> None:
    await http.post("/control/targets", json={"targets": ["http://127.0.0.1:9"]})
    await http.post(
        "/control/workspace", json={"team_id": "T1", "signing_secret": "new", "bot_token": "xoxb-new", "scopes": "x"}
    )
    assert simulator.deliverer.targets == ["http://127.0.0.1:9"]
    assert (workspace.signing_secret, workspace.scopes) == ("new", "x")
    assert simulator.workspace_of_token("xoxb-new") is workspace
    empty = (await http.get("/control/deliveries", params={"list": "1"})).json()
    assert empty == {"total": 0, "accepted": 0, "pending": 0, "deliveries": []}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/control/say", {"team_id": "T404"}, 404),
        ("/control/say", {"team_id": "T1"}, 400),
        ("/control/say", {"team_id": "T1", "user": "UANN1", "channel": "C404", "text": "x"}, 404),
        ("/control/say", "text", 404),
        ("/control/deliver", {"team_id": "T1"}, 400),
        ("/control/wait", {"team_id": "T404"}, 404),
        ("/control/wait", {"team_id": "T1", "channel": "C404"}, 404),
        ("/control/workspace", {}, 404),
    ],
)
async def test_malformed_control_requests(http: httpx2.AsyncClient, path: str, body: object, status: int) -> None:
    assert (await http.post(path, json=body)).status_code == status


async def test_unknown_ids_in_queries(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/control/messages", params={"team_id": "T404"})).status_code == 404
    assert (await http.get("/control/messages", params={"team_id": "T1", "channel": "C404"})).status_code == 404


def test_spec_describes_a_whole_simulator() -> None:
    simulator = build_simulator(SPEC)
    workspace = simulator.workspaces["T5"]
    assert list(workspace.users) == ["UBOT5", "UEVE"]
    assert workspace.channels["C5"].members == {"UBOT5", "UEVE"}
    assert workspace.channels["G5"].kind == "group"
    assert simulator.deliverer.time_scale == 0.5
    assert simulator.workspace_of_token("xoxp-eve") is workspace
    assert workspace.user_tokens["xoxp-eve"].scopes == "search:read"


def test_mistakes_in_a_spec_are_named() -> None:
    with pytest.raises(TypeError, match="unknown fields in the spec: tragets"):
        build_simulator({"tragets": []})
    with pytest.raises(ValueError, match="T5"):
        build_simulator({"workspaces": SPEC["workspaces"] * 2})
