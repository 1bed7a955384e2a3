"""One answer to the question who calls, whatever was sent to prove it."""

import re
from typing import Final

from slack_mcp.core.errors import UnauthenticatedError
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.identity.api_keys import ApiKeyVerifier, is_api_key
from slack_mcp.identity.oauth import OAuthVerifier
from slack_mcp.ports.identity import Credentials, Principal, PrincipalKind
from slack_mcp.ports.mesh import MeshTokens

_JWT: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class CredentialProver:
    """`ports.identity.Identities`.

    Args:
        mesh: verifies Mesh tokens.
        keys: verifies API keys of ours.
        oauth: verifies access tokens of the configured issuer; None without one.
    """

    def __init__(self, *, mesh: MeshTokens, keys: ApiKeyVerifier, oauth: OAuthVerifier | None) -> None:
        self._mesh = mesh
        self._keys = keys
        self._oauth = oauth

    async def identify(self, credentials: Credentials) -> Principal:
        """Return the sender of a request, proven: by its Mesh token, else by its bearer token.

        Raises:
            UnauthenticatedError: nothing was sent, or it is not believed.
            ForbiddenError: an access token is good, and allows nothing here.
            MeshUnavailableError, IssuerUnavailableError, StoreUnavailableError: it cannot be found out now.
        """
        if credentials.mesh_token is not None:
            try:
                return await self._identify_mesh(credentials.mesh_token)
            except UnauthenticatedError:
                # A Mesh that is not known here may carry an API key of ours, or an access token, for a connection.
                if credentials.bearer is None or not self._may_know(credentials.bearer):
                    raise
        if credentials.bearer is None:
            raise UnauthenticatedError(
                "The request proves no connection: send an API key as `Authorization: Bearer smk_…`, or call through "
                "Mesh."
            )
        return await self._identify_bearer(credentials.bearer)

    async def _identify_mesh(self, token: Secret) -> Principal:
        claims = await self._mesh.verify(token.reveal())
        return Principal(
            kind=PrincipalKind.MESH,
            connection_id=claims.connection_id,
            subject=f"mesh:{claims.user_id or 'unknown'}",
            access=Access.ADMIN,
            claims=claims,
        )

    async def _identify_bearer(self, bearer: Secret) -> Principal:
        if is_api_key(bearer):
            return await self._keys.verify(bearer)
        if not _JWT.fullmatch(bearer.reveal()):
            raise UnauthenticatedError("The bearer token is neither an API key (smk_…) nor an access token (a JWT).")
        if self._oauth is None:
            raise UnauthenticatedError(
                "Access tokens are not accepted here, because OAUTH_ISSUER is not set: send an API key (smk_…)."
            )
        return await self._oauth.verify(bearer)

    def _may_know(self, bearer: Secret) -> bool:
        return is_api_key(bearer) or (self._oauth is not None and _JWT.fullmatch(bearer.reveal()) is not None)
