"""Whoever writes the answers."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from slack_mcp.core.ids import ChannelId, EventId, Ts, UserId
from slack_mcp.core.model import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage:
    """One thing said in the thread, before the question."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """A question with what came before it.

    Attributes:
        event_id: identifies the question; a repeated request with it is the same question.
        history: oldest first; an agent that keeps its own history ignores it.
        generation: how often the thread was told to forget; an agent that keeps its own history begins anew with each.
    """

    event_id: EventId
    channel_id: ChannelId
    thread_ts: Ts
    user_id: UserId | None
    question: str
    history: Sequence[AgentMessage] = ()
    generation: int = 0


class Agent(Protocol):
    """One backend."""

    def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[str]:
        """Yield the answer's text piece by piece; joined together the pieces are the answer.

        Raises:
            AgentError: one of its classes; what was yielded before it is not a complete answer.
        """
        ...


class Agents(Protocol):
    """Chooses the backend of a connection."""

    def choose(self, connection: Connection) -> Agent:
        """Return the backend; raises AgentNotConfiguredError when the connection has none."""
        ...
