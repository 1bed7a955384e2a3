"""Canvases: Slack's documents. Source: https://docs.slack.dev/surfaces/canvases."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import mappings, string
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.downloads import download_canvas
from slack_mcp.tools.fields import ChannelText
from slack_mcp.tools.file_fields import CanvasText, check_places, parse_file_id
from slack_mcp.tools.message_items import find_names
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.previews import check_markdown
from slack_mcp.tools.sharing import ShareArguments, ShareResult, share
from slack_mcp.tools.text_pages import TextArguments, cut_page, render_page
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_MARKDOWN_CHARS: Final = 200_000
MAX_SECTIONS: Final = 100
_WRITES: Final = Needs(bot=("canvases:write",))
_MENTION: Final = re.compile(r"!\[[^\[\]\n]{0,100}\]\(([@#])([A-Z][A-Z0-9]{5,30})\)")
_EVERYTHING: Final = "replace_all"
# https://docs.slack.dev/reference/methods/canvases.edit
_WITH_SECTION: Final = frozenset({"insert_after", "insert_before", "replace", "delete"})
_WITH_MARKDOWN: Final = frozenset(
    {"insert_after", "insert_before", "insert_at_start", "insert_at_end", "replace", _EVERYTHING}
)

_EMBEDDING: Final = "Let it embed pages and images, ![](https://…); Slack fetches them."


class CreateCanvasArguments(Arguments):
    """What is in it, and where it shows."""

    title: str = Field(min_length=1, max_length=255)
    markdown: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MARKDOWN_CHARS,
        description="Content; ![](@U…) and ![](#C…) name people and channels.",
    )
    channel: ChannelText | None = Field(
        default=None, description="Channel that gets it as a tab; without one only the bot sees it."
    )
    is_channel_canvas: bool = Field(
        default=False, description="Make it the channel's own canvas, of which there is one, and not a further tab."
    )
    unfurl_links: bool = Field(default=False, description=_EMBEDDING)


class CreateCanvasResult(Result):
    """The canvas."""

    canvas_id: str
    channel: str | None = None


class EditCanvasArguments(Arguments):
    """One change."""

    canvas_id: CanvasText
    operation: Literal[
        "insert_at_end",
        "insert_at_start",
        "insert_after",
        "insert_before",
        "replace",
        "replace_all",
        "delete",
        "rename",
    ] = Field(description="insert_after, insert_before, replace and delete need a section_id.")
    section_id: str | None = Field(
        default=None, min_length=1, max_length=200, description="Which SLACK_READ_CANVAS finds by contains_text."
    )
    markdown: str | None = Field(default=None, min_length=1, max_length=MAX_MARKDOWN_CHARS)
    title: str | None = Field(default=None, min_length=1, max_length=255, description="For rename.")
    unfurl_links: bool = Field(default=False, description=_EMBEDDING)


class EditCanvasResult(Result):
    """What was changed."""

    canvas_id: str
    operation: str


class ReadCanvasArguments(TextArguments):
    """Which canvas; with contains_text or section_types only the sections' ids."""

    canvas_id: CanvasText
    contains_text: str | None = Field(
        default=None, min_length=1, max_length=500, description="Return the ids of the sections that have this text."
    )
    section_types: list[Literal["h1", "h2", "h3", "any_header"]] | None = Field(
        default=None, min_length=1, max_length=3, description="The same for headings; may go with contains_text."
    )


class ReadCanvasResult(Result):
    """What is in it."""

    canvas_id: str
    markdown: str | None = None
    users: dict[str, str] | None = Field(default=None, description="Names of the people in it, by id.")
    channels: dict[str, str] | None = Field(default=None, description="The same for channels.")
    sections: Sequence[str] | None = Field(default=None, description="Ids for SLACK_EDIT_CANVAS.")
    next_cursor: str | None = Field(default=None, description="Give it as cursor to go on; absent at the end.")

    def render_text(self, _arguments: BaseModel) -> str:
        """Return the Markdown, or the ids."""
        if self.markdown is None:
            return "\n".join(self.sections or ()) or "No sections."
        names = [f"@{name} is {user_id}" for user_id, name in (self.users or {}).items()]
        names += [f"#{name} is {channel_id}" for channel_id, name in (self.channels or {}).items()]
        text = self.markdown + (f"\n\n({', '.join(names)})" if names else "")
        return render_page(text, self.next_cursor)


class DeleteCanvasArguments(Arguments):
    """Which canvas."""

    canvas_id: CanvasText


class DeleteCanvasResult(Result):
    """Which it was."""

    canvas_id: str


class ShareCanvasArguments(ShareArguments):
    """Which canvas, and for whom."""

    canvas_id: CanvasText


async def _create(call: Call, arguments: CreateCanvasArguments) -> CreateCanvasResult:
    check_markdown(arguments.markdown, unfurl_links=arguments.unfurl_links)
    if arguments.is_channel_canvas and arguments.channel is None:
        raise InvalidInputError("is_channel_canvas: this needs a channel.")
    channel_id = None if arguments.channel is None else await call.resolve_channel(arguments.channel)
    answer = await call.bot.write(
        "conversations.canvases.create" if arguments.is_channel_canvas else "canvases.create",
        title=arguments.title,
        document_content=_make_content(arguments.markdown),
        channel_id=channel_id,
    )
    call.targets.append(answer["canvas_id"])
    return CreateCanvasResult(canvas_id=answer["canvas_id"], channel=channel_id)


async def _edit(call: Call, arguments: EditCanvasArguments) -> EditCanvasResult:
    change = _make_change(arguments)
    canvas_id = parse_file_id(arguments.canvas_id)
    await check_places(call, canvas_id)
    # One change a call: https://docs.slack.dev/reference/methods/canvases.edit
    await call.bot.write("canvases.edit", canvas_id=canvas_id, changes=[change])
    return EditCanvasResult(canvas_id=canvas_id, operation=arguments.operation)


def _make_change(arguments: EditCanvasArguments) -> dict[str, Any]:
    """Return the change as Slack takes it; raises InvalidInputError for arguments that do not belong to it."""
    operation = arguments.operation
    for name, value, is_needed in (
        ("section_id", arguments.section_id, operation in _WITH_SECTION),
        ("markdown", arguments.markdown, operation in _WITH_MARKDOWN),
        ("title", arguments.title, operation == "rename"),
    ):
        if (value is not None) != is_needed:
            raise InvalidInputError(f"{name}: {operation} {'needs' if is_needed else 'takes no'} {name}.")
    check_markdown(arguments.markdown, unfurl_links=arguments.unfurl_links)
    change: dict[str, Any] = {
        # Without a section Slack replaces the whole canvas, which here has a name of its own.
        "operation": "replace" if operation == _EVERYTHING else operation,
        "section_id": arguments.section_id,
        "document_content": _make_content(arguments.markdown),
        "title_content": _make_content(arguments.title),
    }
    return {name: value for name, value in change.items() if value is not None}


def _make_content(markdown: str | None) -> dict[str, str] | None:
    return None if markdown is None else {"type": "markdown", "markdown": markdown}


async def _read(call: Call, arguments: ReadCanvasArguments) -> ReadCanvasResult:
    canvas_id = parse_file_id(arguments.canvas_id)
    if arguments.contains_text is not None or arguments.section_types is not None:
        return ReadCanvasResult(canvas_id=canvas_id, sections=await _find_sections(call, canvas_id, arguments))
    markdown, next_cursor = cut_page(await _fetch_markdown(call, canvas_id), arguments)
    named = {(kind, of_id) for kind, of_id in _MENTION.findall(markdown)}
    users, channels = await find_names(
        call,
        users=[of_id for kind, of_id in named if kind == "@"],
        channels=[of_id for kind, of_id in named if kind == "#"],
    )
    return ReadCanvasResult(
        canvas_id=canvas_id,
        markdown=markdown,
        users=dict(users) or None,
        channels=dict(channels) or None,
        next_cursor=next_cursor,
    )


async def _fetch_markdown(call: Call, canvas_id: str) -> str:
    """Return the whole canvas. Source: https://docs.slack.dev/reference/methods/canvases.getContent."""
    try:
        answer = await call.bot.read("canvases.getContent", canvas_id=canvas_id)
    except SlackRefusedError as error:
        # The method is of 2026; where Slack does not have it yet, the canvas is read as the file that it is too.
        if not is_refusal(error, "unknown_method"):
            raise
        return await download_canvas(call, canvas_id)
    return clean(string(answer.get("content")))


async def _find_sections(call: Call, canvas_id: str, arguments: ReadCanvasArguments) -> Sequence[str]:
    """Return the ids. Source: https://docs.slack.dev/reference/methods/canvases.sections.lookup."""
    criteria = {"contains_text": arguments.contains_text, "section_types": arguments.section_types}
    answer = await call.bot.read(
        "canvases.sections.lookup",
        canvas_id=canvas_id,
        criteria=json.dumps({name: value for name, value in criteria.items() if value is not None}),
    )
    ids = [string(each.get("id")) for each in mappings(answer.get("sections"))]
    return [each for each in ids if each][:MAX_SECTIONS]


async def _delete(call: Call, arguments: DeleteCanvasArguments) -> DeleteCanvasResult:
    canvas_id = parse_file_id(arguments.canvas_id)
    await check_places(call, canvas_id)
    await call.bot.write("canvases.delete", canvas_id=canvas_id)
    return DeleteCanvasResult(canvas_id=canvas_id)


async def _share(call: Call, arguments: ShareCanvasArguments) -> ShareResult:
    return await share(call, "canvases.access.set", arguments, canvas_id=parse_file_id(arguments.canvas_id))


TOOLS: Final = (
    Tool(
        name="SLACK_CREATE_CANVAS",
        title="Create a canvas",
        description=(
            "Creates a canvas (a Slack document) out of Markdown, as a tab of a channel or for the bot alone; "
            "SLACK_SHARE_CANVAS opens it to others."
        ),
        arguments=CreateCanvasArguments,
        result=CreateCanvasResult,
        run=_create,
        access=Access.WRITE,
        needs=_WRITES,
    ),
    Tool(
        name="SLACK_EDIT_CANVAS",
        title="Change a canvas",
        description="Makes one change to a canvas: inserts, replaces or deletes a section, replaces all, renames it.",
        arguments=EditCanvasArguments,
        result=EditCanvasResult,
        run=_edit,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
    ),
    Tool(
        name="SLACK_READ_CANVAS",
        title="Read a canvas",
        description="Returns a canvas as Markdown, page by page; or the ids of the sections that have a text.",
        arguments=ReadCanvasArguments,
        result=ReadCanvasResult,
        run=_read,
        needs=Needs(bot=("canvases:read",)),
    ),
    Tool(
        name="SLACK_DELETE_CANVAS",
        title="Delete a canvas",
        description="Deletes a canvas that the bot owns. It cannot be brought back.",
        arguments=DeleteCanvasArguments,
        result=DeleteCanvasResult,
        run=_delete,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
    Tool(
        name="SLACK_SHARE_CANVAS",
        title="Open a canvas to others",
        description="Lets people, or the members of channels, read or change a canvas. It sends no message.",
        arguments=ShareCanvasArguments,
        result=ShareResult,
        run=_share,
        access=Access.WRITE,
        needs=_WRITES,
        is_destructive=True,
        is_idempotent=True,
    ),
)
