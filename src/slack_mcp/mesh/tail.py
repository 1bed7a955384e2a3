"""A question to the newest generation of Mesh: the message is posted, the answer comes on the thread's tail.

The tail of an idle thread begins with what is new; that of a thread in work replays the run from its start. So it is
opened before the message is posted, and a question that is asked again finds its own run.
Source: https://github.com/decocms/studio, `apps/api/src/api/routes/decopilot/routes.ts`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any, Final

import anyio
import httpx2

from slack_mcp.core.errors import MeshUnavailableError
from slack_mcp.mesh.access import MeshAccess
from slack_mcp.mesh.streaming import is_event_stream, raise_for_refusal, read_chunks
from slack_mcp.mesh.threads import FAILED, IN_PROGRESS, MeshThreads, find_answer
from slack_mcp.mesh.transport import NOT_FOUND, MeshTransport
from slack_mcp.ports.mesh import MeshTurn
from slack_mcp.protocol.agent_stream import DONE

Chunks = AsyncGenerator[Mapping[str, Any], None]

_NO_CONTENT: Final = 204
_METHOD_NOT_ALLOWED: Final = 405
_STILL_WORKING: Final[Mapping[str, Any]] = {"type": "data-still-working"}
_FAILED: Final[Mapping[str, Any]] = {"type": "error"}
_FINISH: Final[Mapping[str, Any]] = {"type": "finish"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a question stands in its thread.

    Attributes:
        message_id: the id to post it with.
        answer: what the agent has answered already, None when it has to be asked or waited for.
        earlier_ids: the messages before it; a run that writes one of them is not this question's.
    """

    message_id: str
    answer: str | None
    earlier_ids: AbstractSet[str]


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
        self, access: MeshAccess, turn: MeshTurn, body: Mapping[str, Any], *, agents_url: str, stack: AsyncExitStack
    ) -> Chunks | None:
        """Ask, and return the run's chunks; None when this Mesh has no such endpoint.

        Args:
            access: the tenant's.
            turn: the question.
            body: the question as Mesh wants it; its id is replaced.
            agents_url: the organization's `…/decopilot`.
            stack: closes what is opened here.

        Raises:
            AgentRateLimitedError: 429.
            MeshApiError: one of its classes; unavailable also while the thread is busy with an earlier question.
        """
        thread_url = f"{agents_url}/threads/{turn.thread_id}"
        response = await stack.enter_async_context(self._transport.open_stream(access, "GET", f"{thread_url}/stream"))
        if not await self._is_tail(response):
            return None
        # After the tail is open: what ends before this look is listed, what ends after it is on the tail.
        status = await self._threads.ensure_thread(access, turn)
        messages = await self._threads.list_messages(access, turn.thread_id)
        standing = find_standing(turn, messages, status)
        if standing.answer is not None:
            return _as_chunks(standing.answer)
        answer = await self._transport.post(
            access, f"{thread_url}/messages", _with_id(body, standing.message_id), is_repeatable=True
        )
        if not httpx2.codes.is_success(answer.status):
            raise_for_refusal(answer.status, answer.headers, answer.body)
        if response.status_code == _NO_CONTENT:
            return self._poll(access, turn, standing.message_id)
        return _read_run(response, standing.earlier_ids)

    async def _is_tail(self, response: httpx2.Response) -> bool:
        if not response.is_success and response.status_code not in {NOT_FOUND, _METHOD_NOT_ALLOWED}:
            raise_for_refusal(response.status_code, response.headers, await self._transport.read(response))
        if response.status_code == _NO_CONTENT or is_event_stream(response):
            return True
        await response.aclose()
        return False

    async def _poll(self, access: MeshAccess, turn: MeshTurn, message_id: str) -> Chunks:
        """Look for the answer until it is there; a chunk tells each time that the agent still works."""
        answer, has_run = "", False
        while not answer:
            await anyio.sleep(self._poll_s)
            status = await self._threads.ensure_thread(access, turn)
            if status == IN_PROGRESS:
                has_run = True
                yield _STILL_WORKING
                continue
            answer = find_answer(await self._threads.list_messages(access, turn.thread_id), message_id)
            if not answer and has_run and status == FAILED:
                yield _FAILED
        yield _text_chunk(answer)
        yield _FINISH


def find_standing(turn: MeshTurn, messages: Sequence[Mapping[str, Any]], status: str) -> Standing:
    """Return where the turn's question stands.

    Mesh takes a message id once: a question whose run failed is asked again under its id with a number behind.

    Args:
        turn: the question.
        messages: the thread's, oldest first.
        status: the thread's.

    Raises:
        MeshUnavailableError: the agent is busy with another question; its answer would be taken for this one's.
    """
    ids = [str(message.get("id")) for message in messages]
    own = [i for i, known in enumerate(ids) if known == turn.message_id or known.startswith(f"{turn.message_id}-")]
    if not own:
        if status == IN_PROGRESS:
            raise MeshUnavailableError("The agent is still busy with an earlier question of this thread.")
        return Standing(message_id=turn.message_id, answer=None, earlier_ids=frozenset(ids))
    earlier_ids = frozenset(ids[: own[-1]])
    if status == IN_PROGRESS:
        return Standing(message_id=ids[own[-1]], answer=None, earlier_ids=earlier_ids)
    answer = find_answer(messages, ids[own[-1]]) if status != FAILED else ""
    if answer:
        return Standing(message_id=ids[own[-1]], answer=answer, earlier_ids=earlier_ids)
    return Standing(message_id=f"{turn.message_id}-{len(own)}", answer=None, earlier_ids=frozenset(ids))


def _with_id(body: Mapping[str, Any], message_id: str) -> Mapping[str, Any]:
    *system, question = body["messages"]
    return {**body, "messages": [*system, {**question, "id": message_id}]}


def _text_chunk(text: str) -> Mapping[str, Any]:
    return {"type": "text-delta", "id": "0", "delta": text}


async def _as_chunks(answer: str) -> Chunks:
    yield _text_chunk(answer)
    yield _FINISH


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
