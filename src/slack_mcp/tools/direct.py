"""Requests of the older protocol, answered in the request's own task.

The SDK makes a session of its own for each stateless request: two tasks, two streams and a dispatcher, for one call
and one answer. That is most of what a call costs. The newer protocol is served without them, by the same function as
is used here.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import anyio
import msgspec
import structlog
from mcp import types
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_one
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data
from mcp.shared.message import MessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp.types import DEFAULT_NEGOTIATED_VERSION, RequestId
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response

from slack_mcp.tools.refusal import Message

_VERSION_HEADER: Final = "mcp-protocol-version"
_JSON: Final = "application/json"
# It negotiates what a session is: the SDK's to do, and done once.
_INITIALIZE: Final = "initialize"
# The SDK's parser: where parsers differ, so would the answers.
_PARAMS: Final[TypeAdapter[dict[str, Any] | None]] = TypeAdapter(dict[str, Any] | None)

_log = structlog.get_logger(__name__)


class _Exchange:
    """`mcp.shared.dispatcher.DispatchContext`: one request and its answer, with no way to send anything else."""

    can_send_request = False
    message_metadata: MessageMetadata = None

    def __init__(self, request_id: RequestId) -> None:
        self.transport = TransportContext(kind="streamable-http", can_send_request=False)
        self.request_id = request_id
        self.cancel_requested = anyio.Event()

    async def send_raw_request(
        self, method: str, _params: Mapping[str, Any] | None, _opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Refuse: an answer in JSON has no room for a request."""
        raise NoBackChannelError(method)

    async def notify(self, _method: str, _params: Mapping[str, Any] | None, _opts: CallOptions | None = None) -> None:
        """Drop it, as the SDK does where the answer is JSON."""

    async def progress(self, _progress: float, _total: float | None = None, _message: str | None = None) -> None:
        """Drop it likewise."""


async def answer_request(server: Server[Any], headers: Headers, message: Message) -> Response | None:
    """Return the answer to a request of the older protocol, None to anything else: that is the SDK's.

    Whatever is wrong with a message is left to the SDK to say, so that it says the same to every message.

    Args:
        server: has the handlers.
        headers: of the HTTP request.
        message: the outside of its body.
    """
    version = headers.get(_VERSION_HEADER)
    if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return None
    if headers.get("content-type", "").partition(";")[0].strip() != _JSON:
        return None
    if message.id is None or not message.is_request or message.method == _INITIALIZE:
        return None
    try:
        params = _PARAMS.validate_json(bytes(message.params)) if message.params else None
    except ValidationError:
        return None
    answer = await _serve(server, version or DEFAULT_NEGOTIATED_VERSION, message.id, message.method, params)
    return Response(_encode({"jsonrpc": "2.0", "id": message.id, **answer}), media_type=_JSON)


async def _serve(
    server: Server[Any], version: str, request_id: RequestId, method: str, params: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the `result` or the `error`."""
    connection = Connection.from_envelope(version, None, None)
    try:
        return {
            "result": await serve_one(
                server, _Exchange(request_id), method, params, connection=connection, lifespan_state={}
            )
        }
    except Exception as error:  # noqa: BLE001 - as the SDK has it, but that nothing of it goes to the caller
        data = handler_exception_to_error_data(error)
        if data is None:
            _log.exception("mcp.crashed", method=method)
            data = types.ErrorData(code=types.INTERNAL_ERROR, message="Internal server error")
    return {"error": data.model_dump(mode="json", by_alias=True, exclude_unset=True)}


def _encode(answer: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:
        # Half of a surrogate pair, which Slack's JSON may hold, and UTF-8 cannot: JSON can, escaped.
        return json.dumps(answer, separators=(",", ":")).encode()
