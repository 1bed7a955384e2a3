import httpx2
import pytest
from simulator_client import SimulatorClient

from slack_mcp.simulator import Simulator, Workspace
from slack_mcp.simulator.access import kind_scopes
from slack_mcp.simulator.model import SlackRefusalError

pytestmark = pytest.mark.anyio


async def test_a_users_token_says_whose_it_is_and_what_it_may(
    ann: SimulatorClient, http: httpx2.AsyncClient, simulator: Simulator, workspace: Workspace
) -> None:
    identity = await ann.call("auth.test")
    assert (identity["user_id"], identity["user"], identity["team_id"]) == ("UANN1", "ann", "T1")
    assert "bot_id" not in identity
    workspace.user_tokens["xoxp-ann"].scopes = "search:read"
    response = await http.get("/api/auth.test", headers={"Authorization": "Bearer xoxp-ann"})
    assert response.headers["X-OAuth-Scopes"] == "search:read"
    assert simulator.calls.select("auth.test")[-1].team_id == "T1"


async def test_a_users_token_can_be_revoked_alone(
    ann: SimulatorClient, bot: SimulatorClient, workspace: Workspace
) -> None:
    workspace.user_tokens["xoxp-ann"].is_revoked = True
    assert await ann.refusal("auth.test") == "token_revoked"
    await bot.call("auth.test")
    del workspace.user_tokens["xoxp-ann"]
    assert await ann.refusal("auth.test") == "invalid_auth"


@pytest.mark.parametrize(
    "method", ["search.messages", "search.files", "search.all", "users.profile.set", "reminders.add", "reminders.list"]
)
async def test_methods_for_people_take_no_bot_token(bot: SimulatorClient, method: str) -> None:
    assert await bot.refusal(method, query="x") == "not_allowed_token_type"


async def test_methods_for_bots_take_no_users_token(ann: SimulatorClient) -> None:
    assert await ann.refusal("assistant.threads.setStatus", channel_id="C1") == "not_allowed_token_type"


async def test_a_person_writes_and_changes_in_their_own_name(
    ann: SimulatorClient, bot: SimulatorClient, workspace: Workspace
) -> None:
    posted = await ann.call("chat.postMessage", channel="C1", text="mine")
    assert workspace.channels["C1"].messages[posted["ts"]].user_id == "UANN1"
    assert await bot.refusal("chat.update", channel="C1", ts=posted["ts"], text="y") == "cant_update_message"
    await ann.call("chat.update", channel="C1", ts=posted["ts"], text="still mine")
    own = await bot.call("chat.postMessage", channel="C1", text="x")
    assert await ann.refusal("chat.delete", channel="C1", ts=own["ts"]) == "cant_delete_message"


async def test_a_person_sees_what_they_are_in_and_reads_public_channels(
    ann: SimulatorClient, workspace: Workspace
) -> None:
    workspace.add_channel("G1", kind="group", members={"UBOT1"})
    workspace.add_channel("G2", kind="group", members={"UANN1"})
    workspace.add_channel("C9", "open", members={"UBOT1"})
    assert await ann.refusal("conversations.history", channel="G1") == "channel_not_found"
    assert (await ann.call("conversations.history", channel="G2"))["messages"] == []
    assert (await ann.call("conversations.history", channel="C9"))["messages"] == []
    assert await ann.refusal("chat.postMessage", channel="C9", text="x") == "not_in_channel"


async def test_a_persons_message_where_the_bot_is_not_makes_no_event(workspace: Workspace) -> None:
    ann = workspace.add_user_token("UANN1", "xoxp-ann")
    channel = workspace.add_channel("C9", members={"UANN1"})
    with workspace.acting_as(ann):
        posted = workspace.post(channel, "x")
        assert posted.envelopes == []
        assert workspace.update(posted.message, "y", blocks=None, metadata=None).envelopes == []
        assert workspace.delete(posted.message).envelopes == []
    assert workspace.actor.is_bot


@pytest.mark.parametrize(
    ("channel", "needed"),
    [("C1", "channels:history"), ("G1", "groups:history"), ("DANN1", "im:history"), ("CM1", "mpim:history")],
)
async def test_reading_needs_the_scope_of_the_channels_kind(
    bot: SimulatorClient, workspace: Workspace, channel: str, needed: str
) -> None:
    workspace.add_channel("G1", kind="group")
    workspace.add_channel("CM1", kind="mpim")
    workspace.open_im("UANN1")
    workspace.scopes = ",".join(
        scope for scope in ("channels:history", "groups:history", "im:history", "mpim:history") if scope != needed
    )
    answer = await bot.answer("conversations.history", channel=channel)
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", needed, workspace.scopes)
    workspace.scopes = needed
    await bot.call("conversations.history", channel=channel)


async def test_an_unknown_channel_is_not_found_with_any_kinds_scope(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.scopes = "im:history"
    assert await bot.refusal("conversations.history", channel="C404") == "channel_not_found"
    workspace.scopes = "chat:write"
    assert await bot.refusal("conversations.history", channel="C404") == "missing_scope"


def test_bots_manage_public_channels_with_a_scope_of_its_own_name() -> None:
    assert kind_scopes("channel", "write", is_bot=True) == ("channels:manage",)
    assert kind_scopes("channel", "write", is_bot=False) == ("channels:write",)
    assert kind_scopes("group", "write.topic", is_bot=True) == ("groups:write", "groups:write.topic")


async def test_writing_in_public_channels_without_joining_has_its_scope(
    bot: SimulatorClient, workspace: Workspace
) -> None:
    workspace.add_channel("C9", members={"UANN1"})
    workspace.scopes += ",chat:write.public"
    await bot.call("chat.postMessage", channel="C9", text="x")
    assert len(workspace.channels["C9"].top) == 1


def test_a_token_is_somebodys(workspace: Workspace) -> None:
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        workspace.add_user_token("U404", "xoxp-404")
