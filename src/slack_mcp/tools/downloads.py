"""What is in a file: text page by page, images to look at, and small files of any other kind as they are.

Source: https://docs.slack.dev/messaging/working-with-files.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import anyio.to_thread
from mcp import types
from pydantic import BaseModel, Field

from slack_mcp.core.errors import InvalidInputError, SlackRefusedError
from slack_mcp.protocol.answers import integer, string
from slack_mcp.protocol.canvas_html import read_canvas_html
from slack_mcp.protocol.file_content import decode_text, find_image_type
from slack_mcp.tools.call import Call
from slack_mcp.tools.file_fields import FileText, parse_file_id
from slack_mcp.tools.file_items import render_size
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.text_pages import TextArguments, cut_page, render_page
from slack_mcp.tools.tool import Result, Tool

MAX_DOWNLOAD_BYTES: Final = 10_000_000
MAX_CANVAS_BYTES: Final = 2_000_000
# Models take images of about 5 MB in base64.
MAX_IMAGE_BYTES: Final = 3_500_000
MAX_BINARY_BYTES: Final = 1_000_000
# Largest first. https://docs.slack.dev/reference/objects/file-object
_THUMBNAILS: Final = ("thumb_1024", "thumb_960", "thumb_800", "thumb_720", "thumb_480", "thumb_360")
_CANVAS: Final = frozenset({"quip", "canvas"})
_HTML: Final = "text/html"


class DownloadArguments(TextArguments):
    """Which file, and how much of it."""

    file_id: FileText


class DownloadResult(Result):
    """What is in the file. An image and bytes come as content blocks of their own."""

    file_id: str
    name: str
    mimetype: str
    size: int = Field(description="Bytes, of the whole file.")
    kind: Literal["text", "image", "binary"]
    is_thumbnail: bool | None = Field(default=None, description="The image itself is too large.")
    text: str | None = None
    next_cursor: str | None = Field(default=None, description="Give it as cursor to go on; absent at the end.")
    uri: str = Field(exclude=True)
    data: bytes | None = Field(default=None, exclude=True)

    def render_text(self, _arguments: BaseModel) -> str:
        """Return what it is, and its text."""
        small = ", smaller than it is" if self.is_thumbnail else ""
        head = f"{self.name} ({self.mimetype}, {render_size(self.size)}{small})"
        return head if self.text is None else f"{head}\n\n{render_page(self.text, self.next_cursor)}"

    def render_content(self, arguments: BaseModel) -> list[types.ContentBlock]:
        """Return the text, and behind it the image or the bytes."""
        content = super().render_content(arguments)
        if self.data is None:
            return content
        data = base64.b64encode(self.data).decode()
        if self.kind == "image":
            return [*content, types.ImageContent(type="image", data=data, mime_type=self.mimetype)]
        resource = types.BlobResourceContents(uri=self.uri, mime_type=self.mimetype, blob=data)
        return [*content, types.EmbeddedResource(type="resource", resource=resource)]


class _Source(NamedTuple):
    """What to fetch of a file."""

    url: str
    max_bytes: int
    is_canvas: bool = False
    is_thumbnail: bool = False


async def _download(call: Call, arguments: DownloadArguments) -> DownloadResult:
    file_id = parse_file_id(arguments.file_id)
    file = (await call.bot.read("files.info", file=file_id))["file"]
    source = _find_source(file)
    fetched = await call.bot.download(source.url, max_bytes=source.max_bytes)
    mimetype = string(file.get("mimetype")) or fetched.mimetype
    if fetched.mimetype == _HTML and mimetype != _HTML and not source.is_canvas:
        raise SlackRefusedError("files.download", "file_not_readable")
    told: dict[str, Any] = {
        "file_id": file_id,
        "name": string(file.get("name")) or string(file.get("title")) or file_id,
        "size": integer(file.get("size")) or len(fetched.content),
        "uri": f"slack://{call.connection.team_id or 'team'}/file/{file_id}",
    }
    image_type = find_image_type(fetched.content)
    if image_type is not None:
        _check_size(fetched.content, MAX_IMAGE_BYTES)
        small = source.is_thumbnail or None
        return DownloadResult(**told, mimetype=image_type, kind="image", data=fetched.content, is_thumbnail=small)
    text = decode_text(fetched.content, _HTML if source.is_canvas else mimetype)
    if text is None:
        _check_size(fetched.content, MAX_BINARY_BYTES)
        return DownloadResult(**told, mimetype=mimetype, kind="binary", data=fetched.content)
    if source.is_canvas:
        mimetype, text = "text/markdown", await read_canvas(text)
    page, next_cursor = cut_page(text, arguments)
    return DownloadResult(**told, mimetype=mimetype, kind="text", text=page, next_cursor=next_cursor)


async def read_canvas(html: str) -> str:
    """Return the Markdown of a canvas that was downloaded; parsed in a thread, because it may be long."""
    return await anyio.to_thread.run_sync(read_canvas_html, html)


async def download_canvas(call: Call, file_id: str) -> str:
    """Return the Markdown of a canvas by way of its file."""
    file = (await call.bot.read("files.info", file=file_id))["file"]
    source = _find_source(file)
    if not source.is_canvas:
        raise InvalidInputError(f"{file_id} is no canvas: SLACK_DOWNLOAD_FILE reads other files.")
    fetched = await call.bot.download(source.url, max_bytes=source.max_bytes)
    return await read_canvas(decode_text(fetched.content, _HTML) or "")


def _find_source(file: Mapping[str, Any]) -> _Source:
    """Return what to fetch; raises InvalidInputError for what cannot be."""
    mode, kind = string(file.get("mode")), string(file.get("filetype"))
    if file.get("is_external") is True:
        raise InvalidInputError("The file is kept outside of Slack: SLACK_GET_FILE_INFO says by whom.")
    if mode == "list" or kind == "list":
        raise InvalidInputError("This is a list: SLACK_LIST_LIST_ITEMS reads it.")
    if mode in {"tombstone", "hidden_by_limit"}:
        raise InvalidInputError("The file was deleted, or is older than the workspace's plan shows.")
    url = string(file.get("url_private_download")) or string(file.get("url_private"))
    size = integer(file.get("size")) or 0
    if kind in _CANVAS or mode in _CANVAS:
        return _Source(url, MAX_CANVAS_BYTES, is_canvas=True)
    thumbnail = next((each for name in _THUMBNAILS if (each := string(file.get(name)))), None)
    if size > MAX_IMAGE_BYTES and thumbnail is not None:
        return _Source(thumbnail, MAX_IMAGE_BYTES, is_thumbnail=True)
    if size > MAX_DOWNLOAD_BYTES:
        raise InvalidInputError(f"The file has {size} bytes; this tool reads at most {MAX_DOWNLOAD_BYTES}.")
    return _Source(url, MAX_DOWNLOAD_BYTES)


def _check_size(content: bytes, max_bytes: int) -> None:
    if len(content) > max_bytes:
        raise InvalidInputError(
            f"The file is no text and has {len(content)} bytes; at most {max_bytes} of its kind can be handed out. "
            "Open its permalink, which SLACK_GET_FILE_INFO gives."
        )


TOOLS: Final = (
    Tool(
        name="SLACK_DOWNLOAD_FILE",
        title="Read a file",
        description=(
            "Returns what is in a file: text and canvases as text, page by page; images to look at; other files up to "
            "1 MB as bytes."
        ),
        arguments=DownloadArguments,
        result=DownloadResult,
        run=_download,
        needs=Needs(bot=("files:read",)),
    ),
)
