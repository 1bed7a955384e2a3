"""The keys of the OAuth issuer, fetched when they are needed and kept for a while."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpx2
import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import IssuerUnavailableError

MAX_DOCUMENT_BYTES: Final = 1_048_576
FRESH_S: Final = 600.0
"""How long keys are used without asking again: no key that the issuer withdrew proves anything for longer."""
STALE_S: Final = 3600.0
"""How long they are used while the issuer does not answer."""
MIN_REFETCH_S: Final = 60.0
"""Between two fetches for keys that are not known: whoever invents key ids makes nobody ask all the time."""
RETRY_S: Final = 5.0
_OK: Final = 200

_log = structlog.get_logger(__name__)


class IssuerKeys:
    """The issuer's JSON Web Key Set: https://www.rfc-editor.org/rfc/rfc7517.

    Args:
        http: the sockets.
        clock: its monotonic time says how old the keys are.
        issuer: the issuer's URL, whose metadata says where the keys are.
        jwks_url: where they are, when the operator says so.
        timeout_s: seconds that a fetch may take, metadata included.
    """

    def __init__(
        self, *, http: httpx2.AsyncClient, clock: Clock, issuer: str, jwks_url: str | None, timeout_s: float = 5.0
    ) -> None:
        self._http = http
        self._clock = clock
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._timeout_s = timeout_s
        self._keys: Sequence[Mapping[str, Any]] = ()
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._fetching = anyio.Lock()

    async def find(self, key_id: str | None) -> Mapping[str, Any] | None:
        """Return the key with this id, as JSON; without an id, the issuer's only key. None when there is none.

        Raises:
            IssuerUnavailableError: the keys are not known, and the issuer does not give them.
        """
        if self._get_age_s() > FRESH_S:
            await self._refresh(max_age_s=FRESH_S)
        key = self._pick(key_id)
        if key is None and self._get_age_s() > MIN_REFETCH_S:
            await self._refresh(max_age_s=MIN_REFETCH_S)
            key = self._pick(key_id)
        return key

    def _pick(self, key_id: str | None) -> Mapping[str, Any] | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.get("kid") == key_id), None)

    def _get_age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._clock.monotonic_s() - self._fetched_s

    async def _refresh(self, *, max_age_s: float) -> None:
        """Fetch the keys unless somebody else just did; go on with old ones when the issuer does not answer."""
        async with self._fetching:
            if self._get_age_s() <= max_age_s:
                return
            try:
                await self._try_fetch()
            except IssuerUnavailableError as error:
                if self._get_age_s() > STALE_S:
                    raise
                _log.warning("issuer.keys_stale", error=str(error), age_s=round(self._get_age_s()))

    async def _try_fetch(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._tried_s is not None and now_s - self._tried_s < RETRY_S:
            raise IssuerUnavailableError("The issuer of access tokens did not answer a moment ago.")
        self._tried_s = now_s
        with anyio.move_on_after(self._timeout_s):
            self._keys = await self._fetch_keys()
            self._fetched_s, self._tried_s = self._clock.monotonic_s(), None
            _log.info("issuer.keys_fetched", count=len(self._keys))
            return
        raise IssuerUnavailableError("The issuer of access tokens did not answer in time.")

    async def _fetch_keys(self) -> Sequence[Mapping[str, Any]]:
        document = await self._fetch(self._jwks_url or await self._find_jwks_url())
        keys = None if document is None else document.get("keys")
        if not isinstance(keys, list):
            raise IssuerUnavailableError("The issuer of access tokens has no key set at its URL: see OAUTH_JWKS_URL.")
        return [key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig"]

    async def _find_jwks_url(self) -> str:
        """Return where the issuer's metadata says that the keys are."""
        for url in list_metadata_urls(self._issuer):
            document = await self._fetch(url)
            if document is None:
                continue
            # Metadata that names another issuer is another issuer's: https://www.rfc-editor.org/rfc/rfc8414#section-3.3
            named, jwks_url = document.get("issuer"), document.get("jwks_uri")
            if isinstance(named, str) and is_same_issuer(named, self._issuer) and isinstance(jwks_url, str):
                return jwks_url
        raise IssuerUnavailableError(
            "The issuer of access tokens has no metadata that names it and its keys: check OAUTH_ISSUER, or set "
            "OAUTH_JWKS_URL."
        )

    async def _fetch(self, url: str) -> Mapping[str, Any] | None:
        """Return the JSON object at a URL, None when there is none; raises IssuerUnavailableError."""
        if urlsplit(url).scheme not in {"https", urlsplit(self._issuer).scheme}:
            raise IssuerUnavailableError("The issuer of access tokens wants its keys fetched without encryption.")
        body = bytearray()
        try:
            # The caller has the deadline; a redirect could lead anywhere.
            async with self._http.stream("GET", url, follow_redirects=False, timeout=None) as response:
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_DOCUMENT_BYTES:
                        raise IssuerUnavailableError("The issuer of access tokens answers with too much.")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise IssuerUnavailableError("The issuer of access tokens cannot be reached.") from error
        if response.status_code != _OK:
            return None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None


def list_metadata_urls(issuer: str) -> tuple[str, str]:
    """Return where an issuer's metadata may be: as OAuth has it, and as OpenID Connect does.

    https://www.rfc-editor.org/rfc/rfc8414#section-3.1,
    https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )


def is_same_issuer(one: str, other: str) -> bool:
    """Tell whether two texts name one issuer: a slash at the end is often lost between a form and a setting."""
    return one.rstrip("/") == other.rstrip("/")
