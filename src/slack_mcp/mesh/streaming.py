"""What the ways of asking an agent share: refusals before the stream, and the chunks in it."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, NoReturn

import httpx2

from slack_mcp.core.errors import AgentRateLimitedError, AgentStreamBrokenError, MeshRefusedError
from slack_mcp.mesh.transport import SERVER_ERROR, parse_json_object, raise_for_status
from slack_mcp.protocol.agent_stream import ChunkParser
from slack_mcp.protocol.retry_after import parse_retry_after

_UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
# Mesh answers 500 to these, though asking again will never help.
_FINAL_REASONS: Final = ("agent not found", "thread not found", "not allowed to write")


def is_event_stream(response: httpx2.Response) -> bool:
    """Whether the response is a stream of events, and no page that a front-end serves for every unknown URL."""
    return response.is_success and response.headers.get("content-type", "").startswith("text/event-stream")


def raise_for_refusal(status: int, headers: Mapping[str, str], body: bytes) -> NoReturn:
    """Raise what a response other than a success to a question means.

    Raises:
        AgentRateLimitedError: 429.
        MeshRefusedError: the same question fails again.
        MeshUnavailableError: it may succeed later.
    """
    if status == _TOO_MANY:
        raise AgentRateLimitedError(parse_retry_after(headers.get("retry-after")))
    reason = str((parse_json_object(body) or {}).get("error", "")).lower()
    if status == SERVER_ERROR and any(final in reason for final in _FINAL_REASONS):
        raise MeshRefusedError(
            "Mesh knows no such agent, or the thread belongs to another user: check the agent in the connection's "
            "configuration."
        )
    # 403 and 404 may be of a model, of another user's thread, or of a route that this Mesh does not have.
    raise_for_status(status, "the agent", is_gone=status == _UNAUTHORIZED)


async def read_chunks(response: httpx2.Response) -> AsyncGenerator[Mapping[str, Any], None]:
    """Yield the chunks of a stream until it ends.

    Raises:
        AgentStreamBrokenError: the connection broke off, or what came is no stream of chunks.
    """
    parser = ChunkParser()
    try:
        async for data in response.aiter_bytes():
            for chunk in parser.feed(data):
                yield chunk
    except httpx2.HTTPError as error:
        raise AgentStreamBrokenError("The connection to the agent broke off.") from error
