"""One HTTP round trip with Mesh: a deadline, a size limit, and no cookie, redirect or token of another tenant.

Lone JSON-RPC POSTs instead of an MCP session: one round trip instead of four, and every Mesh takes them.
"""

import json
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import anyio
import httpx2
import structlog

from slack_mcp.core.errors import MeshRefusedError, MeshUnavailableError
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.access import MeshAccess

MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024
NOT_FOUND: Final = 404
SERVER_ERROR: Final = 500
# Mesh answers 406 unless both are accepted.
_ACCEPT_RPC: Final = "application/json, text/event-stream"
_REFUSALS: Final = range(400, 500)
_SUCCESSES: Final = range(200, 300)
_TOO_MANY: Final = 429
# A management call that any key may make is refused with these only for the key or the organization itself.
_GONE: Final = frozenset({401, 403, NOT_FOUND})
_MAX_REASON_CHARS: Final = 200
_MALFORMED: Final = "Mesh cannot be asked: its URL or the key for it is malformed."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshAnswer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class MeshTransport:
    """Sends requests to Mesh.

    Args:
        http: the sockets, shared by all tenants and used for nothing else: no cookie is sent or kept in it, and no
            redirect is followed.
        timeout_s: seconds that a management call, or the opening of a stream, may take.
        retry_pause_s: seconds before the second attempt of a call that may be repeated.
        max_response_bytes: the largest response that is read.
    """

    def __init__(
        self,
        *,
        http: httpx2.AsyncClient,
        timeout_s: float = 20.0,
        retry_pause_s: float = 0.2,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self._retry_pause_s = retry_pause_s
        self._max_response_bytes = max_response_bytes

    async def call_tool(
        self, access: MeshAccess, tool: str, arguments: Mapping[str, Any], *, is_repeatable: bool
    ) -> Mapping[str, Any]:
        """Return the structured result of a management tool.

        Args:
            access: the tenant's.
            tool: its name.
            arguments: its arguments; they may be quoted in the error, so no message text in them.
            is_repeatable: whether a second call after an unknown outcome does no harm; then there is one.

        Raises:
            MeshRefusedError: 401, 403, an unknown tool, bad arguments, or a failure of the tool itself.
            MeshUnavailableError: no answer, or a server error.
        """
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        answer = await self._post_to_self(access, request, is_repeatable=is_repeatable)
        if answer.status not in _SUCCESSES:
            raise_for_status(answer.status, f"the tool {tool}", is_gone=answer.status in _GONE)
        return _parse_tool_result(access, tool, answer.body)

    async def ping(self, access: MeshAccess) -> MeshAnswer:
        """Ask Mesh for a sign of life with this bearer and return what it answered.

        Raises:
            MeshRefusedError: the response is larger than a response may be.
            MeshUnavailableError: no answer at all.
        """
        return await self._post_to_self(access, {"jsonrpc": "2.0", "id": 1, "method": "ping"}, is_repeatable=True)

    async def post(
        self, access: MeshAccess, url: str, body: Mapping[str, Any], *, is_repeatable: bool, accept: str = "*/*"
    ) -> MeshAnswer:
        """POST JSON and return the whole response, whatever its status.

        Raises:
            MeshRefusedError: the response is larger than a response may be.
            MeshUnavailableError: no answer.
        """
        if is_repeatable:
            try:
                answer = await self._post_once(access, url, body, accept)
            except MeshUnavailableError:
                _log.info("mesh.call_repeated", reason="no_answer")
            else:
                if answer.status < SERVER_ERROR:
                    return answer
                _log.info("mesh.call_repeated", reason="server_error", status=answer.status)
            await anyio.sleep(self._retry_pause_s)
        return await self._post_once(access, url, body, accept)

    @asynccontextmanager
    async def open_stream(
        self, access: MeshAccess, method: str, url: str, body: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[httpx2.Response, None]:
        """Yield the response as soon as its headers are there, whatever its status, and close it at the end.

        Raises:
            MeshUnavailableError: no answer in time.
        """
        request = self._build(access.bearer, method, url, body, accept="text/event-stream")
        with _mapping_failures(), anyio.fail_after(self._timeout_s):
            response = await self._send(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def read(self, response: httpx2.Response) -> bytes:
        """Return the rest of a response's body.

        Raises:
            MeshRefusedError: it is larger than a response may be.
            MeshUnavailableError: it broke off, or took too long.
        """
        body = bytearray()
        with _mapping_failures(), anyio.fail_after(self._timeout_s):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > self._max_response_bytes:
                    raise MeshRefusedError(f"Mesh answered with more than {self._max_response_bytes} bytes.")
        return bytes(body)

    async def _post_to_self(self, access: MeshAccess, request: Mapping[str, Any], *, is_repeatable: bool) -> MeshAnswer:
        urls = access.get_self_urls()
        for url in urls[:-1]:
            answer = await self.post(access, url, request, is_repeatable=is_repeatable, accept=_ACCEPT_RPC)
            if answer.status != NOT_FOUND:
                return answer
        return await self.post(access, urls[-1], request, is_repeatable=is_repeatable, accept=_ACCEPT_RPC)

    async def _post_once(self, access: MeshAccess, url: str, body: Mapping[str, Any], accept: str) -> MeshAnswer:
        request = self._build(access.bearer, "POST", url, body, accept=accept)
        with _mapping_failures(), anyio.fail_after(self._timeout_s):
            response = await self._send(request)
            try:
                answer = await self.read(response)
            finally:
                await response.aclose()
        return MeshAnswer(status=response.status_code, headers=response.headers, body=answer)

    def _build(
        self, bearer: Secret, method: str, url: str, body: Mapping[str, Any] | None, *, accept: str
    ) -> httpx2.Request:
        headers = {"Authorization": f"Bearer {bearer.reveal()}", "Accept": accept}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            # ASCII: a lone surrogate, which JSON lets Slack send, has no UTF-8.
            content = json.dumps(body).encode("ascii")
        try:
            # The waits are bounded by the caller's deadlines.
            request = self._http.build_request(method, url, content=content, headers=headers, timeout=None)
        except (httpx2.InvalidURL, ValueError):
            raise MeshRefusedError(_MALFORMED) from None
        return request

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        # A cookie that one tenant's Mesh set would otherwise travel with the next tenant's request.
        request.headers.pop("Cookie", None)
        response = await self._http.send(request, stream=True, follow_redirects=False)
        self._http.cookies.clear()
        return response


def raise_for_status(status: int, asked_for: str, *, is_gone: bool) -> NoReturn:
    """Raise what a status other than a success means.

    Args:
        status: the HTTP status.
        asked_for: what was asked for, for the message.
        is_gone: whether the status, where it is a refusal, is one of all calls with this key.

    Raises:
        MeshRefusedError: the same request fails again.
        MeshUnavailableError: it may succeed later.
    """
    if status in {401, 403}:
        raise MeshRefusedError(
            f"Mesh does not accept this connection's key for {asked_for} (HTTP {status}): save the connection's "
            f"configuration in Mesh again.",
            is_gone=is_gone,
        )
    if status in _REFUSALS and status != _TOO_MANY:
        raise MeshRefusedError(f"Mesh refused {asked_for} with HTTP {status}.", is_gone=is_gone)
    raise MeshUnavailableError(f"Mesh answered {asked_for} with HTTP {status}.")


def parse_json_object(body: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object, or None when the bytes are anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parse_tool_result(access: MeshAccess, tool: str, body: bytes) -> Mapping[str, Any]:
    answer = parse_json_object(body) or {}
    error, result = answer.get("error"), answer.get("result")
    if isinstance(error, dict):
        raise MeshRefusedError(f"Mesh refused the tool {tool}: {_quote(access, error.get('message'))}")
    if not isinstance(result, dict):
        raise MeshRefusedError(f"Mesh answered the tool {tool} with something that is no result.")
    text = _first_text(result.get("content"))
    if result.get("isError"):
        raise MeshRefusedError(f"The tool {tool} failed in Mesh: {_quote(access, text)}")
    structured = result.get("structuredContent")
    if not isinstance(structured, dict):
        structured = parse_json_object(text.encode("utf-8", "replace"))
    if structured is None:
        raise MeshRefusedError(f"Mesh answered the tool {tool} with something that is no result.")
    return structured


def _first_text(content: object) -> str:
    first = content[0] if isinstance(content, list) and content else None
    text = first.get("text") if isinstance(first, dict) else None
    return text if isinstance(text, str) else ""


def _quote(access: MeshAccess, reason: object) -> str:
    """Return Mesh's own words on a management tool, short, on one line and without the bearer."""
    if not isinstance(reason, str) or not reason or access.bearer.reveal() in reason:
        return "it gave no reason."
    return " ".join(reason.split())[:_MAX_REASON_CHARS]


@contextmanager
def _mapping_failures() -> Generator[None, None, None]:
    """Turn a network failure or a passed deadline into MeshUnavailableError."""
    try:
        yield
    except TimeoutError as error:
        raise MeshUnavailableError("Mesh did not answer in time.") from error
    except httpx2.LocalProtocolError:
        # The cause quotes the header, and with it the key.
        raise MeshRefusedError(_MALFORMED) from None
    except httpx2.HTTPError as error:
        raise MeshUnavailableError("Mesh cannot be reached, or broke off its answer.") from error
