import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.model import SlackRefusalError

pytestmark = pytest.mark.anyio


async def test_a_channel_is_created_with_its_creator_alone(bot: SimulatorClient, workspace: Workspace) -> None:
    made = (await bot.call("conversations.create", name="plans-2027"))["channel"]
    assert (made["name"], made["creator"], made["is_private"], made["is_member"]) == (
        "plans-2027",
        "UBOT1",
        False,
        True,
    )
    assert made["created"] == 1_800_000_000
    assert workspace.channels[made["id"]].members == {"UBOT1"}
    private = (await bot.call("conversations.create", name="secret", is_private=True))["channel"]
    assert (private["is_private"], private["is_group"]) == (True, True)
    workspace.scopes = "channels:manage"
    answer = await bot.answer("conversations.create", name="secret-2", is_private=True)
    assert answer["needed"] == "groups:write"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("general", "name_taken"),
        ("", "invalid_name_required"),
        ("x" * 81, "invalid_name_maxlength"),
        ("Upper", "invalid_name_specials"),
        ("a b", "invalid_name_specials"),
        ("--_", "invalid_name_punctuation"),
    ],
)
@pytest.mark.parametrize("method", ["conversations.create", "conversations.rename"])
async def test_names_are_checked(
    bot: SimulatorClient, workspace: Workspace, method: str, name: str, error: str
) -> None:
    workspace.add_channel("C8", "other")
    assert await bot.refusal(method, channel="C8", name=name) == error


async def test_a_channel_is_renamed_by_its_creator(bot: SimulatorClient, workspace: Workspace) -> None:
    renamed = (await bot.call("conversations.rename", channel="C1", name="all"))["channel"]
    assert (renamed["name"], renamed["previous_names"]) == ("all", ["general"])
    workspace.channels["C1"].creator = "UANN1"
    assert await bot.refusal("conversations.rename", channel="C1", name="none") == "not_authorized"


async def test_topic_and_purpose_say_who_set_them_when(bot: SimulatorClient) -> None:
    await bot.call("conversations.setTopic", channel="C1", topic="news")
    await bot.call("conversations.setPurpose", channel="C1", purpose="to talk")
    channel = (await bot.call("conversations.info", channel="C1"))["channel"]
    assert channel["topic"] == {"value": "news", "creator": "UBOT1", "last_set": 1_800_000_000}
    assert channel["purpose"]["value"] == "to talk"
    assert await bot.refusal("conversations.setTopic", channel="C1", topic="x" * 251) == "too_long"


async def test_direct_messages_have_no_topic_and_are_not_left(bot: SimulatorClient, workspace: Workspace) -> None:
    im = workspace.open_im("UANN1").channel_id
    error = "method_not_supported_for_channel_type"
    assert await bot.refusal("conversations.setTopic", channel=im, topic="x") == error
    assert await bot.refusal("conversations.leave", channel=im) == error
    assert await bot.refusal("conversations.join", channel=im) == error


async def test_archiving_and_back(bot: SimulatorClient, workspace: Workspace) -> None:
    assert await bot.refusal("conversations.unarchive", channel="C1") == "not_archived"
    await bot.call("conversations.archive", channel="C1")
    assert await bot.refusal("conversations.archive", channel="C1") == "already_archived"
    assert await bot.refusal("chat.postMessage", channel="C1", text="x") == "is_archived"
    assert await bot.refusal("conversations.setTopic", channel="C1", topic="x") == "is_archived"
    assert await bot.refusal("conversations.join", channel="C1") == "is_archived"
    listed = await bot.call("conversations.list", exclude_archived=True)
    assert listed["channels"] == []
    assert (await bot.call("conversations.list"))["channels"][0]["is_archived"]
    await bot.call("conversations.unarchive", channel="C1")
    workspace.channels["C1"].is_general = True
    assert await bot.refusal("conversations.archive", channel="C1") == "cant_archive_general"
    assert await bot.refusal("conversations.leave", channel="C1") == "cant_leave_general"


async def test_joining_and_leaving(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.add_channel("C9", members={"UANN1"})
    assert "last_read" not in (await bot.call("conversations.info", channel="C9"))["channel"]
    joined = await bot.call("conversations.join", channel="C9")
    assert (joined["channel"]["is_member"], "warning" in joined) == (True, False)
    assert (await bot.call("conversations.join", channel="C9"))["warning"] == "already_in_channel"
    assert "not_in_channel" not in await bot.call("conversations.leave", channel="C9")
    assert (await bot.call("conversations.leave", channel="C9"))["not_in_channel"] is True
    workspace.scopes = workspace.scopes.replace("channels:join,", "")
    assert (await bot.answer("conversations.join", channel="C9"))["needed"] == "channels:join"


async def test_inviting_several_is_all_or_none_unless_forced(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.add_channel("C9", members={"UBOT1"})
    workspace.add_user("UEVE", "eve")
    workspace.add_user("UGONE", "gone", is_deleted=True)
    users = "UANN1,U404,UEVE"
    answer = await bot.answer("conversations.invite", channel="C9", users=users)
    assert answer["error"] == "user_not_found"
    assert answer["errors"] == [{"user": "U404", "ok": False, "error": "user_not_found"}]
    assert workspace.channels["C9"].members == {"UBOT1"}
    forced = await bot.call("conversations.invite", channel="C9", users=users, force=True)
    assert [each["user"] for each in forced["errors"]] == ["U404"]
    assert workspace.channels["C9"].members == {"UBOT1", "UANN1", "UEVE"}
    for users, error in (
        ("UANN1", "already_in_channel"),
        ("UBOT1", "cant_invite_self"),
        ("UGONE", "cant_invite"),
        ("", "no_user"),
        (",".join(["UANN1"] * 1001), "too_many_users"),
    ):
        assert await bot.refusal("conversations.invite", channel="C9", users=users) == error


async def test_kicking(bot: SimulatorClient, workspace: Workspace) -> None:
    await bot.call("conversations.kick", channel="C1", user="UANN1")
    assert workspace.channels["C1"].members == {"UBOT1"}
    assert await bot.refusal("conversations.kick", channel="C1", user="UANN1") == "not_in_channel"
    assert await bot.refusal("conversations.kick", channel="C1", user="U404") == "user_not_found"
    assert await bot.refusal("conversations.kick", channel="C1", user="UBOT1") == "cant_kick_self"
    workspace.channels["C1"].is_general = True
    assert await bot.refusal("conversations.kick", channel="C1", user="UANN1") == "cant_kick_from_general"


async def test_members_are_listed_in_pages(bot: SimulatorClient, workspace: Workspace) -> None:
    first = await bot.call("conversations.members", channel="C1", limit=1)
    cursor = first["response_metadata"]["next_cursor"]
    second = await bot.call("conversations.members", channel="C1", limit=1, cursor=cursor)
    assert [*first["members"], *second["members"]] == ["UANN1", "UBOT1"]
    workspace.add_channel("G9", kind="group", members={"UANN1"})
    assert await bot.refusal("conversations.members", channel="G9") == "channel_not_found"


async def test_a_conversation_of_several_is_opened_once(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.add_user("UEVE", "eve")
    opened = await bot.call("conversations.open", users="UANN1,UEVE", return_im=True)
    assert (opened["channel"]["is_mpim"], opened["channel"]["num_members"]) == (True, 3)
    assert opened["channel"]["name"].startswith("mpdm-ann--bot--eve")
    again = await bot.call("conversations.open", users=["UEVE", "UANN1"])
    assert again["channel"] == {"id": opened["channel"]["id"]}
    assert again["already_open"]
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        workspace.open_mpim(["UANN1", "U404"])
    by_id = await bot.call("conversations.open", channel=opened["channel"]["id"])
    assert by_id["channel"] == {"id": opened["channel"]["id"]}


async def test_opening_is_refused_with_the_reason(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.add_user("UGONE", "gone", is_deleted=True)
    assert await bot.refusal("conversations.open", users="UGONE") == "user_disabled"
    assert await bot.refusal("conversations.open") == "users_list_not_supplied"
    assert await bot.refusal("conversations.open", channel="C1") == "method_not_supported_for_channel_type"
    assert await bot.refusal("conversations.open", users=",".join(["UANN1"] * 9)) == "too_many_users"
    workspace.scopes = "im:write"
    assert (await bot.answer("conversations.open", users="UANN1,UBOT1"))["needed"] == "mpim:write"


async def test_two_people_have_a_direct_message_of_their_own(ann: SimulatorClient, workspace: Workspace) -> None:
    workspace.add_user("UEVE", "eve")
    with_eve = (await ann.call("conversations.open", users="UEVE", return_im=True))["channel"]
    with_bot = (await ann.call("conversations.open", users="UBOT1", return_im=True))["channel"]
    assert (with_eve["user"], with_bot["user"]) == ("UEVE", "UBOT1")
    assert workspace.channels[with_eve["id"]].members == {"UANN1", "UEVE"}
    assert with_bot["id"] == workspace.open_im("UANN1").channel_id
    alone = (await ann.call("conversations.open", users="UANN1", return_im=True))["channel"]
    assert (alone["user"], workspace.channels[alone["id"]].members) == ("UANN1", {"UANN1"})


async def test_reading_marks_count_what_is_unread(
    ann: SimulatorClient, bot: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    im = workspace.open_im("UANN1").channel_id
    first = (await bot.call("chat.postMessage", channel=im, text="one"))["ts"]
    clock.time_s += 1
    await bot.call("chat.postMessage", channel=im, text="two")
    await ann.call("chat.postMessage", channel=im, text="my own")
    before = (await ann.call("conversations.info", channel=im))["channel"]
    assert (before["last_read"], before["unread_count"]) == ("0000000000.000000", 2)
    await ann.call("conversations.mark", channel=im, ts=first)
    after = (await ann.call("conversations.info", channel=im))["channel"]
    assert (after["last_read"], after["unread_count_display"]) == (first, 1)
    assert await ann.refusal("conversations.mark", channel=im, ts="soon") == "invalid_timestamp"
    assert await ann.refusal("conversations.mark", channel=im) == "invalid_timestamp"
    await bot.call("conversations.mark", channel="C1", ts="1.2")
    assert workspace.channels["C1"].last_read == {"UBOT1": "1.2"}


async def test_the_number_of_members_is_told_on_request(bot: SimulatorClient) -> None:
    assert "num_members" not in (await bot.call("conversations.info", channel="C1"))["channel"]
    shown = await bot.call("conversations.info", channel="C1", include_num_members=True)
    assert shown["channel"]["num_members"] == 2


async def test_lists_hold_the_types_asked_for_and_need_their_scopes(
    bot: SimulatorClient, ann: SimulatorClient, workspace: Workspace
) -> None:
    workspace.add_channel("G1", kind="group", members={"UBOT1"})
    workspace.add_channel("G2", kind="group", members={"UANN1"})
    workspace.add_channel("C9", "other", members={"UANN1"})
    types = "public_channel,private_channel"
    listed = await bot.call("conversations.list", types=types)
    assert {each["id"] for each in listed["channels"]} == {"C1", "C9", "G1"}
    mine = await bot.call("users.conversations", types=types)
    assert {each["id"] for each in mine["channels"]} == {"C1", "G1"}
    anns = await bot.call("users.conversations", types=types, user="UANN1")
    assert {each["id"] for each in anns["channels"]} == {"C1", "C9"}
    own = await ann.call("users.conversations", types=types)
    assert {each["id"] for each in own["channels"]} == {"C1", "C9", "G2"}
    assert await bot.refusal("users.conversations", user="U404") == "user_not_found"
    workspace.scopes = "channels:read"
    assert (await bot.answer("conversations.list", types=types))["needed"] == "groups:read"
