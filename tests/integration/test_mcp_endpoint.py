"""`/mcp` over loopback HTTP, as the SDK's own client calls it and as Mesh does."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from configuration_fakes import (
    BOT_TOKEN,
    FakeConnectionStore,
    FakeMeshApi,
    FakeSlack,
    FakeTokens,
    make_claims,
    make_state,
)
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client
from stepping_clock import SteppingClock

from slack_mcp.connections.configure import Configurator
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.core.secret import Secret
from slack_mcp.simulator.server import serve_app
from slack_mcp.tools.endpoint import MAX_BODY_BYTES, McpEndpoint
from slack_mcp.tools.registry import TOOLS
from slack_mcp.tools.tool import Arguments, Result, Services, Tool

pytestmark = pytest.mark.anyio

AUTH_TOKEN = "a-shared-secret-of-the-operator"
TOOL_NAMES = [tool.name for tool in TOOLS]
# As captured from Mesh (mesh/apps/mesh/src/mcp-clients/outbound/headers.ts).
MESH_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
INITIALIZE = {
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tasks": {}},
        "clientInfo": {"name": "outbound-client-conn_a", "version": "1.0.0"},
    },
    "jsonrpc": "2.0",
    "id": 0,
}
INITIALIZED = {"method": "notifications/initialized", "jsonrpc": "2.0"}


def make_call(name: str, arguments: dict[str, Any], *, request_id: str | int = 1) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"method": "tools/call", "params": params, "jsonrpc": "2.0", "id": request_id}


class Service:
    """An endpoint with everything around it faked."""

    def __init__(self, **options: Any) -> None:
        self.store = FakeConnectionStore()
        self.slack = FakeSlack()
        self.mesh_api = FakeMeshApi()
        self.tokens = FakeTokens({"token-a": make_claims("conn_a"), "token-b": make_claims("conn_b")})
        saver = ConnectionSaver(store=self.store, slack=self.slack, clock=SteppingClock(), signing_secret_overlap_s=60)
        arguments: dict[str, Any] = {
            "configurator": Configurator(store=self.store, saver=saver, mesh_api=self.mesh_api),
            "tokens": self.tokens,
            "auth_token": None,
            "auth_header": "Authorization",
            "allowed_hosts": [],
            "public_url": "https://slack.example",
        }
        self.endpoint = McpEndpoint(**(arguments | options))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx2.AsyncClient]:
        async with (
            self.endpoint.running(),
            serve_app(self.endpoint) as base_url,
            httpx2.AsyncClient(base_url=base_url, headers=MESH_HEADERS, trust_env=False, timeout=5) as http,
        ):
            yield http


@asynccontextmanager
async def connect(http: httpx2.AsyncClient, *, mode: Any = "legacy", **headers: str) -> AsyncIterator[Client]:
    """Connect the SDK's client, as any MCP client would."""
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=5) as own:
        transport = streamable_http_client(str(http.base_url).rstrip("/") + "/mcp", http_client=own)
        async with Client(transport, mode=mode) as client:
            yield client


async def post(http: httpx2.AsyncClient, body: Any, **headers: str) -> httpx2.Response:
    return await http.post("/mcp", json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_sdks_client_initializes_lists_and_calls(mode: str) -> None:
    service = Service()
    async with service.serving() as http, connect(http, mode=mode, **{"x-mesh-token": "token-a"}) as client:
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == TOOL_NAMES
        shown = await client.call_tool("MCP_CONFIGURATION", {})
        assert isinstance(shown, types.CallToolResult)
        assert shown.structured_content["stateSchema"]["required"] == ["SLACK_CREDENTIALS"]
        saved = await client.call_tool("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
        assert isinstance(saved, types.CallToolResult)
        assert saved.is_error is False
    assert list(service.store.rows) == ["conn_a"]


async def test_meshs_discovery_works_without_a_token_and_touches_no_database() -> None:
    service = Service()
    async with service.serving() as http:
        started = await post(http, INITIALIZE)
        assert started.status_code == 200
        assert started.headers["content-type"] == "application/json"
        assert "mcp-session-id" not in started.headers
        assert started.json()["result"]["protocolVersion"] == "2025-11-25"
        assert started.json()["result"]["serverInfo"]["name"] == "slack-mcp"
        version = {"mcp_protocol_version": "2025-11-25"}
        assert (await post(http, INITIALIZED, **version)).status_code == 202
        stream = await http.get("/mcp", headers={"accept": "text/event-stream"})
        assert (stream.status_code, stream.headers["allow"]) == (405, "POST")
        listed = await post(http, {"method": "tools/list", "jsonrpc": "2.0", "id": 1}, **version)
        tools = listed.json()["result"]["tools"]
        assert [tool["name"] for tool in tools] == TOOL_NAMES
        assert all(tool["_meta"] == {"ui": {"visibility": ["app"]}} for tool in tools)
        shown = await post(http, make_call("MCP_CONFIGURATION", {}, request_id=2), **version)
        result = shown.json()["result"]
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        assert set(result["structuredContent"]) == {"stateSchema", "scopes"}
    assert (service.store.loads, service.tokens.verified) == (0, [])


async def test_meshs_proxy_configures_without_a_version_header_and_with_string_ids() -> None:
    service = Service()
    mesh = {"x_mesh_token": "token-a", "x_request_id": "4f9d", "x_caller_id": "conn_z", "x_hub_signature_256": "s"}
    async with service.serving() as http:
        assert (await post(http, INITIALIZE, **mesh)).status_code == 200
        assert (await post(http, INITIALIZED, **mesh)).status_code == 202
        assert (await http.get("/mcp")).status_code == 405
        request_id = "auth-tools-1795479118529"
        listed = await post(http, {"method": "tools/list", "jsonrpc": "2.0", "id": request_id}, **mesh)
        assert listed.json()["id"] == request_id
        assert service.tokens.verified == []
        saved = await post(http, make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": ["*"]}), **mesh)
        assert saved.json()["result"]["structuredContent"] == {}
        assert saved.json()["result"]["isError"] is False
        again = await post(http, make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []}), **mesh)
        assert again.json()["result"]["isError"] is False
    assert service.store.rows[make_claims().connection_id].version == 2
    assert len(service.mesh_api.names) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-protocol-version": "1999-01-01"},
        {"mcp-protocol-version": "2024-11-05"},
        {"accept": "application/json"},
        {"accept": "text/event-stream"},
        {"accept": "text/html"},
        {"mcp-session-id": "of-another-server"},
    ],
)
async def test_a_lone_call_is_answered_whatever_version_and_type_it_names(headers: dict[str, str]) -> None:
    async with Service().serving() as http:
        response = await http.post("/mcp", json=make_call("MCP_CONFIGURATION", {}, request_id="1"), headers=headers)
    assert response.status_code == 200
    assert response.json()["result"]["isError"] is False


async def test_headers_of_many_kilobytes_are_taken() -> None:
    """Mesh's token holds the whole state."""
    service = Service()
    token = "t" * 32 * 1024
    service.tokens.claims[token] = make_claims()
    async with service.serving() as http:
        call = make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
        response = await post(http, call, x_studio_token=token, x_mesh_token="another")
    assert response.json()["result"]["isError"] is False
    assert service.tokens.verified == [token]


@pytest.mark.parametrize("method", ["prompts/list", "resources/list", "resources/templates/list"])
async def test_prompts_and_resources_are_not_offered(method: str) -> None:
    async with Service().serving() as http:
        response = await post(http, {"method": method, "jsonrpc": "2.0", "id": 1})
    assert response.status_code == 200
    assert response.json()["error"]["code"] == types.METHOD_NOT_FOUND


async def test_a_subscription_of_the_newest_protocol_is_refused_and_holds_no_connection() -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    request = {"method": "subscriptions/listen", "params": {"_meta": meta, "notifications": {}}, "jsonrpc": "2.0"}
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
    async with Service().serving() as http:
        response = await http.post("/mcp", json=request | {"id": 1}, headers=headers)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == types.METHOD_NOT_FOUND


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "HEAD"])
async def test_other_methods_are_405(method: str) -> None:
    async with Service().serving() as http:
        response = await http.request(method, "/mcp")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_only_hosts_of_this_service_are_answered() -> None:
    async with Service(allowed_hosts=["mcp.internal"]).serving() as http:
        for host in ("slack.example", "mcp.internal:8080"):
            assert (await post(http, INITIALIZE, host=host)).status_code == 200
        refused = await post(http, INITIALIZE, host="evil.example")
    assert refused.status_code == 421
    assert "MCP_ALLOWED_HOSTS" in refused.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_not_read() -> None:
    async with Service().serving() as http:
        response = await post(http, make_call("MCP_CONFIGURATION", {"a": "x" * MAX_BODY_BYTES}))
    assert response.status_code == 413


async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async with Service(body_timeout_s=0.05).serving() as http:
        assert http.base_url.port is not None
        async with await anyio.connect_tcp(http.base_url.host, http.base_url.port) as stream:
            await stream.send(
                b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
            )
            with anyio.fail_after(5):
                assert (await stream.receive()).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'[{"jsonrpc":"2.0","method":"ping","id":1}]'])
async def test_garbage_is_a_bad_request(body: bytes) -> None:
    async with Service().serving() as http:
        response = await http.post("/mcp", content=body)
    assert response.status_code == 400


async def test_with_a_shared_secret_discovery_needs_it_or_a_mesh_token() -> None:
    service = Service(auth_token=Secret(AUTH_TOKEN))
    async with service.serving() as http:
        assert (await post(http, INITIALIZE)).status_code == 401
        assert (await post(http, INITIALIZE, authorization="Bearer wrong")).status_code == 401
        assert (await post(http, INITIALIZE, x_mesh_token="invented")).status_code == 401
        assert (await post(http, INITIALIZE, authorization=f"Bearer {AUTH_TOKEN}")).status_code == 200
        assert (await post(http, INITIALIZE, x_mesh_token="token-a")).status_code == 200
        # It proves a caller, and no connection.
        call = make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
        refused = await post(http, call, authorization=f"Bearer {AUTH_TOKEN}")
        assert refused.json()["result"]["isError"] is True
        invented = await post(http, call, authorization=f"Bearer {AUTH_TOKEN}", x_mesh_token="invented")
        assert invented.json()["result"]["isError"] is True
    assert service.store.rows == {}


@pytest.mark.parametrize("token", [None, "invented"])
async def test_a_configuration_is_believed_only_with_a_good_mesh_token(token: str | None) -> None:
    service = Service()
    async with service.serving() as http:
        headers = {"x_mesh_token": token} if token else {}
        call = make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
        result = (await post(http, call, **headers)).json()["result"]
    assert result["isError"] is True
    assert "call it through Mesh" in result["content"][0]["text"]
    assert BOT_TOKEN not in json.dumps(result)
    assert service.store.rows == {}


class WaitArguments(Arguments):
    """No arguments."""


class WaitResult(Result):
    connection_id: str


@pytest.mark.parametrize("version", [None, "2026-07-28"])
async def test_two_tenants_at_the_same_time_never_see_each_other(version: str | None) -> None:
    """Both calls are in flight before either may look who calls."""
    arrived, both = [], anyio.Event()

    async def run(_services: Services, caller: Any, _arguments: WaitArguments) -> WaitResult:
        arrived.append(caller)
        if len(arrived) == 2:
            both.set()
        await both.wait()
        return WaitResult(connection_id=(await caller.fetch_claims()).connection_id)

    tool: Sequence[Any] = [
        Tool(
            name="WHO",
            title="Who",
            description="Returns the caller's connection.",
            arguments=WaitArguments,
            result=WaitResult,
            annotations=types.ToolAnnotations(read_only_hint=True),
            run=run,
        )
    ]
    answers: dict[str, Any] = {}
    async with Service(tools=tool).serving() as http:

        async def ask(token: str) -> None:
            mode = version or "legacy"
            async with connect(http, mode=mode, **{"x-mesh-token": token}) as client:
                result = await client.call_tool("WHO", {})
                assert isinstance(result, types.CallToolResult)
                answers[token] = result.structured_content

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "token-a")
                tasks.start_soon(ask, "token-b")
    assert answers == {"token-a": {"connection_id": "conn_a"}, "token-b": {"connection_id": "conn_b"}}


async def test_an_endpoint_that_is_not_running_answers_nothing() -> None:
    transport = httpx2.ASGITransport(app=Service().endpoint)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        with pytest.raises(RuntimeError):
            await post(http, INITIALIZE)


async def test_what_is_no_http_request_is_left_alone() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    await Service().endpoint({"type": "lifespan"}, receive, send)
