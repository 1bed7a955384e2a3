"""Lists: Slack's tables. See `list_items` for their rows. Source: https://docs.slack.dev/surfaces/lists."""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.model import Access
from slack_mcp.tools.call import Call
from slack_mcp.tools.file_fields import ListText, parse_file_id
from slack_mcp.tools.list_columns import Column, make_rich_text, read_columns
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.sharing import ShareArguments, ShareResult, share
from slack_mcp.tools.tool import Arguments, Result, Tool

WRITES: Final = Needs(bot=("lists:write",))
# https://docs.slack.dev/reference/methods/slackLists.create
_COLORS: Final = ("red", "yellow", "green")
_NO_KEY: Final = re.compile(r"[^a-z0-9]+")
_SELECTS: Final = frozenset({"select", "multi_select"})


class NewColumn(Arguments):
    """A column to be made."""

    name: str = Field(min_length=1, max_length=100)
    type: Literal[
        "text",
        "number",
        "select",
        "multi_select",
        "date",
        "user",
        "channel",
        "checkbox",
        "email",
        "phone",
        "link",
        "rating",
        "timestamp",
        "message",
        "attachment",
        "reference",
    ]
    choices: list[str] | None = Field(
        default=None, min_length=1, max_length=100, description="Of a select or multi_select."
    )


class CreateListArguments(Arguments):
    """What the list is like."""

    name: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, min_length=1, max_length=3_000)
    columns: list[NewColumn] | None = Field(
        default=None,
        min_length=1,
        max_length=30,
        description="One must be text: the first such is what items are called by. They cannot be changed later.",
    )
    todo_mode: bool = Field(default=False, description="Add the columns Completed, Assignee and Due date.")


class CreateListResult(Result):
    """The list."""

    list_id: str
    columns: Sequence[Column]


class ShareListArguments(ShareArguments):
    """Which list, and for whom."""

    list_id: ListText


async def _create(call: Call, arguments: CreateListArguments) -> CreateListResult:
    answer = await call.bot.write(
        "slackLists.create",
        name=arguments.name,
        description_blocks=None if arguments.description is None else make_rich_text(arguments.description),
        schema=None if arguments.columns is None else _make_schema(arguments.columns),
        todo_mode=arguments.todo_mode,
    )
    call.targets.append(answer["list_id"])
    metadata = answer.get("list_metadata")
    columns = read_columns(metadata.get("schema")) if isinstance(metadata, dict) else ()
    return CreateListResult(list_id=answer["list_id"], columns=columns)


def _make_schema(columns: Sequence[NewColumn]) -> list[dict[str, Any]]:
    """Return the columns as Slack takes them.

    Raises:
        InvalidInputError: none can be the primary one, or choices are missing or out of place.
    """
    primary = next((number for number, each in enumerate(columns) if each.type == "text"), None)
    if primary is None:
        raise InvalidInputError("columns: one of them must have the type text, by which the items are called.")
    schema: list[dict[str, Any]] = []
    for number, (column, key) in enumerate(zip(columns, _make_keys([each.name for each in columns]), strict=True)):
        made: dict[str, Any] = {"key": key, "name": column.name, "type": column.type}
        if number == primary:
            made["is_primary_column"] = True
        if (column.type in _SELECTS) != bool(column.choices):
            raise InvalidInputError(
                f"columns: {column.name}: choices belong to select and multi_select, and only there."
            )
        if column.choices:
            made["options"] = {"choices": _make_choices(column.choices)}
            if column.type == "multi_select":
                made["options"]["format"] = column.type
        schema.append(made)
    return schema


def _make_choices(labels: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"value": value, "label": label, "color": _COLORS[number % len(_COLORS)]}
        for number, (label, value) in enumerate(zip(labels, _make_keys(labels), strict=True))
    ]


def _make_keys(names: Sequence[str]) -> Sequence[str]:
    """Return a key for each name, all different."""
    keys: list[str] = []
    for number, name in enumerate(names, 1):
        key = _NO_KEY.sub("_", name.casefold()).strip("_") or f"key_{number}"
        keys.append(f"{key}_{number}" if key in keys else key)
    return keys


async def _share(call: Call, arguments: ShareListArguments) -> ShareResult:
    return await share(call, "slackLists.access.set", arguments, list_id=parse_file_id(arguments.list_id))


TOOLS: Final = (
    Tool(
        name="SLACK_CREATE_LIST",
        title="Create a list",
        description="Creates a list (a table of items). Only the bot sees it before SLACK_SHARE_LIST opens it.",
        arguments=CreateListArguments,
        result=CreateListResult,
        run=_create,
        access=Access.WRITE,
        needs=WRITES,
    ),
    Tool(
        name="SLACK_SHARE_LIST",
        title="Open a list to others",
        description="Lets people, or the members of channels, read or change a list. It sends no message.",
        arguments=ShareListArguments,
        result=ShareResult,
        run=_share,
        access=Access.WRITE,
        needs=WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
)
