"""The tools for people, user groups and the bot itself, against a simulated Slack."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from people_box import HeardChanges, open_people_box
from tool_fakes import FakeWeb
from toolbox import ACME, ANN, BEN, BOT, CAT, GENERAL, GLOBEX, Toolbox

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access, AgentBackend, ConnectionSettings, ToolPolicy
from slack_mcp.core.secret import Secret
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.simulator import Fault
from slack_mcp.tools.profiles import ProfileField, read_fields

pytestmark = pytest.mark.anyio

GROUP = {"name": "On call", "handle": "oncall", "description": "Who wakes up"}


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


async def test_person_is_found_by_id_name_and_e_mail(box: Toolbox) -> None:
    for user_id in (ANN, "@ann", "ann", "ann@example.com", f"<@{ANN}>", f"Ann of {ACME}"):
        user = (await box.ok("SLACK_GET_USER_INFO", {"user_id": user_id}))["user"]
        assert user["id"] == ANN
    assert user == {
        "id": ANN,
        "name": "ann",
        "real_name": f"Ann of {ACME}",
        "display_name": "ann",
        "email": "ann@example.com",
        "is_admin": False,
        "is_owner": False,
        "is_bot": False,
        "tz": "Etc/UTC",
    }
    assert (await box.ok("SLACK_GET_USER_BY_EMAIL", {"email": "ANN@example.com"}))["user"]["id"] == ANN
    assert "SLACK_SEARCH_USERS" in await box.error("SLACK_GET_USER_BY_EMAIL", {"email": "no@example.com"})
    assert "email:" in await box.error("SLACK_GET_USER_BY_EMAIL", {"email": "ann"})
    assert "no@example.com" in await box.error("SLACK_GET_USER_INFO", {"user_id": "no@example.com"})
    assert "nobody called" in await box.error("SLACK_GET_USER_INFO", {"user_id": "@nobody"})
    assert "no such person" in await box.error("SLACK_GET_USER_INFO", {"user_id": "U0NOBODY"})


async def test_name_of_several_people_is_not_guessed(box: Toolbox) -> None:
    box.workspace().add_user("U0ANN02", "ann2", display_name="Ann")
    error = await box.error("SLACK_GET_USER_INFO", {"user_id": "@ann"})
    assert f"Several are called 'ann' ({ANN}, U0ANN02)" in error


async def test_people_are_listed_without_bots_and_deactivated_accounts(box: Toolbox) -> None:
    box.workspace().change_user(CAT, is_deleted=True)
    listed = await box.ok("SLACK_LIST_USERS")
    assert [each["id"] for each in listed["users"]] == [ANN, BEN]
    assert listed["users"][0] == {
        "id": ANN,
        "name": "ann",
        "real_name": f"Ann of {ACME}",
        "display_name": "ann",
        "email": "ann@example.com",
        "is_bot": False,
        "deleted": False,
    }
    everybody = await box.ok("SLACK_LIST_USERS", {"include_bots": True, "include_deleted": True})
    assert {each["id"] for each in everybody["users"]} == {ANN, BEN, CAT, BOT}
    text = await box.text("SLACK_LIST_USERS", {"limit": 1})
    assert text.startswith(f"- @ann ({ANN}, Ann of {ACME}, ann@example.com)\nnext_cursor: ")


async def test_list_of_people_gives_each_once_page_by_page(box: Toolbox) -> None:
    for number in range(450):
        box.workspace().add_user(f"U0P{number:04}", f"p{number}", is_bot=number % 3 == 0)
    seen: list[str] = []
    arguments: dict[str, Any] | None = {"limit": 130, "max_tokens": 3_000}
    while arguments is not None:
        page = await box.ok("SLACK_LIST_USERS", arguments)
        seen += [each["id"] for each in page["users"]]
        arguments = arguments | {"cursor": page["next_cursor"]} if "next_cursor" in page else None
    assert seen == [ANN, BEN, CAT, *(f"U0P{number:04}" for number in range(450) if number % 3)]


async def test_people_are_found_by_a_part(box: Toolbox) -> None:
    box.workspace().change_user(BEN, title="Head of Rockets")
    for query, found in (
        ("rocket", [BEN]),
        ("@CAT", [CAT]),
        ("ann@ex", [ANN]),
        ("of conn", [ANN, BEN, CAT]),
        ("?", []),
    ):
        users = (await box.ok("SLACK_SEARCH_USERS", {"query": query}))["users"]
        assert [each["id"] for each in users] == found, query
    assert await box.text("SLACK_SEARCH_USERS", {"query": "?"}) == "No users."


async def test_search_says_when_it_has_not_seen_everybody(box: Toolbox) -> None:
    for number in range(1_100):
        box.workspace().add_user(f"U0P{number:04}", f"p{number}")
    box.simulator.faults.add(
        Fault(method="users.list", status=429, retry_after_s=30, when=lambda call: "cursor" in call.args)
    )
    page = await box.ok("SLACK_SEARCH_USERS", {"query": "p1099"})
    assert page["users"] == []
    again = await box.ok("SLACK_SEARCH_USERS", {"query": "p1099", "cursor": page["next_cursor"]})
    assert [each["name"] for each in again["users"]] == ["p1099"]
    box.simulator.faults.add(Fault(method="users.list", status=429, retry_after_s=30))
    assert "30 s" in await box.error("SLACK_SEARCH_USERS", {"query": "p1099"})


async def test_profile_and_presence(box: Toolbox) -> None:
    box.workspace().change_user(ANN, status_text="At lunch", status_emoji=":sandwich:", title="Pilot")
    profile = (await box.ok("SLACK_GET_USER_PROFILE", {"user_id": "@ann"}))["profile"]
    assert (profile["user_id"], profile["title"], profile["status_text"]) == (ANN, "Pilot", "At lunch")
    assert "fields" not in profile
    assert await box.ok("SLACK_GET_PRESENCE", {"user_id": "@ann"}) == {
        "user_id": ANN,
        "presence": "active",
        "is_do_not_disturb": False,
    }
    box.workspace().change_user(ANN, is_do_not_disturb=True, is_active=False)
    silent = await box.ok("SLACK_GET_PRESENCE", {"user_id": ANN})
    assert (silent["presence"], silent["is_do_not_disturb"]) == ("away", True)
    assert silent["do_not_disturb_until"].endswith("Z")
    box.simulator.faults.add(Fault(method="dnd.info", error="missing_scope"))
    assert "is_do_not_disturb" not in await box.ok("SLACK_GET_PRESENCE", {"user_id": ANN})


def test_own_fields_of_a_workspace_have_the_names_it_gave_them() -> None:
    profile = {
        "fields": {"Xf1": {"value": "Rockets", "alt": ""}, "Xf2": {"value": ""}, "Xf3": {"value": "7"}, "Xf4": 1}
    }
    assert read_fields(profile, {"Xf1": "Team"}) == [
        ProfileField(label="Team", value="Rockets"),
        ProfileField(label="Xf3", value="7"),
    ]
    assert read_fields({"fields": []}, {}) == []


async def test_profile_of_a_workspace_with_fields_of_its_own(box: Toolbox) -> None:
    slack = FakeWeb(
        answers={
            "users.profile.get": {"profile": {"title": "Pilot", "fields": {"Xf1": {"value": "Rockets"}}}},
            "team.profile.get": {"profile": {"fields": [{"id": "Xf1", "label": "Team"}]}},
        }
    )
    box.services = replace(box.services, slack=slack)
    profile = (await box.ok("SLACK_GET_USER_PROFILE", {"user_id": ANN}))["profile"]
    assert profile == {"user_id": ANN, "title": "Pilot", "fields": [{"label": "Team", "value": "Rockets"}]}
    slack.answers["team.profile.get"] = {"profile": None}
    assert (await box.ok("SLACK_GET_USER_PROFILE", {"user_id": ANN}))["profile"]["fields"][0]["label"] == "Xf1"


async def test_user_group_is_made_filled_changed_and_listed(box: Toolbox) -> None:
    made = (await box.ok("SLACK_CREATE_USERGROUP", GROUP | {"channels": ["#general"]}))["usergroup"]
    group = box.workspace().usergroups[made["id"]]
    assert (group.name, group.handle, group.channels) == ("On call", "oncall", [GENERAL])
    filled = await box.ok("SLACK_SET_USERGROUP_MEMBERS", {"usergroup": "@oncall", "user_ids": ["@ann", BEN, ANN]})
    assert filled["usergroup"]["user_count"] == 2
    assert group.users == [ANN, BEN]
    await box.ok("SLACK_UPDATE_USERGROUP", {"usergroup": "On call", "handle": "pager", "channels": ["random"]})
    assert (group.handle, group.name) == ("pager", "On call")
    text = await box.text("SLACK_LIST_USERGROUPS")
    assert text == f"- @pager ({made['id']}, On call, 2 members): Who wakes up"
    for given in (made["id"], "@pager", f"<!subteam^{made['id']}|@pager>"):
        members = await box.ok("SLACK_GET_USERGROUP_MEMBERS", {"usergroup": given})
        assert members == {"users": [{"id": ANN, "name": "ann"}, {"id": BEN, "name": "ben"}]}
    group.disabled_s = 1
    assert await box.text("SLACK_LIST_USERGROUPS") == "No usergroups."
    assert "disabled" in await box.text("SLACK_LIST_USERGROUPS", {"include_disabled": True})
    assert [each.target for each in await box.audited()] == [
        made["id"],
        f"{ANN},{BEN}/{made['id']}",
        f"On call {made['id']}",
    ]


async def test_lists_of_groups_and_members_go_on_with_the_cursor(box: Toolbox) -> None:
    for number in range(5):
        await box.ok("SLACK_CREATE_USERGROUP", {"name": f"g{number}"})
    first = await box.ok("SLACK_LIST_USERGROUPS", {"limit": 3})
    rest = await box.ok("SLACK_LIST_USERGROUPS", {"limit": 3, "cursor": first["next_cursor"]})
    assert [each["name"] for each in (*first["usergroups"], *rest["usergroups"])] == [f"g{n}" for n in range(5)]
    assert "next_cursor" not in rest
    await box.ok("SLACK_SET_USERGROUP_MEMBERS", {"usergroup": "g0", "user_ids": [ANN, BEN, CAT]})
    page = await box.ok("SLACK_GET_USERGROUP_MEMBERS", {"usergroup": "g0", "limit": 2})
    page = await box.ok("SLACK_GET_USERGROUP_MEMBERS", {"usergroup": "g0", "limit": 2, "cursor": page["next_cursor"]})
    assert page == {"users": [{"id": CAT, "name": "cat"}]}


async def test_user_group_is_not_emptied_or_changed_into_nothing(box: Toolbox) -> None:
    made = (await box.ok("SLACK_CREATE_USERGROUP", GROUP))["usergroup"]
    assert "user_ids:" in await box.error("SLACK_SET_USERGROUP_MEMBERS", {"usergroup": made["id"], "user_ids": []})
    assert "at least one" in await box.error("SLACK_UPDATE_USERGROUP", {"usergroup": made["id"]})
    assert "SLACK_LIST_USERGROUPS" in await box.error("SLACK_GET_USERGROUP_MEMBERS", {"usergroup": "@nobody"})
    assert "SLACK_UPDATE_USERGROUP" in await box.error("SLACK_CREATE_USERGROUP", GROUP)
    assert "not in this workspace" in await box.error(
        "SLACK_SET_USERGROUP_MEMBERS", {"usergroup": made["id"], "user_ids": ["U0NOBODY"]}
    )
    assert box.workspace(GLOBEX).usergroups == {}


GROUP_WRITES: dict[str, dict[str, Any]] = {
    "SLACK_CREATE_USERGROUP": GROUP,
    "SLACK_UPDATE_USERGROUP": {"usergroup": "S0GROUP", "name": "x"},
    "SLACK_SET_USERGROUP_MEMBERS": {"usergroup": "S0GROUP", "user_ids": [ANN]},
    "SYNC_CONFIG_CACHE": {},
}


async def test_writes_need_a_caller_and_a_policy_that_let_them(box: Toolbox) -> None:
    for tool, arguments in GROUP_WRITES.items():
        assert "access" in await box.error(tool, arguments, access=Access.READ)
        await box.set_policy(ToolPolicy(is_read_only=True))
        assert "read-only" in await box.error(tool, arguments)
        await box.set_policy(ToolPolicy(write_channels=(ChannelId(GENERAL),)))
        if tool != "SYNC_CONFIG_CACHE":
            assert "allowed channels" in await box.error(tool, arguments)
        await box.set_policy(ToolPolicy())
        assert "not an argument" in await box.error(tool, arguments | {"everything": 1})
    assert "admin access" in await box.error("SYNC_CONFIG_CACHE", {}, access=Access.WRITE)
    assert box.methods() == box.methods(GLOBEX) == []


async def test_scopes_decide_which_tools_there_are(box: Toolbox) -> None:
    await box.change(bot_scopes=frozenset({"users:read"}))
    listed = set(await box.list_names())
    assert {"SLACK_LIST_USERS", "SLACK_GET_PRESENCE", "SLACK_GET_BOT_INFO", "SYNC_CONFIG_CACHE"} <= listed
    hidden = {
        "SLACK_GET_USER_BY_EMAIL": ({"email": "a@b.c"}, "users:read.email"),
        "SLACK_GET_USER_PROFILE": ({"user_id": ANN}, "users.profile:read"),
        "SLACK_LIST_USERGROUPS": ({}, "usergroups:read"),
        "SLACK_CREATE_USERGROUP": (GROUP, "usergroups:write"),
    }
    assert not hidden.keys() & listed
    for tool, (arguments, scope) in hidden.items():
        assert scope in await box.error(tool, arguments)


async def test_bot_tells_who_it_is(box: Toolbox) -> None:
    assert (await box.ok("SLACK_GET_BOT_INFO"))["bot"] == {
        "user_id": BOT,
        "bot_id": "B0BOT00",
        "team_id": f"T_{ACME}",
        "name": "bot",
        "team": "Simulated",
        "url": "https://simulated.slack.com/",
        "app_id": f"A_{ACME}",
    }


async def test_status_of_a_whole_connection_is_short(box: Toolbox) -> None:
    assert (await box.ok("SLACK_GET_BOT_STATUS"))["status"] == {
        "connected": True,
        "configured": True,
        "bot_user_id": BOT,
        "bot_id": "B0BOT00",
        "team_id": f"T_{ACME}",
        "team": "Simulated",
        "has_user_token": True,
        "agent": {"backend": "default"},
        "triggers": 0,
    }


async def test_status_tells_whether_the_agent_in_mesh_can_be_asked(box: Toolbox) -> None:
    await box.change(agent_id="vir_1", settings=ConnectionSettings(agent=AgentBackend.MESH))
    agent = (await box.ok("SLACK_GET_BOT_STATUS"))["status"]["agent"]
    assert (agent["configured"], "gave no key" in agent["problem"]) == (False, True)
    await box.change(mesh_api_key=Secret("canary-key"))
    agent = (await box.ok("SLACK_GET_BOT_STATUS"))["status"]["agent"]
    assert agent == {"backend": "mesh", "configured": True}
    await box.change(mesh_refused_since_ms=1_800_000_000_000)
    agent = (await box.ok("SLACK_GET_BOT_STATUS"))["status"]["agent"]
    assert (agent["configured"], "since 2027-01-15T08:00:00Z" in agent["problem"]) == (False, True)


async def test_status_tells_what_is_missing(box: Toolbox) -> None:
    await box.change(
        bot_scopes=frozenset({"chat:write", "users:read"}),
        user_token=None,
        settings=ConnectionSettings(
            agent=AgentBackend.MESH, trigger_only=True, tools=ToolPolicy(denied_tools=("SLACK_LIST_USERS",))
        ),
    )
    box.simulator.faults.add(Fault(method="auth.test", error="token_revoked"))
    status = (await box.ok("SLACK_GET_BOT_STATUS", access=Access.READ))["status"]
    assert (status["connected"], status["has_user_token"], status["trigger_only"]) == (False, False, True)
    assert "token_revoked" in status["problem"]
    assert "app_mentions:read" in status["missing_scopes"]
    assert status["agent"]["configured"] is False
    assert "No agent is chosen" in status["agent"]["problem"]
    reasons = {tool: each["reason"] for each in status["unavailable_tools"] for tool in each["tools"]}
    assert reasons["SLACK_LIST_USERGROUPS"] == "Missing scope: usergroups:read."
    assert reasons["SLACK_LIST_USERS"].startswith("This tool is not among the tools")
    assert "user token" in reasons["SLACK_GET_UNREADS"]
    assert reasons["SLACK_JOIN_CHANNEL"] == "This tool needs a caller with write access."
    assert "SLACK_GET_PRESENCE" not in reasons


async def test_sync_drops_what_is_kept_and_reads_it_again(box: Toolbox, heard: HeardChanges) -> None:
    await box.ok("SLACK_GET_USER_INFO", {"user_id": "@ann"})
    await box.ok("SLACK_GET_USER_INFO", {"user_id": "@ann"}, connection_id=GLOBEX)
    box.simulator.calls.clear()
    synced = await box.ok("SYNC_CONFIG_CACHE", {"force": True})
    assert (synced["synced"], synced["version"]) == (1, 1)
    assert synced["cache"]["loads"] >= 2
    assert heard.heard == [NameChange(connection_id=ACME, kind=NameKind.CONNECTION)]
    for connection_id, methods in ((ACME, ["users.list", "users.info"]), (GLOBEX, ["users.info"])):
        await box.ok("SLACK_GET_USER_INFO", {"user_id": "@ann"}, connection_id=connection_id)
        assert box.methods(connection_id) == methods
    (entry,) = await box.audited()
    assert (entry.tool, entry.target, entry.result) == ("SYNC_CONFIG_CACHE", ACME, "ok")
    heard.error = StoreUnavailableError("gone")
    assert "database cannot be reached" in await box.error("SYNC_CONFIG_CACHE")
