"""Which Mesh tokens are believed.

A token is a JWT, HS256 with a secret that Mesh keeps to itself, and lives five minutes. Who has the secret verifies the
signature; who has not asks the Mesh. The Mesh's URL stands inside the token, so it is never more than a key into the
list of Meshes that may be asked: a stranger's server would vouch for anything. Source of the claims' names:
https://github.com/decocms/studio, `apps/api/src/auth/jwt.ts`.
"""

import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import jwt

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import MeshRefusedError, MeshUnavailableError, UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.access import MeshAccess, normalise_mesh_url
from slack_mcp.mesh.transport import MeshTransport, parse_json_object
from slack_mcp.ports.mesh import MeshClaims
from slack_mcp.protocol.jws import SIGNATURE_ONLY

ALGORITHM: Final = "HS256"
LEEWAY_S: Final = 5.0
MAX_TOKEN_CHARS: Final = 128 * 1024  # the whole saved configuration is inside
MAX_ID_CHARS: Final = 256
MAX_TIME_S: Final = 2.0**53  # later than any token means

_OK: Final = 200
_NOT_ACCEPTED: Final = frozenset({401, 403})
_JWT: Final = re.compile(r"[\w=-]+\.[\w=-]+\.[\w=-]*", re.ASCII)  # stricter than PyJWT, which skips other characters
_SLUG: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}")


class MeshTokenVerifier:
    """Verifies tokens; implements `ports.mesh.MeshTokens`.

    Args:
        transport: asks the Meshes of the list.
        clock: judges `exp`.
        jwt_secret: Mesh's own secret, None when it is not known here.
        allowed_urls: the Meshes that may be asked.
        leeway_s: seconds that a token is accepted past its `exp`, for clocks that differ.
        cache_size: how many tokens that a Mesh vouched for are remembered, each until its `exp`.
    """

    def __init__(
        self,
        *,
        transport: MeshTransport,
        clock: Clock,
        jwt_secret: Secret | None,
        allowed_urls: Iterable[str],
        leeway_s: float = LEEWAY_S,
        cache_size: int = 1024,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._jwt_secret = jwt_secret
        self._allowed_urls = {normalise_mesh_url(url) for url in allowed_urls} - {None}
        self._leeway_s = leeway_s
        self._cache_size = cache_size
        # Expiry by the hash of the whole token, which names its connection: no two tenants can share an entry.
        self._vouched_for: OrderedDict[bytes, float] = OrderedDict()

    async def verify(self, token: str) -> MeshClaims:
        """Return the token's claims after proving that a known Mesh made it.

        Raises:
            UnauthenticatedError: not proven; the message says what is wrong, and never holds a part of the token.
            MeshUnavailableError: Mesh had to be asked and did not answer.
        """
        if not self._jwt_secret and not self._allowed_urls:
            raise UnauthenticatedError(
                "Mesh tokens cannot be verified here: set MESH_JWT_SECRET (Mesh's own secret) or MESH_ALLOWED_URLS "
                "(the Mesh servers that may be asked)."
            )
        if len(token) > MAX_TOKEN_CHARS or not _JWT.fullmatch(token):
            raise UnauthenticatedError("The Mesh token is too large, or is no JWT.")
        claims = self._read_claims(token)
        # A signature that is right is enough, whatever Mesh the token names: only a Mesh has the secret. The list
        # limits who may be asked, not who may sign.
        if self._is_signed(token):
            return claims
        if claims.mesh_url in self._allowed_urls:
            await self._ask(claims)
            return claims
        raise UnauthenticatedError(
            "The Mesh token is not signed with MESH_JWT_SECRET, and its Mesh is not in MESH_ALLOWED_URLS."
        )

    def _read_claims(self, token: str) -> MeshClaims:
        """Return what the token says of itself, not believed yet but complete, well formed and not expired."""
        try:
            decoded = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthenticatedError("The Mesh token is no JWT.") from None
        if decoded["header"].get("alg") != ALGORITHM:
            raise UnauthenticatedError(f"The Mesh token is not signed with {ALGORITHM}.")
        payload = decoded["payload"]
        expires_at_s = payload.get("exp")
        if isinstance(expires_at_s, bool) or not isinstance(expires_at_s, int | float):
            raise UnauthenticatedError("The Mesh token has no time of expiry.")
        # As a comparison, because an integer may be too large to be a float.
        if not (self._clock.now_s() - self._leeway_s <= expires_at_s < math.inf):
            raise UnauthenticatedError("The Mesh token has expired.")
        return _parse_claims(token, payload, expires_at_s)

    def _is_signed(self, token: str) -> bool:
        if not self._jwt_secret:
            return False
        try:
            SIGNATURE_ONLY.decode_complete(token, self._jwt_secret.reveal(), algorithms=[ALGORITHM])
        except jwt.PyJWTError:
            return False
        return True

    async def _ask(self, claims: MeshClaims) -> None:
        """Return when the token's Mesh vouches for it: it answers a ping only under a good signature."""
        digest = hashlib.sha256(claims.token.reveal().encode("ascii")).digest()
        if self._vouched_for.get(digest, 0.0) > self._clock.now_s():
            self._vouched_for.move_to_end(digest)
            return
        # Without a slug on the older path, where the answer was seen to prove the token.
        access = MeshAccess(mesh_url=claims.mesh_url, organization_slug=None, bearer=claims.token)
        try:
            answer = await self._transport.ping(access)
        except MeshRefusedError as error:
            raise MeshUnavailableError("Mesh could not be asked about its token.") from error
        if answer.status in _NOT_ACCEPTED:
            raise UnauthenticatedError("Mesh says that the token is not one of its own, or has expired.")
        body = parse_json_object(answer.body) or {}
        if answer.status != _OK or not isinstance(body.get("result"), dict):
            raise MeshUnavailableError(f"Mesh could not be asked about its token (HTTP {answer.status}).")
        self._vouched_for[digest] = claims.expires_at_s
        while len(self._vouched_for) > self._cache_size:
            self._vouched_for.popitem(last=False)


def _parse_claims(token: str, payload: Mapping[str, Any], expires_at_s: float) -> MeshClaims:
    """Return the claims of either form: flat, or under `metadata`; the newest Mesh says `studioUrl` for `meshUrl`."""
    metadata = payload.get("metadata")
    sources = [payload, metadata] if isinstance(metadata, dict) else [payload]

    def pick(*names: str) -> Any:
        return next((source[name] for name in names for source in sources if source.get(name) is not None), None)

    connection_id, organization_id = pick("connectionId"), pick("organizationId")
    slug, mesh_url, state = pick("organizationSlug"), pick("studioUrl", "meshUrl"), pick("state")
    if not (_is_id(connection_id) and _is_id(organization_id)):
        raise UnauthenticatedError("The Mesh token names no connection, or no organization.")
    if slug is not None and not (isinstance(slug, str) and _SLUG.fullmatch(slug)):
        raise UnauthenticatedError("The Mesh token's organizationSlug is malformed.")
    url = normalise_mesh_url(mesh_url) if isinstance(mesh_url, str) else None
    if url is None:
        raise UnauthenticatedError("The Mesh token does not say which Mesh made it.")
    if state is not None and not isinstance(state, dict):
        raise UnauthenticatedError("The Mesh token's state is malformed.")
    return MeshClaims(
        connection_id=ConnectionId(connection_id),
        organization_id=organization_id,
        organization_slug=slug,
        mesh_url=url,
        user_id=_parse_user_id(payload),
        expires_at_s=float(min(expires_at_s, MAX_TIME_S)),
        token=Secret(token),
        state=state or {},
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isprintable()


def _parse_user_id(payload: Mapping[str, Any]) -> str | None:
    user = payload.get("user")
    user_id = user.get("id") if isinstance(user, dict) else payload.get("sub")
    return user_id if _is_id(user_id) else None
