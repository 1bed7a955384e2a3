"""Lists and their items."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, BOT, GENERAL, Toolbox, open_toolbox

from slack_mcp.simulator.faults import Fault
from slack_mcp.tools import list_item_changes, list_items, lists

pytestmark = pytest.mark.anyio

CREATE, SHARE = "SLACK_CREATE_LIST", "SLACK_SHARE_LIST"
LIST, GET = "SLACK_LIST_LIST_ITEMS", "SLACK_GET_LIST_ITEM"
ADD, UPDATE, DELETE = "SLACK_ADD_LIST_ITEM", "SLACK_UPDATE_LIST_ITEM", "SLACK_DELETE_LIST_ITEM"
COLUMNS: list[dict[str, Any]] = [
    {"name": "Task", "type": "text"},
    {"name": "State", "type": "select", "choices": ["To do", "Done!"]},
    {"name": "Who", "type": "user"},
    {"name": "Where", "type": "channel"},
    {"name": "Due", "type": "date"},
    {"name": "Late?", "type": "checkbox"},
    {"name": "Points", "type": "number"},
    {"name": "Stars", "type": "rating"},
    {"name": "Mail", "type": "email"},
    {"name": "Link", "type": "link"},
    {"name": "Labels", "type": "multi_select", "choices": ["a", "b"]},
    {"name": "Files", "type": "attachment"},
    {"name": "Other list", "type": "reference"},
]
FULL: dict[str, Any] = {
    "Task": "Write <it> & *ship*",
    "state": "done!",
    "Who": ["@ann", ANN],
    "Where": "#general",
    "due": "2026-01-31",
    "Late?": True,
    "Points": 1.5,
    "Stars": 4,
    "Mail": "a@x.example",
    "Link": "https://x.example/a",
    "Labels": ["a", "b"],
    "Files": "F0123456",
    "Other list": "F0123457",
}


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox((*lists.TOOLS, *list_items.TOOLS, *list_item_changes.TOOLS)) as toolbox:
        yield toolbox


async def create(box: Toolbox, **arguments: Any) -> str:
    return str((await box.ok(CREATE, {"name": "Tasks", "columns": COLUMNS} | arguments))["list_id"])


async def add(box: Toolbox, list_id: str, fields: dict[str, Any], **more: Any) -> str:
    return str((await box.ok(ADD, {"list_id": list_id, "fields": fields} | more))["item_id"])


async def test_a_list_is_made_with_its_columns(box: Toolbox) -> None:
    told = await box.ok(CREATE, {"name": "Tasks", "description": "Ours", "columns": COLUMNS, "todo_mode": True})
    columns = {each["name"]: each for each in told["columns"]}
    assert list(columns)[:3] == ["Task", "State", "Who"]
    assert columns["State"]["choices"] == {"to_do": "To do", "done": "Done!"}
    assert columns["Late?"]["key"] == "late"
    assert "Completed" in columns
    made = box.workspace().shelf.lists[told["list_id"]]
    assert [each["key"] for each in made.columns if each["is_primary_column"]] == ["task"]
    assert made.description_blocks[0]["elements"][0]["elements"][0]["text"] == "Ours"
    assert (await box.audited())[0].target == told["list_id"]
    assert len((await box.ok(CREATE, {"name": "Plain"}))["columns"]) == 1


async def test_columns_that_cannot_be_are_named(box: Toolbox) -> None:
    for columns, expected in (
        ([{"name": "a", "type": "number"}], "type text"),
        ([{"name": "a", "type": "text"}, {"name": "b", "type": "select"}], "b: choices"),
        ([{"name": "a", "type": "text", "choices": ["x"]}], "a: choices"),
        ([{"name": "a", "type": "formula"}], "columns.0.type"),
        ([{"type": "text"}], "columns.0.name is required"),
        ([{"name": "a", "type": "text", "width": 1}], "columns.0.width is not an argument"),
        ([], "columns"),
    ):
        assert expected in await box.error(CREATE, {"name": "x", "columns": columns})
    assert "name is required" in await box.error(CREATE, {})
    assert box.workspace().shelf.lists == {}


async def test_columns_of_the_same_name_have_keys_of_their_own(box: Toolbox) -> None:
    columns = [{"name": "A", "type": "text"}, {"name": "a!", "type": "text"}, {"name": "日本", "type": "text"}]
    told = await box.ok(CREATE, {"name": "x", "columns": columns})
    assert [each["key"] for each in told["columns"]] == ["a", "a_2", "key_3"]


async def test_every_kind_of_cell_is_written_and_read_as_people_see_it(box: Toolbox) -> None:
    list_id = await create(box)
    item_id = await add(box, list_id, FULL)
    expected = {
        "Task": "Write <it> & *ship*",
        "State": "Done!",
        "Who": [f"ann ({ANN})"] * 2,
        "Where": f"#general ({GENERAL})",
        "Due": "2026-01-31",
        "Late?": True,
        "Points": 1.5,
        "Stars": 4,
        "Mail": "a@x.example",
        "Link": "https://x.example/a",
        "Labels": ["a", "b"],
        "Files": "F0123456",
        "Other list": "F0123457",
    }
    assert await box.ok(LIST, {"list_id": list_id}) == {"items": [{"id": item_id, "fields": expected}]}
    line = await box.text(LIST, {"list_id": list_id})
    assert line.startswith(
        f"- {item_id} Task: Write <it> & *ship*; State: Done!; Who: ann ({ANN}), ann ({ANN}); Where: "
    )
    assert "Late?: yes; Points: 1.5" in line
    assert (await box.audited())[0].target == f"{list_id} {item_id}"


async def test_the_columns_are_told_when_they_are_asked_for(box: Toolbox) -> None:
    list_id = await create(box)
    await add(box, list_id, {"Task": "x"})
    told = await box.ok(LIST, {"list_id": list_id, "include_columns": True})
    assert [each["name"] for each in told["columns"]] == [each["name"] for each in COLUMNS]
    text = await box.text(LIST, {"list_id": list_id, "include_columns": True})
    assert "State (" in text
    assert "select: To do, Done!)" in text
    assert "Task (" not in await box.text(LIST, {"list_id": list_id})
    assert await box.text(LIST, {"list_id": await create(box)}) == "No items."


async def test_values_that_do_not_fit_are_named_with_what_does(box: Toolbox) -> None:
    list_id = await create(box)
    for fields, expected in (
        ({"Nope": "x"}, "No column 'Nope'. The columns: Task ("),
        ({"Task": 1}, "Task: this column takes a text"),
        ({"Task": ["a"]}, "takes a text"),
        ({"State": "open"}, "one of To do, Done!"),
        ({"Due": "tomorrow"}, "2026-01-31"),
        ({"Late?": "yes"}, "true or false"),
        ({"Late?": 1}, "true or false"),
        ({"Points": "1"}, "a number"),
        ({"Points": True}, "a number"),
        ({"Stars": 1.5}, "a whole number"),
        ({"Who": "@nobody"}, "nobody called"),
        ({"Where": "#nowhere"}, "no channel"),
        ({"Link": "javascript:alert(1)"}, "http or https"),
        ({"Files": "x"}, "is no file"),
        ({"Task": "a", "task": "b"}, "named twice"),
        ({"Task": None}, "fields.Task"),
        ({"Task": {"a": 1}}, "fields.Task"),
        ({"Labels": []}, "fields.Labels"),
        ({}, "fields"),
    ):
        assert expected in await box.error(ADD, {"list_id": list_id, "fields": fields}), fields
    assert box.workspace().shelf.lists[list_id].items == {}


async def test_cells_are_changed_and_the_others_stay(box: Toolbox) -> None:
    list_id = await create(box)
    item_id = await add(box, list_id, {"Task": "a", "Points": 1})
    column = next(each["id"] for each in box.workspace().shelf.lists[list_id].columns if each["key"] == "points")
    changed = {"list_id": list_id, "item_id": item_id, "fields": {column: 2, "Late?": False}}
    assert await box.ok(UPDATE, changed) == {"list_id": list_id, "item_id": item_id}
    (item,) = (await box.ok(LIST, {"list_id": list_id}))["items"]
    assert item["fields"] == {"Task": "a", "Points": 2, "Late?": False}
    assert (await box.audited())[0].target == f"{item_id} {list_id}"
    assert "no such item" in await box.error(UPDATE, changed | {"item_id": "Rec0"})
    assert "item_id" in await box.error(UPDATE, changed | {"item_id": "../x"})


async def test_an_item_is_shown_with_those_in_it(box: Toolbox) -> None:
    list_id = await create(box)
    item_id = await add(box, list_id, {"Task": "a\nb"})
    below = await add(box, list_id, {"Task": "c"}, parent_item_id=item_id)
    told = await box.ok(GET, {"list_id": list_id, "item_id": item_id})
    assert told["item"] == {"id": item_id, "fields": {"Task": "a\nb"}}
    assert told["subtasks"] == [{"id": below, "fields": {"Task": "c"}, "parent_item_id": item_id}]
    assert (told["list_title"], told["created_by"]) == ("Tasks", BOT)
    text = await box.text(GET, {"list_id": list_id, "item_id": item_id})
    assert text == f"- {item_id} Task: a\n  b\n  - {below} Task: c (in {item_id})"
    assert "no such item" in await box.error(GET, {"list_id": list_id, "item_id": "Rec0"})


async def test_an_item_is_deleted_once(box: Toolbox) -> None:
    list_id = await create(box)
    item_id = await add(box, list_id, {"Task": "a"})
    gone = {"list_id": list_id, "item_id": item_id}
    assert await box.ok(DELETE, gone) == gone | {"changed": True}
    assert await box.ok(DELETE, gone) == gone | {"changed": False}
    assert "no such list" in await box.error(DELETE, gone | {"list_id": "F0000000"})


async def test_a_long_list_comes_in_pages_and_nothing_twice(box: Toolbox) -> None:
    list_id = await create(box)
    made = [await add(box, list_id, {"Task": f"{number} {'x' * 300}"}) for number in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while cursor is not None or not seen:
        more = {"cursor": cursor} if cursor else {}
        page = await box.ok(LIST, {"list_id": list_id, "limit": 4, "max_tokens": 200} | more)
        seen += [each["id"] for each in page["items"]]
        cursor = page.get("next_cursor")
    assert seen == made


async def test_a_list_as_csv_has_its_own_columns(box: Toolbox) -> None:
    list_id = await create(box)
    first = await add(box, list_id, {"Task": "=1+1", "Points": 2})
    second = await add(box, list_id, {"Who": [ANN, BOT]}, parent_item_id=first)
    text = await box.text(LIST, {"list_id": list_id, "format": "csv"})
    assert text.splitlines() == [
        "item_id,Task,Points,Who,parent_item_id",
        f"{first},'=1+1,2,,",
        f'{second},,,"[""ann ({ANN})"",""bot ({BOT})""]",{first}',
    ]
    assert await box.text(LIST, {"list_id": await create(box), "format": "csv"}) == ""


async def test_archived_items_are_apart(box: Toolbox) -> None:
    list_id = await create(box)
    item_id = await add(box, list_id, {"Task": "a"})
    box.workspace().shelf.lists[list_id].items[item_id].is_archived = True
    assert (await box.ok(LIST, {"list_id": list_id}))["items"] == []
    assert len((await box.ok(LIST, {"list_id": list_id, "archived": True}))["items"]) == 1


async def test_a_list_is_opened_to_others(box: Toolbox) -> None:
    list_id = await create(box)
    told = await box.ok(SHARE, {"list_id": list_id, "access_level": "write", "channels": ["#general"]})
    assert told == {"access_level": "write", "channels": [GENERAL]}
    assert box.workspace().shelf.files[list_id].access == {GENERAL: "write"}


async def test_a_list_that_the_bot_may_only_read_is_not_changed(box: Toolbox) -> None:
    list_id = await create(box)
    file = box.workspace().shelf.files[list_id]
    file.user_id, file.access = ANN, {BOT: "read"}
    assert "restricted_action" in await box.error(ADD, {"list_id": list_id, "fields": {"Task": "a"}})
    assert (await box.ok(LIST, {"list_id": list_id}))["items"] == []


async def test_what_slack_refuses_of_a_cell_is_told(box: Toolbox) -> None:
    list_id = await create(box)
    box.simulator.faults.add(Fault(method="slackLists.items.create", error="uneditable_column"))
    assert "leave it out" in await box.error(ADD, {"list_id": list_id, "fields": {"Task": "a"}})
