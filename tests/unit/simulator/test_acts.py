from typing import Any

import pytest

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.model import SlackRefusalError
from slack_mcp.simulator.webapi import METHODS

Json = dict[str, Any]


def events(envelopes: list[Json]) -> list[Json]:
    return [envelope["event"] for envelope in envelopes]


@pytest.fixture(autouse=True)
def channels(workspace: Workspace) -> None:
    workspace.add_user("UEVE", "eve")
    workspace.add_channel("C9", "elsewhere", members={"UANN1"})
    workspace.add_channel("G1", "private", kind="group", members={"UANN1", "UBOT1"})
    workspace.add_channel("G2", "secret", kind="group", members={"UANN1"})


def test_joining_and_leaving_are_told_where_the_bot_is(workspace: Workspace) -> None:
    (joined,) = events(workspace.join("UEVE", "C1"))
    assert (joined["type"], joined["user"], joined["channel"]) == ("member_joined_channel", "UEVE", "C1")
    assert (joined["channel_type"], joined["team"]) == ("C", "T1")
    assert workspace.join("UEVE", "C1") == []
    (private,) = events(workspace.join("UEVE", "G1"))
    assert private["channel_type"] == "G"
    assert workspace.join("UEVE", "C9") == []
    (left,) = events(workspace.leave("UEVE", "C1"))
    assert (left["type"], left["user"]) == ("member_left_channel", "UEVE")
    assert workspace.leave("UEVE", "C9") == []
    with pytest.raises(SlackRefusalError, match="not_in_channel"):
        workspace.leave("UEVE", "C1")
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        workspace.join("U404", "C1")


def test_the_bot_hears_of_its_own_joining_and_leaving(workspace: Workspace) -> None:
    assert events(workspace.join("UBOT1", "C9"))[0]["user"] == "UBOT1"
    assert events(workspace.leave("UBOT1", "C9"))[0]["type"] == "member_left_channel"


def test_public_channels_are_everybodys_and_private_ones_their_members(workspace: Workspace) -> None:
    (created,) = events(workspace.create_channel("UANN1", "new"))
    assert (created["type"], created["channel"]["name"], created["channel"]["creator"]) == (
        "channel_created",
        "new",
        "UANN1",
    )
    assert workspace.create_channel("UANN1", "new-secret", kind="group") == []
    (renamed,) = events(workspace.rename_channel("C9", "far"))
    assert (renamed["type"], renamed["channel"]["id"], renamed["channel"]["name"]) == ("channel_rename", "C9", "far")
    assert [event["type"] for event in events(workspace.rename_channel("G1", "hidden"))] == ["group_rename"]
    assert workspace.rename_channel("G2", "more-hidden") == []
    (archived,) = events(workspace.archive_channel("UANN1", "C9"))
    assert (archived["type"], archived["channel"], archived["user"]) == ("channel_archive", "C9", "UANN1")
    assert events(workspace.archive_channel("UANN1", "C9", is_archived=False))[0]["type"] == "channel_unarchive"
    assert events(workspace.archive_channel("UANN1", "G1"))[0]["type"] == "group_archive"
    assert events(workspace.delete_channel("C9"))[0] | {"event_ts": ""} == {
        "type": "channel_deleted",
        "channel": "C9",
        "event_ts": "",
    }
    assert workspace.delete_channel("G2") == []
    assert workspace.channels.keys().isdisjoint({"C9", "G2"})


def test_reactions_are_told_with_the_author_of_the_message(workspace: Workspace) -> None:
    message = workspace.say("UANN1", "C1", "x").message
    (added,) = events(workspace.react("UEVE", "C1", message.ts, "eyes"))
    assert added["item"] == {"type": "message", "channel": "C1", "ts": message.ts}
    assert (added["type"], added["user"], added["reaction"], added["item_user"]) == (
        "reaction_added",
        "UEVE",
        "eyes",
        "UANN1",
    )
    assert added["event_ts"] > message.ts
    assert events(workspace.unreact("UEVE", "C1", message.ts, "eyes"))[0]["type"] == "reaction_removed"
    elsewhere = workspace.say("UANN1", "C9", "x").message
    assert workspace.react("UANN1", "C9", elsewhere.ts, "eyes") == []
    with pytest.raises(SlackRefusalError, match="already_reacted"):
        workspace.react("UANN1", "C9", elsewhere.ts, "eyes")
    with pytest.raises(SlackRefusalError, match="message_not_found"):
        workspace.react("UANN1", "C1", "1.2", "eyes")


def test_pins_are_told_with_the_message(workspace: Workspace) -> None:
    message = workspace.say("UANN1", "C1", "important").message
    (added,) = events(workspace.pin("UEVE", "C1", message.ts))
    assert (added["type"], added["channel_id"], added["pin_count"]) == ("pin_added", "C1", 1)
    assert (added["item"]["message"]["text"], added["item_user"]) == ("important", "UANN1")
    assert workspace.pin("UANN1", "C9", workspace.say("UANN1", "C9", "x").message.ts) == []


def test_changes_of_users_are_told_with_the_whole_user(workspace: Workspace) -> None:
    (changed,) = events(workspace.change_user("UEVE", display_name="Evie", title="CTO"))
    assert changed["type"] == "user_change"
    assert (changed["user"]["profile"]["display_name"], changed["user"]["profile"]["title"]) == ("Evie", "CTO")
    assert events(workspace.change_user("UEVE", is_deleted=True))[0]["user"]["deleted"]
    (joined,) = events(workspace.join_team("UNEW", "new", title="Intern"))
    assert (joined["type"], joined["user"]["id"]) == ("team_join", "UNEW")
    assert workspace.users["UNEW"].title == "Intern"
    with pytest.raises(SlackRefusalError, match="user_not_found"):
        workspace.change_user("U404", title="x")
    with pytest.raises(TypeError):
        workspace.change_user("UEVE", shoe_size=40)


def test_events_need_their_scopes(workspace: Workspace) -> None:
    workspace.scopes = "users:read,chat:write"
    message = workspace.say("UANN1", "C1", "x").message
    (changed,) = events(workspace.change_user("UEVE", title="x"))
    assert "email" not in changed["user"]["profile"]
    assert workspace.join("UEVE", "C1") == []
    assert workspace.react("UEVE", "C1", message.ts, "eyes") == []
    assert workspace.pin("UEVE", "C1", message.ts) == []
    assert workspace.rename_channel("C1", "other") == []
    workspace.scopes = ""
    assert workspace.change_user("UEVE", title="y") == []


def test_what_an_app_does_is_told_as_well(workspace: Workspace) -> None:
    message = workspace.say("UANN1", "C1", "x").message
    where = {"channel": "C1", "timestamp": message.ts}
    calls: list[tuple[str, Json]] = [
        ("reactions.add", where | {"name": "eyes"}),
        ("reactions.remove", where | {"name": "eyes"}),
        ("pins.add", where),
        ("pins.remove", where),
        ("conversations.invite", {"channel": "C1", "users": "UEVE"}),
        ("conversations.kick", {"channel": "C1", "user": "UEVE"}),
        ("conversations.create", {"name": "made"}),
        ("conversations.rename", {"channel": "C1", "name": "all"}),
        ("conversations.archive", {"channel": "C1"}),
        ("conversations.unarchive", {"channel": "C1"}),
        ("conversations.leave", {"channel": "C1"}),
        ("conversations.join", {"channel": "C1"}),
        ("users.profile.set", {"profile": {"title": "x"}}),
    ]
    told = [event for method, args in calls for event in events(METHODS[method][0](workspace, Args(args)).envelopes)]
    assert [event["type"] for event in told] == [
        "reaction_added",
        "reaction_removed",
        "pin_added",
        "pin_removed",
        "member_joined_channel",
        "member_left_channel",
        "channel_created",
        "channel_rename",
        "channel_archive",
        "channel_unarchive",
        "member_left_channel",
        "member_joined_channel",
        "user_change",
    ]
    assert told[4]["inviter"] == "UBOT1"
