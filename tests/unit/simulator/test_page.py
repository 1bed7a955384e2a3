import json
from typing import Any

import anyio
import httpx2
import pytest

from slack_mcp.simulator import Simulator, Workspace
from slack_mcp.simulator.guard import is_loopback_host
from slack_mcp.simulator.page import link_mentions

pytestmark = pytest.mark.anyio


async def test_page_is_served_with_a_strict_policy(http: httpx2.AsyncClient) -> None:
    for path, media_type in (
        ("/", "text/html"),
        ("/static/demo.js", "text/javascript"),
        ("/static/demo.css", "text/css"),
    ):
        response = await http.get(path)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith(media_type)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        policy = response.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)


async def test_page_has_no_inline_code_and_sets_text_only(http: httpx2.AsyncClient) -> None:
    html = (await http.get("/")).text
    script = (await http.get("/static/demo.js")).text
    assert "style=" not in html
    assert "onclick" not in html
    assert html.count("<script") == html.count("<script src=") == 1
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert dangerous not in script


async def test_what_is_said_on_the_page_is_in_the_workspace(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    said = await http.post("/demo/say", json={"channel": "C1", "text": "@bot <b>hello</b>"})
    ts = said.json()["ts"]
    message = workspace.channels["C1"].messages[ts]
    assert (message.user_id, message.text) == ("UANN1", "<@UBOT1> <b>hello</b>")
    state: dict[str, Any] = (await http.get("/demo/state")).json()
    assert state["team"]["bot_user_id"] == "UBOT1"
    assert [each["text"] for each in state["channels"][0]["messages"]] == ["<@UBOT1> <b>hello</b>"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({"channel": "C1"}, 400),
        ({"channel": "C1", "text": "  "}, 400),
        ({"channel": "C1", "text": "x" * 4001}, 400),
        ({"channel": "C1", "text": 7}, 400),
        ({"channel": ["C1"], "text": "x"}, 400),
        ({"channel": "C404", "text": "x"}, 404),
        ({"channel": "C1", "text": "x", "user": "U404"}, 404),
    ],
)
async def test_malformed_things_said_are_refused(http: httpx2.AsyncClient, body: object, status: int) -> None:
    assert (await http.post("/demo/say", json=body)).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/demo/say", "/control/say"])
async def test_other_web_pages_cannot_drive_it(
    http: httpx2.AsyncClient, workspace: Workspace, path: str, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"team_id": "T1", "user": "UANN1", "channel": "C1", "text": "x"})
    response = await http.post(path, content=body, headers={"Content-Type": "application/json"} | headers)
    assert response.status_code == status
    assert len(workspace.channels["C1"].messages) == (1 if status == 200 else 0)


async def test_rebound_names_reach_nothing_at_all(http: httpx2.AsyncClient) -> None:
    for path in ("/", "/demo/state", "/api/auth.test", "/control/calls"):
        assert (await http.get(path, headers={"Host": "attacker.example:80"})).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8", "127.9.9.9", "[::1]:80", "[::1]"])
def test_loopback_names(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["", "example.com", "10.0.0.1", "localhost.evil.example", "[::2]", "0.0.0.0"])  # noqa: S104
def test_other_names(host: str) -> None:
    assert not is_loopback_host(host)


def test_names_become_mentions_and_addresses_do_not(workspace: Workspace) -> None:
    text = link_mentions("@bot, ask @Ann or @nobody; mail a@bot.example. <@UBOT1>", workspace)
    assert text == "<@UBOT1>, ask <@UANN1> or @nobody; mail a@bot.example. <@UBOT1>"


async def test_watcher_sees_each_change_and_ends_with_the_simulator(simulator: Simulator, workspace: Workspace) -> None:
    with anyio.fail_after(5):
        async with simulator.changes.watching() as changes:
            posted = workspace.say("UANN1", "C1", "hello")
            change = await changes.receive()
            assert (change["action"], change["team_id"], change["message"]["ts"]) == ("posted", "T1", posted.message.ts)
            simulator.changes.close()
            assert [each async for each in changes] == []
        async with simulator.changes.watching() as late:
            assert [each async for each in late] == []


async def test_watcher_that_does_not_keep_up_is_dropped(simulator: Simulator, workspace: Workspace) -> None:
    with anyio.fail_after(5):
        async with simulator.changes.watching(capacity=1) as changes:
            for text in ("one", "two", "three"):
                workspace.say("UANN1", "C1", text)
            assert [change["message"]["text"] async for change in changes] == ["one"]
