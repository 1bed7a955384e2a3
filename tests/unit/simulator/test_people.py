from typing import Any

import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def people(workspace: Workspace) -> None:
    workspace.add_user("UEVE", "eve", real_name="Eve Smith", display_name="evie", title="CTO", tz="Europe/Berlin")
    workspace.add_user("UGONE", "gone", is_deleted=True)


async def test_users_carry_their_names_title_and_time_zone(bot: SimulatorClient) -> None:
    user = (await bot.call("users.info", user="UEVE"))["user"]
    assert (user["name"], user["real_name"], user["tz"]) == ("eve", "Eve Smith", "Europe/Berlin")
    profile = user["profile"]
    assert (profile["display_name"], profile["title"], profile["email"]) == ("evie", "CTO", "eve@example.com")
    members = (await bot.call("users.list"))["members"]
    assert {each["id"]: (each["is_bot"], each["deleted"]) for each in members} == {
        "UBOT1": (True, False),
        "UANN1": (False, False),
        "UEVE": (False, False),
        "UGONE": (False, True),
    }
    assert "real_name" not in next(each for each in members if each["deleted"])


async def test_email_addresses_need_their_own_scope(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.scopes = "users:read,users.profile:read"
    assert "email" not in (await bot.call("users.info", user="UEVE"))["user"]["profile"]
    assert "email" not in (await bot.call("users.profile.get", user="UEVE"))["profile"]
    assert (await bot.answer("users.lookupByEmail", email="eve@example.com"))["needed"] == "users:read.email"


async def test_people_are_found_by_email_unless_they_left(bot: SimulatorClient) -> None:
    assert (await bot.call("users.lookupByEmail", email="Eve@example.com"))["user"]["id"] == "UEVE"
    for email in ("gone@example.com", "bot@example.com", "nobody@example.com", ""):
        assert await bot.refusal("users.lookupByEmail", email=email) == "users_not_found"


async def test_a_person_changes_their_own_profile_only(ann: SimulatorClient, workspace: Workspace) -> None:
    changed = await ann.call("users.profile.set", profile={"status_text": "out", "status_emoji": ":palm_tree:"})
    assert changed["profile"]["status_text"] == "out"
    await ann.call("users.profile.set", name="title", value="Boss")
    profile = (await ann.call("users.profile.get"))["profile"]
    assert (profile["title"], profile["status_emoji"]) == ("Boss", ":palm_tree:")
    assert workspace.users["UANN1"].title == "Boss"
    assert await ann.refusal("users.profile.set", user="UEVE", name="title", value="x") == "not_admin"
    wrongs: list[dict[str, Any]] = [{"profile": {"is_bot": True}}, {"profile": {}}, {"profile": []}, {}]
    for wrong in wrongs:
        assert await ann.refusal("users.profile.set", **wrong) == "invalid_profile"
    long = {"status_text": "x" * 101}
    assert await ann.refusal("users.profile.set", profile=long) == "too_long"


async def test_presence_tells_more_of_oneself(ann: SimulatorClient, bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.change_user("UANN1", is_active=False)
    assert await bot.call("users.getPresence", user="UANN1") == {"ok": True, "presence": "away"}
    own = await ann.call("users.getPresence")
    assert (own["presence"], own["online"], own["manual_away"]) == ("away", False, True)
    assert await bot.refusal("users.getPresence", user="U404") == "user_not_found"


async def test_do_not_disturb(bot: SimulatorClient, workspace: Workspace, clock: SteppingClock) -> None:
    assert (await bot.call("dnd.info", user="UEVE"))["dnd_enabled"] is False
    workspace.change_user("UEVE", is_do_not_disturb=True)
    answer = await bot.call("dnd.info", user="UEVE")
    assert (answer["dnd_enabled"], answer["next_dnd_end_ts"]) == (True, int(clock.time_s) + 3600)


async def test_reminders_are_each_persons_own(ann: SimulatorClient, workspace: Workspace, clock: SteppingClock) -> None:
    made = (await ann.call("reminders.add", text="lunch", time=60))["reminder"]
    assert (made["text"], made["time"], made["complete_ts"]) == ("lunch", int(clock.time_s) + 60, 0)
    later = (await ann.call("reminders.add", text="year", time=int(clock.time_s) + 9999))["reminder"]
    assert [each["id"] for each in (await ann.call("reminders.list"))["reminders"]] == [made["id"], later["id"]]
    await ann.call("reminders.complete", reminder=made["id"])
    assert (await ann.call("reminders.info", reminder=made["id"]))["reminder"]["complete_ts"] == int(clock.time_s)
    await ann.call("reminders.delete", reminder=made["id"])
    assert await ann.refusal("reminders.info", reminder=made["id"]) == "not_found"
    workspace.user_tokens["xoxp-ann"].user_id = "UEVE"
    assert await ann.refusal("reminders.info", reminder=later["id"]) == "not_found"
    for time in ("soon", 0, 10**11):
        assert await ann.refusal("reminders.add", text="x", time=time) == "cannot_parse"


async def test_user_groups_are_made_changed_and_filled(bot: SimulatorClient) -> None:
    made = (await bot.call("usergroups.create", name="The Team", description="us", channels="C1"))["usergroup"]
    assert (made["handle"], made["prefs"]["channels"], made["created_by"]) == ("the-team", ["C1"], "UBOT1")
    filled = await bot.call(
        "usergroups.users.update", usergroup=made["id"], users="UEVE,UANN1,UEVE", include_count=True
    )
    assert (filled["usergroup"]["users"], filled["usergroup"]["user_count"]) == (["UEVE", "UANN1"], 2)
    assert (await bot.call("usergroups.users.list", usergroup=made["id"]))["users"] == ["UEVE", "UANN1"]
    changed = (await bot.call("usergroups.update", usergroup=made["id"], handle="@team"))["usergroup"]
    assert (changed["name"], changed["handle"], changed["description"]) == ("The Team", "team", "us")
    assert "users" not in changed
    (listed,) = (await bot.call("usergroups.list", include_users=True))["usergroups"]
    assert listed["users"] == ["UEVE", "UANN1"]


async def test_a_disabled_user_group_is_listed_on_request(bot: SimulatorClient) -> None:
    group = (await bot.call("usergroups.create", name="Old", handle="old"))["usergroup"]["id"]
    disabled = (await bot.call("usergroups.disable", usergroup=group))["usergroup"]
    assert (disabled["date_delete"], disabled["deleted_by"]) == (1_800_000_000, "UBOT1")
    assert (await bot.call("usergroups.list"))["usergroups"] == []
    assert len((await bot.call("usergroups.list", include_disabled=True))["usergroups"]) == 1
    assert await bot.refusal("usergroups.users.list", usergroup=group) == "no_such_subteam"
    assert (await bot.call("usergroups.users.list", usergroup=group, include_disabled=True))["users"] == []
    await bot.call("usergroups.enable", usergroup=group)
    assert len((await bot.call("usergroups.list"))["usergroups"]) == 1


async def test_user_groups_have_names_of_their_own_and_known_members(bot: SimulatorClient) -> None:
    group = (await bot.call("usergroups.create", name="Team", handle="team"))["usergroup"]["id"]
    assert await bot.refusal("usergroups.create", name="Team") == "name_already_exists"
    assert await bot.refusal("usergroups.create", name="Team 2", handle="team") == "handle_already_exists"
    assert await bot.refusal("usergroups.create") == "invalid_arguments"
    assert await bot.refusal("usergroups.update", usergroup="S404") == "no_such_subteam"
    assert await bot.refusal("usergroups.users.update", usergroup=group, users="") == "no_users_provided"
    assert await bot.refusal("usergroups.users.update", usergroup=group, users="U404") == "invalid_users"
