"""Which OAuth access tokens are believed: JWTs of the configured issuer, made for this service.

https://www.rfc-editor.org/rfc/rfc9068, https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import jwt

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ForbiddenError, UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.identity.issuer import IssuerKeys, is_same_issuer
from slack_mcp.ports.identity import Principal, PrincipalKind
from slack_mcp.protocol.jws import SIGNATURE_ONLY

SCOPES: Final = MappingProxyType({"slack:read": Access.READ, "slack:write": Access.WRITE, "slack:admin": Access.ADMIN})
LEEWAY_S: Final = 5.0
MAX_TOKEN_CHARS: Final = 16_384
MAX_ID_CHARS: Final = 256

# By key type, because the token's own word on the algorithm is no better than the key allows: with a public key taken
# for a shared secret anybody could sign. https://www.rfc-editor.org/rfc/rfc8725#section-3.1
_ALGORITHMS: Final = MappingProxyType(
    {
        "RSA": frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        "EC": frozenset({"ES256", "ES384", "ES512"}),
        "OKP": frozenset({"EdDSA"}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthRules:
    """What an access token must say.

    Attributes:
        issuer: who made it.
        audience: for whom: this service's identifier.
        connection_claim: the claim that holds the connection's id; None when there is one connection for all.
        connection_id: that one.
    """

    issuer: str
    audience: str
    connection_claim: str | None
    connection_id: ConnectionId | None


class OAuthVerifier:
    """Verifies access tokens.

    Args:
        keys: the issuer's.
        rules: what a token must say.
        clock: judges `exp` and `nbf`.
        leeway_s: seconds by which clocks may differ.
    """

    def __init__(self, *, keys: IssuerKeys, rules: OAuthRules, clock: Clock, leeway_s: float = LEEWAY_S) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._leeway_s = leeway_s

    async def verify(self, bearer: Secret) -> Principal:
        """Return who the token is for.

        Raises:
            UnauthenticatedError: it is not believed; the message says why, and never holds a part of the token.
            ForbiddenError: it is good, and has none of our scopes.
            IssuerUnavailableError: the issuer's keys cannot be had.
        """
        token = bearer.reveal()
        if len(token) > MAX_TOKEN_CHARS:
            raise UnauthenticatedError("The access token is too large.")
        header, claims = _read(token)
        # Cheap and told apart before the issuer is asked; believed only after the signature.
        self._check_claims(claims)
        await self._check_signature(token, header)
        subject = claims.get("sub") or claims.get("client_id")
        return Principal(
            kind=PrincipalKind.OAUTH,
            connection_id=self._find_connection(claims),
            subject=f"oauth:{_check_id('sub', subject)}",
            access=_find_access(claims),
        )

    async def _check_signature(self, token: str, header: Mapping[str, Any]) -> None:
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not any(algorithm in allowed for allowed in _ALGORITHMS.values()):
            raise UnauthenticatedError("The access token is not signed with RS…, PS…, ES… or EdDSA.")
        if key_id is not None and not isinstance(key_id, str):
            raise UnauthenticatedError("The access token names its key with something that is no text.")
        key = await self._keys.find(key_id)
        if key is None:
            raise UnauthenticatedError("The access token is signed with a key that OAUTH_ISSUER does not have.")
        if algorithm not in _ALGORITHMS.get(str(key.get("kty")), ()) or key.get("alg", algorithm) != algorithm:
            raise UnauthenticatedError("The access token is signed with an algorithm that its key is not for.")
        try:
            SIGNATURE_ONLY.decode_complete(token, jwt.PyJWK(dict(key), algorithm), algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError):
            raise UnauthenticatedError("The access token's signature is wrong.") from None

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or not is_same_issuer(issuer, self._rules.issuer):
            raise UnauthenticatedError("The access token was made by another issuer than OAUTH_ISSUER.")
        # `resource` of RFC 8707 where an issuer copies it in place of an audience.
        audience = claims.get("aud", claims.get("resource"))
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or self._rules.audience not in audiences:
            raise UnauthenticatedError(
                f"The access token was made for another service: its audience must be {self._rules.audience}."
            )
        now_s = self._clock.now_s()
        if _read_time(claims, "exp") <= now_s - self._leeway_s:
            raise UnauthenticatedError("The access token has expired.")
        if "nbf" in claims and _read_time(claims, "nbf") > now_s + self._leeway_s:
            raise UnauthenticatedError("The access token is not good yet.")

    def _find_connection(self, claims: Mapping[str, Any]) -> ConnectionId:
        claim = self._rules.connection_claim
        if claim is None:
            if self._rules.connection_id is None:
                raise RuntimeError("neither a claim nor a connection was configured")
            return self._rules.connection_id
        return ConnectionId(_check_id(claim, claims.get(claim)))


def _read(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return header and claims, not believed yet."""
    try:
        decoded = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise UnauthenticatedError("The access token is no JWT.") from None
    return decoded["header"], decoded["payload"]


def _read_time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # Compared, because an integer may be too large to be a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        raise UnauthenticatedError(f"The access token's {name} is missing, or no time.")
    return value


def _check_id(claim: str, value: object) -> str:
    if not (isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isprintable()):
        raise UnauthenticatedError(f"The access token's {claim} is missing, or no id.")
    return value


def _find_access(claims: Mapping[str, Any]) -> Access:
    """Return the most that the token's scopes allow; `scp` is how some issuers call `scope`."""
    scope = claims.get("scope", claims.get("scp"))
    scopes = scope.split() if isinstance(scope, str) else scope
    granted = [access for name, access in SCOPES.items() if name in scopes] if isinstance(scopes, list) else []
    if not granted:
        raise ForbiddenError(f"The access token has none of the scopes {', '.join(SCOPES)}.")
    return max(granted)
