"""Uploading files. Source: https://docs.slack.dev/messaging/working-with-files."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Field

from slack_mcp.core.errors import InvalidInputError, SlackApiError, SlackRefusedError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access
from slack_mcp.tools.advice import is_refusal
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import ChannelText, ThreadTs
from slack_mcp.tools.file_fields import find_shares
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.posting import MAX_TEXT_CHARS, check_mentions
from slack_mcp.tools.previews import check_comment
from slack_mcp.tools.tool import Arguments, Result, Tool

# What is left of a request (4 MiB) for the content; in base64 that are 3 MB.
MAX_CONTENT_CHARS: Final = 4_000_000


class UploadArguments(Arguments):
    """What to upload, and where to show it."""

    filename: str = Field(
        min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$", description="With its ending, such as report.csv."
    )
    content: str | None = Field(default=None, min_length=1, max_length=MAX_CONTENT_CHARS, description="Text.")
    content_base64: str | None = Field(
        default=None, min_length=1, max_length=MAX_CONTENT_CHARS, description="In place of content: bytes."
    )
    channel: ChannelText | None = Field(
        default=None, description="Channel or person to show it to; without one only the bot sees the file."
    )
    thread_ts: ThreadTs | None = None
    initial_comment: str | None = Field(
        default=None, min_length=1, max_length=MAX_TEXT_CHARS, description="Message beside it, Slack mrkdwn."
    )
    title: str | None = Field(default=None, min_length=1, max_length=255)
    filetype: str | None = Field(
        default=None, min_length=1, max_length=50, description="Makes a text a snippet in this syntax: python, sql …"
    )
    alt_text: str | None = Field(default=None, min_length=1, max_length=1_000, description="What an image shows.")
    allow_broadcast: bool = Field(default=False, description="Let the comment notify @here, @channel or a user group.")
    unfurl_links: bool = Field(default=False, description="Let the comment have links, of which Slack shows previews.")


class UploadResult(Result):
    """The file."""

    file_id: str
    channel: str | None = None
    ts: str | None = Field(default=None, description="Of the message that shows it, when Slack has told it already.")


async def _upload(call: Call, arguments: UploadArguments) -> UploadResult:
    content = _read_content(arguments)
    _check_comment(arguments)
    channel_id = None if arguments.channel is None else await call.resolve_channel(arguments.channel)
    # Asked before the bytes are sent, and again when the file is shown.
    await call.check_write("files.completeUploadExternal", {"channel_id": channel_id, "thread_ts": arguments.thread_ts})
    ticket = await _announce(call, arguments, len(content))
    file_id = str(ticket["file_id"])
    await call.bot.upload(str(ticket["upload_url"]), content)
    call.targets.append(file_id)
    await call.bot.write(
        "files.completeUploadExternal",
        files=[{"id": file_id, "title": arguments.title or arguments.filename}],
        channel_id=channel_id,
        thread_ts=arguments.thread_ts,
        initial_comment=arguments.initial_comment,
    )
    ts = None if channel_id is None else await _find_message(call, file_id, channel_id)
    return UploadResult(file_id=file_id, channel=channel_id, ts=ts)


def _read_content(arguments: UploadArguments) -> bytes:
    """Return the bytes to upload; raises InvalidInputError."""
    if (arguments.content is None) == (arguments.content_base64 is None):
        raise InvalidInputError("Give either content (text) or content_base64 (bytes).")
    if arguments.content is not None:
        return arguments.content.encode()
    if arguments.filetype is not None:
        raise InvalidInputError("filetype: only a text becomes a snippet; bytes are known by the filename's ending.")
    try:
        content = base64.b64decode("".join((arguments.content_base64 or "").split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError("content_base64: this is not base64.") from None
    if not content:
        raise InvalidInputError("content_base64: Slack takes no empty file.")
    return content


def _check_comment(arguments: UploadArguments) -> None:
    comment = arguments.initial_comment
    if arguments.channel is None and (comment is not None or arguments.thread_ts is not None):
        raise InvalidInputError("initial_comment and thread_ts: these need a channel.")
    check_mentions(comment or "", None, allow_broadcast=arguments.allow_broadcast)
    check_comment(comment, unfurl_links=arguments.unfurl_links)


async def _announce(call: Call, arguments: UploadArguments, length: int) -> Mapping[str, Any]:
    """Return where to send the bytes. Source: https://docs.slack.dev/reference/methods/files.getUploadURLExternal."""
    try:
        return await _get_upload_url(call, arguments, length, arguments.filetype)
    except SlackRefusedError as error:
        if arguments.filetype is None or not is_refusal(error, "unknown_snippet_type", "snippet_too_large"):
            raise
        # A file is as good: Slack knows its syntax by the filename's ending.
        return await _get_upload_url(call, arguments, length, None)


async def _get_upload_url(
    call: Call, arguments: UploadArguments, length: int, snippet_type: str | None
) -> Mapping[str, Any]:
    # It is sent as a read because it takes no JSON, and because it shows nothing to anybody.
    return await call.bot.read(
        "files.getUploadURLExternal",
        filename=arguments.filename,
        length=length,
        snippet_type=snippet_type,
        alt_txt=arguments.alt_text,
    )


async def _find_message(call: Call, file_id: str, channel_id: ChannelId) -> str | None:
    """Return the ts of the message that shows the file, None when Slack is not that far, or may not be asked."""
    try:
        answer = await call.bot.read("files.info", file=file_id)
    except SlackApiError:
        return None
    file = answer.get("file")
    for place, message in find_shares(file if isinstance(file, Mapping) else {}):
        ts = (message or {}).get("ts")
        if place == channel_id and isinstance(ts, str):
            return ts
    return None


TOOLS: Final = (
    Tool(
        name="SLACK_UPLOAD_FILE",
        title="Upload a file",
        description=(
            "Uploads a text, or bytes as base64, of up to 4 MB in the request, and shows it in a channel. For a text "
            "of a few lines SLACK_SEND_MESSAGE is better."
        ),
        arguments=UploadArguments,
        result=UploadResult,
        run=_upload,
        access=Access.WRITE,
        needs=Needs(bot=("files:write",)),
    ),
)
