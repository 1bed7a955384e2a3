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
    make_configurator,
    make_state,
)
from directory_fake import FakeDirectory, make_connection
from identity_fakes import FakeIssuer, FakeKeyStore
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from stepping_clock import SteppingClock
from tool_fakes import FakeAudit

from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.identity.api_keys import ApiKeyVerifier, make_key
from slack_mcp.identity.issuer import IssuerKeys
from slack_mcp.identity.oauth import SCOPES, OAuthRules, OAuthVerifier
from slack_mcp.identity.prove import CredentialProver
from slack_mcp.identity.rate_limit import RateLimiter
from slack_mcp.ports.identity import ProtectedResource
from slack_mcp.simulator.server import serve_app
from slack_mcp.tools import configuration
from slack_mcp.tools.call import Call, Services
from slack_mcp.tools.endpoint import MAX_BODY_BYTES, McpEndpoint
from slack_mcp.tools.guard import Guard
from slack_mcp.tools.tool import Arguments, Result, Tool

pytestmark = pytest.mark.anyio

AUTH_TOKEN = "a-shared-secret-of-the-operator"
PUBLIC_URL = "https://slack.example"
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
RESOURCE = ProtectedResource(
    resource=FakeIssuer.AUDIENCE,
    metadata_url=f"{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp",
    issuer=FakeIssuer.URL,
    scopes=tuple(SCOPES),
)


class WhoArguments(Arguments):
    """No arguments."""


class WhoResult(Result):
    connection_id: str
    subject: str
    access: str


async def tell_who(call: Call, _arguments: WhoArguments) -> WhoResult:
    return WhoResult(
        connection_id=call.connection.connection_id,
        subject=call.principal.subject,
        access=call.principal.access.name.lower(),
    )


def make_tool(run: Any = tell_who) -> Tool[Any, Any]:
    return Tool(
        name="WHO",
        title="Who",
        description="Returns the caller.",
        arguments=WhoArguments,
        result=WhoResult,
        run=run,
    )


TOOLS = (make_tool(), *configuration.TOOLS)
APP_TOOLS = [tool.name for tool in configuration.TOOLS]
TOOL_NAMES = [tool.name for tool in TOOLS]


def make_call(name: str, arguments: dict[str, Any], *, request_id: str | int = 1) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"method": "tools/call", "params": params, "jsonrpc": "2.0", "id": request_id}


class Service:
    """An endpoint with everything around it faked. `conn_a` and `conn_b` are configured."""

    def __init__(
        self,
        *,
        tools: Sequence[Tool[Any, Any]] = TOOLS,
        body_timeout_s: float = 10.0,
        per_min: int = 0,
        issuer: FakeIssuer | None = None,
        **options: Any,
    ) -> None:
        self.clock = SteppingClock()
        self.store = FakeConnectionStore()
        self.slack = FakeSlack()
        self.mesh_api = FakeMeshApi()
        self.keys = FakeKeyStore()
        self.tokens = FakeTokens(
            {f"token-{name}": make_claims(f"conn_{name}") for name in ("a", "b", "new")},
        )
        nothing: Any = None  # what none of these tools asks for
        self.endpoint = McpEndpoint(
            services=Services(
                configurator=make_configurator(self.store, self.slack, self.mesh_api),
                public_url=PUBLIC_URL,
                directory=FakeDirectory(make_connection("conn_a"), make_connection("conn_b")),
                slack=nothing,
                names=nothing,
                audit=FakeAudit(),
                threads=nothing,
                clock=self.clock,
            ),
            guard=Guard(
                identities=CredentialProver(
                    mesh=self.tokens,
                    keys=ApiKeyVerifier(store=self.keys, clock=self.clock),
                    oauth=self._make_oauth(issuer) if issuer else None,
                ),
                limiter=RateLimiter(per_min=per_min, clock=self.clock),
                resource=RESOURCE if issuer else None,
                **{"auth_token": None, "auth_header": "Authorization", "allowed_hosts": [PUBLIC_URL]} | options,
            ),
            tools=tools,
            body_timeout_s=body_timeout_s,
        )

    def _make_oauth(self, issuer: FakeIssuer) -> OAuthVerifier:
        rules = OAuthRules(
            issuer=FakeIssuer.URL,
            audience=FakeIssuer.AUDIENCE,
            connection_claim="connection",
            connection_id=None,
        )
        keys = IssuerKeys(http=issuer.open_http(), clock=self.clock, issuer=FakeIssuer.URL, jwks_url=None)
        return OAuthVerifier(keys=keys, rules=rules, clock=self.clock)

    async def make_key(self, connection_id: str = "conn_a", access: Access = Access.READ) -> str:
        """Return the `Authorization` of a new API key."""
        made = make_key(ConnectionId(connection_id), name="test", access=access, expires_in_s=None, clock=self.clock)
        await self.keys.add_key(made.kept)
        return f"Bearer {made.shown.reveal()}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx2.AsyncClient]:
        async with (
            self.endpoint.running(),
            serve_app(Starlette(routes=self.endpoint.routes())) as base_url,
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
        who = await client.call_tool("WHO", {})
        assert isinstance(who, types.CallToolResult)
        assert who.structured_content == {"connection_id": "conn_a", "subject": "mesh:user1", "access": "admin"}
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
        assert all(tool["_meta"] == {"ui": {"visibility": ["app"]}} for tool in tools if tool["name"] in APP_TOOLS)
        shown = await post(http, make_call("MCP_CONFIGURATION", {}, request_id=2), **version)
        result = shown.json()["result"]
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        assert set(result["structuredContent"]) == {"stateSchema", "scopes"}
    assert (service.store.loads, service.tokens.verified) == (0, [])


async def test_meshs_proxy_configures_without_a_version_header_and_with_string_ids() -> None:
    service = Service()
    mesh = {"x_mesh_token": "token-new", "x_request_id": "4f9d", "x_caller_id": "conn_z", "x_hub_signature_256": "s"}
    async with service.serving() as http:
        assert (await post(http, INITIALIZE, **mesh)).status_code == 200
        assert (await post(http, INITIALIZED, **mesh)).status_code == 202
        assert (await http.get("/mcp")).status_code == 405
        assert service.tokens.verified == []
        request_id = "auth-tools-1795479118529"
        listed = await post(http, {"method": "tools/list", "jsonrpc": "2.0", "id": request_id}, **mesh)
        assert listed.json()["id"] == request_id
        assert [tool["name"] for tool in listed.json()["result"]["tools"]] == APP_TOOLS
        saved = await post(http, make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": ["*"]}), **mesh)
        assert saved.json()["result"]["structuredContent"] == {}
        assert saved.json()["result"]["isError"] is False
        again = await post(http, make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []}), **mesh)
        assert again.json()["result"]["isError"] is False
    assert service.store.rows[ConnectionId("conn_new")].version == 2
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
    token = "t" * 40 * 1024
    service.tokens.claims[token] = make_claims()
    async with service.serving() as http:
        call = make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
        response = await post(http, call, x_studio_token=token, x_mesh_token="another")
    assert response.json()["result"]["isError"] is False
    assert service.tokens.verified == [token]


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
    async with Service(allowed_hosts=["mcp.internal", PUBLIC_URL]).serving() as http:
        for host in ("slack.example", "mcp.internal:8080"):
            assert (await post(http, INITIALIZE, host=host)).status_code == 200
        refused = await post(http, INITIALIZE, host="evil.example")
    assert refused.status_code == 421
    assert "MCP_ALLOWED_HOSTS" in refused.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_not_read() -> None:
    async with Service().serving() as http:
        response = await post(http, make_call("MCP_CONFIGURATION", {"a": "x" * MAX_BODY_BYTES}))
        assert response.status_code == 413
        assert "4194304 bytes" in response.json()["error"]["message"]

        async def send_without_a_length() -> AsyncIterator[bytes]:
            for _ in range(5):
                yield b" " * 1_048_576

        assert (await http.post("/mcp", content=send_without_a_length())).status_code == 413


async def test_a_body_of_megabytes_is_taken() -> None:
    async with Service().serving() as http:
        response = await post(http, make_call("MCP_CONFIGURATION", {"a": "x" * (MAX_BODY_BYTES - 1000)}))
    assert response.json()["result"]["isError"] is False


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


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2031-01-01"])
async def test_every_version_of_the_handshake_is_negotiated(version: str) -> None:
    params = INITIALIZE["params"]
    assert isinstance(params, dict)
    async with Service().serving() as http:
        answer = await post(http, INITIALIZE | {"params": params | {"protocolVersion": version}})
    negotiated = answer.json()["result"]["protocolVersion"]
    assert negotiated == (version if version.startswith("202") else "2025-11-25")


@pytest.mark.parametrize("credentials", [{}, {"authorization": "key"}])
async def test_the_newest_protocol_discovers_without_a_handshake(credentials: dict[str, str]) -> None:
    service = Service()
    if credentials:
        credentials = {"authorization": await service.make_key()}
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    request = {"method": "server/discover", "params": {"_meta": meta}, "jsonrpc": "2.0", "id": 1}
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "server/discover"} | credentials
    async with service.serving() as http:
        answer = await http.post("/mcp", json=request, headers=headers)
    assert answer.status_code == 200, answer.text
    assert "2026-07-28" in answer.json()["result"]["supportedVersions"]
    assert "tools" in answer.json()["result"]["capabilities"]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("access", list(Access))
async def test_an_api_key_opens_its_own_connection_as_far_as_it_goes(mode: str, access: Access) -> None:
    service = Service()
    key = await service.make_key("conn_b", access)
    async with service.serving() as http, connect(http, mode=mode, authorization=key) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["WHO"]
        who = await client.call_tool("WHO", {})
    assert isinstance(who, types.CallToolResult)
    assert who.structured_content is not None
    assert (who.structured_content["connection_id"], who.structured_content["access"]) == (
        "conn_b",
        access.name.lower(),
    )


async def test_a_key_that_is_sent_and_bad_is_refused_even_where_none_is_needed() -> None:
    service = Service()
    key = await service.make_key()
    async with service.serving() as http:
        for bad in (key[:-1], f"Bearer smk_{'0' * 16}_{'x' * 43}", "Bearer nonsense", "Bearer a.b.c"):
            refused = await post(http, INITIALIZE, authorization=bad)
            assert refused.status_code == 401
            # With more in it Mesh would start a login that nobody offers.
            assert refused.headers["www-authenticate"] == 'Bearer realm="slack-mcp"'
            assert bad.split()[1] not in refused.text
        await service.keys.revoke_key(key.split("_")[1], now_ms=1)
        revoked = await post(http, INITIALIZE, authorization=key)
    assert "was revoked" in revoked.json()["error"]["message"]


async def test_an_api_key_configures_nothing() -> None:
    service = Service()
    key = await service.make_key("conn_a", Access.ADMIN)
    async with service.serving() as http:
        call = make_call("ON_MCP_CONFIGURATION", {"state": make_state(), "scopes": []})
        result = (await post(http, call, authorization=key)).json()["result"]
    assert result["isError"] is True
    assert service.store.rows == {}


async def test_a_database_that_is_away_is_not_the_callers_fault() -> None:
    service = Service()
    key = await service.make_key()
    service.keys.error = StoreUnavailableError("canary")
    async with service.serving() as http:
        refused = await post(http, INITIALIZE, authorization=key)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "canary" not in refused.text


async def test_a_key_helps_where_the_mesh_that_carries_it_is_not_known() -> None:
    service = Service()
    key = await service.make_key("conn_b")
    async with service.serving() as http:
        foreign = await post(http, make_call("WHO", {}), authorization=key, x_mesh_token="of-another-mesh")
        known = await post(http, make_call("WHO", {}), authorization=key, x_mesh_token="token-a")
    assert foreign.json()["result"]["structuredContent"]["connection_id"] == "conn_b"
    assert known.json()["result"]["structuredContent"]["connection_id"] == "conn_a"


async def test_an_access_token_opens_its_connection_and_a_missing_one_starts_a_login() -> None:
    issuer = FakeIssuer()
    service = Service(issuer=issuer)
    async with service.serving() as http:
        assert (await post(http, INITIALIZE)).status_code == 200
        assert (await post(http, make_call("MCP_CONFIGURATION", {}))).status_code == 200
        anonymous = await post(http, make_call("WHO", {}, request_id="q"))
        assert anonymous.status_code == 401
        assert anonymous.json()["id"] == "q"
        assert anonymous.headers["www-authenticate"] == (
            'Bearer realm="slack-mcp", scope="slack:read slack:write slack:admin", '
            'resource_metadata="https://slack.example/.well-known/oauth-protected-resource/mcp"'
        )
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
            document = (await http.get(path)).json()
            assert document["resource"] == "https://slack.example/mcp"
            assert document["authorization_servers"] == [FakeIssuer.URL]
        token = issuer.make_token(now_s=service.clock.time_s)
        who = await post(http, make_call("WHO", {}), authorization=f"Bearer {token}")
        assert who.json()["result"]["structuredContent"] == {
            "connection_id": "conn_a",
            "subject": "oauth:user-1",
            "access": "write",
        }
        expired = await post(http, INITIALIZE, authorization=f"Bearer {issuer.make_token(now_s=0)}")
        assert expired.status_code == 401
        assert 'error="invalid_token"' in expired.headers["www-authenticate"]
        useless = issuer.make_token(now_s=service.clock.time_s, scope="openid")
        forbidden = await post(http, INITIALIZE, authorization=f"Bearer {useless}")
        assert forbidden.status_code == 403
        assert 'error="insufficient_scope"' in forbidden.headers["www-authenticate"]
        issuer.error = httpx2.ConnectError("down")
        assert (await post(http, INITIALIZE, authorization=f"Bearer {token}")).status_code == 200  # the keys are known


async def test_an_issuer_that_is_away_is_not_the_callers_fault() -> None:
    issuer = FakeIssuer()
    issuer.error = httpx2.ConnectError("down")
    service = Service(issuer=issuer)
    token = issuer.make_token(now_s=service.clock.time_s)
    async with service.serving() as http:
        refused = await post(http, INITIALIZE, authorization=f"Bearer {token}")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")


async def test_without_an_issuer_nobody_is_shown_a_login() -> None:
    async with Service().serving() as http:
        assert (await http.get("/.well-known/oauth-protected-resource")).status_code == 404
        anonymous = await post(http, make_call("WHO", {}))
    assert anonymous.status_code == 200
    assert anonymous.json()["result"]["isError"] is True
    assert "www-authenticate" not in anonymous.headers


async def test_a_caller_that_asks_too_much_waits_and_no_other_does() -> None:
    service = Service(per_min=2)
    keys = [await service.make_key("conn_a"), await service.make_key("conn_b")]
    async with service.serving() as http:
        for _ in range(2):
            assert (await post(http, make_call("WHO", {}), authorization=keys[0])).status_code == 200
        refused = await post(http, make_call("WHO", {}, request_id=7), authorization=keys[0])
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert refused.json() == {
            "jsonrpc": "2.0",
            "id": 7,
            "error": {"code": -32000, "message": "Too many requests: try again in 30 s."},
        }
        assert (await post(http, make_call("WHO", {}), authorization=keys[1])).status_code == 200
        mesh = [await post(http, make_call("WHO", {}), x_mesh_token="token-a") for _ in range(3)]
        assert [each.status_code for each in mesh] == [200, 200, 429]
        assert (await post(http, INITIALIZE, x_mesh_token="token-a")).status_code == 200
        service.clock.time_s += 30
        assert (await post(http, make_call("WHO", {}), authorization=keys[0])).status_code == 200


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_two_tenants_at_the_same_time_never_see_each_other(mode: str) -> None:
    """Both calls are in flight before either may look who calls."""
    arrived, both = [], anyio.Event()

    async def run(call: Call, arguments: WhoArguments) -> WhoResult:
        arrived.append(call)
        if len(arrived) == 2:
            both.set()
        await both.wait()
        return await tell_who(call, arguments)

    answers: dict[str, Any] = {}
    async with Service(tools=[make_tool(run)]).serving() as http:

        async def ask(token: str) -> None:
            async with connect(http, mode=mode, **{"x-mesh-token": token}) as client:
                result = await client.call_tool("WHO", {})
                assert isinstance(result, types.CallToolResult)
                assert result.structured_content is not None
                answers[token] = result.structured_content["connection_id"]

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, "token-a")
                tasks.start_soon(ask, "token-b")
    assert answers == {"token-a": "conn_a", "token-b": "conn_b"}


async def test_a_call_in_hand_is_over_when_the_endpoint_is() -> None:
    began, ended = anyio.Event(), anyio.Event()

    async def run(_call: Call, _arguments: WhoArguments) -> WhoResult:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError("unreachable")

    service = Service(tools=[make_tool(run)])
    key = await service.make_key()
    answers: list[httpx2.Response] = []

    async def call(http: httpx2.AsyncClient) -> None:
        answers.append(await post(http, make_call("WHO", {}, request_id="q"), host="localhost", authorization=key))

    transport = httpx2.ASGITransport(app=service.endpoint)
    with anyio.fail_after(5):
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=MESH_HEADERS) as http,
            anyio.create_task_group() as tasks,
            service.endpoint.running(),
        ):
            tasks.start_soon(call, http)
            await began.wait()
    assert ended.is_set()
    assert (answers[0].status_code, answers[0].json()["id"]) == (503, "q")


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


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": "canary"}}]', types.INVALID_PARAMS),
        (b'{"jsonrpc": "canary", "method": "ping", "id": 1}', types.INVALID_PARAMS),
        (b'"canary"', types.INVALID_PARAMS),
        (b'{"jsonrpc": "2.0", "canary', types.PARSE_ERROR),
    ],
)
async def test_a_refusal_of_what_is_no_message_quotes_nothing_of_it(body: bytes, code: int) -> None:
    service = Service()
    key = await service.make_key()
    async with service.serving() as http:
        headers = {"authorization": key, "content-type": "application/json"}
        answer = await http.post("/mcp", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "canary" not in answer.text
