"""Canvases."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, BEN, BOT, GENERAL, RANDOM, SECRET_CHANNEL, Toolbox, open_toolbox

from slack_mcp.core.model import ToolPolicy
from slack_mcp.simulator.canvases import render_markdown
from slack_mcp.simulator.faults import Fault
from slack_mcp.tools.canvases import TOOLS

pytestmark = pytest.mark.anyio

CREATE, EDIT, READ = "SLACK_CREATE_CANVAS", "SLACK_EDIT_CANVAS", "SLACK_READ_CANVAS"
DELETE, SHARE = "SLACK_DELETE_CANVAS", "SLACK_SHARE_CANVAS"
MARKDOWN = "# Plan\n\nfirst\n\n## Later\n\n- a\n- b"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def create(box: Toolbox, **arguments: Any) -> str:
    told = await box.ok(CREATE, {"title": "Plan", "markdown": MARKDOWN} | arguments)
    return str(told["canvas_id"])


def content(box: Toolbox, canvas_id: str) -> str:
    return render_markdown(box.workspace().shelf.canvases[canvas_id])


async def test_a_canvas_is_made_and_read_as_it_was_written(box: Toolbox) -> None:
    canvas_id = await create(box)
    assert await box.ok(READ, {"canvas_id": canvas_id}) == {"canvas_id": canvas_id, "markdown": MARKDOWN}
    assert await box.text(READ, {"canvas_id": f"https://acme.slack.com/docs/T0ACME/{canvas_id}"}) == MARKDOWN
    shelf = box.workspace().shelf
    assert (shelf.files[canvas_id].title, shelf.files[canvas_id].user_id) == ("Plan", BOT)
    entry = (await box.audited())[0]
    assert (entry.target, entry.result) == (canvas_id, "ok")


async def test_a_canvas_is_a_tab_or_the_channels_own(box: Toolbox) -> None:
    told = await box.ok(CREATE, {"title": "Tab", "channel": "#general"})
    assert told["channel"] == GENERAL
    canvases = box.workspace().shelf.canvases
    assert canvases[told["canvas_id"]].channel_id is None
    own = await create(box, channel=GENERAL, is_channel_canvas=True)
    assert canvases[own].channel_id == GENERAL
    second = {"title": "x", "channel": GENERAL, "is_channel_canvas": True}
    assert "Change the canvas that the channel has" in await box.error(CREATE, second)
    assert "needs a channel" in await box.error(CREATE, {"title": "x", "is_channel_canvas": True})
    assert "SLACK_LIST_CHANNELS" in await box.error(CREATE, {"title": "x", "channel": SECRET_CHANNEL})


async def test_each_operation_changes_what_it_says(box: Toolbox) -> None:
    canvas_id = await create(box)

    async def edit(**arguments: Any) -> None:
        await box.ok(EDIT, {"canvas_id": canvas_id} | arguments)

    found = await box.ok(READ, {"canvas_id": canvas_id, "contains_text": "first"})
    (section,) = found["sections"]
    await edit(operation="insert_at_start", markdown="top")
    await edit(operation="insert_at_end", markdown="bottom")
    await edit(operation="insert_after", section_id=section, markdown="after")
    await edit(operation="insert_before", section_id=section, markdown="before")
    await edit(operation="replace", section_id=section, markdown="new")
    assert content(box, canvas_id) == "top\n\n# Plan\n\nbefore\n\nnew\n\nafter\n\n## Later\n\n- a\n- b\n\nbottom"
    (section,) = (await box.ok(READ, {"canvas_id": canvas_id, "contains_text": "new"}))["sections"]
    await edit(operation="delete", section_id=section)
    assert "new" not in content(box, canvas_id)
    await edit(operation="replace_all", markdown="all")
    assert content(box, canvas_id) == "all"
    await edit(operation="rename", title="Other")
    assert box.workspace().shelf.files[canvas_id].title == "Other"
    assert all(entry.target == canvas_id for entry in await box.audited())


async def test_arguments_that_do_not_belong_to_an_operation_are_named(box: Toolbox) -> None:
    canvas_id = await create(box)
    for arguments, expected in (
        ({"operation": "replace", "markdown": "x"}, "replace needs section_id"),
        ({"operation": "delete"}, "delete needs section_id"),
        ({"operation": "delete", "section_id": "s", "markdown": "x"}, "takes no markdown"),
        ({"operation": "insert_at_end"}, "needs markdown"),
        ({"operation": "insert_at_end", "markdown": "x", "section_id": "s"}, "takes no section_id"),
        ({"operation": "replace_all", "markdown": "x", "section_id": "s"}, "takes no section_id"),
        ({"operation": "rename", "markdown": "x"}, "takes no markdown"),
        ({"operation": "rename"}, "needs title"),
        ({"operation": "insert_at_end", "markdown": "x", "title": "y"}, "takes no title"),
        ({"operation": "wipe"}, "operation"),
        ({"operation": "insert_at_end", "markdown": ""}, "markdown"),
    ):
        assert expected in await box.error(EDIT, {"canvas_id": canvas_id} | arguments), arguments
    assert content(box, canvas_id) == MARKDOWN
    unknown = {"operation": "delete", "section_id": "temp:C:none"}
    assert "contains_text" in await box.error(EDIT, {"canvas_id": canvas_id} | unknown)


async def test_nothing_is_embedded_that_slack_would_fetch(box: Toolbox) -> None:
    for markdown in (
        "![](https://x.example/?q=1)",
        "![pic](http://x.example)",
        "![x][ref]\n\n[ref]: https://x.example",
    ):
        assert "unfurl_links" in await box.error(CREATE, {"title": "x", "markdown": markdown})
    canvas_id = await create(box, markdown=f"[label](https://x.example) ![](@{ANN}) ![](#{GENERAL}) a![b] c")
    edit = {"canvas_id": canvas_id, "operation": "insert_at_end", "markdown": "![](https://x.example)"}
    assert "unfurl_links" in await box.error(EDIT, edit)
    await box.ok(EDIT, edit | {"unfurl_links": True})


async def test_people_and_channels_are_named_beside_their_ids(box: Toolbox) -> None:
    canvas_id = await create(box, markdown=f"ask ![](@{ANN}) in ![](#{GENERAL}), not ![](@U0NOBODY)")
    told = await box.ok(READ, {"canvas_id": canvas_id})
    assert (told["users"], told["channels"]) == ({ANN: "ann"}, {GENERAL: "general"})
    assert f"(@ann is {ANN}, #general is {GENERAL})" in await box.text(READ, {"canvas_id": canvas_id})


async def test_sections_are_found_by_heading_and_text(box: Toolbox) -> None:
    canvas_id = await create(box)
    ids = [key for key, _ in box.workspace().shelf.canvases[canvas_id].sections]
    for arguments, expected in (
        ({"section_types": ["any_header"]}, [ids[0], ids[2]]),
        ({"section_types": ["h2"]}, [ids[2]]),
        ({"contains_text": "first"}, [ids[1]]),
        ({"section_types": ["h1"], "contains_text": "Later"}, []),
    ):
        found = await box.ok(READ, {"canvas_id": canvas_id} | arguments)
        assert found == {"canvas_id": canvas_id, "sections": expected}
    assert await box.text(READ, {"canvas_id": canvas_id, "contains_text": "nowhere"}) == "No sections."
    assert "section_types" in await box.error(READ, {"canvas_id": canvas_id, "section_types": ["h9"]})


async def test_a_long_canvas_is_read_page_by_page(box: Toolbox) -> None:
    markdown = "\n\n".join(f"paragraph {number}" for number in range(200))
    canvas_id = await create(box, markdown=markdown)
    first = await box.ok(READ, {"canvas_id": canvas_id, "max_tokens": 400})
    rest = await box.ok(READ, {"canvas_id": canvas_id, "cursor": first["next_cursor"]})
    assert first["markdown"] + rest["markdown"] == markdown
    assert "next_cursor: " in await box.text(READ, {"canvas_id": canvas_id, "max_tokens": 400})
    await box.ok(EDIT, {"canvas_id": canvas_id, "operation": "insert_at_start", "markdown": "x"})
    cursor = {"canvas_id": canvas_id, "cursor": first["next_cursor"]}
    assert "has changed" in await box.error(READ, cursor)


async def test_a_canvas_is_read_as_a_file_where_slack_has_no_other_way(box: Toolbox) -> None:
    canvas_id = await create(box)
    box.simulator.faults.add(Fault(method="canvases.getContent", error="unknown_method", times=None))
    assert (await box.ok(READ, {"canvas_id": canvas_id}))["markdown"] == MARKDOWN
    file = box.workspace().shelf.add(name="a.txt", content=b"x", user_id=BOT, created_s=1)
    assert "is no canvas" in await box.error(READ, {"canvas_id": file.file_id})


async def test_a_canvas_is_deleted_by_its_owner_alone(box: Toolbox) -> None:
    canvas_id = await create(box)
    assert await box.ok(DELETE, {"canvas_id": canvas_id}) == {"canvas_id": canvas_id}
    assert canvas_id not in box.workspace().shelf.canvases
    assert "no such canvas" in await box.error(DELETE, {"canvas_id": canvas_id})
    other = await create(box)
    file = box.workspace().shelf.files[other]
    file.user_id, file.access = ANN, {BOT: "read"}
    for name, arguments in ((DELETE, {}), (EDIT, {"operation": "insert_at_end", "markdown": "x"})):
        assert "restricted_action" in await box.error(name, {"canvas_id": other} | arguments)


async def test_a_canvas_is_opened_to_people_or_channels(box: Toolbox) -> None:
    canvas_id = await create(box)
    file = box.workspace().shelf.files[canvas_id]
    told = await box.ok(SHARE, {"canvas_id": canvas_id, "access_level": "write", "channels": ["#general", RANDOM]})
    assert told == {"access_level": "write", "channels": [GENERAL, RANDOM]}
    assert (await box.audited())[0].target == f"{canvas_id}/{GENERAL},{RANDOM}"
    await box.ok(SHARE, {"canvas_id": canvas_id, "access_level": "read", "users": ["@ann", BEN]})
    assert file.access == {GENERAL: "write", RANDOM: "write", ANN: "read", BEN: "read"}
    for arguments, expected in (
        ({"access_level": "read"}, "either channels or users"),
        ({"access_level": "read", "users": [ANN], "channels": [GENERAL]}, "either channels or users"),
        ({"access_level": "owner", "users": [ANN, BEN]}, "one person"),
        ({"access_level": "owner", "channels": [GENERAL]}, "one person"),
        ({"access_level": "all", "users": [ANN]}, "access_level"),
        ({"access_level": "read", "users": []}, "users"),
    ):
        assert expected in await box.error(SHARE, {"canvas_id": canvas_id} | arguments), arguments
    await box.ok(SHARE, {"canvas_id": canvas_id, "access_level": "owner", "users": [ANN]})
    assert file.user_id == ANN


async def test_a_canvas_may_be_opened_to_the_channels_that_the_policy_allows(box: Toolbox) -> None:
    canvas_id = await create(box)
    await box.set_policy(ToolPolicy(write_channels=(GENERAL,)))  # type: ignore[arg-type]
    await box.ok(SHARE, {"canvas_id": canvas_id, "access_level": "read", "channels": [GENERAL]})
    for arguments in ({"channels": [GENERAL, RANDOM]}, {"users": [ANN]}):
        text = await box.error(SHARE, {"canvas_id": canvas_id, "access_level": "read"} | arguments)
        assert "policy does not let" in text
    assert set(box.workspace().shelf.files[canvas_id].access) == {GENERAL}
    await box.ok(CREATE, {"title": "x", "channel": GENERAL})


async def test_what_slack_says_of_the_markdown_is_told(box: Toolbox) -> None:
    canvas_id = await create(box)
    box.simulator.faults.add(Fault(method="canvases.edit", error="canvas_editing_failed"))
    edit = {"canvas_id": canvas_id, "operation": "insert_at_end", "markdown": "> - x"}
    assert "no lists in quotes" in await box.error(EDIT, edit)
