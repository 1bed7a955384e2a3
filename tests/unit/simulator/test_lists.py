from typing import Any

import httpx2
import pytest

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.files import FILE_METHODS
from slack_mcp.simulator.lists import LIST_METHODS
from slack_mcp.simulator.model import SlackRefusalError

SCHEMA = [
    {"key": "task", "name": "Task", "type": "text", "is_primary_column": True},
    {
        "key": "state",
        "name": "State",
        "type": "select",
        "options": {"choices": [{"value": "open", "label": "Open"}, {"value": "done", "label": "Done"}]},
    },
    {"key": "who", "name": "Who", "type": "user"},
    {"key": "is_late", "name": "Late", "type": "checkbox"},
]


def call(workspace: Workspace, method: str, **args: Any) -> dict[str, Any]:
    run, _ = (LIST_METHODS | FILE_METHODS)[method]
    return run(workspace, Args(args)).body


def refused(workspace: Workspace, method: str, **args: Any) -> str:
    with pytest.raises(SlackRefusalError) as caught:
        call(workspace, method, **args)
    return caught.value.code


def rich(text: str) -> list[dict[str, Any]]:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}, "ignored"]}
    return [{"type": "rich_text", "elements": [section]}]


class Table:
    """A list with its column ids by key."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        made = call(workspace, "slackLists.create", name="Our Tasks", schema=SCHEMA)
        self.list_id = made["list_id"]
        self.columns = {each["key"]: each["id"] for each in made["list_metadata"]["schema"]}

    def cell(self, column: str, key: str, value: Any) -> dict[str, Any]:
        return {"column_id": self.columns[column], key: value}

    def add(self, *fields: dict[str, Any], **more: Any) -> dict[str, Any]:
        made = call(
            self.workspace, "slackLists.items.create", list_id=self.list_id, initial_fields=list(fields), **more
        )
        item: dict[str, Any] = made["item"]
        return item

    def rows(self, **args: Any) -> list[str]:
        return [
            each["id"] for each in call(self.workspace, "slackLists.items.list", list_id=self.list_id, **args)["items"]
        ]


@pytest.fixture
def table(workspace: Workspace) -> Table:
    return Table(workspace)


def test_a_row_shows_its_cells_under_the_key_of_their_type(table: Table) -> None:
    item = table.add(
        table.cell("task", "rich_text", rich("buy milk")),
        table.cell("state", "select", ["open"]),
        table.cell("who", "user", ["UANN1", "UBOT1"]),
        table.cell("is_late", "checkbox", value=True),
    )
    fields = {each["key"]: each for each in item["fields"]}
    assert fields["task"]["text"] == "buy milk"
    assert fields["state"]["value"] == "open"
    assert fields["who"]["user"] == ["UANN1", "UBOT1"]
    assert fields["is_late"]["checkbox"] is True
    assert (item["list_id"], item["created_by"]) == (table.list_id, "UBOT1")


@pytest.mark.parametrize(
    ("column", "key", "value", "error"),
    [
        ("task", "text", "plain", "invalid_input_type"),
        ("task", "rich_text", "plain", "invalid_input_type"),
        ("is_late", "checkbox", ["true"], "invalid_input_type"),
        ("state", "select", ["gone"], "invalid_option_id"),
    ],
)
def test_a_cell_takes_only_what_its_column_holds(table: Table, column: str, key: str, value: Any, error: str) -> None:
    fields = [table.cell(column, key, value)]
    assert refused(table.workspace, "slackLists.items.create", list_id=table.list_id, initial_fields=fields) == error
    assert table.rows() == []


def test_a_column_that_is_not_there_is_refused(table: Table) -> None:
    fields = [{"column_id": "Col404", "rich_text": rich("x")}]
    error = refused(table.workspace, "slackLists.items.create", list_id=table.list_id, initial_fields=fields)
    assert error == "invalid_column_id"


def test_rows_come_in_pages_with_their_list_on_demand(table: Table) -> None:
    made = [table.add()["id"] for _ in range(3)]
    first = call(table.workspace, "slackLists.items.list", list_id=table.list_id, limit=2, include_list="true")
    assert [each["id"] for each in first["items"]] == made[:2]
    assert first["list"]["list_metadata"]["schema"][0]["key"] == "task"
    assert table.rows(cursor=first["response_metadata"]["next_cursor"]) == made[2:]
    assert table.rows(archived="true") == []


def test_sub_rows_and_copies(table: Table) -> None:
    parent = table.add(table.cell("task", "rich_text", rich("whole")))
    child = table.add(parent_item_id=parent["id"])
    copied = table.add(table.cell("state", "select", ["done"]), duplicated_item_id=parent["id"])
    assert child["parent_record_id"] == parent["id"]
    assert [each["key"] for each in copied["fields"]] == ["task", "state"]
    shown = call(
        table.workspace, "slackLists.items.info", list_id=table.list_id, id=parent["id"], include_is_subscribed="true"
    )
    assert (shown["record"]["id"], shown["record"]["is_subscribed"]) == (parent["id"], False)
    assert [each["id"] for each in shown["subtasks"]] == [child["id"]]
    assert [each["key"] for each in shown["record"]["fields"]] == ["task"]
    list_id = table.list_id
    assert (
        refused(table.workspace, "slackLists.items.create", list_id=list_id, parent_item_id="R") == "record_not_found"
    )
    error = refused(table.workspace, "slackLists.items.create", list_id=list_id, duplicated_item_id="R")
    assert error == "duplicated_item_not_found"


def test_cells_are_updated_all_or_none(table: Table) -> None:
    row = table.add(table.cell("state", "select", ["open"]))["id"]
    cells = [
        {"row_id": row} | table.cell("state", "select", ["done"]),
        {"row_id": row} | table.cell("is_late", "checkbox", value=False),
    ]
    wrong = {"row_id": "Rec404"} | table.cell("is_late", "checkbox", value=False)
    args = {"list_id": table.list_id}
    assert refused(table.workspace, "slackLists.items.update", **args, cells=[*cells, wrong]) == "invalid_row_id"
    assert table.workspace.shelf.lists[table.list_id].items[row].fields[table.columns["state"]]["value"] == "open"
    call(table.workspace, "slackLists.items.update", **args, cells=cells)
    record = call(table.workspace, "slackLists.items.info", **args, id=row)["record"]
    assert [each["value"] for each in record["fields"]] == ["done", False]
    assert refused(table.workspace, "slackLists.items.update", **args, cells=["x"]) == "invalid_arguments"


def test_an_update_may_create_a_row(table: Table) -> None:
    cells = [
        {"row_id_to_create": True} | table.cell("task", "rich_text", rich("new")),
        {"row_id_to_create": True} | table.cell("state", "select", ["open"]),
    ]
    call(table.workspace, "slackLists.items.update", list_id=table.list_id, cells=cells)
    (row,) = table.workspace.shelf.lists[table.list_id].items.values()
    assert len(row.fields) == 2


def test_rows_are_deleted_one_by_one_or_together(table: Table) -> None:
    rows = [table.add()["id"] for _ in range(3)]
    args = {"list_id": table.list_id}
    assert refused(table.workspace, "slackLists.items.deleteMultiple", **args, ids=[rows[0], "R"]) == "record_not_found"
    assert table.rows() == rows
    call(table.workspace, "slackLists.items.delete", **args, id=rows[0])
    call(table.workspace, "slackLists.items.deleteMultiple", **args, ids=rows[1:])
    assert table.rows() == []
    assert refused(table.workspace, "slackLists.items.info", **args, id=rows[0]) == "record_not_found"


def test_a_list_is_a_file_with_a_name_that_can_change(table: Table) -> None:
    file = call(table.workspace, "files.info", file=table.list_id)["file"]
    assert (file["filetype"], file["title"]) == ("list", "Our Tasks")
    call(table.workspace, "slackLists.update", id=table.list_id, name="Chores", todo_mode="true", description_blocks=[])
    found = table.workspace.shelf.lists[table.list_id]
    assert table.workspace.shelf.files[table.list_id].title == "Chores"
    assert [each["key"] for each in found.columns][-3:] == ["todo_completed", "todo_assignee", "todo_due_date"]
    call(table.workspace, "slackLists.update", id=table.list_id, todo_mode="true")
    call(table.workspace, "slackLists.update", id=table.list_id)
    assert len(found.columns) == 7


def test_a_list_without_a_schema_has_one_text_column_and_in_todo_mode_three_more(workspace: Workspace) -> None:
    made = call(workspace, "slackLists.create", name="Todo", todo_mode="true")
    assert [each["type"] for each in made["list_metadata"]["schema"]] == [
        "text",
        "todo_completed",
        "todo_assignee",
        "todo_due_date",
    ]


def test_a_list_is_copied_with_its_rows(table: Table) -> None:
    parent = table.add(table.cell("task", "rich_text", rich("whole")))
    table.add(parent_item_id=parent["id"])
    args = {"name": "Copy", "copy_from_list_id": table.list_id}
    empty = call(table.workspace, "slackLists.create", **args)["list_id"]
    full = call(table.workspace, "slackLists.create", **args, include_copied_list_records="true")["list_id"]
    assert table.workspace.shelf.lists[empty].items == {}
    whole, part = table.workspace.shelf.lists[full].items.values()
    assert part.parent_id == whole.item_id
    assert whole.item_id != parent["id"]


@pytest.mark.parametrize(
    "schema",
    [
        ["text"],
        [{"key": "a", "name": "A", "type": "song"}],
        [{"key": "a", "type": "text"}],
        [{"key": "a", "name": "A", "type": "number", "is_primary_column": True}],
        [{"key": each, "name": "A", "type": "text", "is_primary_column": True} for each in "ab"],
    ],
)
def test_what_a_schema_must_not_be(workspace: Workspace, schema: list[Any]) -> None:
    assert refused(workspace, "slackLists.create", name="x", schema=schema) == "invalid_arguments"


def test_a_list_of_others_is_read_and_written_as_far_as_it_is_shared(table: Table) -> None:
    workspace, args = table.workspace, {"list_id": table.list_id}
    call(workspace, "slackLists.access.set", **args, access_level="owner", user_ids=["UANN1"])
    call(workspace, "slackLists.access.set", **args, access_level="read", channel_ids=["C1"])
    table.add()
    workspace.shelf.files[table.list_id].access.pop("UBOT1")
    assert len(table.rows()) == 1
    assert refused(workspace, "slackLists.items.create", **args) == "restricted_action"
    assert refused(workspace, "slackLists.access.delete", **args, channel_ids=["C1"]) == "restricted_action"
    workspace.shelf.files[table.list_id].access["UBOT1"] = "write"
    call(workspace, "slackLists.access.delete", **args, channel_ids=["C1"])
    workspace.shelf.files[table.list_id].access.clear()
    assert refused(workspace, "slackLists.items.list", **args) == "list_not_found"


def test_a_file_that_is_no_list_is_no_list(workspace: Workspace) -> None:
    file = workspace.share_file("UANN1", "C1", "a.txt", b"x").message.files[0]
    assert refused(workspace, "slackLists.items.list", list_id=file["id"]) == "list_not_found"


@pytest.mark.anyio
async def test_an_export_is_csv_for_the_workspaces_token(table: Table, http: httpx2.AsyncClient) -> None:
    table.add(table.cell("task", "rich_text", rich("buy, milk")), table.cell("state", "select", ["open"]))
    job_id = call(table.workspace, "slackLists.download.start", list_id=table.list_id)["job_id"]
    table.add()
    table.workspace.shelf.lists[table.list_id].items[table.add()["id"]].is_archived = True
    later = call(table.workspace, "slackLists.download.start", list_id=table.list_id)["job_id"]
    whole = call(table.workspace, "slackLists.download.start", list_id=table.list_id, include_archived="true")["job_id"]
    jobs = table.workspace.shelf.lists[table.list_id].jobs
    assert [len(jobs[each].splitlines()) for each in (job_id, later, whole)] == [2, 3, 4]
    assert len(table.rows(archived="true")) == 1
    got = call(table.workspace, "slackLists.download.get", list_id=table.list_id, job_id=job_id)
    assert got["status"] == "COMPLETED"
    url = got["download_url"]
    exported = await http.get(url, headers={"Authorization": "Bearer xoxb-1"})
    assert exported.text.splitlines() == ["Task,State,Who,Late", '"buy, milk",open,,']
    assert "Sign in" in (await http.get(url)).text
    assert (await http.get(url + "x", headers={"Authorization": "Bearer xoxb-1"})).status_code == 404
    error = refused(table.workspace, "slackLists.download.get", list_id=table.list_id, job_id="Le404")
    assert error == "job_not_found"
