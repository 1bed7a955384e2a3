from typing import Any

import httpx2
import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Simulator, Workspace
from slack_mcp.simulator.interactivity import click_form, message_shortcut_form
from slack_mcp.simulator.model import SlackRefusalError
from slack_mcp.simulator.surfaces import look_at, open_assistant, open_home, stop_work

pytestmark = pytest.mark.anyio
RECIPIENT = {"recipient_user_id": "UANN1", "recipient_team_id": "T1"}
RATE: dict[str, Any] = {
    "type": "context_actions",
    "block_id": "rating",
    "elements": [
        {
            "type": "feedback_buttons",
            "action_id": "rate",
            "positive_button": {"text": {"type": "plain_text", "text": "Good"}, "value": "up"},
            "negative_button": {"text": {"type": "plain_text", "text": "Bad"}, "value": "down"},
        },
        {
            "type": "icon_button",
            "action_id": "remove",
            "icon": "trash",
            "text": {"type": "plain_text", "text": "Delete"},
            "value": "it",
        },
    ],
}
HOME = {"type": "home", "blocks": []}
CHANNEL_IN_SIGHT = {"entities": [{"type": "slack#/types/channel_id", "value": "C1", "team_id": "T1"}]}


def test_home_is_opened_with_the_view_that_was_published(workspace: Workspace) -> None:
    (envelope,) = open_home(workspace, "UANN1")
    event = envelope["event"]
    assert (event["type"], event["user"], event["tab"]) == ("app_home_opened", "UANN1", "home")
    assert event["channel"] == workspace.open_im("UANN1").channel_id
    assert not {"view", "context"} & set(event)
    view = workspace.views.publish("UANN1", HOME)
    assert open_home(workspace, "UANN1")[0]["event"]["view"]["id"] == view.view_id
    messages = open_home(workspace, "UANN1", "messages")[0]["event"]
    assert (messages["tab"], "view" in messages) == ("messages", False)
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        open_home(workspace, "U404")


async def test_the_assistants_pane_opens_a_thread_and_says_what_is_beside_it(
    bot: SimulatorClient, workspace: Workspace
) -> None:
    opened = open_assistant(workspace, "UANN1", "C1")
    (envelope,) = opened.envelopes
    assert envelope["event"]["type"] == "assistant_thread_started"
    assert envelope["event"]["assistant_thread"] == {
        "user_id": "UANN1",
        "context": {"channel_id": "C1", "team_id": "T1", "enterprise_id": None},
        "channel_id": opened.channel_id,
        "thread_ts": opened.thread_ts,
    }
    await bot.call("chat.postMessage", channel=opened.channel_id, thread_ts=opened.thread_ts, text="Hello!")
    (asked,) = workspace.say("UANN1", opened.channel_id, "hello", opened.thread_ts).envelopes
    assert (asked["event"]["channel_type"], asked["event"]["thread_ts"]) == ("im", opened.thread_ts)
    assert "app_context" not in asked["event"]
    workspace.add_channel("C2")
    (moved,) = look_at(workspace, "UANN1", "C2")
    assert moved["event"]["type"] == "assistant_thread_context_changed"
    assert moved["event"]["assistant_thread"]["context"]["channel_id"] == "C2"
    assert moved["event"]["assistant_thread"]["thread_ts"] == opened.thread_ts


def test_a_pane_beside_nothing_has_an_empty_context(workspace: Workspace) -> None:
    assert look_at(workspace, "UANN1", "C1") == []
    workspace.viewing.clear()
    (envelope,) = open_assistant(workspace, "UANN1").envelopes
    assert envelope["event"]["assistant_thread"]["context"] == {}
    workspace.scopes = "chat:write"
    assert open_assistant(workspace, "UANN1").envelopes == []
    for user, channel, error in (("U404", "C1", "user_not_found"), ("UANN1", "C404", "channel_not_found")):
        with pytest.raises(SlackRefusalError, match=error):
            look_at(workspace, user, channel)


def test_an_agent_has_no_pane_and_is_told_what_people_look_at(workspace: Workspace) -> None:
    workspace.has_agent_view = True
    with pytest.raises(SlackRefusalError, match="not_allowed"):
        open_assistant(workspace, "UANN1")
    direct = workspace.open_im("UANN1").channel_id
    (early,) = workspace.say("UANN1", direct, "hello").envelopes
    assert early["event"]["app_context"] == {}
    (envelope,) = look_at(workspace, "UANN1", "C1")
    event = envelope["event"]
    assert (event["type"], event["user"], event["channel"]) == ("app_context_changed", "UANN1", direct)
    assert event["context"] == CHANNEL_IN_SIGHT
    assert open_home(workspace, "UANN1", "messages")[0]["event"]["context"] == CHANNEL_IN_SIGHT
    (asked,) = workspace.say("UANN1", direct, "hello").envelopes
    assert asked["event"]["app_context"] == CHANNEL_IN_SIGHT
    (elsewhere,) = workspace.say("UANN1", "C1", "hello").envelopes
    assert "app_context" not in elsewhere["event"]


async def test_the_stop_button_ends_the_streams_of_a_thread(bot: SimulatorClient, workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "hello").message.ts
    with pytest.raises(SlackRefusalError, match="not_found"):
        stop_work(workspace, "UANN1", "C1", root)
    ts = (await bot.call("chat.startStream", channel="C1", thread_ts=root, markdown_text="so far", **RECIPIENT))["ts"]
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        stop_work(workspace, "U404", "C1", root)
    new, old = stop_work(workspace, "UANN1", "C1", root)
    event = new["event"]
    assert event == {
        "type": "agent_session_stopped",
        "channel": "C1",
        "user": "UANN1",
        "thread_ts": root,
        "streaming_message_ts": [ts],
        "event_ts": event["event_ts"],
    }
    assert old["event"] == event | {"type": "message_stream_stopped"}
    assert new["event_id"] != old["event_id"]
    assert workspace.find_message("C1", ts).text == "so far"
    for method in ("chat.appendStream", "chat.stopStream"):
        assert await bot.refusal(method, channel="C1", ts=ts, markdown_text="more") == "stopped_by_user"
    await bot.call("chat.update", channel="C1", ts=ts, text="Stopped.")
    assert workspace.sessions["C1", root].status == "processing"
    assert stop_work(workspace, "UANN1", "C1", root)[0]["event"]["streaming_message_ts"] == []
    await bot.call("agents.sessions.setStatus", channel_id="C1", thread_ts=root, status="active")
    with pytest.raises(SlackRefusalError, match="not_found"):
        stop_work(workspace, "UANN1", "C1", root)


async def test_a_stream_that_died_is_not_stopped(
    bot: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    root = workspace.say("UANN1", "C1", "hello").message.ts
    await bot.call("chat.startStream", channel="C1", thread_ts=root, **RECIPIENT)
    clock.time_s += 300
    assert stop_work(workspace, "UANN1", "C1", root)[0]["event"]["streaming_message_ts"] == []


async def test_an_answer_is_rated_with_the_buttons_below_it(bot: SimulatorClient, workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "hello").message.ts
    ts = (await bot.call("chat.startStream", channel="C1", thread_ts=root, markdown_text="x", **RECIPIENT))["ts"]
    await bot.call("chat.stopStream", channel="C1", ts=ts, blocks=[RATE])
    form = click_form(workspace, "UANN1", "C1", ts, "rate", value="down")
    (action,) = form.payload["actions"]
    assert action == {
        "type": "feedback_buttons",
        "action_id": "rate",
        "block_id": "rating",
        "text": {"type": "plain_text", "text": "Bad"},
        "value": "down",
        "action_ts": action["action_ts"],
    }
    assert form.payload["container"]["thread_ts"] == root
    assert form.payload["message"]["blocks"] == [RATE]
    assert form.payload["response_url"]
    with pytest.raises(SlackRefusalError, match="option_not_found"):
        click_form(workspace, "UANN1", "C1", ts, "rate", value="sideways")
    (removal,) = click_form(workspace, "UANN1", "C1", ts, "remove").payload["actions"]
    assert (removal["type"], removal["value"], removal["text"]["text"]) == ("icon_button", "it", "Delete")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"positive_button": None}, "/positive_button"),
        ({"negative_button": {"value": "down"}}, "/negative_button/text"),
        ({"positive_button": {"text": {"type": "plain_text", "text": "x" * 76}, "value": "up"}}, "/text/text"),
        ({"positive_button": {"text": {"type": "plain_text", "text": "x"}, "value": "x" * 2_001}}, "/value"),
        ({"action_id": "x" * 256}, "/action_id"),
    ],
)
async def test_feedback_buttons_that_slack_does_not_take_are_refused(
    bot: SimulatorClient, changes: dict[str, Any], pointer: str
) -> None:
    block = RATE | {"elements": [RATE["elements"][0] | changes]}
    answer = await bot.answer("chat.postMessage", channel="C1", blocks=[block])
    assert answer["error"] == "invalid_blocks"
    assert pointer in answer["response_metadata"]["messages"][0]


def test_a_message_shortcut_says_which_message_and_where_to_answer(workspace: Workspace) -> None:
    message = workspace.say("UANN1", "C1", "hello").message
    payload = message_shortcut_form(workspace, "UANN1", "C1", message.ts, "summarise").payload
    assert (payload["type"], payload["callback_id"]) == ("message_action", "summarise")
    assert (payload["message"]["text"], payload["message_ts"]) == ("hello", message.ts)
    assert payload["channel"] == {"id": "C1", "name": "general"}
    assert workspace.take_trigger_id(payload["trigger_id"])
    assert "/actions/T1/" in payload["response_url"]


async def test_gestures_can_be_made_through_the_control_api(
    bot: SimulatorClient, simulator: Simulator, workspace: Workspace
) -> None:
    where = {"team_id": "T1", "user": "UANN1"}
    app = workspace.add_app("AOTHER", "BOTHER", "UOTHER", "builds")
    opened = await bot.control("gesture", kind="open_assistant", viewing="C1", **where)
    assert opened["envelopes"][0]["event"]["assistant_thread"]["thread_ts"] == opened["thread_ts"]
    home = await bot.control("gesture", kind="open_home", tab="messages", **where)
    assert home["envelopes"][0]["event"]["tab"] == "messages"
    moved = await bot.control("gesture", kind="look_at", channel="C1", **where)
    assert moved["envelopes"][0]["event"]["assistant_thread"]["channel_id"] == opened["channel"]
    spoken = await bot.control("gesture", kind="speak", team_id="T1", bot_id=app.bot_id, channel="C1", text="done")
    assert workspace.find_message("C1", spoken["ts"]).bot_id == "BOTHER"
    ts = workspace.say("UANN1", "C1", "helo").message.ts
    await bot.control("gesture", kind="edit", channel="C1", ts=ts, text="hello", **where)
    assert workspace.find_message("C1", ts).text == "hello"
    await bot.call("chat.startStream", channel="C1", thread_ts=ts, **RECIPIENT)
    stopped = await bot.control("gesture", kind="stop", channel="C1", thread_ts=ts, **where)
    assert len(stopped["envelopes"]) == 2
    await bot.control("gesture", kind="unsay", channel="C1", ts=ts, **where)
    assert ts not in workspace.channels["C1"].messages
    shared = await bot.control("share", channel="C1", name="a.txt", content="x", declared_bytes=5, **where)
    assert shared["file"]["size"] == 5
    assert simulator.deliverer.pending == 0
    await bot.control("workspace", team_id="T1", has_agent_view=True)
    assert workspace.has_agent_view


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"team_id": "T1", "kind": "fly"}, 400),
        ({"team_id": "T404", "kind": "open_home", "user": "UANN1"}, 404),
        ({"team_id": "T1", "kind": "open_home"}, 400),
        ({"team_id": "T1", "kind": "open_home", "user": "U404"}, 404),
    ],
)
async def test_malformed_gestures_are_refused(http: httpx2.AsyncClient, body: dict[str, str], status: int) -> None:
    assert (await http.post("/control/gesture", json=body)).status_code == status
