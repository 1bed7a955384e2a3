import json

import pytest
from configuration_fakes import FakeTokens
from starlette.datastructures import Headers
from starlette.responses import Response

from slack_mcp.core.errors import MeshUnavailableError
from slack_mcp.core.secret import Secret
from slack_mcp.tools.caller import Caller
from slack_mcp.tools.guard import Guard

AUTH_TOKEN = "a-shared-secret-of-the-operator"


def make_guard(tokens: FakeTokens, *, auth_token: str | None = AUTH_TOKEN, auth_header: str = "Authorization") -> Guard:
    return Guard(
        tokens=tokens,
        auth_token=Secret(auth_token) if auth_token else None,
        auth_header=auth_header,
        allowed_hosts=["Mcp.Example", "internal:9000", "https://slack.example/base"],
    )


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
async def test_a_good_mesh_token_stands_for_the_secret(tokens: FakeTokens) -> None:
    caller = await make_guard(tokens).find_caller(Headers({"x-mesh-token": "token-a"}))
    assert isinstance(caller, Caller)
    assert (await caller.fetch_claims()).connection_id == "conn_a"


@pytest.mark.anyio
async def test_the_studio_token_goes_before_the_mesh_token(tokens: FakeTokens) -> None:
    headers = Headers({"x-mesh-token": "token-a", "x-studio-token": "token-b"})
    caller = await make_guard(tokens, auth_token=None).find_caller(headers)
    assert isinstance(caller, Caller)
    assert tokens.verified == []
    assert (await caller.fetch_claims()).connection_id == "conn_b"


@pytest.mark.anyio
async def test_without_a_shared_secret_everybody_gets_in_and_no_token_is_looked_at(tokens: FakeTokens) -> None:
    guard = make_guard(tokens, auth_token=None)
    assert isinstance(await guard.find_caller(Headers({})), Caller)
    assert isinstance(await guard.find_caller(Headers({"x-mesh-token": "invented"})), Caller)
    assert tokens.verified == []


@pytest.mark.anyio
async def test_a_mesh_that_does_not_answer_is_not_the_callers_fault(tokens: FakeTokens) -> None:
    tokens.error = MeshUnavailableError("canary")
    refusal = await make_guard(tokens).find_caller(Headers({"x-mesh-token": "token-a"}))
    assert isinstance(refusal, Response)
    assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "5")
    assert b"canary" not in bytes(refusal.body)
