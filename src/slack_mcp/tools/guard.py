"""What a request to `/mcp` must be before the MCP SDK sees it: its method, its host, its sender, its share."""

import hmac
import ipaddress
import math
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

from slack_mcp.core.errors import (
    ForbiddenError,
    IssuerUnavailableError,
    MeshUnavailableError,
    SlackMcpError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from slack_mcp.core.secret import Secret
from slack_mcp.identity.rate_limit import RateLimiter
from slack_mcp.ports.identity import Credentials, Identities, ProtectedResource
from slack_mcp.tools.caller import Caller
from slack_mcp.tools.refusal import Message, refuse, render_challenge

TOKEN_HEADERS: Final = ("x-studio-token", "x-mesh-token")  # newer versions of Mesh send both
_AUTHORIZATION: Final = "authorization"
_BEARER: Final = "bearer "
_RETRY_AFTER_S: Final = 5
_UNAVAILABLE: Final = {
    MeshUnavailableError: "Mesh could not be asked about the request's token.",
    IssuerUnavailableError: "The issuer of access tokens could not be asked for its keys.",
    StoreUnavailableError: "The database could not be asked about the API key.",
}


class Guard:
    """Lets a request through, or says why not.

    Args:
        identities: decides who is believed.
        limiter: counts the requests of each caller.
        auth_token: a secret that every caller without good credentials must show; None asks for none.
        auth_header: the header that carries it, with or without `Bearer` before it.
        allowed_hosts: host names under which the service may be called, beside the names of this machine.
        resource: what clients of OAuth are told; None without an issuer.
    """

    def __init__(
        self,
        *,
        identities: Identities,
        limiter: RateLimiter,
        auth_token: Secret | None,
        auth_header: str,
        allowed_hosts: Sequence[str],
        resource: ProtectedResource | None = None,
    ) -> None:
        self._identities = identities
        self._limiter = limiter
        self._auth_token = auth_token
        self._auth_header = auth_header.lower()
        self._allowed_hosts = frozenset({"localhost", *(_read_host(host) for host in allowed_hosts)})
        self.resource = resource

    def check_request(self, method: str, headers: Headers) -> Response | None:
        """Return the refusal of a request that no caller may send, else None."""
        if method != "POST":
            # Mesh leaves a stream that GET opens open for ever, and opens one per call; there is no session to DELETE.
            return Response(status_code=405, headers={"Allow": "POST"})
        host = headers.get("host", "")
        if not self._may_call(_read_host(host)):
            return refuse(421, "This host name is not allowed here: add it to MCP_ALLOWED_HOSTS, or set PUBLIC_URL.")
        # A page in somebody's browser must not reach a service on their network under a name of its own:
        # https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning
        origin = headers.get("origin")
        if origin is not None and not self._may_call(_read_host(origin)):
            return refuse(403, "Requests from pages of this origin are not allowed.")
        return None

    async def find_caller(self, headers: Headers) -> Caller | Response:
        """Return who sends the request, or the refusal.

        A bearer token is proven at once. A Mesh token is left to whoever needs to know: Mesh sends it along with what
        needs none, and may have to be asked about it.
        """
        is_shown = self._auth_token is not None and _is_shown(self._auth_token, headers.get(self._auth_header, ""))
        mesh_token = next((headers[name] for name in TOKEN_HEADERS if headers.get(name)), None)
        # The shared secret opens the door and proves no connection: it is not taken for a token as well.
        bearer = None if is_shown and self._auth_header == _AUTHORIZATION else _read_bearer(headers)
        credentials = Credentials(
            mesh_token=Secret(mesh_token) if mesh_token else None, bearer=Secret(bearer) if bearer else None
        )
        caller = Caller(identities=self._identities, credentials=credentials)
        must_prove = self._auth_token is not None and not is_shown
        if not must_prove and (credentials.mesh_token is not None or credentials.bearer is None):
            return caller
        try:
            await caller.identify()
        except UnauthenticatedError as error:
            hint = f"Send AUTH_TOKEN in the header {self._auth_header}, or good credentials. " if must_prove else ""
            return refuse(401, f"{hint}{error}", self._challenge("invalid_token" if caller.has_credentials else None))
        except ForbiddenError as error:
            return refuse(403, str(error), self._challenge("insufficient_scope"))
        except (MeshUnavailableError, IssuerUnavailableError, StoreUnavailableError) as error:
            return refuse(503, _UNAVAILABLE[type(error)], {"Retry-After": str(_RETRY_AFTER_S)})
        return caller

    async def admit(self, caller: Caller, message: Message) -> Response | None:
        """Return the refusal of a message that this caller may not send, or not now, else None."""
        if caller.known is None and not message.is_open:
            if not caller.has_credentials:
                if self.resource is None:
                    return None  # the tool says what is missing, where a model can read it
                # With this a client begins to ask its user:
                # https://modelcontextprotocol.io/specification/2025-11-25/basic/authorization
                return refuse(401, "This needs an access token, or an API key.", self._challenge(), message=message)
            try:
                await caller.identify()
            except SlackMcpError:
                return None  # likewise; the caller keeps the error
        wait_s = 0.0 if caller.known is None else self._limiter.take(caller.known)
        if wait_s:
            after_s = math.ceil(wait_s)
            text = f"Too many requests: try again in {after_s} s."
            return refuse(429, text, {"Retry-After": str(after_s)}, message=message)
        return None

    def _challenge(self, error: str | None = None) -> dict[str, str]:
        return {"WWW-Authenticate": render_challenge(self.resource, error)}

    def _may_call(self, host: str) -> bool:
        return host in self._allowed_hosts or _is_address(host)


def _read_bearer(headers: Headers) -> str:
    """Return the bearer token of `Authorization`, empty when there is none."""
    text = headers.get(_AUTHORIZATION, "")
    return text[len(_BEARER) :].strip() if text[: len(_BEARER)].lower() == _BEARER else ""


def _is_shown(secret: Secret, header: str) -> bool:
    """Tell whether the header is the secret, in a time that does not depend on how much of it is right."""
    shown = header[len(_BEARER) :] if header[: len(_BEARER)].lower() == _BEARER else header
    return hmac.compare_digest(shown.strip().encode(), secret.reveal().encode())


def _read_host(text: str) -> str:
    """Return the name in `name`, `name:port`, `[address]:port` or a URL, in lower case; empty when there is none."""
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    """Tell whether the host is an IP address: what must be kept out is a foreign name that was bent to ours."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
