"""The columns of a Slack list, and what their cells hold: read as people see it, written as Slack takes it.

Source: https://docs.slack.dev/reference/methods/slackLists.create#schema-definition and
https://docs.slack.dev/reference/methods/slackLists.items.create#field-types.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.protocol.answers import mappings, string
from slack_mcp.protocol.message_text import name_ids, read_text
from slack_mcp.tools.call import Call
from slack_mcp.tools.file_fields import parse_file_id
from slack_mcp.tools.tool import Result

Scalar: TypeAlias = str | bool | int | float
Cell: TypeAlias = Scalar | Sequence[Scalar]

MAX_VALUES: Final = 50
_HTTP: Final = re.compile(r"https?://[^\s/]\S*")
# Under which key a column of a type takes its value; every other type is its own key.
_KEYS: Final = MappingProxyType(
    {
        "text": "rich_text",
        "multi_select": "select",
        "todo_completed": "checkbox",
        "todo_assignee": "user",
        "todo_due_date": "date",
    }
)


class Column(Result):
    """A column of a list."""

    id: str
    name: str
    key: str
    type: str
    choices: dict[str, str] | None = Field(default=None, description="Label by value.")

    @property
    def value_key(self) -> str:
        """The key under which Slack keeps the value of a cell."""
        return _KEYS.get(self.type, self.type)


def read_columns(schema: Any) -> Sequence[Column]:
    """Return the columns out of a list's metadata."""
    return [
        Column(
            id=string(each.get("id")),
            name=string(each.get("name")) or string(each.get("key")),
            key=string(each.get("key")),
            type=string(each.get("type")),
            choices=_read_choices(each.get("options")) or None,
        )
        for each in (schema if isinstance(schema, list) else ())
        if isinstance(each, Mapping) and string(each.get("id"))
    ]


def read_schema(answer: Mapping[str, Any]) -> Sequence[Column]:
    """Return the columns of the list that an answer brings along, none when it brings none."""
    told = answer.get("list")
    metadata = told.get("list_metadata") if isinstance(told, Mapping) else None
    return read_columns(metadata.get("schema")) if isinstance(metadata, Mapping) else []


def _read_choices(options: Any) -> dict[str, str]:
    listed = options.get("choices") if isinstance(options, Mapping) else None
    return {
        string(each.get("value")): string(each.get("label"))
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping)
    }


def find_column(columns: Sequence[Column], text: str) -> Column:
    """Return the column that is meant by its id, key or name.

    Raises:
        InvalidInputError: there is none, or several have this name.
    """
    wanted = text.strip().casefold()
    for each in columns:
        if text == each.id:
            return each
    found = [each for each in columns if wanted in {each.key.casefold(), each.name.casefold()}]
    if len(found) != 1:
        known = ", ".join(f"{each.name} ({each.id}, {each.type})" for each in columns) or "none"
        raise InvalidInputError(f"{'No column' if not found else 'Several columns'} {text!r}. The columns: {known}.")
    return found[0]


def make_rich_text(text: str) -> list[dict[str, Any]]:
    """Return a plain text as the rich text that lists take; nothing in it becomes a mention or a link."""
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return [{"type": "rich_text", "elements": [section]}]


async def make_field(call: Call, column: Column, value: Cell) -> dict[str, Any]:
    """Return a cell as Slack takes it.

    Raises:
        InvalidInputError: the value does not fit the column.
    """
    make = _MAKERS.get(column.value_key)
    if make is None:
        raise InvalidInputError(f"{column.name}: a column of the type {column.type} cannot be written here.")
    return {"column_id": column.id, column.value_key: await make(call, column, value)}


async def _make_text(_call: Call, column: Column, value: Cell) -> Any:
    return make_rich_text(_need(column, value, str))


async def _make_checkbox(_call: Call, column: Column, value: Cell) -> Any:
    return _need(column, value, bool)


async def _make_texts(_call: Call, column: Column, value: Cell) -> Any:
    return _list(column, value, str)


async def _make_numbers(_call: Call, column: Column, value: Cell) -> Any:
    return _list(column, value, int, float)


async def _make_integers(_call: Call, column: Column, value: Cell) -> Any:
    return _list(column, value, int)


async def _make_dates(_call: Call, column: Column, value: Cell) -> Any:
    days = _list(column, value, str)
    try:
        return [date.fromisoformat(each).isoformat() for each in days]
    except ValueError:
        raise _refuse(column, "a date such as 2026-01-31") from None


async def _make_people(call: Call, column: Column, value: Cell) -> Any:
    return [await call.resolve_user(each) for each in _list(column, value, str)]


async def _make_channels(call: Call, column: Column, value: Cell) -> Any:
    return [await call.resolve_channel(each) for each in _list(column, value, str)]


async def _make_choices(_call: Call, column: Column, value: Cell) -> Any:
    choices = column.choices or {}
    by_label = {label.casefold(): key for key, label in choices.items()}
    found = []
    for each in _list(column, value, str):
        key = each if each in choices else by_label.get(each.casefold())
        if key is None:
            raise _refuse(column, f"one of {', '.join(choices.values()) or 'no choices'}")
        found.append(key)
    return found


async def _make_links(_call: Call, column: Column, value: Cell) -> Any:
    links = _list(column, value, str)
    if not all(_HTTP.fullmatch(each) for each in links):
        raise _refuse(column, "an http or https address")
    return [{"original_url": each, "display_as_url": True, "display_name": each} for each in links]


async def _make_attachments(_call: Call, column: Column, value: Cell) -> Any:
    return [parse_file_id(each) for each in _list(column, value, str)]


async def _make_references(_call: Call, column: Column, value: Cell) -> Any:
    return [{"file": {"file_id": parse_file_id(each)}} for each in _list(column, value, str)]


_MAKERS: Final[Mapping[str, Callable[[Call, Column, Cell], Awaitable[Any]]]] = MappingProxyType(
    {
        "rich_text": _make_text,
        "checkbox": _make_checkbox,
        "email": _make_texts,
        "phone": _make_texts,
        "message": _make_texts,
        "number": _make_numbers,
        "rating": _make_integers,
        "timestamp": _make_integers,
        "date": _make_dates,
        "user": _make_people,
        "channel": _make_channels,
        "select": _make_choices,
        "link": _make_links,
        "attachment": _make_attachments,
        "reference": _make_references,
    }
)
_WORDS: Final = MappingProxyType({str: "a text", bool: "true or false", int: "a whole number", float: "a number"})


def _need(column: Column, value: Any, *kinds: type) -> Any:
    # A bool is an int to Python, and none to Slack.
    if type(value) not in kinds:
        raise _refuse(column, _WORDS[kinds[-1]])
    return value


def _list(column: Column, value: Cell, *kinds: type) -> Sequence[Any]:
    values = value if isinstance(value, list) else [value]
    return [_need(column, each, *kinds) for each in values]


def _refuse(column: Column, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"{column.name}: this column takes {wanted}.")


def find_cell_ids(field: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
    """Return (people, channels) that a cell names by id."""
    return _strings(field.get("user")), _strings(field.get("channel"))


def read_cell_text(field: Mapping[str, Any]) -> str:
    """Return the text of a cell in Slack's markup, empty where it has none."""
    return read_text({"blocks": field.get("rich_text")}) or string(field.get("text"))


def read_cell(
    field: Mapping[str, Any], column: Column | None, users: Mapping[str, str], channels: Mapping[str, str]
) -> Cell | None:
    """Return what a cell holds as people see it, None when it is empty; names stand beside ids."""
    text = read_cell_text(field)
    if text:
        return name_ids(text, users, channels)
    if isinstance(field.get("checkbox"), bool):
        return bool(field["checkbox"])
    people, places = find_cell_ids(field)
    choices = (column.choices if column else None) or {}
    values: Sequence[Scalar] = [
        *(_beside(users.get(each), each) for each in people),
        *(_beside(f"#{channels[each]}" if each in channels else None, each) for each in places),
        *(choices.get(each, each) for each in _strings(field.get("select"))),
        *(link for each in mappings(field.get("link")) if (link := _read_link(each))),
        *(_read_reference(each) for each in mappings(field.get("reference"))),
        *(each for key in ("date", "email", "phone", "message", "attachment") for each in _strings(field.get(key))),
        *(each for key in ("number", "rating", "timestamp", "vote") for each in _numbers(field.get(key))),
    ]
    if not values:
        value = field.get("value")
        return value if isinstance(value, str | bool | int | float) and value != "" else None
    return values[0] if len(values) == 1 else values


def _beside(name: str | None, of_id: str) -> str:
    return f"{name} ({of_id})" if name else of_id


def _read_link(link: Mapping[str, Any]) -> str:
    """Slack takes and gives links in two forms: see slackLists.items.create and slackLists.items.list."""
    url = string(link.get("original_url")) or string(link.get("url"))
    label = string(link.get("display_name")) or string(link.get("text"))
    return f"{label} ({url})" if label and label != url else url


def _strings(value: Any) -> Sequence[str]:
    return [each for each in (value if isinstance(value, list) else ()) if isinstance(each, str)]


def _numbers(value: Any) -> Sequence[int | float]:
    return [each for each in (value if isinstance(value, list) else ()) if isinstance(each, int | float)]


def _read_reference(reference: Mapping[str, Any]) -> str:
    file = reference.get("file")
    return string(file.get("file_id")) if isinstance(file, Mapping) else ""
