"""An agent that lives in Mesh."""

import hashlib
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing, contextmanager
from typing import Final

from slack_mcp.agents.waiting import IDLE_TIMEOUT_S, next_in_time
from slack_mcp.core.errors import (
    AgentNotConfiguredError,
    AgentRefusedError,
    AgentUnavailableError,
    MeshRefusedError,
    MeshUnavailableError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentRequest
from slack_mcp.ports.mesh import MeshAgents, MeshTurn
from slack_mcp.protocol.agent_stream import MAX_ANSWER_CHARS, AnswerReader

_DIGEST_CHARS: Final = 32


class MeshAgent:
    """Asks the connection's agent in Mesh; implements `ports.agent.Agent`. Mesh keeps the thread's history.

    Args:
        mesh: the way to Mesh.
        idle_timeout_s: seconds that the agent may be silent.
        max_answer_chars: the longest answer that is accepted, in characters.
    """

    def __init__(
        self, *, mesh: MeshAgents, idle_timeout_s: float = IDLE_TIMEOUT_S, max_answer_chars: int = MAX_ANSWER_CHARS
    ) -> None:
        self._mesh = mesh
        self._idle_timeout_s = idle_timeout_s
        self._max_answer_chars = max_answer_chars

    async def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[str]:
        """Yield the answer in one piece: before the run's end nobody can tell the answer from the words before a tool.

        Nothing is yielded when the agent ends without a word.

        Raises:
            AgentError: one of its classes.
        """
        turn = render_turn(connection, request)
        reader = AnswerReader(max_chars=self._max_answer_chars)
        with _as_agent_errors():
            async with aclosing(self._mesh.stream_turn(connection, turn)) as chunks:
                while not reader.is_finished:
                    chunk = await next_in_time(chunks, self._idle_timeout_s)
                    if chunk is None:
                        break
                    reader.feed(chunk)
        answer = reader.take_answer()
        if answer:
            yield answer


def render_turn(connection: Connection, request: AgentRequest) -> MeshTurn:
    """Return the request as Mesh's turn.

    Raises:
        AgentNotConfiguredError: the connection names no agent.
    """
    if not connection.agent_id:
        raise AgentNotConfiguredError("No agent is chosen: choose one in the connection's configuration in Mesh.")
    thread_id = make_thread_id(
        connection.connection_id, request.channel_id, request.thread_ts, generation=request.generation
    )
    return MeshTurn(
        thread_id=thread_id,
        # Mesh's message ids are of one kind for all tenants, and two of them may hear of the same Slack event.
        message_id=f"{thread_id}-{request.event_id}",
        agent_id=connection.agent_id,
        question=request.question,
        system_prompt=connection.system_prompt or None,
    )


def make_thread_id(connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, generation: int = 0) -> str:
    """Return the Mesh thread of a Slack thread: the same until it is reset, and of letters, digits and `-` only.

    Mesh uses it as the name of a NATS subject, where `.`, `*`, `>` and blanks are refused.
    """
    names = f"{connection_id}\0{channel_id}\0{thread_ts}" + (f"\0{generation}" if generation else "")
    return f"slack-{hashlib.sha256(names.encode('utf-8', 'replace')).hexdigest()[:_DIGEST_CHARS]}"


@contextmanager
def _as_agent_errors() -> Generator[None, None, None]:
    """Say of an agent what was said of Mesh."""
    try:
        yield
    except MeshRefusedError as error:
        raise AgentRefusedError(str(error)) from error
    except MeshUnavailableError as error:
        raise AgentUnavailableError(str(error)) from error
