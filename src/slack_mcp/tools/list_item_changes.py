"""Writing the items of a list. Source: https://docs.slack.dev/reference/methods/slackLists.items.update."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.file_fields import ListText, check_places, parse_file_id
from slack_mcp.tools.list_columns import MAX_VALUES, Cell, Column, find_column, make_field, read_schema
from slack_mcp.tools.list_items import ItemId
from slack_mcp.tools.lists import WRITES
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

# The columns have to be read before a cell can be written.
_READS_AND_WRITES: Final = Needs(bot=("lists:read", "lists:write"))

_Text: TypeAlias = Annotated[str, Field(max_length=10_000)]
_Value: TypeAlias = _Text | bool | int | Annotated[float, Field(allow_inf_nan=False)]
_Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Fields: TypeAlias = Annotated[
    dict[_Name, _Value | Annotated[list[_Value], Field(min_length=1, max_length=MAX_VALUES)]],
    Field(
        min_length=1,
        max_length=100,
        description="Values by column (name, key or id): text, number, true/false, YYYY-MM-DD, a person, a channel, "
        "the label of a choice, or a list of these.",
    ),
]


class AddListItemArguments(Arguments):
    """What the new item holds."""

    list_id: ListText
    fields: Fields
    parent_item_id: ItemId | None = None


class UpdateListItemArguments(Arguments):
    """What to change."""

    list_id: ListText
    item_id: ItemId
    fields: Fields


class DeleteListItemArguments(Arguments):
    """Which item."""

    list_id: ListText
    item_id: ItemId


class ItemResult(Result):
    """Which item it is."""

    list_id: str
    item_id: str


class DeleteListItemResult(Result):
    """Whether it was there to be deleted."""

    list_id: str
    item_id: str
    changed: bool


async def _add_item(call: Call, arguments: AddListItemArguments) -> ItemResult:
    list_id = parse_file_id(arguments.list_id)
    await check_places(call, list_id)
    answer = await call.bot.write(
        "slackLists.items.create",
        list_id=list_id,
        parent_item_id=arguments.parent_item_id,
        initial_fields=await _make_fields(call, list_id, arguments.fields),
    )
    item_id = str(answer["item"]["id"])
    call.targets.append(item_id)
    return ItemResult(list_id=list_id, item_id=item_id)


async def _update_item(call: Call, arguments: UpdateListItemArguments) -> ItemResult:
    list_id = parse_file_id(arguments.list_id)
    await check_places(call, list_id)
    made = await _make_fields(call, list_id, arguments.fields)
    call.targets.append(arguments.item_id)
    await call.bot.write(
        "slackLists.items.update", list_id=list_id, cells=[{"row_id": arguments.item_id} | each for each in made]
    )
    return ItemResult(list_id=list_id, item_id=arguments.item_id)


async def _delete_item(call: Call, arguments: DeleteListItemArguments) -> DeleteListItemResult:
    list_id = parse_file_id(arguments.list_id)
    await check_places(call, list_id)
    changed = True
    try:
        await call.bot.write("slackLists.items.delete", list_id=list_id, id=arguments.item_id)
    except SlackRefusedError as error:
        if not is_refusal(error, "record_not_found", "record_deleted"):
            raise
        changed = False
    return DeleteListItemResult(list_id=list_id, item_id=arguments.item_id, changed=changed)


async def _make_fields(call: Call, list_id: str, given: Mapping[str, Cell]) -> list[dict[str, Any]]:
    """Return the cells as Slack takes them; raises InvalidInputError."""
    columns = await _fetch_columns(call, list_id)
    chosen = [(find_column(columns, name), value) for name, value in given.items()]
    if len({column.id for column, _ in chosen}) < len(chosen):
        raise InvalidInputError("fields: the same column is named twice.")
    return [await make_field(call, column, value) for column, value in chosen]


async def _fetch_columns(call: Call, list_id: str) -> Sequence[Column]:
    """Return the columns of a list. Slack has no method for the list alone: its items bring it along."""
    answer = await call.bot.read("slackLists.items.list", list_id=list_id, limit=1, include_list=True)
    columns = read_schema(answer)
    items = answer.get("items")
    if not columns and items:
        columns = read_schema(await call.bot.read("slackLists.items.info", list_id=list_id, id=items[0]["id"]))
    return columns


TOOLS: Final = (
    Tool(
        name="SLACK_ADD_LIST_ITEM",
        title="Add an item to a list",
        description="Adds an item to a Slack list, or to another item.",
        arguments=AddListItemArguments,
        result=ItemResult,
        run=_add_item,
        access=Access.WRITE,
        needs=_READS_AND_WRITES,
    ),
    Tool(
        name="SLACK_UPDATE_LIST_ITEM",
        title="Change an item of a list",
        description="Changes cells of an item of a Slack list; what is not given stays.",
        arguments=UpdateListItemArguments,
        result=ItemResult,
        run=_update_item,
        access=Access.WRITE,
        needs=_READS_AND_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_DELETE_LIST_ITEM",
        title="Delete an item of a list",
        description="Deletes an item of a Slack list. It cannot be brought back.",
        arguments=DeleteListItemArguments,
        result=DeleteListItemResult,
        run=_delete_item,
        access=Access.WRITE,
        needs=WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
)
