"""What holds for every tool for files, canvases, lists, bookmarks and emoji."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, GENERAL, GLOBEX, Toolbox, open_toolbox

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.simulator.faults import Fault
from slack_mcp.tools import bookmarks, canvases, downloads, emoji, files, list_item_changes, list_items, lists, uploads

pytestmark = pytest.mark.anyio

TOOLS = (
    *files.TOOLS,
    *uploads.TOOLS,
    *downloads.TOOLS,
    *canvases.TOOLS,
    *lists.TOOLS,
    *list_items.TOOLS,
    *list_item_changes.TOOLS,
    *bookmarks.TOOLS,
    *emoji.TOOLS,
)
# Arguments that are good, with what stands in the workspace; the first method that each calls; a scope it needs.
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "SLACK_LIST_FILES": ({}, "files.list", "files:read"),
    "SLACK_GET_FILE_INFO": ({"file_id": "{file}"}, "files.info", "files:read"),
    "SLACK_DELETE_FILE": ({"file_id": "{file}"}, "files.delete", "files:write"),
    "SLACK_UPLOAD_FILE": (
        {"channel": GENERAL, "filename": "a.txt", "content": "a"},
        "files.getUploadURLExternal",
        "files:write",
    ),
    "SLACK_DOWNLOAD_FILE": ({"file_id": "{file}"}, "files.info", "files:read"),
    "SLACK_CREATE_CANVAS": ({"title": "New"}, "canvases.create", "canvases:write"),
    "SLACK_EDIT_CANVAS": (
        {"canvas_id": "{canvas}", "operation": "insert_at_end", "markdown": "x"},
        "canvases.edit",
        "canvases:write",
    ),
    "SLACK_READ_CANVAS": ({"canvas_id": "{canvas}"}, "canvases.getContent", "canvases:read"),
    "SLACK_DELETE_CANVAS": ({"canvas_id": "{canvas}"}, "canvases.delete", "canvases:write"),
    "SLACK_SHARE_CANVAS": (
        {"canvas_id": "{canvas}", "access_level": "read", "users": [ANN]},
        "canvases.access.set",
        "canvases:write",
    ),
    "SLACK_CREATE_LIST": ({"name": "New"}, "slackLists.create", "lists:write"),
    "SLACK_SHARE_LIST": (
        {"list_id": "{list}", "access_level": "read", "users": [ANN]},
        "slackLists.access.set",
        "lists:write",
    ),
    "SLACK_LIST_LIST_ITEMS": ({"list_id": "{list}"}, "slackLists.items.list", "lists:read"),
    "SLACK_GET_LIST_ITEM": ({"list_id": "{list}", "item_id": "{item}"}, "slackLists.items.info", "lists:read"),
    "SLACK_ADD_LIST_ITEM": ({"list_id": "{list}", "fields": {"Name": "x"}}, "slackLists.items.list", "lists:write"),
    "SLACK_UPDATE_LIST_ITEM": (
        {"list_id": "{list}", "item_id": "{item}", "fields": {"Name": "x"}},
        "slackLists.items.list",
        "lists:write",
    ),
    "SLACK_DELETE_LIST_ITEM": ({"list_id": "{list}", "item_id": "{item}"}, "slackLists.items.delete", "lists:write"),
    "SLACK_LIST_BOOKMARKS": ({"channel": GENERAL}, "bookmarks.list", "bookmarks:read"),
    "SLACK_ADD_BOOKMARK": (
        {"channel": GENERAL, "title": "t", "link": "https://x.example"},
        "bookmarks.add",
        "bookmarks:write",
    ),
    "SLACK_EDIT_BOOKMARK": (
        {"channel": GENERAL, "bookmark_id": "{bookmark}", "title": "t"},
        "bookmarks.edit",
        "bookmarks:write",
    ),
    "SLACK_REMOVE_BOOKMARK": ({"channel": GENERAL, "bookmark_id": "{bookmark}"}, "bookmarks.remove", "bookmarks:write"),
    "SLACK_LIST_EMOJI": ({}, "emoji.list", "emoji:read"),
}
WRITES = [tool.name for tool in TOOLS if not tool.is_read_only]
OF_OTHERS = {"SLACK_DELETE_LIST_ITEM", "SLACK_DELETE_FILE", "SLACK_REMOVE_BOOKMARK"}


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def set_up(box: Toolbox, connection_id: ConnectionId) -> dict[str, str]:
    """Return the ids of one file, canvas, list, item and bookmark of a workspace."""
    made = {
        "file": (await box.ok("SLACK_UPLOAD_FILE", {"filename": "a.txt", "content": "a"}, connection_id=connection_id))[
            "file_id"
        ],
        "canvas": (await box.ok("SLACK_CREATE_CANVAS", {"title": "C"}, connection_id=connection_id))["canvas_id"],
        "list": (await box.ok("SLACK_CREATE_LIST", {"name": "L"}, connection_id=connection_id))["list_id"],
    }
    added = {"list_id": made["list"], "fields": {"Name": "first"}}
    made["item"] = (await box.ok("SLACK_ADD_LIST_ITEM", added, connection_id=connection_id))["item_id"]
    link = {"channel": GENERAL, "title": "T", "link": "https://t.example"}
    made["bookmark"] = (await box.ok("SLACK_ADD_BOOKMARK", link, connection_id=connection_id))["bookmark_id"]
    return made


def fill(arguments: dict[str, Any], made: dict[str, str]) -> dict[str, Any]:
    return {name: value.format(**made) if isinstance(value, str) else value for name, value in arguments.items()}


def test_every_tool_has_its_case() -> None:
    assert set(CASES) == {tool.name for tool in TOOLS}
    assert len(TOOLS) == len(CASES)


async def test_every_tool_works_and_stays_with_its_tenant(box: Toolbox) -> None:
    made = await set_up(box, ConnectionId("conn_acme"))
    order = sorted(CASES, key=lambda name: "DELETE" in name or "REMOVE" in name)
    for name in order:
        await box.ok(name, fill(CASES[name][0], made))
    assert box.methods(GLOBEX) == []
    assert {entry.tool for entry in await box.audited()} == set(WRITES)
    assert {entry.result for entry in await box.audited()} == {"ok"}
    assert await box.audited(GLOBEX) == []


async def test_nothing_of_another_tenant_is_reached(box: Toolbox) -> None:
    foreign = await set_up(box, GLOBEX)
    before = list(box.methods(GLOBEX))
    for name, (arguments, _, _) in CASES.items():
        if not any(isinstance(value, str) and "{" in value for value in arguments.values()):
            continue
        if name == "SLACK_REMOVE_BOOKMARK":
            assert (await box.ok(name, fill(arguments, foreign)))["changed"] is False
            continue
        text = await box.error(name, fill(arguments, foreign))
        assert "no such" in text, (name, text)
    assert box.methods(GLOBEX) == before


async def test_what_is_no_argument_is_named(box: Toolbox) -> None:
    for name, (arguments, _, _) in CASES.items():
        assert "bogus is not an argument" in await box.error(name, arguments | {"bogus": 1})
    assert box.methods() == []


async def test_a_missing_scope_hides_the_tool_and_is_named(box: Toolbox) -> None:
    await box.change(bot_scopes=frozenset({"chat:write"}))
    assert await box.list_names() == []
    for name, (arguments, _, scope) in CASES.items():
        assert scope in await box.error(name, arguments)
    assert box.methods() == []


async def test_slack_itself_may_miss_the_scope(box: Toolbox) -> None:
    made = await set_up(box, ConnectionId("conn_acme"))
    box.workspace().scopes = "chat:write"
    for name, (arguments, _, scope) in CASES.items():
        assert f"the scope {scope.split(':')[0]}" in await box.error(name, fill(arguments, made))


async def test_a_refusal_of_slacks_is_told_with_its_word(box: Toolbox) -> None:
    made = await set_up(box, ConnectionId("conn_acme"))
    for name, (arguments, method, _) in CASES.items():
        fault = box.simulator.faults.add(Fault(method=method, error="some_new_word"))
        assert "some_new_word" in await box.error(name, fill(arguments, made)), name
        assert fault.hits == 1, name


async def test_a_policy_of_reading_leaves_nothing_to_write_with(box: Toolbox) -> None:
    await box.set_policy(ToolPolicy(is_read_only=True))
    for name in WRITES:
        assert "read-only" in await box.error(name, CASES[name][0])
    await box.set_policy(ToolPolicy())
    for name in WRITES:
        assert "needs a caller with write access" in await box.error(name, CASES[name][0], access=Access.READ)
    assert box.methods() == []


async def test_a_list_of_allowed_channels_keeps_everything_else_as_it_is(box: Toolbox) -> None:
    made = await set_up(box, ConnectionId("conn_acme"))
    await box.set_policy(ToolPolicy(write_channels=("C0RANDOM",)))  # type: ignore[arg-type]
    before = len(box.methods())
    for name in WRITES:
        assert "policy does not let" in await box.error(name, fill(CASES[name][0], made)), name
    # Nothing was uploaded or changed; reading the columns of a list is not a change.
    assert set(box.methods()[before:]) <= {"slackLists.items.list"}


async def test_what_shows_in_a_denied_channel_cannot_be_changed(box: Toolbox) -> None:
    created = await box.ok("SLACK_CREATE_CANVAS", {"title": "C", "channel": GENERAL})
    uploaded = await box.ok("SLACK_UPLOAD_FILE", {"filename": "a.txt", "content": "a", "channel": GENERAL})
    await box.set_policy(ToolPolicy(denied_write_channels=(GENERAL,)))  # type: ignore[arg-type]
    canvas_id = created["canvas_id"]
    edit = {"canvas_id": canvas_id, "operation": "insert_at_end", "markdown": "x"}
    for name, arguments in (
        ("SLACK_EDIT_CANVAS", edit),
        ("SLACK_DELETE_CANVAS", {"canvas_id": canvas_id}),
        ("SLACK_SHARE_CANVAS", {"canvas_id": canvas_id, "access_level": "read", "channels": ["C0RANDOM", GENERAL]}),
        ("SLACK_DELETE_FILE", {"file_id": uploaded["file_id"]}),
        ("SLACK_CREATE_CANVAS", {"title": "D", "channel": GENERAL}),
        ("SLACK_UPLOAD_FILE", {"filename": "a.txt", "content": "a", "channel": GENERAL}),
        ("SLACK_ADD_BOOKMARK", {"channel": GENERAL, "title": "t", "link": "https://x.example"}),
    ):
        assert f"write to the channel {GENERAL}" in await box.error(name, arguments), name
    assert (await box.audited())[0].result == "forbidden"
    free = await box.ok("SLACK_CREATE_CANVAS", {"title": "E", "channel": "#random"})
    await box.ok("SLACK_EDIT_CANVAS", edit | {"canvas_id": free["canvas_id"]})
    # Where Slack does not say where a file shows, it is left alone.
    box.simulator.faults.add(Fault(method="files.info", error="missing_scope"))
    await box.error("SLACK_EDIT_CANVAS", edit | {"canvas_id": free["canvas_id"]})


async def test_what_names_no_file_is_refused_before_slack_is_asked(box: Toolbox) -> None:
    for text in ("C0GENERAL", "f0123456", "F0123456/../x", "https://evil.example/docs/T1/F0123456", "F01"):
        for name, argument in (("SLACK_GET_FILE_INFO", "file_id"), ("SLACK_READ_CANVAS", "canvas_id")):
            assert "is no file" in await box.error(name, {argument: text})
    assert "file_id" in await box.error("SLACK_GET_FILE_INFO", {"file_id": ""})
    assert box.methods() == []
