"""The items of a list: its rows, as they are read; `list_item_changes` writes them.

Source: https://docs.slack.dev/reference/methods/slackLists.items.list.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import BaseModel, Field

from slack_mcp.protocol.answers import string
from slack_mcp.tools.call import Call
from slack_mcp.tools.file_fields import ListText, parse_file_id
from slack_mcp.tools.list_columns import Cell, Column, find_cell_ids, read_cell, read_cell_text, read_schema
from slack_mcp.tools.listing import Item, ListArguments, ListResult, fetch_page, render_table
from slack_mcp.tools.message_items import find_names, indent
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

_READS: Final = Needs(bot=("lists:read",))

# The columns of the CSV that are none of the list's own.
_ITEM: Final = "item_id"
_PARENT: Final = "parent_item_id"

ItemId: TypeAlias = Annotated[str, Field(max_length=50, pattern=r"^[A-Za-z0-9]+$", description="Item: id (Rec…).")]


class ListListItemsArguments(ListArguments):
    """Of which list."""

    list_id: ListText
    archived: bool = Field(default=False, description="The archived items in place of the others.")
    include_columns: bool = Field(default=False, description="Also the columns, with their types and choices.")


class ListItem(Item):
    """An item."""

    id: str
    fields: dict[str, Any] = Field(description="Values by column.")
    parent_item_id: str | None = None

    def render_line(self) -> str:
        """Return it as Markdown."""
        cells = "; ".join(f"{name}: {indent(_render(value))}" for name, value in self.fields.items())
        return f"- {self.id} {cells}{f' (in {self.parent_item_id})' if self.parent_item_id else ''}".rstrip()


class ListListItemsResult(ListResult):
    """Items, oldest first."""

    ITEMS: ClassVar[str] = "items"

    items: Sequence[ListItem]
    columns: Sequence[Column] | None = None

    def render_text(self, arguments: BaseModel) -> str:
        """Return the page; as CSV it has the list's own columns."""
        if getattr(arguments, "format", None) != "csv" or not self.items:
            return super().render_text(arguments)
        names = dict.fromkeys(name for item in self.items for name in item.fields)
        rows = [item.fields | {_ITEM: item.id, _PARENT: item.parent_item_id} for item in self.items]
        return "\n".join([render_table([_ITEM, *names, _PARENT], rows), *self._render_foot()])

    def render_head(self) -> str:
        """Return the columns, when they were asked for."""
        head = super().render_head()
        return "\n".join([*(_render_column(each) for each in self.columns or ()), *([head] if head else [])])


class GetListItemArguments(Arguments):
    """Which item."""

    list_id: ListText
    item_id: ItemId


class GetListItemResult(Result):
    """An item, and those in it."""

    list_id: str
    list_title: str | None = None
    item: ListItem
    subtasks: Sequence[ListItem]
    created_by: str | None = None
    created_by_name: str | None = None

    def render_text(self, _arguments: BaseModel) -> str:
        """Return it as Markdown."""
        return "\n".join([self.item.render_line(), *(f"  {each.render_line()}" for each in self.subtasks)])


def _render(value: Cell) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _render_column(column: Column) -> str:
    choices = f": {', '.join(column.choices.values())}" if column.choices else ""
    return f"{column.name} ({column.id}, {column.type}{choices})"


async def _list_items(call: Call, arguments: ListListItemsArguments) -> ListListItemsResult:
    columns: list[Column] = []

    async def describe(entries: Sequence[Mapping[str, Any]]) -> Sequence[ListItem]:
        return await _describe(call, entries, columns)

    items, next_cursor = await fetch_page(
        call.bot,
        "slackLists.items.list",
        arguments,
        key="items",
        make=describe,
        see=lambda answer: columns.extend(read_schema(answer)),
        list_id=parse_file_id(arguments.list_id),
        archived=arguments.archived or None,
        include_list=True,
    )
    return ListListItemsResult(
        items=items, next_cursor=next_cursor, columns=columns if arguments.include_columns else None
    )


async def _get_item(call: Call, arguments: GetListItemArguments) -> GetListItemResult:
    list_id = parse_file_id(arguments.list_id)
    answer = await call.bot.read("slackLists.items.info", list_id=list_id, id=arguments.item_id)
    subtasks = answer.get("subtasks")
    records = [answer["record"], *(subtasks if isinstance(subtasks, list) else ())]
    item, *others = await _describe(call, records, read_schema(answer))
    created_by = string(answer["record"].get("created_by"))
    names, _ = await find_names(call, users=[created_by])
    told = answer.get("list")
    return GetListItemResult(
        list_id=list_id,
        list_title=string(told.get("title")) or None if isinstance(told, Mapping) else None,
        item=item,
        subtasks=others,
        created_by=created_by or None,
        created_by_name=names.get(created_by),
    )


async def _describe(call: Call, entries: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Sequence[ListItem]:
    """Return the items, one for each row and in order; the names cost at most one batch."""
    rows = [[each for each in entry.get("fields") or () if isinstance(each, Mapping)] for entry in entries]
    cells = [cell for row in rows for cell in row]
    ids = [find_cell_ids(cell) for cell in cells]
    users, channels = await find_names(
        call,
        [read_cell_text(cell) for cell in cells],
        users=[each for people, _ in ids for each in people],
        channels=[each for _, places in ids for each in places],
    )
    by_id = {column.id: column for column in columns}
    items = []
    for entry, row in zip(entries, rows, strict=True):
        fields: dict[str, Any] = {}
        for cell in row:
            column = by_id.get(string(cell.get("column_id")))
            value = read_cell(cell, column, users, channels)
            if value is not None:
                fields[_name_column(column, cell, fields)] = value
        items.append(
            ListItem(
                id=string(entry.get("id")), fields=fields, parent_item_id=string(entry.get("parent_record_id")) or None
            )
        )
    return items


def _name_column(column: Column | None, cell: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    """Return what a column is called; by its id where several are called the same."""
    of_id = string(cell.get("column_id"))
    name = column.name if column is not None else string(cell.get("key")) or of_id
    return of_id if name in taken else name


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_LIST_ITEMS",
        title="List the items of a list",
        description="Returns the items (rows) of a Slack list, which is a table; SLACK_LIST_FILES finds lists.",
        arguments=ListListItemsArguments,
        result=ListListItemsResult,
        run=_list_items,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_LIST_ITEM",
        title="Show an item of a list",
        description="Returns one item of a Slack list, and the items in it.",
        arguments=GetListItemArguments,
        result=GetListItemResult,
        run=_get_item,
        needs=_READS,
    ),
)
