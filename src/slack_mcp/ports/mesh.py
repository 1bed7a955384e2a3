"""Mesh (Studio), as far as configuration needs it."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.secret import Secret


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
