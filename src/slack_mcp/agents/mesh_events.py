"""What a Mesh agent's run tells beside the text of its answer: the tools that it uses, and the files that it makes.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol.
"""

import base64
import binascii
import mimetypes
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import structlog

from slack_mcp.ports.agent import AgentFile, AgentTask, TaskState
from slack_mcp.protocol.agent_stream import TOOL_RESULTS

MAX_FILES: Final = 10
MAX_FILES_BYTES: Final = 16 * 1024 * 1024
MAX_TASKS: Final = 200

_MAX_NAME_CHARS: Final = 100
_BEGINNINGS: Final = frozenset({"tool-input-start", "tool-input-available"})
_FAILURES: Final = frozenset({"tool-input-error", "tool-output-error", "tool-output-denied"})
# Within an agent a tool is called `<slug of the connection's id>_<its name>`.
_PREFIX: Final = re.compile(r"(?:conn|vir)-[a-z0-9-]+_")
_NO_NAME: Final = re.compile(r"[^\w. -]+")
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^;,]*)*),", re.ASCII)
_ANY_FILE: Final = "application/octet-stream"

_log = structlog.get_logger(__name__)


class ToolReader:
    """Tells how far the agent's tool calls are."""

    def __init__(self) -> None:
        self._titles: dict[str, str] = {}
        self._ended: set[str] = set()

    def feed(self, chunk: Mapping[str, Any]) -> AgentTask | None:
        """Return what the chunk tells of a tool call, None when that is nothing new."""
        kind, task_id = chunk["type"], chunk.get("toolCallId")
        if not isinstance(task_id, str) or task_id in self._ended:
            return None
        if kind in _BEGINNINGS:
            return self._begin(task_id, chunk.get("toolName"))
        if kind not in _FAILURES | TOOL_RESULTS or task_id not in self._titles or chunk.get("preliminary") is True:
            return None
        self._ended.add(task_id)
        is_failed = kind in _FAILURES or _says_error(chunk.get("output"))
        state = TaskState.ERROR if is_failed else TaskState.COMPLETE
        return AgentTask(task_id=task_id, title=self._titles[task_id], state=state)

    def _begin(self, task_id: str, name: object) -> AgentTask | None:
        if task_id in self._titles or len(self._titles) >= MAX_TASKS or not isinstance(name, str):
            return None
        self._titles[task_id] = title = render_title(name)
        return AgentTask(task_id=task_id, title=title, state=TaskState.IN_PROGRESS)


class FileReader:
    """Opens the files that are sent along, as many as are taken of one answer.

    A file that is only named by an address is not fetched: the address is the agent's word, and reaches people as text.
    """

    def __init__(self, *, max_files: int = MAX_FILES, max_bytes: int = MAX_FILES_BYTES) -> None:
        self._files_left = max_files
        self._bytes_left = max_bytes
        self._number = 0

    def feed(self, chunk: Mapping[str, Any]) -> AgentFile | None:
        """Return the chunk's file, None when it has none that is taken."""
        url = chunk.get("url") if chunk["type"] == "file" else None
        if not isinstance(url, str) or not url.startswith("data:"):
            return None
        opened = read_data_url(url)
        if opened is None or not opened[1] or len(opened[1]) > self._bytes_left or not self._files_left:
            _log.info("agent.file_left_out", is_readable=opened is not None)
            return None
        mimetype, content = opened
        media_type = chunk.get("mediaType")
        if isinstance(media_type, str) and re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type, re.ASCII):
            mimetype = media_type
        self._files_left -= 1
        self._bytes_left -= len(content)
        self._number += 1
        return AgentFile(
            name=_render_name(chunk.get("filename"), mimetype, self._number), mimetype=mimetype, content=content
        )


def render_title(name: str) -> str:
    """Return a tool's name as people know it: without the connection that it is called through."""
    words = _NO_NAME.sub(" ", _PREFIX.sub("", name, count=1)).split()
    return " ".join(words)[:_MAX_NAME_CHARS] or "tool"


def read_data_url(url: str) -> tuple[str, bytes] | None:
    """Return (media type, bytes) of a `data:` URL, None when it is none. Source: https://www.rfc-editor.org/rfc/rfc2397."""
    head = _DATA_URL.match(url)
    if head is None:
        return None
    body = url[head.end() :]
    if not (head.group(2) or "").endswith(";base64"):
        return head.group(1) or "text/plain", unquote_to_bytes(body)
    try:
        return head.group(1) or _ANY_FILE, base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None


def _says_error(output: object) -> bool:
    """Tell whether a tool of MCP ended with an error, which is an output like any other."""
    return isinstance(output, dict) and output.get("isError") is True


def _render_name(name: object, mimetype: str, number: int) -> str:
    """Return a file's name: its own without a path, else a number with the ending of its type."""
    own = name.replace("\\", "/").rpartition("/")[2] if isinstance(name, str) else ""
    own = _NO_NAME.sub("_", own).strip(" .")[-_MAX_NAME_CHARS:]
    return own or f"file-{number}{mimetypes.guess_extension(mimetype) or ''}"
