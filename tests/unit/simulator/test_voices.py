import pytest
from simulator_client import SimulatorClient

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.model import SlackRefusalError
from slack_mcp.simulator.voices import edit, speak, unsay

pytestmark = pytest.mark.anyio


@pytest.fixture
def bot_id(workspace: Workspace) -> str:
    app = workspace.add_app("AOTHER", "BOTHER", "UOTHER", "builds")
    workspace.channels["C1"].members.add(app.bot_user_id)
    return app.bot_id


async def test_another_app_speaks_with_its_own_ids(bot: SimulatorClient, workspace: Workspace, bot_id: str) -> None:
    mention, message = speak(workspace, bot_id, "C1", "<@UBOT1> build 7 failed").envelopes
    assert mention["event"]["type"] == "app_mention"
    event = message["event"]
    assert (event["type"], event["user"], event["bot_id"], event["app_id"]) == ("message", "UOTHER", "BOTHER", "AOTHER")
    assert "subtype" not in event
    assert (event["bot_profile"]["name"], event["bot_profile"]["app_id"]) == ("builds", "AOTHER")
    info = await bot.call("bots.info", bot=bot_id)
    assert (info["bot"]["app_id"], info["bot"]["user_id"]) == ("AOTHER", "UOTHER")
    assert (await bot.call("bots.info"))["bot"]["app_id"] == "A1"
    assert await bot.refusal("bots.info", bot="B404") == "bot_not_found"
    assert await bot.refusal("chat.update", channel="C1", ts=event["ts"], text="x") == "cant_update_message"


async def test_an_app_of_the_old_kind_has_a_name_and_no_user(
    bot: SimulatorClient, workspace: Workspace, bot_id: str
) -> None:
    root = workspace.say("UANN1", "C1", "hello").message.ts
    (envelope,) = speak(workspace, bot_id, "C1", "done", root, is_classic=True).envelopes
    event = envelope["event"]
    assert (event["subtype"], event["username"], event["bot_id"]) == ("bot_message", "builds", "BOTHER")
    assert "user" not in event
    thread = (await bot.call("conversations.replies", channel="C1", ts=root))["messages"]
    assert thread[0]["reply_users"] == ["BOTHER"]


def test_only_apps_that_are_there_speak_and_only_in_channels_that_are_there(workspace: Workspace, bot_id: str) -> None:
    with pytest.raises(SlackRefusalError, match="bot_not_found"):
        speak(workspace, "B404", "C1", "x")
    with pytest.raises(SlackRefusalError, match="channel_not_found"):
        speak(workspace, bot_id, "C404", "x")


def test_people_edit_and_delete_what_they_said_and_nothing_else(workspace: Workspace) -> None:
    message = workspace.say("UANN1", "C1", "helo").message
    (envelope,) = edit(workspace, "UANN1", "C1", message.ts, "hello")
    event = envelope["event"]
    assert (event["subtype"], event["message"]["text"]) == ("message_changed", "hello")
    assert event["previous_message"]["text"] == "helo"
    assert event["message"]["edited"]["user"] == "UANN1"
    (envelope,) = unsay(workspace, "UANN1", "C1", message.ts)
    assert (envelope["event"]["subtype"], envelope["event"]["deleted_ts"]) == ("message_deleted", message.ts)
    answer = workspace.post(workspace.channels["C1"], "hello yourself").message
    with pytest.raises(SlackRefusalError, match="cant_update_message"):
        edit(workspace, "UANN1", "C1", answer.ts, "x")
    with pytest.raises(SlackRefusalError, match="cant_delete_message"):
        unsay(workspace, "UANN1", "C1", answer.ts)


async def test_a_shared_channel_brings_in_people_of_another_workspace(
    bot: SimulatorClient, workspace: Workspace
) -> None:
    workspace.add_user("UEVE", "eve", team_id="TOTHER")
    workspace.add_channel("CSHARED", is_ext_shared=True)
    for envelope in workspace.say("UEVE", "CSHARED", "<@UBOT1> hello").envelopes:
        assert envelope["is_ext_shared_channel"] is True
        event = envelope["event"]
        assert (event["team"], event["user_team"], event["source_team"]) == ("TOTHER", "TOTHER", "TOTHER")
    shown = (await bot.call("users.info", user="UEVE"))["user"]
    assert (shown["team_id"], shown["is_stranger"]) == ("TOTHER", True)
    assert (await bot.call("conversations.info", channel="CSHARED"))["channel"]["is_ext_shared"] is True
    (own,) = workspace.say("UANN1", "C1", "hello").envelopes
    assert own["is_ext_shared_channel"] is False
    assert "user_team" not in own["event"]
