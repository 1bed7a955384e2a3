"""The answer to a question that was asked already: out of the thread, where no stream has it."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, TypeAlias

import anyio

from slack_mcp.core.errors import AgentStreamBrokenError
from slack_mcp.mesh.access import MeshAccess
from slack_mcp.mesh.standing import Parts, find_reply
from slack_mcp.mesh.threads import FAILED, IN_PROGRESS, MeshThreads
from slack_mcp.ports.mesh import MeshTurn
from slack_mcp.protocol.agent_stream import replay_message

Chunks: TypeAlias = AsyncGenerator[Mapping[str, Any], None]

_STILL_WORKING: Final[Mapping[str, Any]] = {"type": "data-still-working"}
_FINISH: Final[Mapping[str, Any]] = {"type": "finish"}


async def replay(reply: Parts) -> Chunks:
    """Yield the chunks of an answer that is there."""
    for chunk in replay_message(reply):
        yield chunk
    yield _FINISH


async def poll(threads: MeshThreads, access: MeshAccess, turn: MeshTurn, message_id: str, *, poll_s: float) -> Chunks:
    """Look for the answer until it is there, and yield it; a chunk tells each time that the agent still works.

    Args:
        threads: the management tools.
        access: the tenant's.
        turn: the question.
        message_id: as it was posted.
        poll_s: seconds between two looks.

    Raises:
        AgentStreamBrokenError: the run has failed.
        MeshApiError: one of its classes.
    """
    reply: Parts | None = None
    has_run = False
    while reply is None:
        await anyio.sleep(poll_s)
        status = await threads.ensure_thread(access, turn)
        if status == IN_PROGRESS:
            has_run = True
            yield _STILL_WORKING
            continue
        reply = find_reply(await threads.list_messages(access, turn.thread_id), message_id)
        if reply is None and has_run and status == FAILED:
            raise AgentStreamBrokenError("The agent's run has failed.")
    async for chunk in replay(reply):
        yield chunk
