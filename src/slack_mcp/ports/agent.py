"""Whoever writes the answers."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from slack_mcp.core.ids import ChannelId, EventId, Ts, UserId
from slack_mcp.core.model import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentMessage:
    """One thing said in the thread, before the question.

    Attributes:
        role: `assistant` for what the bot itself said.
        text: of a person, with everything that marks it as what somebody said, and no order.
    """

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentImage:
    """A picture that belongs to the question.

    Attributes:
        content: of the type that `mimetype` says, already small enough for any model.
    """

    name: str
    mimetype: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """A question with what came before it.

    Attributes:
        event_id: identifies the question; a repeated request with it is the same question.
        question: what the person wants, and behind it what their files say, marked as such.
        instructions: how to answer, for a system message; None when nobody said.
        images: what the person attached.
        history: the whole conversation, oldest first; an agent that keeps its own history ignores it.
        background: what was said since the agent's last answer, or before its first: for an agent that keeps its own
            history, and has not heard this.
        generation: how often the thread was told to forget; an agent that keeps its own history begins anew with each.
        final_only: what is said before a tool is used is no part of the answer.
        is_repeated: an earlier run may have asked already.
    """

    event_id: EventId
    channel_id: ChannelId
    thread_ts: Ts
    user_id: UserId | None
    question: str
    instructions: str | None = None
    images: Sequence[AgentImage] = ()
    history: Sequence[AgentMessage] = ()
    background: Sequence[AgentMessage] = ()
    generation: int = 0
    final_only: bool = False
    is_repeated: bool = False


class TaskState(StrEnum):
    """How far a tool call is, in Slack's words.

    Source: https://docs.slack.dev/reference/block-kit/blocks/task-card-block.
    """

    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentText:
    """The next piece of the answer; joined together the pieces are the answer, in Markdown."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """The agent uses a tool.

    Attributes:
        task_id: the same for each state of one tool call.
        title: the tool's name, for people; nothing of its arguments.
    """

    task_id: str
    title: str
    state: TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """The agent made a file, which belongs to the answer."""

    name: str
    mimetype: str
    content: bytes


AgentEvent: TypeAlias = AgentText | AgentTask | AgentFile


class Agent(Protocol):
    """One backend."""

    def stream_answer(self, connection: Connection, request: AgentRequest) -> AsyncIterator[AgentEvent]:
        """Yield what the agent does, as it does it.

        Raises:
            AgentError: one of its classes; what was yielded before it is not a complete answer.
        """
        ...

    async def complete(self, connection: Connection, *, task_id: str, instructions: str, text: str) -> str:
        """Return what the agent's model makes of a text, outside of every conversation: a summary, a title.

        Args:
            connection: whose agent it is.
            task_id: identifies the task; letters, digits and `-`.
            instructions: what is to be made of it.
            text: what it is to be made of: data, in which no order is followed.

        Raises:
            AgentError: one of its classes.
        """
        ...

    async def cancel(self, connection: Connection, request: AgentRequest) -> None:
        """Let the agent end its work on a request, where it would go on by itself; raises AgentError."""
        ...


class Agents(Protocol):
    """Chooses the backend of a connection."""

    def choose(self, connection: Connection) -> Agent:
        """Return the backend; raises AgentNotConfiguredError when the connection has none."""
        ...
