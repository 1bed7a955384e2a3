import json
from typing import Any

import pytest
from configuration_fakes import FakeTokens
from identity_fakes import FakeIdentities, make_principal
from starlette.datastructures import Headers
from starlette.responses import Response
from stepping_clock import SteppingClock

from slack_mcp.core.errors import (
    ForbiddenError,
    IssuerUnavailableError,
    MeshUnavailableError,
    SlackMcpError,
    StoreUnavailableError,
)
from slack_mcp.core.secret import Secret
from slack_mcp.identity.rate_limit import RateLimiter
from slack_mcp.ports.identity import ProtectedResource
from slack_mcp.tools.caller import Caller
from slack_mcp.tools.guard import Guard
from slack_mcp.tools.refusal import Message, read_message

AUTH_TOKEN = "a-shared-secret-of-the-operator"
KEY = "smk_good"
RESOURCE = ProtectedResource(
    resource="https://slack.example/mcp",
    metadata_url="https://slack.example/.well-known/oauth-protected-resource/mcp",
    issuer="https://login.example",
    scopes=("slack:read",),
)
CALL = read_message(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"SLACK_SEND_MESSAGE"}}')


def make_guard(tokens: FakeTokens, *, auth_token: str | None = AUTH_TOKEN, **options: Any) -> Guard:
    arguments: dict[str, Any] = {
        "identities": FakeIdentities({KEY: make_principal()}, tokens=tokens),
        "limiter": RateLimiter(per_min=1, clock=SteppingClock()),
        "auth_token": Secret(auth_token) if auth_token else None,
        "auth_header": "Authorization",
        "allowed_hosts": ["Mcp.Example", "internal:9000", "https://slack.example/base"],
    }
    return Guard(**(arguments | options))


def get_status(response: Response | None) -> int | None:
    return response.status_code if response else None


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD", "OPTIONS"])
def test_only_post_is_answered(tokens: FakeTokens, method: str) -> None:
    refusal = make_guard(tokens).check_request(method, Headers({"host": "localhost"}))
    assert refusal is not None
    assert (refusal.status_code, refusal.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "127.0.0.1:1",
        "[::1]:8080",
        "10.1.2.3:8080",
        "mcp.example",
        "MCP.example:443",
        "internal",
        "slack.example",
    ],
)
def test_the_names_of_this_service_are_allowed_on_any_port(tokens: FakeTokens, host: str) -> None:
    assert make_guard(tokens).check_request("POST", Headers({"host": host})) is None


@pytest.mark.parametrize("host", ["evil.example", "", "localhost.evil.example", "evil.example:8080", "[::1", "@"])
def test_a_foreign_name_is_told_which_setting_allows_it(tokens: FakeTokens, host: str) -> None:
    refusal = make_guard(tokens).check_request("POST", Headers({"host": host}))
    assert refusal is not None
    assert refusal.status_code == 421
    assert "MCP_ALLOWED_HOSTS" in json.loads(bytes(refusal.body))["error"]["message"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:6274", None),
        ("https://slack.example", None),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_of_foreign_origins_are_refused(tokens: FakeTokens, origin: str, status: int | None) -> None:
    refusal = make_guard(tokens).check_request("POST", Headers({"host": "localhost", "origin": origin}))
    assert get_status(refusal) == status


@pytest.mark.anyio
@pytest.mark.parametrize("shown", [AUTH_TOKEN, f"Bearer {AUTH_TOKEN}", f"bearer  {AUTH_TOKEN} "])
async def test_the_shared_secret_lets_in_with_or_without_bearer(tokens: FakeTokens, shown: str) -> None:
    assert isinstance(await make_guard(tokens).find_caller(Headers({"authorization": shown})), Caller)
    other = make_guard(tokens, auth_header="X-Mcp-Auth")
    assert isinstance(await other.find_caller(Headers({"x-mcp-auth": shown})), Caller)
    assert tokens.verified == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": ""},
        {"authorization": "Bearer \xe9"},
        {"x-mcp-auth": AUTH_TOKEN},
        {"x-mesh-token": "invented"},
    ],
)
async def test_without_the_secret_or_a_good_token_nobody_gets_in(tokens: FakeTokens, headers: dict[str, str]) -> None:
    refusal = await make_guard(tokens).find_caller(Headers(headers))
    assert isinstance(refusal, Response)
    assert refusal.status_code == 401
    assert refusal.headers["www-authenticate"] == 'Bearer realm="slack-mcp"'
    assert AUTH_TOKEN.encode() not in bytes(refusal.body)


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [{"x-mesh-token": "token-a"}, {"authorization": f"Bearer {KEY}"}])
async def test_good_credentials_stand_for_the_secret(tokens: FakeTokens, headers: dict[str, str]) -> None:
    caller = await make_guard(tokens).find_caller(Headers(headers))
    assert isinstance(caller, Caller)
    assert caller.known is not None
    assert caller.known.connection_id == "conn_a"


@pytest.mark.anyio
async def test_the_secret_is_no_credential_and_what_comes_in_another_header_is(tokens: FakeTokens) -> None:
    shown = await make_guard(tokens).find_caller(Headers({"authorization": f"Bearer {AUTH_TOKEN}"}))
    assert isinstance(shown, Caller)
    assert not shown.has_credentials
    guard = make_guard(tokens, auth_header="X-Mcp-Auth")
    both = await guard.find_caller(Headers({"x-mcp-auth": AUTH_TOKEN, "authorization": f"Bearer {KEY}"}))
    assert isinstance(both, Caller)
    assert both.known is not None


@pytest.mark.anyio
async def test_the_studio_token_goes_before_the_mesh_token(tokens: FakeTokens) -> None:
    headers = Headers({"x-mesh-token": "token-a", "x-studio-token": "token-b"})
    caller = await make_guard(tokens, auth_token=None).find_caller(headers)
    assert isinstance(caller, Caller)
    assert tokens.verified == []
    assert (await caller.fetch_claims()).connection_id == "conn_b"


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [{}, {"x-mesh-token": "invented"}, {"authorization": "Basic dTpw"}])
async def test_without_a_shared_secret_everybody_gets_in_and_no_mesh_token_is_looked_at(
    tokens: FakeTokens, headers: dict[str, str]
) -> None:
    assert isinstance(await make_guard(tokens, auth_token=None).find_caller(Headers(headers)), Caller)
    assert tokens.verified == []


@pytest.mark.anyio
async def test_a_bad_bearer_is_refused_where_none_is_needed(tokens: FakeTokens) -> None:
    headers = Headers({"authorization": "Bearer canary-token"})
    shown = f'error="invalid_token", scope="slack:read", resource_metadata="{RESOURCE.metadata_url}"'
    for resource, challenge in ((None, 'Bearer realm="slack-mcp"'), (RESOURCE, f'Bearer realm="slack-mcp", {shown}')):
        refusal = await make_guard(tokens, auth_token=None, resource=resource).find_caller(headers)
        assert isinstance(refusal, Response)
        assert (refusal.status_code, refusal.headers["www-authenticate"]) == (401, challenge)
        assert b"canary" not in bytes(refusal.body)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (MeshUnavailableError("canary"), 503, "5"),
        (IssuerUnavailableError("canary"), 503, "5"),
        (StoreUnavailableError("canary"), 503, "5"),
        (ForbiddenError("No scope."), 403, None),
    ],
)
async def test_what_cannot_be_found_out_is_not_the_callers_fault(
    tokens: FakeTokens, error: SlackMcpError, status: int, retry_after: str | None
) -> None:
    identities = FakeIdentities()
    identities.error = error
    refusal = await make_guard(tokens, identities=identities).find_caller(Headers({"authorization": f"Bearer {KEY}"}))
    assert isinstance(refusal, Response)
    assert (refusal.status_code, refusal.headers.get("retry-after")) == (status, retry_after)
    assert b"canary" not in bytes(refusal.body)


async def admit(guard: Guard, headers: dict[str, str], message: Message = CALL) -> int | None:
    """Return the status of what the guard says to a message, None when it goes through."""
    caller = await guard.find_caller(Headers(headers))
    assert isinstance(caller, Caller)
    return get_status(await guard.admit(caller, message))


@pytest.mark.anyio
async def test_a_call_without_credentials_is_told_by_the_tool_unless_there_is_a_login(tokens: FakeTokens) -> None:
    assert await admit(make_guard(tokens, auth_token=None), {}) is None
    assert await admit(make_guard(tokens, auth_token=None, resource=RESOURCE), {}) == 401
    assert await admit(make_guard(tokens, auth_token=None, resource=RESOURCE), {}, Message(method="tools/list")) is None


@pytest.mark.anyio
async def test_a_bad_mesh_token_is_told_by_the_tool(tokens: FakeTokens) -> None:
    guard = make_guard(tokens, auth_token=None, resource=RESOURCE)
    assert await admit(guard, {"x-mesh-token": "invented"}) is None
    assert tokens.verified == ["invented"]


@pytest.mark.anyio
async def test_each_caller_has_a_share_whatever_it_asks_for(tokens: FakeTokens) -> None:
    guard = make_guard(tokens, auth_token=None)
    key = {"authorization": f"Bearer {KEY}"}
    assert [await admit(guard, key, Message(method="tools/list")) for _ in range(2)] == [None, 429]
    assert [await admit(guard, {"x-mesh-token": "token-b"}) for _ in range(2)] == [None, 429]
    assert [await admit(guard, {}) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize(
    ("body", "is_open"),
    [
        (b'{"method":"initialize","id":0,"params":{}}', True),
        (b'{"method":"notifications/initialized"}', True),
        (b'{"method":"tools/list","id":"a"}', True),
        (b'{"method":"server/discover","id":1,"params":{"_meta":{}}}', True),
        (b'{"method":"tools/call","id":1,"params":{"name":"MCP_CONFIGURATION"}}', True),
        (b'{"method":"tools/call","id":1,"params":{"name":"ON_MCP_CONFIGURATION"}}', False),
        (b'{"method":"tools/call","id":1,"params":{"name":7}}', False),
        (b'{"method":"tools/call","id":1,"params":[]}', False),
        (b'{"method":"tools/call","id":1}', False),
        (b'{"method":"resources/read","id":1}', False),
        (b'{"method":7,"id":1}', False),
        (b'{"method":"ping","id":1.5}', False),
        (b"[]", False),
        (b"{", False),
        (b"\xff", False),
        (b"[" * 100_000, False),
    ],
)
def test_what_anybody_may_send(body: bytes, is_open: bool) -> None:
    assert read_message(body).is_open is is_open
