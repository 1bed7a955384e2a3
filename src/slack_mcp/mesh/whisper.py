"""Recordings written down by a Mesh connection that has the tool TRANSCRIBE_AUDIO.

Source: https://github.com/decocms/mcps, `shared/audio-transcribers` and `shared/mesh-chat`.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import anyio
import structlog

from slack_mcp.core.errors import AgentNotConfiguredError, MeshRefusedError, StoreError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.mesh.access import MeshAccess, access_of
from slack_mcp.mesh.transport import NOT_FOUND, MeshTransport, parse_json_object, raise_for_status
from slack_mcp.ports.attachments import Audio, TempFile, TempFiles

TOOL: Final = "TRANSCRIBE_AUDIO"
CLEAN_UP_TIMEOUT_S: Final = 5.0
_ACCEPT: Final = "application/json, text/event-stream"
_SUCCESSES: Final = range(200, 300)

_log = structlog.get_logger(__name__)


class MeshTranscriber:
    """`ports.attachments.Transcriber`: the tool fetches the recording by a link, which ends with its answer.

    Args:
        transport: with the time that a recording may take as the time of a call.
        temp_files: make the links.
    """

    def __init__(self, *, transport: MeshTransport, temp_files: TempFiles) -> None:
        self._transport = transport
        self._temp_files = temp_files

    def serves(self, connection: Connection) -> bool:
        """Tell whether the connection names one, and has a way into its Mesh."""
        if not connection.settings.whisper_id:
            return False
        try:
            access_of(connection)
        except AgentNotConfiguredError:
            return False
        return True

    async def transcribe(self, connection: Connection, audio: Audio) -> str:
        """Return what is said; see the port."""
        access = access_of(connection)
        connection_id = connection.connection_id
        file = TempFile(name=audio.name, mimetype=audio.mimetype, content=audio.content)
        file_id, url = await self._temp_files.publish(connection_id, file)
        try:
            return await self._call(access, connection.settings.whisper_id or "", {"audioUrl": url})
        finally:
            with anyio.move_on_after(CLEAN_UP_TIMEOUT_S, shield=True):
                await self._withdraw(connection_id, file_id)

    async def _call(self, access: MeshAccess, whisper_id: str, arguments: Mapping[str, Any]) -> str:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": TOOL, "arguments": arguments}}
        urls = _list_urls(access, whisper_id)
        answer = await self._transport.post(access, urls[0], request, is_repeatable=True, accept=_ACCEPT)
        if answer.status == NOT_FOUND and len(urls) > 1:
            answer = await self._transport.post(access, urls[1], request, is_repeatable=True, accept=_ACCEPT)
        if answer.status not in _SUCCESSES:
            raise_for_status(answer.status, f"the tool {TOOL}", is_gone=False)
        return _parse_transcript(answer.body)

    async def _withdraw(self, connection_id: ConnectionId, file_id: str) -> None:
        try:
            await self._temp_files.withdraw(connection_id, file_id)
        except StoreError as error:
            _log.info("temp_file.not_withdrawn", connection_id=connection_id, code=error.code)  # its time ends anyway


def _list_urls(access: MeshAccess, whisper_id: str) -> list[str]:
    """Return where the connection's tools are: the organization's own route where it is known, then the older one."""
    path = f"mcp/{quote(whisper_id, safe='')}"
    organization_url = access.get_organization_url()
    legacy = f"{access.mesh_url}/{path}"
    return [legacy] if organization_url is None else [f"{organization_url}/{path}", legacy]


def _parse_transcript(body: bytes) -> str:
    """Return the text of the tool's result; nothing of it is ever quoted, since it is what people said."""
    result = (parse_json_object(body) or {}).get("result")
    if not isinstance(result, dict):
        raise MeshRefusedError(f"Mesh refused the tool {TOOL}, or answered with something that is no result.")
    structured = result.get("structuredContent")
    content = result.get("content")
    first = content[0].get("text") if isinstance(content, list) and content and isinstance(content[0], dict) else None
    if not isinstance(structured, dict) and isinstance(first, str):
        # Some answer with JSON in a text, some with the words alone.
        structured = parse_json_object(first.encode("utf-8", "replace")) or {"text": first}
    if result.get("isError") or not isinstance(structured, dict) or structured.get("error"):
        raise MeshRefusedError(f"The tool {TOOL} failed in Mesh.")
    text = structured.get("text")
    return text if isinstance(text, str) else ""
