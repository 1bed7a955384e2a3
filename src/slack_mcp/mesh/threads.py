"""Mesh's threads, through the management tools. A thread keeps the history of one Slack thread with its agent."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from slack_mcp.mesh.access import MeshAccess
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.mesh import MeshTurn

IN_PROGRESS: Final = "in_progress"
FAILED: Final = "failed"
_NEWEST: Final = 100


class MeshThreads:
    """Makes, reads and deletes threads."""

    def __init__(self, *, transport: MeshTransport) -> None:
        self._transport = transport

    async def ensure_thread(self, access: MeshAccess, turn: MeshTurn) -> str:
        """Make the turn's thread unless it exists, and return its status: `in_progress` while an agent works in it.

        Raises:
            MeshApiError: one of its classes.
        """
        data = {"id": turn.thread_id, "virtual_mcp_id": turn.agent_id, "title": "Slack thread"}
        result = await self._transport.call_tool(
            access, "COLLECTION_THREADS_CREATE", {"data": data}, is_repeatable=True
        )
        item = result.get("item")
        return str(item.get("status")) if isinstance(item, dict) else ""

    async def list_messages(self, access: MeshAccess, thread_id: str) -> Sequence[Mapping[str, Any]]:
        """Return the thread's newest messages, oldest first.

        Raises:
            MeshApiError: one of its classes.
        """
        arguments = {
            "thread_id": thread_id,
            "limit": _NEWEST,
            "orderBy": [{"field": ["created_at"], "direction": "desc"}],
        }
        result = await self._transport.call_tool(
            access, "COLLECTION_THREAD_MESSAGES_LIST", arguments, is_repeatable=True
        )
        items = result.get("items")
        messages = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        # Some storage versions ignore the order that was asked for.
        return sorted(messages, key=lambda message: str(message.get("created_at")))

    async def delete_thread(self, access: MeshAccess, thread_id: str) -> None:
        """Delete a thread; raises MeshApiError."""
        await self._transport.call_tool(access, "COLLECTION_THREADS_DELETE", {"id": thread_id}, is_repeatable=True)
