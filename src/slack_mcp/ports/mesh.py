"""Mesh (Studio), as far as configuration and the agent that lives there need it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.agent import AgentImage


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshClaims:
    """What a verified Mesh token says; nothing in it may be believed before the verification.

    Attributes:
        token: the token itself, good as bearer at Mesh until `expires_at_s` (unix seconds).
        state: the whole saved configuration, secrets included; empty until one was saved.
    """

    connection_id: ConnectionId
    organization_id: str
    organization_slug: str | None
    mesh_url: str
    user_id: str | None
    expires_at_s: float
    token: Secret
    state: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshApiKey:
    """An API key of Mesh. The key is told once, when it is made."""

    id: str
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshTurn:
    """One question to a Mesh agent.

    Attributes:
        thread_id: Mesh's thread, which keeps the history; made when it does not exist yet. Letters, digits, `-`, `_`.
        message_id: identifies the question in Mesh; asked again with it, the question is not put twice.
        agent_id: the virtual MCP that answers, `vir_…`.
        background: what Mesh has not heard of the conversation, oldest first; it goes along with the question.
        images: what belongs to the question.
        is_repeated: an earlier run may have asked already: what came of it is looked for before the question is asked.
    """

    thread_id: str
    message_id: str
    agent_id: str
    question: str
    system_prompt: str | None = None
    background: Sequence[str] = ()
    images: Sequence[AgentImage] = ()
    is_repeated: bool = False


class MeshTokens(Protocol):
    """Decides which Mesh tokens are believed."""

    async def verify(self, token: str) -> MeshClaims:
        """Return the token's claims after proving that a known Mesh made it.

        Raises:
            UnauthenticatedError: bad signature, expired, unknown Mesh, or no way to verify is configured.
            MeshUnavailableError: Mesh had to be asked and did not answer.
        """
        ...


class MeshApi(Protocol):
    """Mesh's management tools."""

    async def create_api_key(self, claims: MeshClaims, *, name: str) -> MeshApiKey:
        """Make an API key that does not expire, for the connection's agent calls.

        Raises:
            MeshApiError: one of its classes.
        """
        ...


class MeshRefusals(Protocol):
    """Remembers since when Mesh refuses a connection. Its methods may raise `StoreUnavailableError`."""

    async def note_refusal(self, connection: Connection) -> None:
        """Remember that Mesh refuses the connection from now on, unless that is known already."""
        ...

    async def clear_refusal(self, connection: Connection) -> None:
        """Forget that Mesh refused the connection; one that was disabled for it is enabled."""
        ...


class MeshAgents(Protocol):
    """The agents that live in Mesh."""

    def stream_turn(self, connection: Connection, turn: MeshTurn) -> AsyncGenerator[Mapping[str, Any], None]:
        """Ask, and yield the run's AI SDK message chunks as they come; close the generator when the run has ended.

        It may go on after the run's `finish`. The waits between chunks have no deadline: the caller sets it. An answer
        that an earlier run has left in the thread is yielded as if it were just given.

        Raises:
            AgentError: AgentNotConfiguredError, AgentRateLimitedError or AgentStreamBrokenError.
            MeshApiError: one of its classes.
        """
        ...

    async def cancel_turn(self, connection: Connection, turn: MeshTurn) -> None:
        """End the run that answers the turn, if one is going on; raises what `stream_turn` raises."""
        ...

    async def delete_thread(self, connection: Connection, thread_id: str) -> None:
        """Forget a thread and all that was said in it; raises what `stream_turn` raises."""
        ...
