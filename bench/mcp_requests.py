"""The MCP requests that are replayed, in the forms that the two eras of the protocol have. Pure."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

PATH: Final = "/mcp"
# The tool that the peer has as well: a list that is the same for everybody, made anew for each call.
TRIVIAL: Final = "TRIGGER_LIST"
STATELESS: Final = "2026-07-28"
VERSIONS: Final = ("2025-11-25", STATELESS)
CALL: Final = "tools/call"
LIST: Final = "tools/list"

_META: Final = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class McpRequest:
    """What is asked for.

    Attributes:
        tool: what is called; empty for another method.
        version: of the protocol.
    """

    method: str
    tool: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    version: str

    @property
    def expected(self) -> str:
        """What stands in an answer that is one, and in no error."""
        return '"structuredContent":' if self.method == CALL else '"tools":'


def make_message(request: McpRequest, request_id: int) -> dict[str, Any]:
    """Return a JSON-RPC request.

    In the newer protocol each says who calls: https://modelcontextprotocol.io/specification/2026-07-28/basic.
    """
    params: dict[str, Any] = {}
    if request.method == CALL:
        params = {"name": request.tool, "arguments": request.arguments}
    if request.version == STATELESS:
        params["_meta"] = _META
    return {"jsonrpc": "2.0", "id": request_id, "method": request.method, "params": params}


def make_headers(request: McpRequest, *, key: str | None) -> dict[str, str]:
    """Return what a client sends along with it; `key` is an API key, None for none."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        "MCP-Protocol-Version": request.version,
    }
    if request.version == STATELESS:
        headers["Mcp-Method"] = request.method
        if request.method == CALL:
            headers["Mcp-Name"] = request.tool
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def make_mcp_requests(request: McpRequest, *, keys: list[str | None], host: str, count: int) -> list[bytes]:
    """Return `count` whole HTTP requests, the keys in turn, each with an id of its own."""
    heads = []
    for key in keys:
        headers = {"Host": host, "User-Agent": "bench", **make_headers(request, key=key)}
        heads.append("\r\n".join([f"POST {PATH} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]))
    requests = []
    for number in range(count):
        body = json.dumps(make_message(request, number), separators=(",", ":"))
        requests.append(f"{heads[number % len(heads)]}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    return requests
