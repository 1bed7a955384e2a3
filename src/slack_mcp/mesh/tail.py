"""A question to the newest generation of Mesh: the message is posted, the answer comes on the thread's tail.

The tail of an idle thread begins with what is new; that of a thread in work replays the run from its start. So it is
opened before the message is posted, and a question that is asked again finds its own run.
Source: https://github.com/decocms/studio, `apps/api/src/api/routes/decopilot/routes.ts`.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx2
import structlog

from slack_mcp.core.errors import MeshRefusedError
from slack_mcp.mesh.access import MeshAccess
from slack_mcp.mesh.body import move, render_body
from slack_mcp.mesh.standing import Standing, find_standing, is_spoiled, leave_out_failed
from slack_mcp.mesh.streaming import is_event_stream, raise_for_refusal, read_chunks
from slack_mcp.mesh.threads import MeshThreads
from slack_mcp.mesh.transport import NOT_FOUND, MeshTransport
from slack_mcp.mesh.waiting import Chunks, poll, replay
from slack_mcp.ports.mesh import MeshTurn
from slack_mcp.protocol.agent_stream import DONE

MAX_SPOILED: Final = 5
_NO_CONTENT: Final = 204
_METHOD_NOT_ALLOWED: Final = 405

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tail:
    """A thread whose tail is open.

    Attributes:
        turn: the question as it is put in this thread.
        messages: the thread's, listed after the tail was opened: what ends later is on the tail.
    """

    response: httpx2.Response
    turn: MeshTurn
    messages: Sequence[Mapping[str, Any]]
    status: str


class ThreadTail:
    """Asks by message and tail.

    Args:
        transport: the sockets.
        threads: the management tools.
        poll_s: seconds between two looks at a thread whose tail is not available.
    """

    def __init__(self, *, transport: MeshTransport, threads: MeshThreads, poll_s: float) -> None:
        self._transport = transport
        self._threads = threads
        self._poll_s = poll_s

    async def open(
        self, access: MeshAccess, turn: MeshTurn, *, agents_url: str, stack: AsyncExitStack
    ) -> Chunks | None:
        """Ask, and return the run's chunks; None when this Mesh has no such endpoint.

        Args:
            access: the tenant's.
            turn: the question.
            agents_url: the organization's `…/decopilot`.
            stack: closes what is opened here.

        Raises:
            AgentRateLimitedError: 429.
            MeshApiError: one of its classes; unavailable also while the thread is busy with an earlier question.
        """
        tail = await self._enter(access, turn, agents_url, stack)
        if tail is None:
            return None
        turn = tail.turn
        standing = find_standing(turn, tail.messages, tail.status)
        if standing.reply is not None:
            return replay(standing.reply)
        if not standing.is_running:
            turn = leave_out_failed(turn, tail.messages)
        await self._post(access, turn, standing, f"{agents_url}/threads/{turn.thread_id}/messages")
        if tail.response.status_code == _NO_CONTENT:
            return poll(self._threads, access, turn, standing.message_id, poll_s=self._poll_s)
        return _read_run(tail.response, standing.earlier_ids)

    async def find_thread(self, access: MeshAccess, turn: MeshTurn) -> str:
        """Return the thread that the turn's question is put in; raises MeshApiError."""
        for number in range(MAX_SPOILED):
            placed = _place(turn, number)
            status = await self._threads.ensure_thread(access, placed)
            if not is_spoiled(await self._threads.list_messages(access, placed.thread_id), status):
                return placed.thread_id
        return turn.thread_id

    async def _enter(self, access: MeshAccess, turn: MeshTurn, agents_url: str, stack: AsyncExitStack) -> _Tail | None:
        """Return the first of the turn's threads that is good for something; None when Mesh has no such endpoint."""
        for number in range(MAX_SPOILED):
            placed = _place(turn, number)
            if number:
                await self._threads.ensure_thread(access, placed)
            # What is opened for a spoiled thread is closed with its own stack.
            async with AsyncExitStack() as own:
                url = f"{agents_url}/threads/{placed.thread_id}/stream"
                response = await own.enter_async_context(self._transport.open_stream(access, "GET", url))
                if not await self._is_tail(response):
                    return None
                status = await self._threads.ensure_thread(access, placed)
                messages = await self._threads.list_messages(access, placed.thread_id)
                if not is_spoiled(messages, status):
                    stack.push_async_callback(own.pop_all().aclose)
                    return _Tail(response=response, turn=placed, messages=messages, status=status)
                turn = replace(leave_out_failed(placed, messages), thread_id=turn.thread_id, message_id=turn.message_id)
            _log.info("mesh.thread_spoiled", thread_id=placed.thread_id)
        raise MeshRefusedError("This conversation's threads in Mesh are all spoiled by files that no model takes.")

    async def _is_tail(self, response: httpx2.Response) -> bool:
        if not response.is_success and response.status_code not in {NOT_FOUND, _METHOD_NOT_ALLOWED}:
            raise_for_refusal(response.status_code, response.headers, await self._transport.read(response))
        return response.status_code == _NO_CONTENT or is_event_stream(response)

    async def _post(self, access: MeshAccess, turn: MeshTurn, standing: Standing, url: str) -> None:
        body = render_body(turn)
        body["messages"][-1]["id"] = standing.message_id
        answer = await self._transport.post(access, url, body, is_repeatable=True)
        if not httpx2.codes.is_success(answer.status):
            raise_for_refusal(answer.status, answer.headers, answer.body)


def _place(turn: MeshTurn, number: int) -> MeshTurn:
    """Return the question in the thread that takes the place of so many spoiled ones."""
    return turn if number == 0 else move(turn, f"{turn.thread_id}-{number}")


async def _read_run(response: httpx2.Response, earlier_ids: AbstractSet[str]) -> Chunks:
    """Yield the chunks of this question's run; a replay may begin with runs that ended before it."""
    is_earlier = False
    async with aclosing(read_chunks(response)) as chunks:
        async for chunk in chunks:
            if chunk["type"] == "start":
                is_earlier = chunk.get("messageId") in earlier_ids
            # The end of the tail is not the end of a run: a pod of Mesh may just be going away.
            if not is_earlier and chunk is not DONE:
                yield chunk
