"""The tools for channels, their members and direct messages, against a simulated Slack."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from people_box import HeardChanges, open_people_box
from toolbox import ACME, ANN, BEN, BOT, CAT, GENERAL, GLOBEX, RANDOM, SECRET_CHANNEL, Toolbox

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.simulator import Fault

pytestmark = pytest.mark.anyio


@pytest.fixture
async def opened(anyio_backend: str) -> AsyncIterator[tuple[Toolbox, HeardChanges]]:
    async with open_people_box() as opened:
        yield opened


@pytest.fixture
def box(opened: tuple[Toolbox, HeardChanges]) -> Toolbox:
    return opened[0]


@pytest.fixture
def heard(opened: tuple[Toolbox, HeardChanges]) -> HeardChanges:
    return opened[1]


WRITES: dict[str, dict[str, Any]] = {
    "SLACK_JOIN_CHANNEL": {"channel": RANDOM},
    "SLACK_LEAVE_CHANNEL": {"channel": RANDOM},
    "SLACK_INVITE_TO_CHANNEL": {"channel": RANDOM, "user_id": CAT},
    "SLACK_REMOVE_FROM_CHANNEL": {"channel": RANDOM, "user_id": CAT},
    "SLACK_RENAME_CHANNEL": {"channel": RANDOM, "name": "else"},
    "SLACK_SET_TOPIC": {"channel": RANDOM, "topic": "t"},
    "SLACK_SET_PURPOSE": {"channel": RANDOM, "purpose": "p"},
    "SLACK_ARCHIVE_CHANNEL": {"channel": RANDOM},
    "SLACK_UNARCHIVE_CHANNEL": {"channel": RANDOM},
}


async def test_channels_are_listed_with_what_is_known_of_them(box: Toolbox) -> None:
    listed = await box.ok("SLACK_LIST_CHANNELS")
    assert [each["name"] for each in listed["channels"]] == ["general", "random"]
    assert listed["channels"][0] == {
        "id": GENERAL,
        "name": "general",
        "is_private": False,
        "is_archived": False,
        "is_member": True,
        "num_members": 4,
    }
    assert await box.text("SLACK_LIST_CHANNELS") == (
        f"- #general ({GENERAL}, bot is in it, 4 members)\n- #random ({RANDOM}, bot is in it, 4 members)"
    )


async def test_channel_list_goes_on_with_the_cursor_and_knows_three_formats(box: Toolbox) -> None:
    first = await box.ok("SLACK_LIST_CHANNELS", {"limit": 1})
    second = await box.ok("SLACK_LIST_CHANNELS", {"limit": 1, "cursor": first["next_cursor"]})
    assert [each["id"] for each in (*first["channels"], *second["channels"])] == [GENERAL, RANDOM]
    assert "next_cursor" not in second
    assert (await box.text("SLACK_LIST_CHANNELS", {"format": "csv"})).startswith("id,name,is_private")
    assert (await box.text("SLACK_LIST_CHANNELS", {"format": "json"})).startswith('{"channels":[{"id":')


async def test_archived_and_foreign_channels_are_left_out_unless_asked_for(box: Toolbox) -> None:
    workspace = box.workspace()
    workspace.archive_channel(ANN, RANDOM)
    workspace.add_channel("C0LOBBY", "lobby", members={ANN})
    workspace.open_im(ANN)
    names = [each["name"] for each in (await box.ok("SLACK_LIST_CHANNELS"))["channels"]]
    assert names == ["general", "lobby"]
    everything = await box.ok(
        "SLACK_LIST_CHANNELS",
        {"exclude_archived": False, "member_only": True, "types": "public_channel,private_channel,im"},
    )
    shown = [(each["name"], each["is_member"], each.get("user")) for each in everything["channels"]]
    assert shown == [("general", True, None), ("random", True, None), ("ann", True, ANN)]


async def test_one_scope_lists_its_kind_of_channels(box: Toolbox) -> None:
    box.workspace().scopes = "channels:read"
    await box.change(bot_scopes=frozenset({"channels:read"}))
    assert len((await box.ok("SLACK_LIST_CHANNELS"))["channels"]) == 2
    assert len((await box.ok("SLACK_SEARCH_CHANNELS", {"query": "ran"}))["channels"]) == 1
    assert "groups:read" in await box.error("SLACK_LIST_CHANNELS", {"types": "private_channel"})


async def test_channels_are_found_by_a_part_of_name_topic_or_purpose(box: Toolbox) -> None:
    await box.ok("SLACK_SET_TOPIC", {"channel": "#random", "topic": "Launch  of\nVega"})
    await box.ok("SLACK_SET_PURPOSE", {"channel": "#general", "purpose": "Company news"})
    found = {
        query: [each["id"] for each in (await box.ok("SLACK_SEARCH_CHANNELS", {"query": query}))["channels"]]
        for query in ("#RAND", "vega", "news", "nowhere")
    }
    assert found == {"#RAND": [RANDOM], "vega": [RANDOM], "news": [GENERAL], "nowhere": []}
    assert "Launch of Vega" in await box.text("SLACK_SEARCH_CHANNELS", {"query": "vega"})
    assert await box.text("SLACK_SEARCH_CHANNELS", {"query": "nowhere"}) == "No channels."


async def test_search_gives_each_channel_once_page_by_page(box: Toolbox) -> None:
    for number in range(7):
        box.workspace().add_channel(f"C0TEAM{number}", f"team-{number}")
    seen, cursor = [], None
    while True:
        page = await box.ok(
            "SLACK_SEARCH_CHANNELS", {"query": "team", "limit": 3} | ({"cursor": cursor} if cursor else {})
        )
        seen += [each["id"] for each in page["channels"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen == [f"C0TEAM{number}" for number in range(7)]


async def test_channel_info_is_found_by_id_name_and_link(box: Toolbox) -> None:
    for channel in (GENERAL, "#general", "general", f"https://acme.slack.com/archives/{GENERAL}"):
        info = (await box.ok("SLACK_GET_CHANNEL_INFO", {"channel": channel}))["channel"]
        assert (info["id"], info["name"], info["num_members"]) == (GENERAL, "general", 4)
        assert {"created", "is_private", "is_archived", "is_member"} <= info.keys()


async def test_channel_info_of_a_person_is_the_direct_message(box: Toolbox) -> None:
    info = (await box.ok("SLACK_GET_CHANNEL_INFO", {"channel": "@ann"}))["channel"]
    assert (info["user"], info["name"], info["is_private"]) == (ANN, "ann", True)


async def test_creator_is_named(box: Toolbox) -> None:
    created = (await box.ok("SLACK_CREATE_CHANNEL", {"name": "vega"}))["channel"]
    info = (await box.ok("SLACK_GET_CHANNEL_INFO", {"channel": created["id"]}))["channel"]
    assert (info["creator"], info["creator_name"]) == (BOT, "bot")


async def test_members_are_ids_with_names_beside_them(box: Toolbox) -> None:
    first = await box.ok("SLACK_GET_CHANNEL_MEMBERS", {"channel": "#general", "limit": 3})
    rest = await box.ok("SLACK_GET_CHANNEL_MEMBERS", {"channel": GENERAL, "limit": 3, "cursor": first["next_cursor"]})
    assert sorted([*first["members"], *rest["members"]]) == sorted([ANN, BEN, CAT, BOT])
    assert first["names"] | rest["names"] == {ANN: "ann", BEN: "ben", CAT: "cat", BOT: "bot"}
    assert f"- @ann ({ANN})" in await box.text("SLACK_GET_CHANNEL_MEMBERS", {"channel": GENERAL})
    assert (await box.text("SLACK_GET_CHANNEL_MEMBERS", {"channel": GENERAL, "format": "csv"})).startswith("id,name\n")


async def test_members_of_a_large_channel_cost_few_calls(box: Toolbox) -> None:
    workspace = box.workspace()
    people = {workspace.add_user(f"U0P{number:04}", f"p{number}").user_id for number in range(150)}
    workspace.add_channel("C0LARGE", "large", members={BOT, *people})
    shown = await box.ok("SLACK_GET_CHANNEL_MEMBERS", {"channel": "C0LARGE", "limit": 200})
    assert len(shown["names"]) == 151
    assert box.methods() == ["conversations.members", "users.list"]


async def test_bot_joins_and_leaves(box: Toolbox) -> None:
    channel = box.workspace().channels[RANDOM]
    assert await box.ok("SLACK_LEAVE_CHANNEL", {"channel": "#random"}) == {"channel": RANDOM, "changed": True}
    assert BOT not in channel.members
    assert (await box.ok("SLACK_LEAVE_CHANNEL", {"channel": RANDOM}))["changed"] is False
    assert (await box.ok("SLACK_JOIN_CHANNEL", {"channel": RANDOM}))["changed"] is True
    assert BOT in channel.members
    assert (await box.ok("SLACK_JOIN_CHANNEL", {"channel": RANDOM}))["changed"] is False


async def test_people_are_invited_and_removed(box: Toolbox) -> None:
    await box.ok("SLACK_CREATE_CHANNEL", {"name": "vega", "is_private": True})
    (channel,) = [each for each in box.workspace().channels.values() if each.name == "vega"]
    assert channel.kind == "group"
    one = await box.ok("SLACK_INVITE_TO_CHANNEL", {"channel": "#vega", "user_id": "@ann"})
    assert one == {"channel": channel.channel_id, "changed": True, "invited": [ANN]}
    again = await box.ok("SLACK_INVITE_TO_CHANNEL", {"channel": "#vega", "user_id": ANN})
    assert again == {"channel": channel.channel_id, "changed": False, "invited": []}
    several = await box.ok(
        "SLACK_INVITE_TO_CHANNEL", {"channel": "vega", "user_ids": ["ben@example.com", ANN, "U0NOBODY", BEN]}
    )
    assert several["invited"] == [BEN]
    assert {each["user"]: each["error"] for each in several["refused"]} == {
        ANN: "already_in_channel",
        "U0NOBODY": "user_not_found",
    }
    assert channel.members == {BOT, ANN, BEN}
    await box.ok("SLACK_REMOVE_FROM_CHANNEL", {"channel": "#vega", "user_id": "@ben"})
    assert channel.members == {BOT, ANN}
    error = await box.error("SLACK_REMOVE_FROM_CHANNEL", {"channel": "#vega", "user_id": "@ben"})
    assert "SLACK_GET_CHANNEL_MEMBERS" in error


async def test_invitation_names_somebody_in_one_way(box: Toolbox) -> None:
    wrong: tuple[dict[str, Any], ...] = ({}, {"user_id": ANN, "user_ids": [BEN]}, {"user_ids": []})
    for arguments in wrong:
        error = await box.error("SLACK_INVITE_TO_CHANNEL", {"channel": GENERAL, **arguments})
        assert "either user_id or user_ids" in error


async def test_channel_is_renamed_described_archived_and_opened_again(box: Toolbox, heard: HeardChanges) -> None:
    channel = box.workspace().channels[RANDOM]
    assert (await box.ok("SLACK_RENAME_CHANNEL", {"channel": "#random", "name": "vega"}))["name"] == "vega"
    assert channel.name == "vega"
    assert heard.heard == [NameChange(connection_id=ACME, kind=NameKind.CHANNEL, id=RANDOM)]
    assert "There is no channel" in await box.error("SLACK_SET_TOPIC", {"channel": "#random", "topic": "x"})
    await box.ok("SLACK_SET_TOPIC", {"channel": "#vega", "topic": "T"})
    await box.ok("SLACK_SET_PURPOSE", {"channel": "#vega", "purpose": "P"})
    assert (channel.topic.value, channel.purpose.value) == ("T", "P")
    await box.ok("SLACK_SET_TOPIC", {"channel": "#vega", "topic": ""})
    assert channel.topic.value == ""
    for tool, archived in (("SLACK_ARCHIVE_CHANNEL", True), ("SLACK_UNARCHIVE_CHANNEL", False)):
        assert (await box.ok(tool, {"channel": RANDOM}))["changed"] is True
        assert channel.is_archived is archived
        assert (await box.ok(tool, {"channel": RANDOM}))["changed"] is False


async def test_channel_is_unarchived_as_the_person_or_as_the_bot(box: Toolbox) -> None:
    for prefix in ("xoxp-", "xoxb-"):
        box.workspace().archive_channel(ANN, RANDOM)
        await box.ok("SLACK_UNARCHIVE_CHANNEL", {"channel": RANDOM})
        assert box.simulator.calls.select("conversations.unarchive")[-1].token.startswith(prefix)
        await box.change(user_token=None)


async def test_rename_that_other_pods_could_not_be_told_of_is_done(box: Toolbox, heard: HeardChanges) -> None:
    heard.error = StoreUnavailableError("gone")
    await box.ok("SLACK_RENAME_CHANNEL", {"channel": RANDOM, "name": "vega"})
    assert box.workspace().channels[RANDOM].name == "vega"


async def test_names_that_slack_does_not_take_are_refused_here(box: Toolbox) -> None:
    for name in ("Vega", "a b", "a.b", "#a", "", "x" * 81):
        assert "name:" in await box.error("SLACK_CREATE_CHANNEL", {"name": name})
        assert "name:" in await box.error("SLACK_RENAME_CHANNEL", {"channel": RANDOM, "name": name})
    assert box.methods() == []


async def test_name_that_is_taken_says_what_to_do(box: Toolbox) -> None:
    assert "SLACK_SEARCH_CHANNELS" in await box.error("SLACK_CREATE_CHANNEL", {"name": "general"})


async def test_direct_messages_are_opened_and_listed(box: Toolbox) -> None:
    opened = await box.ok("SLACK_OPEN_DM", {"user_id": "ann@example.com"})
    group = await box.ok("SLACK_OPEN_GROUP_DM", {"user_ids": ["@ann", BEN]})
    channels = box.workspace().channels
    assert channels[opened["channel_id"]].members == {ANN, BOT}
    assert channels[group["channel_id"]].members == {ANN, BEN, BOT}
    listed = await box.ok("SLACK_LIST_DMS")
    assert listed == {"dms": [{"id": opened["channel_id"], "user": ANN, "user_name": "ann"}]}
    both = await box.text("SLACK_LIST_DMS", {"include_groups": True})
    assert both == f"- @ann ({opened['channel_id']}, {ANN})\n- mpdm-ann--ben--bot-1 ({group['channel_id']})"
    targets = [each.target for each in await box.audited()]
    assert targets == [group["channel_id"], opened["channel_id"]]


async def test_group_message_has_two_to_eight_people(box: Toolbox) -> None:
    nine = [f"U0P000{n}" for n in range(9)]
    for user_ids, said in (([ANN], "user_ids"), ([ANN, "@ann"], "SLACK_OPEN_DM"), (nine, "user_ids")):
        assert said in await box.error("SLACK_OPEN_GROUP_DM", {"user_ids": user_ids})
    assert "conversations.open" not in box.methods()


async def test_writes_are_audited_with_their_target(box: Toolbox) -> None:
    workspace = box.workspace()
    for tool, arguments in WRITES.items():
        workspace.join(BOT, RANDOM)
        workspace.archive_channel(ANN, RANDOM, is_archived=tool == "SLACK_UNARCHIVE_CHANNEL")
        await box.ok(tool, arguments)
        entry = (await box.audited())[0]
        assert (entry.tool, entry.actor, entry.result) == (tool, "mesh:user_1", "ok")
        assert (entry.target or "").split("/")[0] == RANDOM
    assert len(await box.audited()) == len(WRITES)
    assert await box.audited(GLOBEX) == []
    assert box.methods(GLOBEX) == []


async def test_writes_need_a_caller_and_a_policy_that_let_them(box: Toolbox) -> None:
    for tool, arguments in WRITES.items():
        assert "write access" in await box.error(tool, arguments, access=Access.READ)
    for policy, said in (
        (ToolPolicy(is_read_only=True), "read-only"),
        (ToolPolicy(denied_tools=tuple(WRITES)), "not among the tools"),
        (ToolPolicy(denied_write_channels=(ChannelId(RANDOM),)), f"the channel {RANDOM}"),
        (ToolPolicy(write_channels=(ChannelId(GENERAL),)), f"the channel {RANDOM}"),
    ):
        await box.set_policy(policy)
        for tool, arguments in WRITES.items():
            assert said in await box.error(tool, arguments)
    assert box.methods() == []


async def test_channel_is_not_created_where_only_some_channels_may_be_written_to(box: Toolbox) -> None:
    await box.set_policy(ToolPolicy(write_channels=(ChannelId(GENERAL),)))
    assert "not in one of its allowed channels" in await box.error("SLACK_CREATE_CHANNEL", {"name": "vega"})
    assert box.methods() == []


async def test_wrong_channels_say_what_to_do(box: Toolbox) -> None:
    await box.change(user_token=None)
    box.workspace(GLOBEX).add_channel("C0GLOBEX", "globex-only")
    for tool in (*WRITES, "SLACK_GET_CHANNEL_INFO", "SLACK_GET_CHANNEL_MEMBERS"):
        arguments = WRITES.get(tool, {"channel": RANDOM})
        for wrong, said in (
            ({"channel": "#nowhere"}, "There is no channel"),
            ({"channel": "#globex-only"}, "There is no channel"),
            ({"channel": SECRET_CHANNEL}, "no such channel"),
            ({"channel": "C0GLOBEX"}, "no such channel"),
            ({"channel": 7}, "channel:"),
            ({"everything": True}, "not an argument"),
        ):
            error = await box.error(tool, arguments | wrong)
            assert said in error, (tool, wrong)
    assert box.methods(GLOBEX) == []


REFUSALS: tuple[tuple[str, dict[str, Any], str, str, str], ...] = (
    ("SLACK_JOIN_CHANNEL", {"channel": RANDOM}, "conversations.join", "is_archived", "SLACK_UNARCHIVE_CHANNEL"),
    ("SLACK_LEAVE_CHANNEL", {"channel": RANDOM}, "conversations.leave", "last_member", "SLACK_ARCHIVE_CHANNEL"),
    ("SLACK_SET_TOPIC", {"channel": RANDOM, "topic": ""}, "conversations.setTopic", "not_in_channel", "SLACK_JOIN"),
    ("SLACK_RENAME_CHANNEL", WRITES["SLACK_RENAME_CHANNEL"], "conversations.rename", "not_authorized", "created it"),
    ("SLACK_OPEN_DM", {"user_id": ANN}, "conversations.open", "user_disabled", "deactivated"),
    ("SLACK_LIST_CHANNELS", {}, "conversations.list", "ratelimited", "wait"),
    ("SLACK_SEARCH_CHANNELS", {"query": "x"}, "conversations.list", "ratelimited", "wait"),
    ("SLACK_ARCHIVE_CHANNEL", {"channel": "#random"}, "conversations.list", "ratelimited", "wait"),
)


async def test_what_slack_refuses_is_told_with_a_remedy(box: Toolbox) -> None:
    for tool, arguments, method, word, said in REFUSALS:
        box.simulator.faults.add(Fault(method=method, error=word, retry_after_s=7))
        assert said in await box.error(tool, arguments), tool
    error = await box.error("SLACK_INVITE_TO_CHANNEL", {"channel": RANDOM, "user_id": BOT})
    assert "cant_invite_self" in error
    assert "SLACK_JOIN_CHANNEL" in error


async def test_missing_scopes_hide_the_tools_and_are_named(box: Toolbox) -> None:
    await box.change(bot_scopes=frozenset({"channels:read"}), user_scopes=frozenset())
    listed = await box.list_names()
    assert "SLACK_LIST_CHANNELS" in listed
    assert not {*WRITES, "SLACK_CREATE_CHANNEL", "SLACK_LIST_DMS", "SLACK_OPEN_DM", "SLACK_OPEN_GROUP_DM"} & {*listed}
    assert "channels:join" in await box.error("SLACK_JOIN_CHANNEL", {"channel": RANDOM})
    assert "channels:manage or groups:write" in await box.error("SLACK_CREATE_CHANNEL", {"name": "vega"})
