"""What a request to `/mcp` must be before the MCP SDK sees it: its method, its host, its sender."""

import hmac
import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from slack_mcp.core.errors import MeshUnavailableError, UnauthenticatedError
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshTokens
from slack_mcp.tools.caller import Caller

TOKEN_HEADERS: Final = ("x-studio-token", "x-mesh-token")  # newer versions of Mesh send both
_BEARER: Final = "bearer "
_INVALID_REQUEST: Final = -32600


class Guard:
    """Lets a request through, or says why not.

    Args:
        tokens: verifies Mesh tokens.
        auth_token: a secret that every caller without a good Mesh token must show; None asks for none.
        auth_header: the header that carries it, with or without `Bearer` before it.
        allowed_hosts: host names under which the service may be called, beside the names of this machine.
    """

    def __init__(
        self, *, tokens: MeshTokens, auth_token: Secret | None, auth_header: str, allowed_hosts: Sequence[str]
    ) -> None:
        self._tokens = tokens
        self._auth_token = auth_token
        self._auth_header = auth_header
        self._allowed_hosts = frozenset({"localhost", *(_read_host(host) for host in allowed_hosts)})

    def check_request(self, method: str, headers: Headers) -> Response | None:
        """Return the refusal of a request that no caller may send, else None."""
        if method != "POST":
            # Mesh leaves a stream that GET opens open for ever, and opens one per call; there is no session to DELETE.
            return Response(status_code=405, headers={"Allow": "POST"})
        host = headers.get("host", "")
        if not self._may_call(_read_host(host)):
            return _refuse(421, "This host name is not allowed here: add it to MCP_ALLOWED_HOSTS, or set PUBLIC_URL.")
        # A page in somebody's browser must not reach a service on their network under a name of its own:
        # https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning
        origin = headers.get("origin")
        if origin is not None and not self._may_call(_read_host(origin)):
            return _refuse(403, "Requests from pages of this origin are not allowed.")
        return None

    async def find_caller(self, headers: Headers) -> Caller | Response:
        """Return who sends the request, or the refusal."""
        token = next((headers[name] for name in TOKEN_HEADERS if headers.get(name)), None)
        caller = Caller(tokens=self._tokens, mesh_token=Secret(token) if token else None)
        if self._auth_token is None or _is_shown(self._auth_token, headers.get(self._auth_header, "")):
            return caller
        try:
            await caller.fetch_claims()
        except UnauthenticatedError as error:
            return _refuse(
                401,
                f"Send AUTH_TOKEN in the header {self._auth_header}, or a Mesh token. {error}",
                # Without `resource_metadata`: with it Mesh would start an OAuth login that nobody offers.
                {"WWW-Authenticate": 'Bearer realm="slack-mcp"'},
            )
        except MeshUnavailableError:
            return _refuse(503, "Mesh could not be asked about the request's token.", {"Retry-After": "5"})
        return caller

    def _may_call(self, host: str) -> bool:
        return host in self._allowed_hosts or _is_address(host)


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


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return a refusal as a JSON-RPC error, which MCP clients show."""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": _INVALID_REQUEST, "message": message}}
    return JSONResponse(error, status_code=status, headers=headers)
