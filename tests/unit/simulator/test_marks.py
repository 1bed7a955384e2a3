import pytest
from simulator_client import SimulatorClient

from slack_mcp.simulator import Workspace

pytestmark = pytest.mark.anyio


async def test_reactions_are_read_of_a_message_and_of_a_user(
    bot: SimulatorClient, ann: SimulatorClient, workspace: Workspace
) -> None:
    first, second = (workspace.say("UANN1", "C1", text).message.ts for text in ("one", "two"))
    await bot.call("reactions.add", channel="C1", timestamp=first, name=":eyes:")
    await ann.call("reactions.add", channel="C1", timestamp=first, name="eyes")
    await ann.call("reactions.add", channel="C1", timestamp=second, name="tada")
    shown = (await bot.call("reactions.get", channel="C1", timestamp=first))["message"]
    assert shown["reactions"] == [{"name": "eyes", "users": ["UBOT1", "UANN1"], "count": 2}]
    assert shown["permalink"].endswith(first.replace(".", ""))
    own = await bot.call("reactions.list")
    assert [each["message"]["ts"] for each in own["items"]] == [first]
    page = await bot.call("reactions.list", user="UANN1", limit=1)
    rest = await bot.call("reactions.list", user="UANN1", cursor=page["response_metadata"]["next_cursor"])
    assert [each["message"]["ts"] for each in (*page["items"], *rest["items"])] == [second, first]
    assert await bot.refusal("reactions.list", user="U404") == "user_not_found"


async def test_reactions_are_for_members(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.add_channel("C9", members={"UANN1"})
    ts = workspace.say("UANN1", "C9", "x").message.ts
    assert await bot.refusal("reactions.add", channel="C9", timestamp=ts, name="eyes") == "not_in_channel"
    assert await bot.refusal("reactions.add", channel="C1", name="eyes") == "no_item_specified"


async def test_pins_are_listed_newest_first(bot: SimulatorClient, workspace: Workspace) -> None:
    first, second = (workspace.say("UANN1", "C1", text).message for text in ("one", "two"))
    for message in (first, second):
        await bot.call("pins.add", channel="C1", timestamp=message.ts)
    assert await bot.refusal("pins.add", channel="C1", timestamp=first.ts) == "already_pinned"
    items = (await bot.call("pins.list", channel="C1"))["items"]
    assert [each["message"]["text"] for each in items] == ["two", "one"]
    assert (items[0]["type"], items[0]["created_by"], items[0]["message"]["pinned_to"]) == ("message", "UBOT1", ["C1"])
    await bot.call("pins.remove", channel="C1", timestamp=second.ts)
    assert await bot.refusal("pins.remove", channel="C1", timestamp=second.ts) == "no_pin"
    workspace.delete(first)
    assert (await bot.call("pins.list", channel="C1"))["items"] == []


async def test_a_hundred_pins_are_the_most(bot: SimulatorClient, workspace: Workspace) -> None:
    for number in range(100):
        workspace.pin("UANN1", "C1", workspace.say("UANN1", "C1", str(number)).message.ts)
    ts = workspace.say("UANN1", "C1", "x").message.ts
    assert await bot.refusal("pins.add", channel="C1", timestamp=ts) == "too_many_pins"


async def test_bookmarks_are_added_changed_and_removed(bot: SimulatorClient) -> None:
    made = await bot.call("bookmarks.add", channel_id="C1", title="Docs", type="link", link="https://example.com")
    bookmark = made["bookmark"]
    assert (bookmark["channel_id"], bookmark["type"], bookmark["emoji"]) == ("C1", "link", "")
    where = {"channel_id": "C1", "bookmark_id": bookmark["id"]}
    edited = (await bot.call("bookmarks.edit", title="Manual", emoji=":book:", **where))["bookmark"]
    assert (edited["title"], edited["link"], edited["emoji"]) == ("Manual", "https://example.com", ":book:")
    await bot.call("bookmarks.edit", link="http://example.org", **where)
    (listed,) = (await bot.call("bookmarks.list", channel_id="C1"))["bookmarks"]
    assert listed["link"] == "http://example.org"
    await bot.call("bookmarks.remove", **where)
    assert await bot.refusal("bookmarks.remove", **where) == "not_found"
    assert (await bot.call("bookmarks.list", channel_id="C1"))["bookmarks"] == []


async def test_bookmarks_are_links_with_a_title(bot: SimulatorClient) -> None:
    good = {"channel_id": "C1", "title": "x", "type": "link", "link": "https://example.com"}
    for change, error in (
        ({"type": "file"}, "invalid_bookmark_type"),
        ({"link": "javascript:alert(1)"}, "invalid_link"),
        ({"title": ""}, "invalid_arguments"),
        ({"channel_id": "C404"}, "channel_not_found"),
    ):
        assert await bot.refusal("bookmarks.add", **(good | change)) == error


async def test_the_workspaces_own_emoji(bot: SimulatorClient, workspace: Workspace) -> None:
    workspace.emoji = {"shipit": "https://emoji.example/shipit.png", "ship": "alias:shipit"}
    assert (await bot.call("emoji.list"))["emoji"] == workspace.emoji
