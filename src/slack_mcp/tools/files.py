"""Files: what there is, and deleting them. See `uploads` and `downloads` for what is in them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.core.model import Access
from slack_mcp.protocol.answers import integer, mappings
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, Moment, UserText, parse_moment
from slack_mcp.tools.file_fields import FileText, check_places, parse_file_id
from slack_mcp.tools.file_items import FileItem, describe_files
from slack_mcp.tools.listing import ListArguments, ListResult, Position, fit
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

_READS: Final = Needs(bot=("files:read",))
# Slack gives no page after this one. https://docs.slack.dev/apis/web-api/pagination#classic
_LAST_PAGE: Final = 100
_PAGE: Final = re.compile(r"([0-9]{1,3}):([0-9]{1,3}):([0-9]{0,11})")


class ListFilesArguments(ListArguments):
    """Which files."""

    channel: ChannelText | None = None
    user_id: UserText | None = None
    types: list[Literal["images", "snippets", "pdfs", "zips", "spaces", "gdocs", "canvases", "lists"]] | None = Field(
        default=None, min_length=1, max_length=8
    )
    oldest: Moment | None = Field(default=None, description="Only those made after this.")
    latest: Moment | None = Field(default=None, description="Only those made before this.")
    include_permalinks: bool = False


class ListFilesResult(ListResult):
    """Files, newest first."""

    ITEMS: ClassVar[str] = "files"

    files: Sequence[FileItem]


class GetFileInfoArguments(Arguments):
    """Which file."""

    file_id: FileText
    include_permalink: bool = False


class GetFileInfoResult(Result):
    """One file."""

    file: FileItem

    def render_text(self, _arguments: BaseModel) -> str:
        """Return it as Markdown."""
        messages = [f"  shown by {each.ts} in {each.channel}" for each in self.file.shares if each.ts]
        return "\n".join([self.file.render_line(), *messages])


class DeleteFileArguments(Arguments):
    """Which file."""

    file_id: FileText


class DeleteFileResult(Result):
    """Whether it was there to be deleted."""

    file_id: str
    changed: bool


async def _list_files(call: Call, arguments: ListFilesArguments) -> ListFilesResult:
    now_s = call.services.clock.now_s()
    place = _Page.parse(arguments)
    latest = parse_moment("latest", arguments.latest, now_s=now_s) if place.until is None else place.until
    answer = await call.bot.read(
        "files.list",
        channel=None if arguments.channel is None else await call.resolve_channel(arguments.channel),
        user=None if arguments.user_id is None else await call.resolve_user(arguments.user_id),
        types=",".join(arguments.types) if arguments.types else None,
        ts_from=_round(parse_moment("oldest", arguments.oldest, now_s=now_s)),
        ts_to=_round(latest),
        count=place.count,
        page=place.page,
    )
    entries = mappings(answer.get("files"))
    wanted = entries[place.skip : place.skip + arguments.limit]
    items = await describe_files(call, wanted, with_permalink=arguments.include_permalinks)
    page = fit(items, arguments)
    return ListFilesResult(files=page, next_cursor=place.find_next(answer, entries, len(page), latest))


class _Page:
    """Where in the list a page begins. Slack numbers its pages from the newest file on.

    `until` holds the list still: a file that is made between two calls would push every other one a place further.
    """

    def __init__(self, page: int, count: int, skip: int, until: str | None) -> None:
        self.page, self.count, self.skip, self.until = page, count, skip, until

    @classmethod
    def parse(cls, arguments: ListFilesArguments) -> "_Page":
        """Return the page that the cursor names, or the first; raises InvalidInputError."""
        if arguments.cursor is None:
            return cls(1, arguments.limit, 0, None)
        position = Position.parse(arguments.cursor)
        found = _PAGE.fullmatch(position.page or "")
        if found is None:
            raise InvalidInputError("cursor: give the next_cursor of the page before as it came, or none to begin.")
        return cls(int(found.group(1)), int(found.group(2)), position.skip, found.group(3) or None)

    def find_next(
        self, answer: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], shown: int, latest: str | None
    ) -> str | None:
        """Return the cursor after the items that are shown, None at the end."""
        if not entries:
            return None
        until = _round(latest) or str(integer(entries[0].get("created")) or "")
        read = self.skip + shown
        if read < len(entries):
            return Position(f"{self.page}:{self.count}:{until}", read).render()
        paging = answer.get("paging")
        pages = integer(paging.get("pages")) if isinstance(paging, Mapping) else None
        if pages is None or self.page >= min(pages, _LAST_PAGE):
            return None
        return Position(f"{self.page + 1}:{self.count}:{until}").render()


def _round(ts: str | None) -> str | None:
    """Return a moment in whole seconds, as files.list takes them."""
    return None if ts is None else ts.partition(".")[0]


async def _get_info(call: Call, arguments: GetFileInfoArguments) -> GetFileInfoResult:
    answer = await call.bot.read("files.info", file=parse_file_id(arguments.file_id))
    (file,) = await describe_files(call, [answer["file"]], with_permalink=arguments.include_permalink)
    return GetFileInfoResult(file=file)


async def _delete(call: Call, arguments: DeleteFileArguments) -> DeleteFileResult:
    file_id = parse_file_id(arguments.file_id)
    try:
        await check_places(call, file_id)
        await call.bot.write("files.delete", file=file_id)
    except SlackRefusedError as error:
        if not is_refusal(error, "file_deleted"):
            raise
        return DeleteFileResult(file_id=file_id, changed=False)
    return DeleteFileResult(file_id=file_id, changed=True)


TOOLS: Final = (
    Tool(
        name="SLACK_LIST_FILES",
        title="List files",
        description="Returns the files that the bot can see, newest first: uploads, snippets, canvases and lists.",
        arguments=ListFilesArguments,
        result=ListFilesResult,
        run=_list_files,
        needs=_READS,
    ),
    Tool(
        name="SLACK_GET_FILE_INFO",
        title="Show a file's data",
        description="Returns a file's name, type, size, owner and where it shows; SLACK_DOWNLOAD_FILE what is in it.",
        arguments=GetFileInfoArguments,
        result=GetFileInfoResult,
        run=_get_info,
        needs=_READS,
    ),
    Tool(
        name="SLACK_DELETE_FILE",
        title="Delete a file",
        description="Deletes a file that the bot uploaded, wherever it shows. It cannot be brought back.",
        arguments=DeleteFileArguments,
        result=DeleteFileResult,
        run=_delete,
        access=Access.WRITE,
        needs=Needs(bot=("files:write",)),
        is_destructive=True,
        is_idempotent=True,
    ),
)
