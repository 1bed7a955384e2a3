"""The columns, cells and rows of a list. Pure.

Column types and what their cells hold: https://docs.slack.dev/reference/methods/slackLists.create
"""

import csv
import io
import json
from typing import Any

from slack_mcp.simulator.artifacts import ListItem, SlackList, new_id
from slack_mcp.simulator.model import Json, SlackRefusalError

_TODO_COLUMNS = (
    {"key": "todo_completed", "name": "Completed", "type": "todo_completed"},
    {"key": "todo_assignee", "name": "Assignee", "type": "todo_assignee"},
    {"key": "todo_due_date", "name": "Due date", "type": "todo_due_date"},
)
_VALUE_KEYS = {
    "text": "rich_text",
    "rich_text": "rich_text",
    "todo_completed": "checkbox",
    "todo_assignee": "user",
    "todo_due_date": "date",
}
"""Under which key a column of a type takes its value; every other type is its own key."""
_TYPES = frozenset(
    {
        *("text", "rich_text", "message", "number", "select", "multi_select", "date", "user", "attachment"),
        *("checkbox", "email", "phone", "channel", "rating", "canvas", "link", "timestamp", "vote", "reference"),
        *("todo_completed", "todo_assignee", "todo_due_date"),
    }
)


def make_columns(schema: list[Any] | None) -> list[Json]:
    """Return the columns of a schema with new ids; one text column when there is none."""
    wanted: list[Any] = schema or [{"key": "name", "name": "Name", "type": "text", "is_primary_column": True}]
    columns = []
    for each in wanted:
        if not isinstance(each, dict) or not each.get("key") or not each.get("name") or each.get("type") not in _TYPES:
            raise SlackRefusalError("invalid_arguments")
        columns.append({"is_primary_column": False} | each | {"id": new_id("Col")})
    primary = [each for each in columns if each["is_primary_column"]]
    if len(primary) > 1 or any(each["type"] != "text" for each in primary):
        raise SlackRefusalError("invalid_arguments")
    return columns


def add_todo_columns(found: SlackList) -> None:
    """Give a list in todo mode the columns that it lacks."""
    there = {column["key"] for column in found.columns}
    if found.is_todo:
        found.columns += [
            {"is_primary_column": False} | each | {"id": new_id("Col")}
            for each in _TODO_COLUMNS
            if each["key"] not in there
        ]


def set_field(found: SlackList, item: ListItem, given: Json) -> None:
    """Put a value into a row, or raise SlackRefusalError for a column, key or option that is not there."""
    column = next((each for each in found.columns if each["id"] == given.get("column_id")), None)
    if column is None:
        raise SlackRefusalError("invalid_column_id")
    key = _value_key(column["type"])
    if key not in given:
        raise SlackRefusalError("invalid_input_type")
    value = given[key]
    if not isinstance(value, bool if key == "checkbox" else list):
        raise SlackRefusalError("invalid_input_type")
    if key == "select" and isinstance(value, list):
        choices = {each.get("value") for each in (column.get("options") or {}).get("choices") or []}
        if any(each not in choices for each in value):
            raise SlackRefusalError("invalid_option_id")
    field: Json = {"key": column["key"], "column_id": column["id"], "value": _scalar(key, value), key: value}
    if key == "rich_text":
        field["text"] = _plain_text(value)
    item.fields[column["id"]] = field


def _value_key(kind: str) -> str:
    return "select" if kind == "multi_select" else _VALUE_KEYS.get(kind, kind)


def _scalar(key: str, value: Any) -> Any:
    if key == "rich_text":
        return json.dumps(value)
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value


def _plain_text(node: Any) -> str:
    if isinstance(node, list):
        return "".join(_plain_text(each) for each in node)
    if not isinstance(node, dict):
        return ""
    return str(node.get("text", "")) + _plain_text(node.get("elements", []))


def render_item(found: SlackList, item: ListItem) -> Json:
    """Return a row, as https://docs.slack.dev/reference/methods/slackLists.items.create shows it."""
    body: Json = {
        "id": item.item_id,
        "list_id": found.list_id,
        "date_created": item.created_s,
        "created_by": item.created_by,
        "updated_by": item.updated_by,
        "updated_timestamp": str(item.updated_s),
        "fields": [item.fields[each["id"]] for each in found.columns if each["id"] in item.fields],
    }
    return body if item.parent_id is None else body | {"parent_record_id": item.parent_id}


def render_csv(found: SlackList, *, with_archived: bool) -> bytes:
    """Return the rows as CSV, the names of the columns first."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column["name"] for column in found.columns])
    for item in found.items.values():
        if with_archived or not item.is_archived:
            fields = [item.fields.get(column["id"], {}) for column in found.columns]
            writer.writerow([each.get("text", each.get("value", "")) for each in fields])
    return out.getvalue().encode()
