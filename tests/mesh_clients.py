"""What Mesh sends to `/mcp`, byte for byte as its TypeScript clients do, and the people who make it send.

Each generation of `FakeMesh` has the same three clients: one that looks what a connection offers, one for each request
that it passes on, and one that sends a lone call. Sources, in https://github.com/decocms/studio:
`mcp-clients/outbound/index.ts`, `outbound/headers.ts`, `tools/connection/{fetch-tools,update}.ts`,
`packages/bindings/src/core/client/http-client-transport.ts`.
"""

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import jsonschema
import jwt
from fake_mesh import FakeMesh, Json

DISCOVERY_NAME = "mcp-cms-tool-fetcher"
OFFERED_VERSION = "2025-11-25"
TOKEN_LIFETIME_S = 300
_FORM_KEY = "__binding"  # belongs to the form, and is dropped before a token is signed
_REQUEST_NUMBERS = itertools.count(1)


class McpFailedError(Exception):
    """A JSON-RPC error, or a status that is no success; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status = status
        self.message = message


class McpClient:
    """One MCP client of the TypeScript SDK, without what this service never answers with.

    Args:
        http: its sockets, which all clients of the process share.
        url: `connection_url`, to which it posts as it stands.
        name: of the client.
        headers: sent with every request.
        capabilities: of the client.
        sends_version: whether `MCP-Protocol-Version` follows the negotiation; the proxy's transport forgets it.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        url: str,
        *,
        name: str,
        headers: Mapping[str, str],
        capabilities: Json,
        sends_version: bool,
    ) -> None:
        self.streams: list[httpx2.Response] = []
        self._http = http
        self._url = url
        self._name = name
        self._headers = dict(headers)
        self._capabilities = capabilities
        self._sends_version = sends_version
        self._numbers = itertools.count()
        self._output_schemas: dict[str, Json] = {}

    async def connect(self) -> Json:
        """Shake hands as the SDK does, and return the server's side of it."""
        params = {
            "protocolVersion": OFFERED_VERSION,
            "capabilities": self._capabilities,
            "clientInfo": {"name": self._name, "version": "1.0.0"},
        }
        result = await self.request("initialize", params)
        if self._sends_version:
            self._headers["mcp-protocol-version"] = result["protocolVersion"]
        taken = await self._post({"method": "notifications/initialized", "jsonrpc": "2.0"})
        assert (taken.status_code, taken.content) == (202, b"")
        await self._open_stream()
        return result

    async def list_tools(self, request_id: str | None = None) -> list[Json]:
        """Return all tools; their output schemas are what the results of later calls are held to."""
        result = await self.request("tools/list", request_id=request_id)
        tools: list[Json] = result["tools"]
        self._output_schemas = {tool["name"]: tool["outputSchema"] for tool in tools if "outputSchema" in tool}
        return tools

    async def call_tool(self, name: str, arguments: Json) -> Json:
        """Return the result; one that is no error and does not fit the output schema is refused, as by the SDK."""
        result = await self.request("tools/call", {"name": name, "arguments": arguments})
        schema = self._output_schemas.get(name)
        if schema is not None and not result.get("isError"):
            jsonschema.validate(result["structuredContent"], schema)
        return result

    async def request(self, method: str, params: Json | None = None, *, request_id: str | None = None) -> Json:
        """Return the result; raises McpFailedError."""
        message: Json = {"method": method} | ({} if params is None else {"params": params})
        message |= {"jsonrpc": "2.0", "id": next(self._numbers) if request_id is None else request_id}
        answer = await self._post(message)
        body = answer.json() if answer.content else {}
        if answer.status_code != 200 or "error" in body:
            raise McpFailedError(answer.status_code, str(body.get("error", {}).get("message", answer.text)))
        assert answer.headers["content-type"].partition(";")[0] == "application/json"
        assert body["id"] == message["id"]
        assert type(body["id"]) is type(message["id"])
        result: Json = body["result"]
        return result

    async def _post(self, message: Json) -> httpx2.Response:
        headers = self._headers | {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        answer = await self._http.post(
            self._url, content=json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(), headers=headers
        )
        # With a session it would echo its id, and never end it.
        assert "mcp-session-id" not in answer.headers
        return answer

    async def _open_stream(self) -> None:
        """Ask for a stream. One that opens stays open for ever: nobody at Mesh closes it."""
        request = self._http.build_request("GET", self._url, headers=self._headers | {"accept": "text/event-stream"})
        answer = await self._http.send(request, stream=True)
        if answer.status_code == 405:
            assert answer.headers["allow"] == "POST"
            await answer.aclose()
        else:
            self.streams.append(answer)


@dataclass(kw_only=True)
class Row:
    """A connection as Mesh keeps it.

    Attributes:
        token: sent as `Authorization`; of a person's making.
        state: None until a configuration was saved.
        tools: as discovered; None when that failed, which nobody is told.
        triggers: what automations of it wait for, (type, params).
    """

    connection_id: str
    url: str
    slug: str
    token: str | None = None
    state: Json | None = None
    scopes: list[str] | None = None
    tools: list[Json] | None = None
    triggers: list[tuple[str, Json]] = field(default_factory=list)


class MeshPeople:
    """The people of a Mesh, who create connections, save, use and trigger them; and what Mesh sends for them.

    Args:
        mesh: theirs.
        http: Mesh's sockets.
    """

    def __init__(self, mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
        self.mesh = mesh
        self.rows: dict[str, Row] = {}
        self.streams: list[httpx2.Response] = []
        self.http = http

    async def create(self, connection_id: str, url: str, *, slug: str = "acme", token: str | None = None) -> Row:
        """Add a connection; what it offers is looked at, and the service is told nothing."""
        row = self.rows[connection_id] = Row(connection_id=connection_id, url=url, slug=slug, token=token)
        await self._discover(row)
        return row

    async def save(self, connection_id: str, state: Json, *, user_id: str = "user_1") -> Json:
        """Save a configuration and return what the service answered; at Mesh nobody sees that.

        The newest Mesh writes its row only when the call has ended.
        """
        row = self.rows[connection_id]
        await self._discover(row)
        scopes = row.scopes or []
        arguments: Json = {"state": state, "scopes": scopes}
        if self.mesh.generation == "C":
            arguments |= {
                "firstRun": row.state is None,
                "vault": {
                    "baseUrl": self.mesh.url,
                    "org": row.slug,
                    "subjectConnectionId": connection_id,
                    "token": "canary-vault-token",
                },
            }
        else:
            row.state = state
        client = await self._open_proxy(row, user_id=user_id, state=state)
        result = await client.call_tool("ON_MCP_CONFIGURATION", arguments)
        row.state = state
        return result

    async def list_tools(self, connection_id: str, *, user_id: str = "user_1") -> list[Json]:
        """Return the tools as Mesh hands them on: without their output schemas."""
        client = await self._open_proxy(self.rows[connection_id], user_id=user_id)
        listed = await client.list_tools(f"auth-tools-{time.time_ns() // 1_000_000}")
        return [{key: value for key, value in tool.items() if key != "outputSchema"} for tool in listed]

    async def list_for_model(self, connection_id: str) -> list[str]:
        """Return the names of the tools that an agent is offered (`isToolVisibleToModel`)."""
        return [each["name"] for each in await self.list_tools(connection_id) if is_visible_to_model(each)]

    async def call(
        self, connection_id: str, name: str, arguments: Json, *, user_id: str = "user_1", lists: bool = True
    ) -> Json:
        """Return the result of a call that Mesh passes on; raises McpFailedError.

        Args:
            connection_id: of which connection.
            name: the tool.
            arguments: from a person or an agent; their `_meta` is Mesh's own.
            user_id: who calls.
            lists: whether the permissions have to be looked at, for which the tools are listed first.
        """
        client = await self._open_proxy(self.rows[connection_id], user_id=user_id)
        if lists:
            await client.list_tools(f"auth-tools-{time.time_ns() // 1_000_000}")
        return await client.call_tool(name, {key: value for key, value in arguments.items() if key != "_meta"})

    async def request(self, connection_id: str, method: str, params: Json | None = None) -> Json:
        """Return the result of anything else that Mesh passes on; raises McpFailedError."""
        return await (await self._open_proxy(self.rows[connection_id])).request(method, params)

    async def call_alone(self, connection_id: str, name: str, arguments: Json) -> Json:
        """Return the result of a call by a binding: it pretends to have shaken hands."""
        row = self.rows[connection_id]
        return await self._make_proxy(row, user_id="user_1", state=row.state).call_tool(name, arguments)

    async def add_trigger(self, connection_id: str, event_type: str, params: Json) -> Json:
        """Let an automation wait for events, and return what the service answered.

        Every trigger of a connection is told of with the newest one's token.
        """
        row = self.rows[connection_id]
        row.triggers.append((event_type, params))
        arguments = {"type": event_type, "params": params, "enabled": True}
        if self.mesh.generation != "A":  # which has no callbacks
            url, token = self.mesh.issue_callback(connection_id, slug=row.slug)
            arguments |= {"callbackUrl": url, "callbackToken": token}
        return await self._configure_trigger(row, arguments)

    async def remove_trigger(self, connection_id: str, event_type: str, params: Json) -> Json:
        """Let an automation wait no more. The token goes with it, whatever else is told of with it."""
        row = self.rows[connection_id]
        row.triggers.remove((event_type, params))
        self.mesh.callback_tokens.pop((row.slug, connection_id), None)
        return await self._configure_trigger(row, {"type": event_type, "params": params, "enabled": False})

    def count_fired(self, connection_id: str, told: Json) -> int:
        """Return how many automations an event starts: each that waits for its type and its values, strictly."""
        data = told.get("data", {})
        return sum(
            event_type == told["type"] and all(data.get(key) == value for key, value in params.items())
            for event_type, params in self.rows[connection_id].triggers
        )

    async def _configure_trigger(self, row: Row, arguments: Json) -> Json:
        """Call in nobody's name: the token's user is the one who made the connection."""
        return await (await self._open_proxy(row)).call_tool("TRIGGER_CONFIGURE", arguments)

    async def _discover(self, row: Row) -> None:
        """Look what the connection offers; whatever goes wrong is swallowed."""
        headers = {"user-agent": "Bun/1.3.10", **_authorize(row)}
        client = McpClient(
            self.http, row.url, name=DISCOVERY_NAME, headers=headers, capabilities={}, sends_version=True
        )
        try:
            await client.connect()
            row.tools = await client.list_tools()
            shown = await client.call_tool("MCP_CONFIGURATION", {})
            # The text alone is read here, and the structured content by the page that shows the form.
            row.scopes = json.loads(shown["content"][0]["text"])["scopes"]
        except McpFailedError:
            row.tools = row.scopes = None
        self.streams += client.streams

    async def _open_proxy(self, row: Row, *, user_id: str = "user_1", state: Json | None = None) -> McpClient:
        """Return a client for one request, connected: the next request gets another."""
        client = self._make_proxy(row, user_id=user_id, state=row.state if state is None else state)
        await client.connect()
        self.streams += client.streams
        return client

    def _make_proxy(self, row: Row, *, user_id: str, state: Json | None) -> McpClient:
        token = mint_token(self.mesh, row, user_id=user_id, state=state)
        number = next(_REQUEST_NUMBERS)
        headers = {
            "x-mesh-token": token,
            "x-request-id": f"4f9d0000-0000-4000-8000-{number:012}",
            "traceparent": f"00-{number:032x}-{number:016x}-01",
            "user-agent": "Bun/1.3.10",
            **_authorize(row),
        }
        if self.mesh.generation == "C":
            headers |= {"x-studio-token": token, "x-studio-run-metadata": '{"automation":"daily"}'}
        return McpClient(
            self.http,
            row.url,
            name=f"outbound-client-{row.connection_id}",
            headers=headers,
            capabilities={"tasks": {}},
            sends_version=False,
        )


def mint_token(mesh: FakeMesh, row: Row, *, user_id: str = "user_1", state: Json | None, **claims: Any) -> str:
    """Return the token of one request; `claims` replace its own. Source: `auth/jwt.ts` of each generation."""
    user: Json = {"id": user_id}
    if mesh.generation != "A":
        user |= {"email": f"{user_id}@example.com", "name": user_id, "role": "owner"}
    if mesh.generation == "B":
        user["image"] = "https://example.com/face.png"
    metadata: Json = {
        "meshUrl": mesh.url,
        "connectionId": row.connection_id,
        "organizationId": f"org_{row.slug}",
        "organizationName": row.slug.title(),
        "organizationSlug": row.slug,
    }
    if state is not None:
        metadata["state"] = drop_form_keys(state)
    if mesh.generation == "C":
        metadata["studioUrl"] = mesh.url
    now_s = int(time.time())
    payload = {
        "sub": user_id,
        "user": user,
        "metadata": metadata,
        "permissions": {},
        "iat": now_s,
        "exp": now_s + TOKEN_LIFETIME_S,
    }
    return jwt.encode(payload | claims, mesh.secret, algorithm="HS256")


def drop_form_keys(value: Any) -> Any:
    """Return a state as it is signed."""
    if isinstance(value, dict):
        return {key: drop_form_keys(each) for key, each in value.items() if key != _FORM_KEY}
    return value


def is_visible_to_model(tool: Json) -> bool:
    """Tell whether an agent is offered a tool: `isToolVisibleToModel` in `api/routes/decopilot/helpers.ts`."""
    visibility = tool.get("_meta", {}).get("ui", {}).get("visibility")
    return visibility is None or "model" in visibility


def get_text(result: Json) -> str:
    """Return the text of a tool's result."""
    text = result["content"][0]["text"]
    assert isinstance(text, str)
    return text


def _authorize(row: Row) -> dict[str, str]:
    return {} if row.token is None else {"authorization": f"Bearer {row.token}"}
