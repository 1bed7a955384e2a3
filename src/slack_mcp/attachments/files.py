"""Files in and out of one pod; see `ports.attachments.Attachments`."""

from collections.abc import Mapping, Sequence
from typing import Any

from slack_mcp.attachments.deliver import FileDelivery
from slack_mcp.attachments.reader import FileReader
from slack_mcp.attachments.sandbox import Sandbox
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentFile
from slack_mcp.ports.attachments import ReadFiles, Remember, Transcriber
from slack_mcp.ports.slack import SlackWebs

MAX_FILE_BYTES = 26_214_400


class SlackAttachments:
    """Reads files and shows files.

    Args:
        webs: the Web API of a connection.
        transcribers: the first that serves a connection hears its recordings.
        max_file_bytes: the largest file, in either direction.
        sandbox: opens foreign files; None makes one with the usual limits.
    """

    def __init__(
        self,
        *,
        webs: SlackWebs,
        transcribers: Sequence[Transcriber],
        max_file_bytes: int = MAX_FILE_BYTES,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._reader = FileReader(
            webs=webs, sandbox=sandbox or Sandbox(), transcribers=transcribers, max_file_bytes=max_file_bytes
        )
        self._delivery = FileDelivery(webs=webs, max_file_bytes=max_file_bytes)

    async def read(self, connection: Connection, files: Sequence[Mapping[str, Any]], *, language: str) -> ReadFiles:
        """Return what the files of a message say; raises TokenRevokedError."""
        return await self._reader.read(connection, files, language=language)

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
        """Show an agent's files, once, and return notes on those that are not shown."""
        return await self._delivery.deliver(
            connection, channel_id, thread_ts, files, earlier=earlier, remember=remember, language=language
        )
