"""Who calls a tool. Set for each request at the edge, asked by what acts for a connection."""

from contextvars import ContextVar
from typing import Final

from slack_mcp.core.errors import SlackMcpError, UnauthenticatedError
from slack_mcp.ports.identity import Credentials, Identities, Principal, PrincipalKind
from slack_mcp.ports.mesh import MeshClaims

__all__ = ["Caller", "Principal", "PrincipalKind", "current_caller"]


class Caller:
    """The sender of one request.

    It is proven when somebody needs to know, once: proving may mean to ask Mesh, and Mesh sends its token along with
    `initialize` and `tools/list` too, which have to be fast and work without.

    Args:
        identities: decides whether the credentials are believed; None believes nobody.
        credentials: as they came, not believed yet; None without any.
        known: who it is, where that needs no proof: whoever started the process on this machine.
    """

    def __init__(
        self,
        *,
        identities: Identities | None = None,
        credentials: Credentials | None = None,
        known: Principal | None = None,
    ) -> None:
        self._identities = identities
        self._credentials = credentials or Credentials()
        self._known = known
        self._error: SlackMcpError | None = None

    @property
    def known(self) -> Principal | None:
        """Who it is, if that was proven already."""
        return self._known

    @property
    def has_credentials(self) -> bool:
        """Whether something was sent that can be proven, or needs no proof."""
        return self._known is not None or bool(self._credentials)

    async def identify(self) -> Principal:
        """Return who it is, proven.

        Raises:
            UnauthenticatedError: nothing was sent, or it is not believed.
            ForbiddenError: it is believed, and may do nothing here.
            MeshUnavailableError, IssuerUnavailableError, StoreUnavailableError: it cannot be found out now.
        """
        if self._known is not None:
            return self._known
        if self._error is not None:
            raise self._error
        if self._identities is None:
            raise UnauthenticatedError("Nobody can prove here who they are.")
        try:
            self._known = await self._identities.identify(self._credentials)
        except SlackMcpError as error:
            self._error = error
            raise
        return self._known

    async def fetch_claims(self) -> MeshClaims:
        """Return what the request's Mesh token says, proven.

        Raises:
            UnauthenticatedError: there is no Mesh token, or it is not believed.
            MeshUnavailableError: Mesh had to be asked and did not answer.
        """
        claims = (await self.identify()).claims
        if claims is None:
            raise UnauthenticatedError("The request carries no Mesh token (x-studio-token or x-mesh-token).")
        return claims


current_caller: Final[ContextVar[Caller]] = ContextVar("current_caller")
"""The sender of the request being served. The SDK carries the context of the edge on to the handlers."""
