import json
from typing import Any

import httpx2
import pytest

from slack_mcp.simulator import Fault, Simulator, Workspace

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
TOKEN = "xoxb-1"
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2_900}}


async def call(http: httpx2.AsyncClient, method: str, token: str = TOKEN, **args: object) -> Json:
    response = await http.post(f"/api/{method}", json=args, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    body: Json = response.json()
    return body


async def test_auth_test_says_who_the_token_is_and_what_it_may(http: httpx2.AsyncClient) -> None:
    response = await http.get("/api/auth.test", headers={"Authorization": "Bearer xoxb-2"})
    assert response.json()["team_id"] == "T2"
    assert response.json()["user_id"] == "UBOT2"
    assert "chat:write" in response.headers["X-OAuth-Scopes"]
    assert (await call(http, "bots.info", bot="BBOT1"))["bot"]["app_id"] == "A1"
    assert (await call(http, "bots.info", bot="B404"))["error"] == "bot_not_found"


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("no.such", {}, "unknown_method"),
        ("chat.postMessage", {"channel": "C404", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "C2", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "CPRIVATE", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "CELSEWHERE", "text": "x"}, "not_in_channel"),
        ("chat.postMessage", {"channel": "CARCHIVED", "text": "x"}, "is_archived"),
        ("chat.postMessage", {"channel": "C1", "text": "x", "thread_ts": "1.2"}, "thread_not_found"),
        ("chat.postMessage", {"channel": "C1", "text": "x", "markdown_text": "x"}, "markdown_text_conflict"),
        ("chat.postMessage", {"channel": "C1", "markdown_text": "x" * 12_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": "C1", "attachments": [{}] * 101}, "too_many_attachments"),
        ("chat.postMessage", {"channel": "C1", "blocks": [SECTION] * 5}, "msg_blocks_too_long"),
        ("chat.getPermalink", {"channel": "C1", "message_ts": "1.2"}, "message_not_found"),
        ("chat.postMessage", {"channel": "C1"}, "no_text"),
        ("chat.postMessage", {"channel": "C1", "text": "x", "metadata": {"a": 1}}, "invalid_metadata_format"),
        ("chat.postMessage", {"channel": "C1", "text": "x", "metadata": "{"}, "invalid_metadata_format"),
        ("chat.postMessage", {"channel": "C1", "blocks": [{}] * 51}, "invalid_blocks"),
        ("chat.postMessage", {"channel": "C1", "blocks": {}}, "invalid_blocks_format"),
        ("chat.update", {"channel": "C1", "ts": "1.2", "text": "x"}, "message_not_found"),
        ("conversations.replies", {"channel": "C1", "ts": "1.2"}, "thread_not_found"),
        ("conversations.history", {"channel": "C1", "cursor": "???"}, "invalid_cursor"),
        ("conversations.history", {"channel": "C1", "limit": "many"}, "invalid_limit"),
        ("conversations.history", {"channel": "C1", "oldest": "yesterday"}, "invalid_arguments"),
        ("conversations.history", {"channel": "CPRIVATE"}, "channel_not_found"),
        ("conversations.history", {"channel": "CELSEWHERE"}, "not_in_channel"),
        ("conversations.info", {}, "channel_not_found"),
        ("conversations.list", {"types": "rooms"}, "invalid_types"),
        ("conversations.open", {"users": "U1,U2"}, "user_not_found"),
        ("users.info", {"user": "U404"}, "user_not_found"),
        ("reactions.add", {"channel": "C1", "timestamp": "1.2", "name": "eyes"}, "message_not_found"),
        ("chat.postEphemeral", {"channel": "C1", "user": "U404", "text": "x"}, "user_not_in_channel"),
    ],
)
async def test_refusals(http: httpx2.AsyncClient, workspace: Workspace, method: str, args: Json, error: str) -> None:
    workspace.add_channel("CPRIVATE", kind="group", members={"UANN1"})
    workspace.add_channel("CELSEWHERE", "elsewhere", members={"UANN1"})
    workspace.add_channel("CARCHIVED", "archived").is_archived = True
    answer = await call(http, method, **args)
    assert (answer["ok"], answer["error"]) == (False, error)


async def test_tokens_are_checked(http: httpx2.AsyncClient, simulator: Simulator, workspace: Workspace) -> None:
    assert (await http.post("/api/auth.test")).json()["error"] == "not_authed"
    assert (await http.post("/api/auth.test", json={"token": "xoxb-1"})).json()["error"] == "not_authed"
    assert (await call(http, "auth.test", "xoxb-404"))["error"] == "invalid_auth"
    simulator.rotate_token("T1", "xoxb-new")
    assert (await call(http, "auth.test"))["error"] == "invalid_auth"
    assert (await call(http, "auth.test", "xoxb-new"))["ok"]
    workspace.scopes = "users:read"
    refusal = await call(http, "chat.postMessage", "xoxb-new", channel="C1", text="x")
    assert refusal == {"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "users:read"}
    workspace.is_revoked = True
    assert (await call(http, "auth.test", "xoxb-new"))["error"] == "token_revoked"


async def test_only_own_messages_can_be_changed(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    theirs = workspace.say("UANN1", "C1", "mine").message
    changed = await call(http, "chat.update", channel="C1", ts=theirs.ts, text="yours")
    deleted = await call(http, "chat.delete", channel="C1", ts=theirs.ts)
    assert (changed["error"], deleted["error"]) == ("cant_update_message", "cant_delete_message")
    own = await call(http, "chat.postMessage", channel="C1", text="x")
    long = await call(http, "chat.update", channel="C1", ts=own["ts"], text="x" * 4001)
    assert long["error"] == "msg_too_long"
    assert (await call(http, "chat.delete", channel="C1", ts=own["ts"]))["ok"]


async def test_text_without_blocks_removes_the_old_blocks(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    blocks = [{"type": "divider"}]
    ts = (await call(http, "chat.postMessage", channel="C1", text="x", blocks=blocks))["ts"]
    assert workspace.channels["C1"].messages[ts].blocks == blocks
    await call(http, "chat.update", channel="C1", ts=ts, text="y")
    assert workspace.channels["C1"].messages[ts].blocks is None


async def test_text_is_cut_at_forty_thousand_with_a_warning(http: httpx2.AsyncClient) -> None:
    answer = await call(http, "chat.postMessage", channel="C1", text="x" * 40_001)
    assert answer["warning"] == "message_truncated"
    assert len(answer["message"]["text"]) == 40_000


async def test_metadata_is_kept_through_an_update_and_read_back_on_request(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    root = workspace.say("UANN1", "C1", "question").message
    metadata = {"event_type": "turn", "event_payload": {"event_id": "Ev1"}}
    posted = await call(
        http, "chat.postMessage", channel="C1", text="…", thread_ts=root.ts, metadata=json.dumps(metadata)
    )
    await call(http, "chat.update", channel="C1", ts=posted["ts"], text="answer")
    with_metadata = await call(http, "conversations.replies", channel="C1", ts=root.ts, include_all_metadata="true")
    without = await call(http, "conversations.replies", channel="C1", ts=root.ts)
    assert with_metadata["messages"][1]["metadata"] == metadata
    assert "metadata" not in without["messages"][1]
    assert without["messages"][0]["reply_count"] == 1


async def test_replies_are_paged_oldest_first_under_their_root(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "root").message
    replies = [workspace.say("UANN1", "C1", str(number), root.ts).message for number in range(5)]
    texts: list[str] = []
    cursor = ""
    while True:
        page = await call(http, "conversations.replies", channel="C1", ts=root.ts, limit=2, cursor=cursor)
        texts += [message["text"] for message in page["messages"][1:]]
        if not page["has_more"]:
            break
        cursor = page["response_metadata"]["next_cursor"]
    assert texts == ["0", "1", "2", "3", "4"]
    newer = await call(http, "conversations.replies", channel="C1", ts=root.ts, oldest=replies[3].ts)
    inclusive = await call(
        http, "conversations.replies", channel="C1", ts=root.ts, oldest=replies[3].ts, inclusive=True
    )
    assert [message["text"] for message in newer["messages"]] == ["root", "4"]
    assert [message["text"] for message in inclusive["messages"]] == ["root", "3", "4"]


async def test_history_is_paged_newest_first_without_replies(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    said = [workspace.say("UANN1", "C1", str(number)).message for number in range(5)]
    workspace.say("UANN1", "C1", "reply", said[0].ts)
    await call(http, "chat.postMessage", channel="C1", text="loud", thread_ts=said[0].ts, reply_broadcast=True)
    texts: list[str] = []
    cursor = ""
    while True:
        page = await call(http, "conversations.history", channel="C1", limit=2, cursor=cursor)
        texts += [message["text"] for message in page["messages"]]
        if not page["has_more"]:
            break
        cursor = page["response_metadata"]["next_cursor"]
    assert texts == ["loud", "4", "3", "2", "1", "0"]
    older = await call(http, "conversations.history", channel="C1", latest=said[1].ts)
    assert [message["text"] for message in older["messages"]] == ["0"]


async def test_lists_of_channels_and_users_are_paged(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    workspace.add_channel("C8", "random")
    first = await call(http, "conversations.list", limit=1)
    cursor = first["response_metadata"]["next_cursor"]
    second = await call(http, "conversations.list", limit=1, cursor=cursor)
    assert [first["channels"][0]["id"], second["channels"][0]["id"]] == ["C1", "C8"]
    assert second["response_metadata"]["next_cursor"] == ""
    assert {user["id"] for user in (await call(http, "users.list"))["members"]} == {"UBOT1", "UANN1"}
    assert (await call(http, "users.info", user="UANN1"))["user"]["name"] == "ann"
    assert (await call(http, "conversations.info", channel="C1"))["channel"]["is_member"]


async def test_direct_message_by_user_id_and_reactions_and_whispers(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    opened = await call(http, "conversations.open", users="UANN1")
    posted = await call(http, "chat.postMessage", channel="UANN1", text="psst")
    assert posted["channel"] == opened["channel"]["id"]
    where = {"channel": posted["channel"], "timestamp": posted["ts"], "name": "eyes"}
    assert (await call(http, "reactions.add", **where))["ok"]
    assert (await call(http, "reactions.add", **where))["error"] == "already_reacted"
    assert (await call(http, "reactions.remove", **where))["ok"]
    assert (await call(http, "reactions.remove", **where))["error"] == "no_reaction"
    assert (await call(http, "chat.postEphemeral", channel="C1", user="UANN1", text="only you"))["message_ts"]
    assert [note.text for note in workspace.ephemerals] == ["only you"]
    status = {"channel_id": "C1", "thread_ts": "1.2", "status": "is thinking"}
    assert (await call(http, "assistant.threads.setStatus", **status))["ok"]
    assert workspace.statuses == {("C1", "1.2"): "is thinking"}


async def test_every_call_is_recorded_with_its_token_and_foreign_channels_stand_out(
    http: httpx2.AsyncClient, simulator: Simulator
) -> None:
    await call(http, "chat.postMessage", "xoxb-1", channel="C1", text="fine")
    assert simulator.calls.cross_tenant_calls == []
    await call(http, "chat.postMessage", "xoxb-1", channel="C2", text="not fine")
    (crossing,) = simulator.calls.cross_tenant_calls
    assert (crossing.token, crossing.team_id, crossing.channel_team_id) == ("xoxb-1", "T1", "T2")
    assert (crossing.error, crossing.args["text"]) == ("channel_not_found", "not fine")
    assert len(simulator.calls.select("chat.postMessage", team_id="T1")) == 2
    assert simulator.calls.counts["chat.postMessage"] == 2
    simulator.calls.clear()
    assert simulator.calls.select() == []


@pytest.mark.parametrize(
    ("content", "content_type", "error"),
    [
        (b"{", "application/json", "invalid_json"),
        (b"[]", "application/json", "json_not_object"),
        (b"\xff\xfe", "application/x-www-form-urlencoded", "invalid_form_data"),
    ],
)
async def test_malformed_bodies(http: httpx2.AsyncClient, content: bytes, content_type: str, error: str) -> None:
    headers = {"Authorization": "Bearer xoxb-1", "Content-Type": content_type}
    response = await http.post("/api/chat.postMessage", content=content, headers=headers)
    assert response.json() == {"ok": False, "error": error}


async def test_oversized_bodies_and_other_verbs_are_refused(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/api/auth.test", content=b"x" * (4 * 1024 * 1024 + 1))).status_code == 413
    assert (await http.put("/api/auth.test")).status_code == 405


async def test_faults_apply_to_their_method_and_count_down(http: httpx2.AsyncClient, simulator: Simulator) -> None:
    limited = simulator.faults.add(Fault(method="auth.test", status=429, retry_after_s=7, times=2))
    broken = simulator.faults.add(Fault(method="*", status=503, team_id="T2", times=None))
    coded = simulator.faults.add(Fault(method="users.list", error="fatal_error", when=lambda each: not each.args))
    headers = {"Authorization": "Bearer xoxb-1"}
    first = await http.post("/api/auth.test", headers=headers)
    await http.post("/api/auth.test", headers=headers)
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert first.json() == {"ok": False, "error": "ratelimited"}
    assert (await call(http, "auth.test"))["ok"]
    assert (await http.post("/api/auth.test", headers={"Authorization": "Bearer xoxb-2"})).status_code == 503
    assert (await call(http, "users.list", limit=1))["ok"]
    assert (await call(http, "users.list"))["error"] == "fatal_error"
    assert (limited.hits, broken.hits, coded.hits) == (2, 1, 1)
    simulator.faults.remove(broken)
    assert (await call(http, "auth.test", "xoxb-2"))["ok"]
    assert simulator.calls.errors == {"ratelimited": 2, "http_503": 1, "fatal_error": 1}


async def test_late_fault_loses_the_answer_and_keeps_the_message(
    http: httpx2.AsyncClient, simulator: Simulator, workspace: Workspace
) -> None:
    simulator.faults.add(Fault(method="chat.postMessage", status=500, is_late=True))
    response = await http.post(
        "/api/chat.postMessage", json={"channel": "C1", "text": "x"}, headers={"Authorization": "Bearer xoxb-1"}
    )
    assert response.status_code == 500
    assert [message.text for message in workspace.channels["C1"].top] == ["x"]


async def test_slow_fault_is_answered_in_the_end(http: httpx2.AsyncClient, simulator: Simulator) -> None:
    fault = simulator.faults.add(Fault(method="auth.test", hang_s=0.001))
    assert (await call(http, "auth.test"))["ok"]
    assert fault.hits == 1
