"""People use an app's commands, buttons, modals and files, over real loopback HTTP to an app that this test plays."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx2
import pytest
from simulator_client import make_plain_workspace
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from slack_mcp.simulator import Address, Simulator, Workspace, serve
from slack_mcp.simulator.model import SlackRefusalError
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio
MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "ask",
    "title": {"type": "plain_text", "text": "Ask"},
    "submit": {"type": "plain_text", "text": "Send"},
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "b1",
            "label": {"type": "plain_text", "text": "Why"},
            "element": {"type": "plain_text_input", "action_id": "why"},
        },
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "Who"},
            "accessory": {
                "type": "external_select",
                "action_id": "who",
                "placeholder": {"type": "plain_text", "text": "Who"},
            },
        },
    ],
}
BUTTON = {
    "type": "actions",
    "elements": [{"type": "button", "action_id": "go", "value": "1", "text": {"type": "plain_text", "text": "Go"}}],
}


class App:
    """Receives forms and answers what it is told to."""

    def __init__(self) -> None:
        self.received: list[tuple[Request, bytes]] = []
        self.answer: Response = Response()
        self.hold: anyio.Event | None = None

    async def receive(self, request: Request) -> Response:
        self.received.append((request, await request.body()))
        if self.hold is not None:
            await self.hold.wait()
        return self.answer

    def fields(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.received[-1][1].decode()).items()}

    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.fields()["payload"])
        return payload


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def workspace() -> Workspace:
    return make_plain_workspace(connection_id="conn_1")


@pytest.fixture
async def pod(app: App) -> AsyncIterator[str]:
    doors = ("events/conn_1", "commands/conn_1", "interactive/conn_1", "commands", "interactive")
    routes = [Route(f"/slack/{door}", app.receive, methods=["POST"]) for door in doors]
    async with serve_app(Starlette(routes=routes)) as base_url:
        yield base_url
        if app.hold is not None:
            app.hold.set()


@pytest.fixture
def simulator(workspace: Workspace, pod: str) -> Simulator:
    return Simulator(workspace, targets=[pod], deliver_bot_messages=False)


@pytest.fixture
async def address(simulator: Simulator) -> AsyncIterator[Address]:
    async with serve(simulator) as address:
        yield address


@pytest.fixture
def client(address: Address) -> AsyncWebClient:
    return AsyncWebClient(token="xoxb-1", base_url=address.api_url)


@pytest.fixture
async def control(address: Address) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=address.base_url, trust_env=False) as http:
        yield http


async def test_a_command_is_a_signed_form_to_the_connections_path(
    simulator: Simulator, address: Address, app: App, pod: str
) -> None:
    answer = await simulator.gestures.command("T1", "UANN1", "C1", "/ask", "grüße & more")
    assert (answer.status, answer.reason, answer.url) == (200, None, f"{pod}/slack/commands/conn_1")
    ((request, body),) = app.received
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert SignatureVerifier("secret-1").is_valid_request(body, dict(request.headers))
    assert not SignatureVerifier("secret-2").is_valid_request(body, dict(request.headers))
    assert (app.fields()["command"], app.fields()["text"]) == ("/ask", "grüße & more")
    assert app.fields()["response_url"].startswith(address.base_url)


async def test_an_app_without_connections_has_paths_without_an_id(
    simulator: Simulator, workspace: Workspace, address: Address, pod: str
) -> None:
    workspace.connection_id = None
    assert (await simulator.gestures.command("T1", "UANN1", "C1", "/ask")).url == f"{pod}/slack/commands"
    workspace.request_url = f"{pod}/slack/events/conn_1"
    shortcut = await simulator.gestures.shortcut("T1", "UANN1", "new")
    assert (shortcut.url, shortcut.status) == (f"{pod}/slack/interactive/conn_1", 200)


async def test_the_answer_to_a_command_is_shown(
    simulator: Simulator, workspace: Workspace, address: Address, app: App
) -> None:
    app.answer = PlainTextResponse("only you")
    await simulator.gestures.command("T1", "UANN1", "C1", "/ask")
    assert [each.text for each in workspace.ephemerals] == ["only you"]
    app.answer = JSONResponse({"response_type": "in_channel", "text": "all"})
    await simulator.gestures.command("T1", "UANN1", "C1", "/ask")
    app.answer = JSONResponse({})
    await simulator.gestures.command("T1", "UANN1", "C1", "/ask")
    assert [each.text for each in workspace.channels["C1"].messages.values()] == ["all"]
    assert [each.text for each in workspace.ephemerals] == ["only you"]


async def test_a_slow_or_failing_app_is_asked_once(
    simulator: Simulator, workspace: Workspace, address: Address, app: App
) -> None:
    app.answer = PlainTextResponse("broken", status_code=500)
    answer = await simulator.gestures.command("T1", "UANN1", "C1", "/ask")
    assert (answer.status, answer.reason, answer.body) == (500, "http_error", b"broken")
    app.hold = anyio.Event()
    simulator.deliverer.timeout_s = 0.05
    answer = await simulator.gestures.command("T1", "UANN1", "C1", "/ask")
    assert (answer.status, answer.reason, answer.is_acknowledged) == (None, "http_timeout", False)
    assert answer.took_s >= 0.05
    assert len(app.received) == 2
    assert workspace.ephemerals == []


async def test_a_click_opens_a_modal_whose_submission_closes_it(
    simulator: Simulator, workspace: Workspace, client: AsyncWebClient, app: App
) -> None:
    ts = (await client.chat_postMessage(channel="C1", text="Go?", blocks=[BUTTON]))["ts"]
    await simulator.gestures.click("T1", "UANN1", "C1", ts, "go")
    payload = app.payload()
    assert payload["actions"][0]["value"] == "1"
    opened = await client.views_open(trigger_id=payload["trigger_id"], view=MODAL)
    with pytest.raises(SlackApiError, match="expired_trigger_id"):
        await client.views_open(trigger_id=payload["trigger_id"], view=MODAL)
    view_id = opened["view"]["id"]
    assert workspace.views.modals[view_id].user_id == "UANN1"
    asked = await simulator.gestures.suggest("T1", view_id, "who", "an")
    assert (asked.status, app.payload()["type"]) == (200, "block_suggestion")
    await simulator.gestures.click_view("T1", view_id, "who", "ann")
    assert app.payload()["actions"][0]["selected_option"]["value"] == "ann"
    await simulator.gestures.submit("T1", view_id, {"why": "because"})
    assert app.payload()["view"]["state"]["values"]["b1"]["why"]["value"] == "because"
    assert app.payload()["user"]["id"] == "UANN1"
    assert workspace.views.modals == {}
    responder = AsyncWebhookClient(payload["response_url"])
    sent = await responder.send(text="Gone", replace_original=True)
    assert (sent.status_code, sent.body) == (200, "ok")
    assert workspace.channels["C1"].messages[ts].text == "Gone"


async def test_an_app_answers_a_submission_with_what_comes_next(
    simulator: Simulator, workspace: Workspace, address: Address, app: App
) -> None:
    view_id = workspace.views.open("UANN1", MODAL).view_id
    modals = workspace.views.modals

    async def submit(answer: Response) -> str | None:
        app.answer = answer
        return (await simulator.gestures.submit("T1", view_id, {})).reason

    errors = {"response_action": "errors", "errors": {"b1": "too short"}}
    assert await submit(JSONResponse(errors)) is None
    assert await submit(Response(status_code=500)) == "http_error"
    assert await submit(PlainTextResponse("ok")) == "invalid_response"
    assert await submit(JSONResponse({"response_action": "update", "view": {"type": "modal"}})) == "invalid_view"
    assert [each.content for each in modals.values()] == [MODAL]
    changed = MODAL | {"callback_id": "changed"}
    assert await submit(JSONResponse({"response_action": "update", "view": changed})) is None
    assert modals[view_id].content["callback_id"] == "changed"
    assert await submit(JSONResponse({"response_action": "push", "view": MODAL})) is None
    assert await submit(JSONResponse({"response_action": "push", "view": MODAL})) is None
    assert await submit(JSONResponse({"response_action": "push", "view": MODAL})) == "push_limit_reached"
    assert len(modals) == 3
    assert await submit(JSONResponse({"response_action": "clear"})) is None
    assert modals == {}
    with pytest.raises(SlackRefusalError, match="not_found"):
        await submit(Response())


async def test_a_modal_that_is_closed_is_told_only_when_it_asked_for_that(
    simulator: Simulator, workspace: Workspace, address: Address, app: App
) -> None:
    root = workspace.views.open("UANN1", MODAL)
    workspace.views.open("UANN1", MODAL, on=root)
    assert await simulator.gestures.close("T1", root.view_id, is_cleared=True) is not None
    assert (app.payload()["type"], app.payload()["is_cleared"]) == ("view_closed", True)
    quiet = workspace.views.open("UANN1", MODAL | {"notify_on_close": False})
    assert await simulator.gestures.close("T1", quiet.view_id) is None
    assert workspace.views.modals == {}
    assert len(app.received) == 1


async def test_the_stock_client_uploads_finds_downloads_and_deletes_files(
    client: AsyncWebClient, simulator: Simulator, control: httpx2.AsyncClient
) -> None:
    root = simulator.say("T1", "UANN1", "C1", "root").message
    done = await client.files_upload_v2(
        file_uploads=[
            {"filename": "a.txt", "content": "text", "title": "A"},
            {"filename": "b.bin", "file": bytes(range(256)), "alt_txt": "bytes"},
        ],
        channel="C1",
        initial_comment="two files",
        thread_ts=root.ts,
    )
    first, second = (each["id"] for each in done["files"])
    info = (await client.files_info(file=second))["file"]
    share = info["shares"]["public"]["C1"][0]
    reply = simulator.workspaces["T1"].channels["C1"].messages[share["ts"]]
    assert (share["thread_ts"], reply.text, [each["id"] for each in reply.files]) == (
        root.ts,
        "two files",
        [first, second],
    )
    got = await control.get(info["url_private_download"], headers={"Authorization": "Bearer xoxb-1"})
    assert got.content == bytes(range(256))
    assert "Sign in" in (await control.get(info["url_private_download"])).text
    assert len((await client.files_list(channel="C1", types=["all"]))["files"]) == 2
    await client.files_delete(file=first)
    with pytest.raises(SlackApiError, match="file_deleted"):
        await client.files_info(file=first)


async def test_the_stock_client_writes_canvases_and_lists(client: AsyncWebClient) -> None:
    canvas_id = (
        await client.canvases_create(title="Plan", document_content={"type": "markdown", "markdown": "# Plan\n\nbody"})
    )["canvas_id"]
    criteria = {"section_types": ["any_header"]}
    (section,) = (await client.canvases_sections_lookup(canvas_id=canvas_id, criteria=criteria))["sections"]
    change = {
        "operation": "insert_after",
        "section_id": section["id"],
        "document_content": {"type": "markdown", "markdown": "added"},
    }
    await client.canvases_edit(canvas_id=canvas_id, changes=[change])
    assert (await client.canvases_getContent(canvas_id=canvas_id))["content"] == "# Plan\n\nadded\n\nbody"
    await client.canvases_access_set(canvas_id=canvas_id, access_level="read", channel_ids=["C1"])
    made = await client.slackLists_create(name="Tasks")
    column = made["list_metadata"]["schema"][0]["id"]
    text = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]}]
    list_id = made["list_id"]
    fields = [{"column_id": column, "rich_text": text}]
    item = (await client.slackLists_items_create(list_id=list_id, initial_fields=fields))["item"]
    await client.slackLists_items_update(list_id=list_id, cells=[{"row_id": item["id"]} | fields[0]])
    assert len((await client.slackLists_items_list(list_id=list_id, limit=10))["items"]) == 1
    await client.slackLists_items_deleteMultiple(list_id=list_id, ids=[item["id"]])
    assert (await client.slackLists_items_list(list_id=list_id))["items"] == []


async def test_people_act_through_the_control_api(
    control: httpx2.AsyncClient, client: AsyncWebClient, simulator: Simulator, app: App
) -> None:
    async def act(path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = (await control.post(f"/control/{path}", json={"team_id": "T1"} | body)).json()
        return answer

    app.answer = PlainTextResponse("hello")
    answer = await act("command", user="UANN1", channel="C1", command="/ask", text="x")
    assert (answer["status"], answer["body"], answer["is_acknowledged"]) == (200, "hello", True)
    app.answer = Response()
    ts = (await client.chat_postMessage(channel="C1", text="Go?", blocks=[BUTTON]))["ts"]
    place = {"user": "UANN1", "channel": "C1", "ts": ts}
    await act("interaction", kind="message_shortcut", callback_id="save", **place)
    assert app.payload()["type"] == "message_action"
    await act("interaction", kind="click", action_id="go", value="1", **place)
    await AsyncWebhookClient(app.payload()["response_url"]).send(text="seen")
    view_id = (await client.views_open(trigger_id=app.payload()["trigger_id"], view=MODAL))["view"]["id"]
    views = (await control.get("/control/views", params={"team_id": "T1", "modals": "1"})).json()
    assert [(each["id"], each["user_id"]) for each in views["modals"]] == [(view_id, "UANN1")]
    answer = await act("interaction", kind="submit", view_id=view_id, values={"why": "x"})
    assert answer["is_sent"]
    waiting = {"team_id": "T1", "ephemerals": "2", "posts": "1"}
    responses = (await control.get("/control/responses", params=waiting)).json()
    assert [each["text"] for each in responses["ephemerals"]] == ["hello", "seen"]
    assert [each["text"] for each in responses["response_urls"][-1]["posts"]] == ["seen"]
    shared = await act("share", user="UANN1", channel="C1", name="a.txt", content="x", deliver=False)
    await act("share", user="UANN1", channel="C1", name="b.bin", content_base64="AP8=")
    deliveries = simulator.deliverer.deliveries
    await simulator.changes.wait_until(lambda: any(each.is_accepted for each in deliveries), timeout_s=5)
    (delivery,) = deliveries
    assert (delivery.envelope["event"]["subtype"], delivery.envelope["event"]["upload"]) == ("file_share", True)
    files = (await control.get("/control/files", params={"team_id": "T1"})).json()["files"]
    assert [(each["name"], each["size"]) for each in files] == [("a.txt", 1), ("b.bin", 2)]
    assert files[0]["id"] == shared["file"]["id"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("command", {"team_id": "T404"}, 404),
        ("command", {"user": "UANN1"}, 400),
        ("command", {"user": "UANN1", "channel": "C404", "command": "/x"}, 404),
        ("interaction", {"kind": "shout"}, 400),
        ("interaction", {"kind": "submit", "view_id": "V404", "values": {}}, 404),
        ("interaction", {"kind": "close", "nonsense": 1}, 400),
        ("share", {"team_id": "T404"}, 404),
        ("share", {"user": "UANN1"}, 400),
        ("share", {"user": "UANN1", "channel": "C404", "name": "a", "content": ""}, 404),
        ("share", {"user": "UANN1", "channel": "C1", "name": "a", "content_base64": "?"}, 400),
    ],
)
async def test_what_the_control_api_refuses(
    control: httpx2.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    assert (await control.post(f"/control/{path}", json={"team_id": "T1"} | body)).status_code == status


@pytest.mark.parametrize("wanted", ["views?modals=1", "responses?posts=1", "responses?ephemerals=1"])
async def test_waiting_in_vain_is_a_timeout(control: httpx2.AsyncClient, wanted: str) -> None:
    answer = await control.get(f"/control/{wanted}&team_id=T1&timeout_s=0.01")
    assert answer.status_code == 408


async def test_the_control_api_says_when_there_is_nowhere_to_send(
    control: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.deliverer.targets = []
    body = {"team_id": "T1", "kind": "shortcut", "user": "UANN1", "callback_id": "new"}
    assert (await control.post("/control/interaction", json=body)).status_code == 409
    for path in ("views", "responses", "files"):
        assert (await control.get(f"/control/{path}", params={"team_id": "T404"})).status_code == 404
