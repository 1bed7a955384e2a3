"""Showing in Slack what an agent made, once.

A file's id is known before anybody can see the file: it is stored in between, and a run that comes after a crash asks
Slack about the ids that are stored. Slack knows no file before files.completeUploadExternal.
Source: https://docs.slack.dev/messaging/working-with-files.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from slack_mcp.attachments.outcomes import render_name
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.errors import (
    InvalidInputError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentFile
from slack_mcp.ports.attachments import Remember
from slack_mcp.ports.slack import SlackWeb, SlackWebs
from slack_mcp.protocol.file_names import clean_file_name

MAX_FILES: Final = 10
_UNKNOWN: Final = "file_not_found"

_log = structlog.get_logger(__name__)


class FileDelivery:
    """Uploads files; see `ports.attachments.AttachmentDelivery.deliver`."""

    def __init__(self, *, webs: SlackWebs, max_file_bytes: int) -> None:
        self._webs = webs
        self._max_file_bytes = max_file_bytes

    async def deliver(
        self,
        connection: Connection,
        channel_id: ChannelId,
        thread_ts: Ts,
        files: Sequence[AgentFile],
        *,
        earlier: Sequence[str],
        remember: Remember,
        language: str,
    ) -> Sequence[str]:
        """Show the files and return notes on those that are not shown; see the port."""
        web = self._webs.open(connection)
        if earlier and await _is_any_there(web, earlier):
            return ()
        sent: dict[str, AgentFile] = {}
        failed: list[AgentFile] = list(files[MAX_FILES:])
        for file in files[:MAX_FILES]:
            file_id = await self._send(connection, web, file)
            if file_id is None:
                failed.append(file)
            else:
                sent[file_id] = file
        if sent:
            await remember(tuple(sent))
            if not await _show(connection, web, channel_id, thread_ts, sent):
                failed += sent.values()
        return [render_sentence(language, Sentence.FILE_NOT_SHOWN, name=render_name(file.name)) for file in failed]

    async def _send(self, connection: Connection, web: SlackWeb, file: AgentFile) -> str | None:
        """Send the bytes, which nobody sees yet; returns the id that the file will have, None when Slack has none."""
        if not 0 < len(file.content) <= self._max_file_bytes:
            return None
        try:
            ticket = await web.read(
                "files.getUploadURLExternal", filename=clean_file_name(file.name), length=len(file.content)
            )
            await web.upload(str(ticket.get("upload_url")), file.content)
        except TokenRevokedError:
            raise
        except (SlackApiError, InvalidInputError) as error:
            _log.warning("file.not_sent", connection_id=connection.connection_id, code=error.code)
            return None
        file_id = ticket.get("file_id")
        return file_id if isinstance(file_id, str) and file_id else None


async def _show(
    connection: Connection, web: SlackWeb, channel_id: ChannelId, thread_ts: Ts, sent: dict[str, AgentFile]
) -> bool:
    """Make the files appear; returns whether they do."""
    titles = [{"id": file_id, "title": clean_file_name(file.name)} for file_id, file in sent.items()]
    try:
        await web.write("files.completeUploadExternal", files=titles, channel_id=channel_id, thread_ts=thread_ts)
    except TokenRevokedError:
        raise
    except SlackUnavailableError:
        # Slack may have done it before its answer was lost.
        return await _is_any_there(web, tuple(sent))
    except SlackApiError as error:
        _log.warning("file.not_shown", connection_id=connection.connection_id, code=error.code)
        return False
    return True


async def _is_any_there(web: SlackWeb, file_ids: Sequence[str]) -> bool:
    """Tell whether Slack knows any of the files: they appeared together. One that was deleted was there.

    Where Slack cannot be asked, they count as there: a file that is missing is less of a nuisance than a second one.
    """
    for file_id in file_ids:
        try:
            await web.read("files.info", file=file_id)
        except (TokenRevokedError, RateLimitedError, SlackUnavailableError):
            raise
        except SlackRefusedError as error:
            if error.slack_error == _UNKNOWN:
                continue
        except SlackApiError as error:
            _log.info("file.not_looked_up", code=error.code)
        return True
    return False
