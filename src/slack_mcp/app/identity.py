"""Who may call `/mcp`, as the settings have it."""

import httpx2

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.identity.api_keys import ApiKeyVerifier
from slack_mcp.identity.issuer import IssuerKeys
from slack_mcp.identity.oauth import SCOPES, OAuthRules, OAuthVerifier
from slack_mcp.identity.prove import CredentialProver
from slack_mcp.identity.rate_limit import RateLimiter
from slack_mcp.ports.identity import ApiKeyStore, ProtectedResource
from slack_mcp.ports.mesh import MeshTokens
from slack_mcp.settings import Settings
from slack_mcp.tools.endpoint import PATH
from slack_mcp.tools.guard import Guard
from slack_mcp.tools.refusal import METADATA_PATH


def make_guard(
    settings: Settings, *, tokens: MeshTokens, keys: ApiKeyStore, http: httpx2.AsyncClient, clock: Clock
) -> Guard:
    """Return what lets callers in.

    Args:
        settings: say how.
        tokens: verifies Mesh tokens.
        keys: has the API keys.
        http: fetches the keys of the OAuth issuer, where one is set.
        clock: judges what expires.
    """
    resource = find_resource(settings)
    return Guard(
        identities=CredentialProver(
            mesh=tokens,
            keys=ApiKeyVerifier(store=keys, clock=clock),
            oauth=None if resource is None else _make_oauth(settings, resource, http=http, clock=clock),
        ),
        limiter=RateLimiter(per_min=settings.mcp_rate_limit_per_min, clock=clock),
        auth_token=settings.auth_token,
        auth_header=settings.auth_header,
        allowed_hosts=[*settings.mcp_allowed_hosts, *([settings.public_url] if settings.public_url else [])],
        resource=resource,
    )


def find_resource(settings: Settings) -> ProtectedResource | None:
    """Return what clients of OAuth are told, None without an issuer."""
    if settings.oauth_issuer is None or settings.public_url is None:
        return None
    return ProtectedResource(
        resource=f"{settings.public_url}{PATH}",
        metadata_url=f"{settings.public_url}{METADATA_PATH}{PATH}",
        issuer=settings.oauth_issuer,
        scopes=tuple(SCOPES),
    )


def _make_oauth(
    settings: Settings, resource: ProtectedResource, *, http: httpx2.AsyncClient, clock: Clock
) -> OAuthVerifier:
    connection_id = settings.oauth_connection_id
    return OAuthVerifier(
        keys=IssuerKeys(http=http, clock=clock, issuer=resource.issuer, jwks_url=settings.oauth_jwks_url),
        rules=OAuthRules(
            issuer=resource.issuer,
            audience=settings.oauth_audience or resource.resource,
            connection_claim=settings.oauth_connection_claim,
            connection_id=None if connection_id is None else ConnectionId(connection_id),
        ),
        clock=clock,
    )
