"""Bookmarks and emoji."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import BOT, GENERAL, GLOBEX, RANDOM, SECRET_CHANNEL, Toolbox, open_toolbox

from slack_mcp.tools import bookmarks, emoji

pytestmark = pytest.mark.anyio

LIST, ADD = "SLACK_LIST_BOOKMARKS", "SLACK_ADD_BOOKMARK"
EDIT, REMOVE = "SLACK_EDIT_BOOKMARK", "SLACK_REMOVE_BOOKMARK"
EMOJI = "SLACK_LIST_EMOJI"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox((*bookmarks.TOOLS, *emoji.TOOLS)) as toolbox:
        yield toolbox


async def add(box: Toolbox, title: str = "Docs", **more: Any) -> str:
    told = await box.ok(ADD, {"channel": GENERAL, "title": title, "link": "https://docs.example/a?b=c"} | more)
    return str(told["bookmark_id"])


async def test_a_bookmark_is_added_listed_changed_and_removed(box: Toolbox) -> None:
    bookmark_id = await add(box, channel="#general", emoji="book")
    assert (await box.audited())[0].target == f"{GENERAL} {bookmark_id}"
    stored = box.workspace().channels[GENERAL].bookmarks[bookmark_id]
    assert (stored.title, stored.link, stored.emoji) == ("Docs", "https://docs.example/a?b=c", ":book:")
    line = f"- {bookmark_id} :book: Docs https://docs.example/a?b=c by "
    assert (await box.text(LIST, {"channel": GENERAL})).startswith(line)
    (item,) = (await box.ok(LIST, {"channel": GENERAL}))["bookmarks"]
    assert item["updated_by"] == BOT
    told = await box.ok(EDIT, {"channel": GENERAL, "bookmark_id": bookmark_id, "title": "Manual", "emoji": ":books:"})
    assert told == {
        "channel": GENERAL,
        "bookmark_id": bookmark_id,
        "title": "Manual",
        "link": "https://docs.example/a?b=c",
        "emoji": ":books:",
    }
    assert (await box.audited())[0].target == f"{GENERAL}/{bookmark_id}"
    gone = {"channel": GENERAL, "bookmark_id": bookmark_id}
    assert await box.ok(REMOVE, gone) == gone | {"changed": True}
    assert await box.ok(REMOVE, gone) == gone | {"changed": False}
    assert "SLACK_LIST_BOOKMARKS" in await box.error(EDIT, gone | {"title": "x"})
    assert await box.text(LIST, {"channel": GENERAL}) == "No bookmarks."
    assert box.methods(GLOBEX) == []


async def test_only_links_of_the_web_are_taken(box: Toolbox) -> None:
    for link in ("javascript:alert(1)", "slack://open", "ftp://x.example", "x.example", "https://", "https://a b", ""):
        assert "link" in await box.error(ADD, {"channel": GENERAL, "title": "x", "link": link}), link
    for arguments, expected in (
        ({"title": "", "link": "https://x.example"}, "title"),
        ({"title": "x" * 257, "link": "https://x.example"}, "title"),
        ({"title": "x", "link": "https://x.example/" + "y" * 2_048}, "link"),
        ({"title": "x", "link": "https://x.example", "emoji": "a b"}, "emoji"),
        ({"title": "x"}, "link is required"),
    ):
        assert expected in await box.error(ADD, {"channel": GENERAL} | arguments)
    assert "Give what to change" in await box.error(EDIT, {"channel": GENERAL, "bookmark_id": "Bk1"})
    assert "bookmark_id" in await box.error(REMOVE, {"channel": GENERAL, "bookmark_id": "../1"})
    assert box.workspace().channels[GENERAL].bookmarks == {}


async def test_a_bookmark_is_known_in_its_channel_alone(box: Toolbox) -> None:
    bookmark_id = await add(box)
    assert (await box.ok(REMOVE, {"channel": RANDOM, "bookmark_id": bookmark_id}))["changed"] is False
    assert "SLACK_LIST_CHANNELS" in await box.error(LIST, {"channel": SECRET_CHANNEL})
    assert bookmark_id in box.workspace().channels[GENERAL].bookmarks


async def test_many_bookmarks_come_in_pages(box: Toolbox) -> None:
    made = [await add(box, f"{number}") for number in range(5)]
    first = await box.ok(LIST, {"channel": GENERAL, "limit": 3})
    rest = await box.ok(LIST, {"channel": GENERAL, "limit": 3, "cursor": first["next_cursor"]})
    assert [each["id"] for each in first["bookmarks"] + rest["bookmarks"]] == made
    assert "next_cursor" not in rest


async def test_emoji_are_listed_by_name(box: Toolbox) -> None:
    box.workspace().emoji.clear()
    box.workspace().emoji.update(
        {"zebra": "https://e.example/z.png", "ant": "https://e.example/a.png", "bug": "alias:ant"}
    )
    assert await box.text(EMOJI) == "- :ant:\n- :bug: = :ant:\n- :zebra:"
    assert await box.text(EMOJI, {"query": ":ZE"}) == "- :zebra:"
    assert await box.text(EMOJI, {"query": "zebra", "include_urls": True}) == "- :zebra: https://e.example/z.png"
    assert await box.text(EMOJI, {"query": "nothing"}) == "No emoji."
    first = await box.ok(EMOJI, {"limit": 1})
    assert first["emoji"] == [{"name": "ant"}]
    # What comes or goes meanwhile moves nothing.
    box.workspace().emoji.update({"aardvark": "https://e.example/v.png"})
    del box.workspace().emoji["ant"]
    rest = await box.ok(EMOJI, {"cursor": first["next_cursor"]})
    assert [each["name"] for each in rest["emoji"]] == ["bug", "zebra"]
    assert "next_cursor" not in rest
    assert await box.text(EMOJI, connection_id=GLOBEX) == "No emoji."
    for arguments in ({"query": ""}, {"query": 1}, {"cursor": "x"}):
        await box.error(EMOJI, arguments)
