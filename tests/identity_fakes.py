"""What stands for the proofs of who calls, importable from everywhere below tests/."""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from slack_mcp.core.errors import ConnectionNotFoundError, UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.ports.identity import ApiKey, Credentials, Principal, PrincipalKind
from slack_mcp.ports.mesh import MeshTokens
from slack_mcp.tools.caller import Caller


class FakeKeyStore:
    """API keys in a dict; `connections` are those that exist, None for any."""

    def __init__(self, connections: Collection[str] | None = None) -> None:
        self.rows: dict[str, ApiKey] = {}
        self.loads = 0
        self.error: Exception | None = None
        self.wait: Callable[[], Awaitable[None]] | None = None
        self._connections = connections

    async def add_key(self, key: ApiKey) -> None:
        if self._connections is not None and key.connection_id not in self._connections:
            raise ConnectionNotFoundError(key.connection_id)
        self.rows[key.key_id] = key

    async def load_key(self, key_id: str) -> ApiKey | None:
        self.loads += 1
        if self.wait is not None:
            await self.wait()
        if self.error:
            raise self.error
        return self.rows.get(key_id)

    async def list_keys(self, connection_id: ConnectionId | None) -> Sequence[ApiKey]:
        return [key for key in self.rows.values() if connection_id in (None, key.connection_id)]

    async def revoke_key(self, key_id: str, *, now_ms: int) -> ApiKey | None:
        key = self.rows.get(key_id)
        if key is not None:
            key = self.rows[key_id] = replace(key, revoked_at_ms=key.revoked_at_ms or now_ms)
        return key


class FakeIdentities:
    """Believes the bearer tokens that it was given, and Mesh tokens as `tokens` does."""

    def __init__(self, principals: Mapping[str, Principal] | None = None, *, tokens: MeshTokens | None = None) -> None:
        self._principals = principals or {}
        self._tokens = tokens
        self.asked = 0
        self.error: Exception | None = None

    async def identify(self, credentials: Credentials) -> Principal:
        self.asked += 1
        if self.error:
            raise self.error
        if credentials.mesh_token is not None and self._tokens is not None:
            claims = await self._tokens.verify(credentials.mesh_token.reveal())
            return make_principal(
                claims.connection_id, kind=PrincipalKind.MESH, subject=f"mesh:{claims.user_id}", claims=claims
            )
        bearer = credentials.bearer.reveal() if credentials.bearer else ""
        if bearer not in self._principals:
            raise UnauthenticatedError("The token is not believed.")
        return self._principals[bearer]


def make_principal(connection_id: str = "conn_a", **changes: Any) -> Principal:
    values: dict[str, Any] = {
        "kind": PrincipalKind.API_KEY,
        "connection_id": ConnectionId(connection_id),
        "subject": "key:0123456789abcdef",
        "access": Access.ADMIN,
    }
    return Principal(**(values | changes))


def make_known_caller(connection_id: str = "conn_a", **changes: Any) -> Caller:
    """Return a caller that is proven already."""
    return Caller(known=make_principal(connection_id, **changes))


class FakeIssuer:
    """An OAuth issuer: makes tokens, and answers for its keys."""

    URL = "https://login.example/tenant"
    AUDIENCE = "https://slack.example/mcp"

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.keys: list[dict[str, Any]] = [
            {**json.loads(RSAAlgorithm.to_jwk(self.rsa.public_key())), "kid": "rsa", "use": "sig", "alg": "RS256"},
            {**json.loads(ECAlgorithm.to_jwk(self.ec.public_key())), "kid": "ec"},
            {**json.loads(OKPAlgorithm.to_jwk(self.ed.public_key())), "kid": "ed"},
        ]
        self.metadata: dict[str, dict[str, Any]] = {
            "/.well-known/oauth-authorization-server/tenant": {
                "issuer": self.URL,
                "jwks_uri": "https://login.example/keys",
            }
        }
        self.requests: list[str] = []
        self.error: Exception | None = None

    def open_http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request.url.path)
        if self.error:
            raise self.error
        if request.url.path == "/keys":
            return httpx2.Response(200, json={"keys": self.keys})
        found = self.metadata.get(request.url.path)
        return httpx2.Response(404) if found is None else httpx2.Response(200, json=found)

    def make_token(
        self, *, key: Any = None, kid: str | None = "rsa", alg: str = "RS256", now_s: float = 0.0, **changes: Any
    ) -> str:
        """Return an access token for the connection `conn_a`; a change to None leaves the claim out."""
        claims = {
            "iss": self.URL,
            "aud": self.AUDIENCE,
            "sub": "user-1",
            "exp": int(now_s) + 300,
            "scope": "openid slack:write slack:read",
            "connection": "conn_a",
        } | changes
        headers = {"kid": kid} if kid else None
        given = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(given, self.rsa if key is None else key, algorithm=alg, headers=headers)
