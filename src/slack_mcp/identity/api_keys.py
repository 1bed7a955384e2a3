"""API keys: `smk_<key id>_<secret>`, each for one connection."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

import anyio

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.ports.identity import ApiKey, ApiKeyStore, Principal, PrincipalKind

PREFIX: Final = "smk_"
ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
BELIEVED_S: Final = 4.0
"""How long a key is believed without asking the database: no pod accepts a revoked one for longer."""
UNKNOWN_S: Final = 1.0
MAX_UNKNOWN: Final = 1024
MS_PER_S: Final = 1000

_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_KEY: Final = re.compile(rf"smk_({_ID.pattern})_([A-Za-z0-9_-]{{43}})", re.ASCII)


class NewKey(NamedTuple):
    """A key that was just made: what is shown once, and what is kept."""

    shown: Secret
    kept: ApiKey


def make_key(
    connection_id: ConnectionId,
    *,
    name: str,
    access: Access,
    expires_in_s: float | None,
    clock: Clock,
    make_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> NewKey:
    """Return a new key.

    Args:
        connection_id: the one connection that it opens.
        name: for people.
        access: how much it may do there.
        expires_in_s: seconds until it opens nothing any more; None is never.
        clock: dates it.
        make_bytes: where the secret comes from.
    """
    key_id = make_bytes(ID_BYTES).hex()
    secret = _encode(make_bytes(SECRET_BYTES))
    now_s = clock.now_s()
    return NewKey(
        Secret(f"{PREFIX}{key_id}_{secret}"),
        ApiKey(
            key_id=key_id,
            connection_id=connection_id,
            name=name,
            key_hash=hash_secret(secret),
            access=access,
            created_at_ms=round(now_s * MS_PER_S),
            expires_at_ms=None if expires_in_s is None else round((now_s + expires_in_s) * MS_PER_S),
        ),
    )


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a key's secret part in hex.

    A slow hash would protect nothing more: there are 2^256 secrets to try, and none is more likely than another.
    """
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def is_api_key(bearer: Secret) -> bool:
    """Tell whether a bearer token means to be a key of ours."""
    return bearer.reveal().startswith(PREFIX)


def is_key_id(text: str) -> bool:
    """Tell whether a text can be the id of a key."""
    return _ID.fullmatch(text) is not None


class ApiKeyVerifier:
    """Finds out whose a key is.

    Args:
        store: has the keys.
        clock: judges their expiry.
        max_entries: how many keys are kept in memory.
    """

    def __init__(self, *, store: ApiKeyStore, clock: Clock, max_entries: int = 10_000) -> None:
        self._store = store
        self._clock = clock
        self._known: TtlCache[str, ApiKey] = TtlCache(clock=clock, max_entries=max_entries)
        # On their own, so that whoever invents keys pushes out no real one.
        self._unknown: TtlCache[str, str] = TtlCache(clock=clock, max_entries=MAX_UNKNOWN)
        self._looks: dict[str, anyio.Event] = {}

    async def verify(self, bearer: Secret) -> Principal:
        """Return whose key it is.

        Raises:
            UnauthenticatedError: it is none of ours, was revoked or has expired.
            StoreUnavailableError: the database does not answer.
        """
        match = _KEY.fullmatch(bearer.reveal())
        if match is None:
            raise UnauthenticatedError("The API key is not whole: copy it again, from `smk_` to its last character.")
        key_id, secret = match.groups()
        key = await self._load(key_id)
        # A wrong secret is told like an unknown key: nobody learns which ids exist. What is wrong with a key is for
        # those who have it.
        if key is None or not hmac.compare_digest(hash_secret(secret), key.key_hash):
            raise UnauthenticatedError(
                "No such API key: it was not made here, or its connection was removed. `slack-mcp keys create` makes "
                "one."
            )
        if key.revoked_at_ms is not None:
            raise UnauthenticatedError(f"The API key {key_id} was revoked: use another one.")
        if key.expires_at_ms is not None and key.expires_at_ms <= self._clock.now_s() * MS_PER_S:
            raise UnauthenticatedError(f"The API key {key_id} has expired: use another one.")
        return Principal(
            kind=PrincipalKind.API_KEY,
            connection_id=key.connection_id,
            subject=f"key:{key_id}",
            access=key.access,
        )

    async def _load(self, key_id: str) -> ApiKey | None:
        """Return the key, None when there is none; the calls of one moment share one look into the database."""
        while True:
            key = self._known.get(key_id)
            if key is not None or self._unknown.get(key_id) is not None:
                return key
            look = self._looks.get(key_id)
            if look is None:
                return await self._look_up(key_id)
            await look.wait()

    async def _look_up(self, key_id: str) -> ApiKey | None:
        ended = self._looks[key_id] = anyio.Event()
        try:
            key = await self._store.load_key(key_id)
            if key is None:
                self._unknown.put(key_id, key_id, ttl_s=UNKNOWN_S)
            else:
                self._known.put(key_id, key, ttl_s=BELIEVED_S)
            return key
        finally:
            del self._looks[key_id]
            ended.set()


def _encode(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
