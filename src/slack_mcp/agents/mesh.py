"""An agent that lives in Mesh."""

import hashlib
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, Final

import anyio
import structlog

from slack_mcp.agents.mesh_events import FileReader, ToolReader
from slack_mcp.agents.waiting import IDLE_TIMEOUT_S, next_in_time
from slack_mcp.core.errors import (
    AgentError,
    AgentNotConfiguredError,
    AgentRefusedError,
    AgentUnavailableError,
    MeshApiError,
    MeshRefusedError,
    MeshUnavailableError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.ports.agent import AgentEvent, AgentMessage, AgentRequest, AgentText
from slack_mcp.ports.mesh import MeshAgents, MeshTurn
from slack_mcp.protocol.agent_stream import MAX_ANSWER_CHARS, AnswerReader

DELETE_TIMEOUT_S: Final = 5.0
_DIGEST_CHARS: Final = 32
_OWN_WORDS: Final = "(You said:)\n"

_log = structlog.get_logger(__name__)


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

    async def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[AgentEvent]:
        """Yield what the agent does, as it does it; no text when it ends without a word.

        With `final_only` the text comes in one piece: before the run's end nobody can tell the answer from the words
        before a tool. An answer that an earlier run has left in Mesh gives the same text as it would have given then.

        Raises:
            AgentError: one of its classes.
        """
        turn = render_turn(connection, request)
        run = _Run(max_chars=self._max_answer_chars, final_only=request.final_only)
        with _as_agent_errors():
            async with aclosing(self._mesh.stream_turn(connection, turn)) as chunks:
                while not run.is_finished:
                    chunk = await next_in_time(chunks, self._idle_timeout_s)
                    if chunk is None:
                        break
                    for event in run.feed(chunk):
                        yield event
        for event in run.finish():
            yield event

    async def complete(self, connection: Connection, *, task_id: str, instructions: str, text: str) -> str:
        """Return what the agent makes of a text, in a thread of its own that is deleted then.

        Raises:
            AgentError: one of its classes.
        """
        thread_id = _make_name("task", connection.connection_id, task_id)
        turn = MeshTurn(
            thread_id=thread_id,
            message_id=f"{thread_id}-task",
            agent_id=_get_agent_id(connection),
            question=text,
            system_prompt=instructions,
        )
        reader = AnswerReader(max_chars=self._max_answer_chars)
        try:
            with _as_agent_errors():
                async with aclosing(self._mesh.stream_turn(connection, turn)) as chunks:
                    while not reader.is_finished:
                        chunk = await next_in_time(chunks, self._idle_timeout_s)
                        if chunk is None:
                            break
                        reader.feed(chunk)
        finally:
            with anyio.move_on_after(DELETE_TIMEOUT_S, shield=True):
                await self._delete(connection, thread_id)
        return reader.take_answer()

    async def cancel(self, connection: Connection, request: AgentRequest) -> None:
        """Let Mesh end the run, which goes on when nobody listens; raises AgentError."""
        with _as_agent_errors():
            await self._mesh.cancel_turn(connection, render_turn(connection, request))

    async def _delete(self, connection: Connection, thread_id: str) -> None:
        """Delete a thread. A key that was made by an earlier version may not, and then it stays."""
        try:
            await self._mesh.delete_thread(connection, thread_id)
        except (AgentError, MeshApiError) as error:
            _log.info("mesh.thread_not_deleted", connection_id=connection.connection_id, code=error.code)


class _Run:
    """Makes events of the chunks of one run."""

    def __init__(self, *, max_chars: int, final_only: bool) -> None:
        self._answer = AnswerReader(max_chars=max_chars, final_only=final_only)
        self._tools = ToolReader()
        self._files = FileReader()

    @property
    def is_finished(self) -> bool:
        """Whether the run has said that it ends."""
        return self._answer.is_finished

    def feed(self, chunk: Mapping[str, Any]) -> Iterator[AgentEvent]:
        """Yield what the chunk tells; raises AgentStreamBrokenError."""
        text = self._answer.feed(chunk)
        if text:
            yield AgentText(text=text)
        event = self._tools.feed(chunk) or self._files.feed(chunk)
        if event is not None:
            yield event

    def finish(self) -> Iterator[AgentEvent]:
        """Yield what is left; raises AgentStreamBrokenError."""
        text = self._answer.take_answer()
        if text:
            yield AgentText(text=text)


def render_turn(connection: Connection, request: AgentRequest) -> MeshTurn:
    """Return the request as Mesh's turn.

    Raises:
        AgentNotConfiguredError: the connection names no agent.
    """
    agent_id = _get_agent_id(connection)
    thread_id = make_thread_id(
        connection.connection_id, request.channel_id, request.thread_ts, generation=request.generation
    )
    return MeshTurn(
        thread_id=thread_id,
        # Mesh's message ids are of one kind for all tenants, and two of them may hear of the same Slack event.
        message_id=f"{thread_id}-{request.event_id}",
        agent_id=agent_id,
        question=request.question,
        system_prompt=request.instructions,
        background=tuple(map(_render_said, request.background)),
        images=request.images,
        is_repeated=request.is_repeated,
    )


def make_thread_id(connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, generation: int = 0) -> str:
    """Return the Mesh thread of a Slack thread: the same until it is reset, and of letters, digits and `-` only.

    Mesh uses it as the name of a NATS subject, where `.`, `*`, `>` and blanks are refused.
    """
    names = (connection_id, channel_id, thread_ts, *([str(generation)] if generation else []))
    return _make_name("slack", *names)


def _make_name(kind: str, *names: str) -> str:
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "replace")).hexdigest()
    return f"{kind}-{digest[:_DIGEST_CHARS]}"


def _get_agent_id(connection: Connection) -> str:
    if not connection.agent_id:
        raise AgentNotConfiguredError("No agent is chosen: choose one in the connection's configuration in Mesh.")
    return connection.agent_id


def _render_said(message: AgentMessage) -> str:
    return f"{_OWN_WORDS}{message.text}" if message.role == "assistant" else message.text


@contextmanager
def _as_agent_errors() -> Generator[None, None, None]:
    """Say of an agent what was said of Mesh."""
    try:
        yield
    except MeshRefusedError as error:
        raise AgentRefusedError(str(error)) from error
    except MeshUnavailableError as error:
        raise AgentUnavailableError(str(error)) from error
