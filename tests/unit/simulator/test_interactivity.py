import json
from typing import Any

import httpx2
import pytest
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.interactivity import (
    Form,
    click_form,
    closing_form,
    command_form,
    message_shortcut_form,
    shortcut_form,
    submission_form,
    suggestion_form,
    view_click_form,
)
from slack_mcp.simulator.keeping import View
from slack_mcp.simulator.model import Message, SlackRefusalError

pytestmark = pytest.mark.anyio
OPTIONS = [{"text": {"type": "plain_text", "text": name}, "value": name} for name in ("red", "blue")]
BLOCKS: list[dict[str, Any]] = [
    {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "Pick"},
        "accessory": {"type": "overflow", "action_id": "more", "options": OPTIONS},
    },
    {
        "type": "actions",
        "block_id": "answers",
        "elements": [
            {"type": "button", "action_id": "answer", "value": "yes", "text": {"type": "plain_text", "text": "Yes"}},
            {"type": "button", "action_id": "answer", "value": "no", "text": {"type": "plain_text", "text": "No"}},
            {"type": "button", "action_id": "bare", "text": {"type": "plain_text", "text": "Bare"}},
            {"type": "multi_static_select", "action_id": "colours", "option_groups": [{"options": OPTIONS}]},
            {"type": "datepicker", "action_id": "day"},
            {"type": "users_select", "action_id": "who"},
        ],
    },
]
MODAL: dict[str, Any] = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Ask"},
    "submit": {"type": "plain_text", "text": "Send"},
    "callback_id": "ask",
    "private_metadata": "m1",
    "blocks": [
        {
            "type": "input",
            "block_id": "b1",
            "label": {"type": "plain_text", "text": "Why"},
            "element": {"type": "plain_text_input", "action_id": "why"},
        },
        {
            "type": "input",
            "label": {"type": "plain_text", "text": "Hue"},
            "element": {"type": "static_select", "action_id": "hue", "options": OPTIONS},
        },
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "?"},
            "accessory": {"type": "external_select", "action_id": "pick"},
        },
        {
            "type": "actions",
            "elements": [{"type": "button", "action_id": "help", "text": {"type": "plain_text", "text": "Help"}}],
        },
    ],
}


@pytest.fixture
def message(workspace: Workspace) -> Message:
    return workspace.post(workspace.channels["C1"], "Pick", blocks=BLOCKS).message


@pytest.fixture
def modal(workspace: Workspace) -> View:
    return workspace.views.open("UANN1", MODAL)


def click(workspace: Workspace, message: Message, action_id: str, value: Any = None, **more: Any) -> Form:
    return click_form(workspace, "UANN1", message.channel_id, message.ts, action_id, value=value, **more)


def path_of(form: Form) -> str:
    """Return where the form's response URL points, below the simulator's address."""
    return str(form.payload["response_url"]).removeprefix("http://127.0.0.1:1")


def test_a_commands_form_has_slacks_fields(workspace: Workspace) -> None:
    form = command_form(workspace, "UANN1", "C1", "/ask", "what now")
    assert form.door == "commands"
    assert {key: form.fields[key] for key in ("command", "text", "user_name", "channel_name", "team_domain")} == {
        "command": "/ask",
        "text": "what now",
        "user_name": "ann",
        "channel_name": "general",
        "team_domain": "simulated",
    }
    assert form.fields["is_enterprise_install"] == "false"
    assert workspace.take_trigger_id(form.fields["trigger_id"])
    im = workspace.open_im("UANN1").channel_id
    assert command_form(workspace, "UANN1", im, "/ask").fields["channel_name"] == "directmessage"
    for args in (("U404", "C1"), ("UANN1", "C404")):
        with pytest.raises(SlackRefusalError, match="not_found"):
            command_form(workspace, *args, "/ask")


def test_a_click_says_which_button_of_which_message(workspace: Workspace, message: Message) -> None:
    payload = json.loads(click(workspace, message, "answer", "no").fields["payload"])
    (action,) = payload["actions"]
    assert (action["type"], action["value"], action["block_id"]) == ("button", "no", "answers")
    assert payload["type"] == "block_actions"
    assert payload["container"] == {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": "C1",
        "is_ephemeral": False,
    }
    assert payload["message"]["blocks"][0]["block_id"] == "block0"
    assert payload["user"] == {"id": "UANN1", "username": "ann", "name": "ann", "team_id": "T1"}


def test_a_click_in_a_thread_says_which(workspace: Workspace, message: Message) -> None:
    reply = workspace.post(workspace.channels["C1"], "Pick", blocks=BLOCKS, thread_ts=message.ts).message
    form = click(workspace, reply, "answer", "yes")
    assert form.payload["container"]["thread_ts"] == message.ts
    assert form.response_url is not None
    assert form.response_url.thread_ts == message.ts


@pytest.mark.parametrize(
    ("action_id", "value", "chosen"),
    [
        ("more", "blue", {"selected_option": OPTIONS[1]}),
        ("colours", ["red", "blue"], {"selected_options": OPTIONS}),
        ("colours", None, {"selected_options": []}),
        ("day", "2026-01-31", {"selected_date": "2026-01-31"}),
        ("who", "UBOT1", {"selected_user": "UBOT1"}),
        ("bare", None, {}),
    ],
)
def test_each_element_says_what_was_chosen(
    workspace: Workspace, message: Message, action_id: str, value: Any, chosen: dict[str, Any]
) -> None:
    (action,) = click(workspace, message, action_id, value).payload["actions"]
    assert {key: action[key] for key in chosen} == chosen
    assert "value" not in action


@pytest.mark.parametrize(
    ("action_id", "more", "error"),
    [
        ("gone", {}, "action_not_found"),
        ("answer", {"value": "maybe"}, "action_not_found"),
        ("answer", {"value": "yes", "block_id": "other"}, "action_not_found"),
        ("more", {"value": "green"}, "option_not_found"),
    ],
)
def test_what_is_not_there_cannot_be_clicked(
    workspace: Workspace, message: Message, action_id: str, more: dict[str, str], error: str
) -> None:
    with pytest.raises(SlackRefusalError, match=error):
        click(workspace, message, action_id, **more)


def test_a_message_that_is_gone_cannot_be_clicked(workspace: Workspace, message: Message) -> None:
    workspace.delete(message)
    with pytest.raises(SlackRefusalError, match="message_not_found"):
        click(workspace, message, "answer")
    with pytest.raises(SlackRefusalError, match="message_not_found"):
        message_shortcut_form(workspace, "UANN1", "C1", message.ts, "save")


def test_a_submission_has_a_value_for_every_input(workspace: Workspace, modal: View) -> None:
    form = submission_form(workspace, "UANN1", modal, {"why": "because"})
    view = form.payload["view"]
    assert view["state"]["values"] == {
        "b1": {"why": {"type": "plain_text_input", "value": "because"}},
        "block1": {"hue": {"type": "static_select", "selected_option": None}},
        "block2": {"pick": {"type": "external_select", "selected_option": None}},
    }
    assert (view["id"], view["callback_id"], view["private_metadata"]) == (modal.view_id, "ask", "m1")
    with pytest.raises(SlackRefusalError, match="action_not_found"):
        submission_form(workspace, "UANN1", modal, {"nobody": "x"})


def test_the_other_forms_of_a_modal(workspace: Workspace, modal: View) -> None:
    clicked = view_click_form(workspace, "UANN1", modal, "pick", "anything").payload
    assert clicked["container"] == {"type": "view", "view_id": modal.view_id}
    assert clicked["actions"][0]["selected_option"]["value"] == "anything"
    assert "response_url" not in clicked
    closed = closing_form(workspace, "UANN1", modal, is_cleared=True).payload
    assert (closed["type"], closed["is_cleared"], closed["view"]["id"]) == ("view_closed", True, modal.view_id)
    asked = suggestion_form(workspace, "UANN1", modal, "pick", "an").payload
    assert (asked["type"], asked["value"], asked["block_id"]) == ("block_suggestion", "an", "block2")


def test_shortcuts(workspace: Workspace, message: Message) -> None:
    assert shortcut_form(workspace, "UANN1", "new").payload["callback_id"] == "new"
    payload = message_shortcut_form(workspace, "UANN1", "C1", message.ts, "save").payload
    assert (payload["type"], payload["message_ts"], payload["message"]["text"]) == (
        "message_action",
        message.ts,
        "Pick",
    )


async def test_a_response_url_never_replaces_what_a_person_wrote(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    said = workspace.say("UANN1", "C1", "mine").message
    path = path_of(message_shortcut_form(workspace, "UANN1", "C1", said.ts, "save"))
    await http.post(path, json={"text": "saved", "replace_original": True})
    assert (said.text, [each.text for each in workspace.ephemerals]) == ("mine", ["saved"])


def test_a_trigger_id_is_good_once_for_three_seconds(workspace: Workspace, clock: SteppingClock) -> None:
    first, second = workspace.make_trigger_id(), workspace.make_trigger_id()
    assert workspace.take_trigger_id(first)
    assert not workspace.take_trigger_id(first)
    clock.time_s += 3.1
    assert not workspace.take_trigger_id(second)
    assert not workspace.take_trigger_id("made up")


async def test_a_response_url_posts_for_one_or_for_all(http: httpx2.AsyncClient, workspace: Workspace) -> None:
    workspace.channels["C1"].members.discard("UBOT1")
    path = path_of(command_form(workspace, "UANN1", "C1", "/ask"))
    answer = await http.post(path, json={"text": "only you"})
    assert (answer.status_code, answer.text) == (200, "ok")
    assert [(each.user_id, each.text) for each in workspace.ephemerals] == [("UANN1", "only you")]
    root = workspace.say("UANN1", "C1", "root").message
    await http.post(path, json={"text": "all", "response_type": "in_channel", "thread_ts": root.ts})
    assert [each.text for each in workspace.thread("C1", root.ts)] == ["root", "all"]


async def test_a_response_url_replaces_and_deletes_the_message_it_came_from(
    http: httpx2.AsyncClient, workspace: Workspace, message: Message
) -> None:
    path = path_of(click(workspace, message, "answer"))
    await http.post(path, json={"text": "Thanks", "replace_original": True})
    assert (message.text, message.blocks) == ("Thanks", None)
    assert (await http.post(path, json={"delete_original": True})).status_code == 200
    assert workspace.channels["C1"].messages == {}
    for body in ({"delete_original": True}, {"text": "x", "replace_original": True}):
        assert (await http.post(path, json=body)).text == "message_not_found"


async def test_a_response_url_is_the_way_to_change_an_ephemeral_message(
    http: httpx2.AsyncClient, workspace: Workspace
) -> None:
    path = path_of(command_form(workspace, "UANN1", "C1", "/ask"))
    await http.post(path, json={"text": "Before"})
    await http.post(path, json={"text": "Pick", "blocks": BLOCKS})
    note = workspace.ephemerals[1]
    form = click_form(workspace, "UANN1", "C1", note.ts, "answer", value="yes")
    assert form.payload["container"]["is_ephemeral"] is True
    assert "message" not in form.payload
    await http.post(path_of(form), json={"text": "Thanks", "replace_original": True})
    assert [(each.text, each.blocks) for each in workspace.ephemerals] == [("Before", None), ("Thanks", None)]
    assert workspace.ephemerals[1].ts == note.ts
    await http.post(path_of(form), json={"delete_original": True})
    assert [each.text for each in workspace.ephemerals] == ["Before"]
    assert (await http.post(path_of(form), json={"delete_original": True})).status_code == 400


async def test_a_response_url_is_good_five_times_for_half_an_hour(
    http: httpx2.AsyncClient, workspace: Workspace, clock: SteppingClock
) -> None:
    form = command_form(workspace, "UANN1", "C1", "/ask")
    path = path_of(form)
    assert form.response_url is not None
    statuses = [(await http.post(path, json={"text": str(number)})).status_code for number in range(6)]
    assert statuses == [200] * 5 + [404]
    assert [each["text"] for each in form.response_url.posts] == ["0", "1", "2", "3", "4"]
    later = path_of(command_form(workspace, "UANN1", "C1", "/ask"))
    clock.time_s += 1801
    assert (await http.post(later, json={"text": "late"})).text == "expired_url"
    assert (await http.post(path, json={"text": "x"})).status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [(b"text", 400, "invalid_payload"), (b"[]", 400, "invalid_payload"), (b"{}", 400, "no_text")],
)
async def test_what_an_answer_must_not_be(
    http: httpx2.AsyncClient, workspace: Workspace, content: bytes, status: int, text: str
) -> None:
    answer = await http.post(path_of(command_form(workspace, "UANN1", "C1", "/ask")), content=content)
    assert (answer.status_code, answer.text) == (status, text)


async def test_a_made_up_response_url_is_refused(http: httpx2.AsyncClient) -> None:
    for path in ("/actions/T1/made-up", "/commands/T404/made-up"):
        answer = await http.post(path, json={"text": "x"})
        assert (answer.status_code, answer.text) == (404, "invalid_url")
