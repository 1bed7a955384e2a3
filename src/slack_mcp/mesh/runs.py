"""A question to the older generations of Mesh, A and B: the run's stream is the response to one POST.

A question that is asked again puts an end to the run that answers it, and takes its place in the thread. So where an
earlier run may have asked already, what came of it is looked for first.
Source: https://github.com/decocms/mesh, `apps/mesh/src/api/routes/decopilot/routes.ts`.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from slack_mcp.core.errors import AgentStreamBrokenError
from slack_mcp.mesh.access import MeshAccess
from slack_mcp.mesh.body import render_body
from slack_mcp.mesh.standing import find_standing, leave_out_failed
from slack_mcp.mesh.streaming import is_event_stream, raise_for_refusal, read_chunks
from slack_mcp.mesh.threads import MeshThreads
from slack_mcp.mesh.transport import NOT_FOUND, MeshTransport
from slack_mcp.mesh.waiting import Chunks, poll, replay
from slack_mcp.ports.mesh import MeshTurn

_BAD_REQUEST: Final = 400


class RunStream:
    """Asks by one POST.

    Args:
        transport: the sockets.
        threads: the management tools.
        poll_s: seconds between two looks at a thread whose run cannot be listened to.
    """

    def __init__(self, *, transport: MeshTransport, threads: MeshThreads, poll_s: float) -> None:
        self._transport = transport
        self._threads = threads
        self._poll_s = poll_s

    async def open(
        self,
        access: MeshAccess,
        turn: MeshTurn,
        models: Mapping[str, Any],
        *,
        agents_url: str,
        stack: AsyncExitStack,
    ) -> Chunks | None:
        """Ask, and return the run's chunks; None when this Mesh has no such endpoint, or wants `models` too.

        Args:
            access: the tenant's.
            turn: the question.
            models: the `models` of the body, or nothing.
            agents_url: the organization's `…/decopilot`.
            stack: closes what is opened here.

        Raises:
            AgentRateLimitedError: 429.
            AgentStreamBrokenError: the response is no stream.
            MeshApiError: one of its classes.
        """
        request = {**render_body(turn), **models, "thread_id": turn.thread_id}
        response = await stack.enter_async_context(
            self._transport.open_stream(access, "POST", f"{agents_url}/stream", request)
        )
        if response.status_code == NOT_FOUND:
            await response.aclose()
            return None
        if not response.is_success:
            reason = await self._transport.read(response)
            if response.status_code == _BAD_REQUEST and b"models" in reason and "models" not in request:
                return None
            raise_for_refusal(response.status_code, response.headers, reason)
        if not is_event_stream(response):
            raise AgentStreamBrokenError("Mesh answered the question with something that is no stream.")
        return read_chunks(response)

    async def recover(
        self, access: MeshAccess, turn: MeshTurn, *, agents_url: str, stack: AsyncExitStack
    ) -> Chunks | MeshTurn:
        """Return the answer that an earlier run has left, or is about to; else the question as it is to be asked again.

        A run that failed over a question with pictures is not asked about them again: it stands in the history until
        the same question without them takes its place, and every other question of the thread would fail as well.

        Raises:
            MeshApiError: one of its classes; unavailable also while the thread is busy with another question.
        """
        status = await self._threads.ensure_thread(access, turn)
        messages = await self._threads.list_messages(access, turn.thread_id)
        standing = find_standing(turn, messages, status)
        if standing.reply is not None:
            return replay(standing.reply)
        if standing.is_running:
            return await self._join(access, turn, agents_url, stack)
        return leave_out_failed(turn, messages)

    async def _join(self, access: MeshAccess, turn: MeshTurn, agents_url: str, stack: AsyncExitStack) -> Chunks:
        """Return the chunks of the run that is going on: from its start where Mesh replays them, else its answer."""
        response = await stack.enter_async_context(
            self._transport.open_stream(access, "GET", f"{agents_url}/attach/{turn.thread_id}")
        )
        if is_event_stream(response):
            return read_chunks(response)
        await response.aclose()
        return poll(self._threads, access, turn, turn.message_id, poll_s=self._poll_s)
