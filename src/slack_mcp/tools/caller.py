"""Who calls a tool. Set for each request at the HTTP edge, asked by the tools that act for a connection."""

from contextvars import ContextVar
from typing import Final

from slack_mcp.core.errors import UnauthenticatedError
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshClaims, MeshTokens


class Caller:
    """The sender of one request.

    Its Mesh token is verified when somebody needs to know, once: verifying may mean to ask Mesh, and Mesh sends the
    token along with `initialize` and `tools/list` too, which have to be fast and work without.

    Args:
        tokens: decides whether the token is believed.
        mesh_token: as it came, not believed yet; None without one.
    """

    def __init__(self, *, tokens: MeshTokens, mesh_token: Secret | None) -> None:
        self._tokens = tokens
        self._mesh_token = mesh_token
        self._claims: MeshClaims | None = None

    @property
    def verified(self) -> MeshClaims | None:
        """The claims, if they were fetched already."""
        return self._claims

    async def fetch_claims(self) -> MeshClaims:
        """Return what the request's Mesh token says, proven.

        Raises:
            UnauthenticatedError: there is no token, or it is not believed.
            MeshUnavailableError: Mesh had to be asked and did not answer.
        """
        if self._claims is None:
            if self._mesh_token is None:
                raise UnauthenticatedError("The request carries no Mesh token (x-studio-token or x-mesh-token).")
            self._claims = await self._tokens.verify(self._mesh_token.reveal())
        return self._claims


current_caller: Final[ContextVar[Caller]] = ContextVar("current_caller")
"""The sender of the request being served. The SDK carries the context of the HTTP edge on to the handlers."""
