"""Who calls the tools, as the tools and the command line need to know it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshClaims


class PrincipalKind(StrEnum):
    """How a caller proved who it is."""

    MESH = "mesh"
    API_KEY = "api_key"
    OAUTH = "oauth"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller that is proven.

    Attributes:
        connection_id: the one connection that it may act for.
        subject: for the log and the audit: `mesh:<user id>`, `key:<key id>`, `oauth:<sub>` or `local`.
        access: how much it may do there.
        claims: what its Mesh token says; None for every other kind.
    """

    kind: PrincipalKind
    connection_id: ConnectionId
    subject: str
    access: Access
    claims: MeshClaims | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a request carries to prove its sender, not believed yet.

    Attributes:
        mesh_token: of Mesh's own headers.
        bearer: of `Authorization`, without that word.
    """

    mesh_token: Secret | None = None
    bearer: Secret | None = None

    def __bool__(self) -> bool:
        return self.mesh_token is not None or self.bearer is not None


class Identities(Protocol):
    """Decides who is believed."""

    async def identify(self, credentials: Credentials, /) -> Principal:
        """Return the sender of a request, proven.

        Raises:
            UnauthenticatedError: nothing was sent, or it is not believed; the message says why, without a token.
            ForbiddenError: the sender is who it says, and may do nothing here.
            MeshUnavailableError, IssuerUnavailableError, StoreUnavailableError: it cannot be found out now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key of ours, as it is kept: the key itself is shown once, when it is made.

    Attributes:
        key_id: the part of the key that is no secret.
        name: for people.
        key_hash: SHA-256 of the secret part, in hex.
        created_at_ms, expires_at_ms, revoked_at_ms: unix milliseconds; None is never.
    """

    key_id: str
    connection_id: ConnectionId
    name: str
    key_hash: str
    access: Access
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None


class ApiKeyStore(Protocol):
    """API keys in the database. Every method may raise `StoreUnavailableError`."""

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new key; raises ConnectionNotFoundError."""
        ...

    async def load_key(self, key_id: str) -> ApiKey | None:
        """Return the key, revoked or not; None when there is none, or its connection was removed."""
        ...

    async def list_keys(self, connection_id: ConnectionId | None) -> Sequence[ApiKey]:
        """Return the keys of one connection, or of all; oldest first within each."""
        ...

    async def revoke_key(self, key_id: str, *, now_ms: int) -> ApiKey | None:
        """Let a key open nothing any more, and return it; None when there is none. Once revoked stays as it was."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedResource:
    """`/mcp` as clients of OAuth find it: https://www.rfc-editor.org/rfc/rfc9728.

    Attributes:
        resource: its identifier, a URL.
        metadata_url: where the document about it is.
        issuer: the authorization server that makes its access tokens.
        scopes: what those may be asked for.
    """

    resource: str
    metadata_url: str
    issuer: str
    scopes: tuple[str, ...]
