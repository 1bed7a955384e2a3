"""What is read of a message before the MCP SDK reads it all, and how a request is refused."""

from typing import Any, Final

import msgspec
from starlette.responses import JSONResponse, Response

from slack_mcp.ports.identity import ProtectedResource

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
REALM: Final = "slack-mcp"
# What works without credentials: a client finds out what there is before it has any.
OPEN_METHODS: Final = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/templates/list",
        "logging/setLevel",
    }
)
OPEN_TOOLS: Final = frozenset({"MCP_CONFIGURATION"})
_VERSION: Final = "2.0"
_CALL: Final = "tools/call"
_NOTIFICATIONS: Final = "notifications/"
_INVALID_REQUEST: Final = -32600
_SERVER_ERROR: Final = -32000
_TOO_MANY: Final = 429


class Message(msgspec.Struct, frozen=True):
    """The outside of a JSON-RPC message.

    Attributes:
        method: empty for what is no message, which the SDK refuses.
        params: not read yet; empty when there are none.
        result, error: of a response, in which nothing else counts.
    """

    method: str = ""
    id: int | str | None = None
    params: msgspec.Raw = msgspec.Raw()
    jsonrpc: str = ""
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()

    @property
    def is_request(self) -> bool:
        """Whether it is one that wants an answer, beyond doubt."""
        is_response = bool(self.result) or bool(self.error)
        return self.jsonrpc == _VERSION and bool(self.method) and self.id is not None and not is_response

    @property
    def is_open(self) -> bool:
        """Whether anybody may send it."""
        if self.method == _CALL:
            return _read_name(self.params) in OPEN_TOOLS
        return self.method in OPEN_METHODS or self.method.startswith(_NOTIFICATIONS)


class _Params(msgspec.Struct):
    name: str = ""


def read_message(body: bytes) -> Message:
    """Return the outside of a body; of one that is no message, one without a method."""
    try:
        return msgspec.json.decode(body, type=Message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Message()


def refuse(
    status: int, text: str, headers: dict[str, str] | None = None, *, message: Message | None = None
) -> Response:
    """Return a refusal as a JSON-RPC error, which MCP clients show.

    Args:
        status: of HTTP.
        text: what is wrong.
        headers: of the response.
        message: what is refused, when it was read.
    """
    code = _SERVER_ERROR if status == _TOO_MANY else _INVALID_REQUEST
    error: dict[str, Any] = {"code": code, "message": text}
    body = {"jsonrpc": "2.0", "id": message.id if message else None, "error": error}
    return JSONResponse(body, status_code=status, headers=headers)


def render_challenge(resource: ProtectedResource | None, error: str | None) -> str:
    """Return a `WWW-Authenticate`.

    Args:
        resource: with it, a client is shown the way to its authorization server. Without an issuer it must be None,
            and no error is named: Mesh would start a login that nobody offers.
        error: of https://www.rfc-editor.org/rfc/rfc6750#section-3.1.
    """
    parts = [f'realm="{REALM}"']
    if resource is not None:
        if error:
            parts.append(f'error="{error}"')
        parts += [f'scope="{" ".join(resource.scopes)}"', f'resource_metadata="{resource.metadata_url}"']
    return f"Bearer {', '.join(parts)}"


def render_metadata(resource: ProtectedResource) -> dict[str, Any]:
    """Return the document of https://www.rfc-editor.org/rfc/rfc9728#section-2."""
    return {
        "resource": resource.resource,
        "resource_name": "Slack",
        "authorization_servers": [resource.issuer],
        "scopes_supported": list(resource.scopes),
        "bearer_methods_supported": ["header"],
    }


def _read_name(params: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(params, type=_Params).name
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
