"""Verifying Mesh tokens, by secret and by asking a fake Mesh over loopback."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from fake_mesh import SECRET, FakeMesh
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse, PlainTextResponse, Response
from stepping_clock import SteppingClock
from structlog.testing import capture_logs

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import MeshUnavailableError, UnauthenticatedError
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.tokens import MeshTokenVerifier
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def mesh() -> AsyncIterator[FakeMesh]:
    mesh = FakeMesh(generation="B")
    async with serve_app(mesh.app) as mesh.url:
        yield mesh


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield http


def make_verifier(
    http: httpx2.AsyncClient,
    *,
    secret: str | None = None,
    urls: Sequence[str] = (),
    clock: SystemClock | SteppingClock | None = None,
    cache_size: int = 10,
) -> MeshTokenVerifier:
    return MeshTokenVerifier(
        transport=MeshTransport(http=http, timeout_s=5, retry_pause_s=0, max_response_bytes=10_000),
        clock=clock or SystemClock(),
        jwt_secret=Secret(secret) if secret is not None else None,
        allowed_urls=urls,
        cache_size=cache_size,
    )


async def test_token_is_believed_by_its_signature_without_asking(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    token = mesh.mint_token("conn_7", slug="acme", user_id="user_3", metadata={"state": {"BOT_TOKEN": "xoxb-1"}})
    claims = await make_verifier(http, secret=SECRET).verify(token)
    assert (claims.connection_id, claims.organization_id, claims.organization_slug) == ("conn_7", "org_acme", "acme")
    assert (claims.mesh_url, claims.user_id, claims.state) == (mesh.url, "user_3", {"BOT_TOKEN": "xoxb-1"})
    assert claims.token.reveal() == token
    assert "xoxb-1" not in repr(claims)
    assert token not in repr(claims)
    assert not mesh.calls


async def test_signature_is_enough_whatever_mesh_the_token_names(http: httpx2.AsyncClient) -> None:
    mesh = FakeMesh()
    mesh.url = "https://another.example"
    verifier = make_verifier(http, secret=SECRET, urls=["https://listed.example"])
    assert (await verifier.verify(mesh.mint_token())).mesh_url == "https://another.example"


async def test_newest_form_and_flat_form_are_read(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    verifier = make_verifier(http, secret=SECRET)
    newest = mesh.mint_token(metadata={"studioUrl": "https://Studio.example/", "meshUrl": "https://old.example"})
    assert (await verifier.verify(newest)).mesh_url == "https://studio.example"
    flat = mesh.mint_token(
        metadata={"connectionId": "conn_other"},
        connectionId="conn_flat",
        organizationId="org_flat",
        organizationSlug="flat",
        meshUrl="https://flat.example",
        state={"A": 1},
        user=None,
    )
    claims = await verifier.verify(flat)
    assert (claims.connection_id, claims.organization_id, claims.organization_slug) == ("conn_flat", "org_flat", "flat")
    assert (claims.mesh_url, claims.state, claims.user_id) == ("https://flat.example", {"A": 1}, "user_1")


async def test_what_may_be_absent_may_be_absent(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    token = mesh.mint_token(user=None, sub=None, metadata={"state": None, "organizationSlug": None})
    claims = await make_verifier(http, secret=SECRET).verify(token)
    assert (claims.state, claims.organization_slug, claims.user_id) == ({}, None, None)


async def test_listed_mesh_is_asked_once_while_the_token_lives(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    clock = SteppingClock()
    verifier = make_verifier(http, urls=[f"{mesh.url.upper().replace('HTTP', 'http')}/"], clock=clock)
    # The fake checks the real time, so the token lives long for it and the clock here is stepped to its end.
    clock.time_s = SystemClock().now_s()
    token = mesh.mint_token()
    for _ in range(3):
        assert (await verifier.verify(token)).connection_id == "conn_1"
    ((call),) = mesh.calls
    assert (call.path, call.body["method"], call.bearer) == ("/mcp/self", "ping", token)
    clock.time_s += 302
    await verifier.verify(token)
    assert len(mesh.calls) == 2, "past its exp it is not taken from memory, not even within the leeway"
    clock.time_s += 10
    with pytest.raises(UnauthenticatedError, match="expired"):
        await verifier.verify(token)


async def test_memory_of_good_tokens_is_bounded_and_bad_ones_are_not_kept(
    mesh: FakeMesh, http: httpx2.AsyncClient
) -> None:
    verifier = make_verifier(http, urls=[mesh.url], cache_size=2)
    tokens = [mesh.mint_token(f"conn_{number}") for number in range(3)]
    for token in [*tokens, tokens[2], tokens[0]]:
        await verifier.verify(token)
    assert [call.bearer for call in mesh.calls] == [*tokens, tokens[0]]
    forged = forge(mesh)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError, match="not one of its own"):
            await verifier.verify(forged)
    assert [call.bearer for call in mesh.calls[-2:]] == [forged, forged]


def forge(mesh: FakeMesh, **changes: Any) -> str:
    payload = jwt.decode(mesh.mint_token(**changes), SECRET, algorithms=["HS256"])
    return jwt.encode(payload, "another-secret-that-is-long-enough-too", algorithm="HS256")


async def test_forged_token_is_refused_by_secret_and_by_mesh(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    with pytest.raises(UnauthenticatedError, match="MESH_JWT_SECRET"):
        await make_verifier(http, secret=SECRET).verify(forge(mesh))
    with pytest.raises(UnauthenticatedError, match="not one of its own"):
        await make_verifier(http, urls=[mesh.url]).verify(forge(mesh))


async def test_mesh_of_the_list_vouches_for_what_the_secret_did_not_sign(
    mesh: FakeMesh, http: httpx2.AsyncClient
) -> None:
    verifier = make_verifier(http, secret="the-secret-of-quite-another-mesh-0000", urls=[mesh.url])
    assert (await verifier.verify(mesh.mint_token())).mesh_url == mesh.url


@pytest.mark.parametrize("suffix", ["/mesh", "@evil.example", ".evil.example", "?x", "#x"])
async def test_mesh_that_is_not_exactly_in_the_list_is_never_asked(
    mesh: FakeMesh, http: httpx2.AsyncClient, suffix: str
) -> None:
    verifier = make_verifier(http, urls=["https://listed.example"])
    for url in (mesh.url, f"https://listed.example{suffix}", "http://listed.example", "https://listed.example:444"):
        with pytest.raises(UnauthenticatedError):
            await verifier.verify(mesh.mint_token(metadata={"meshUrl": url}))
    assert not mesh.calls


async def test_without_secret_and_list_the_settings_to_set_are_named(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    for secret in (None, ""):
        with pytest.raises(UnauthenticatedError, match=r"MESH_JWT_SECRET.*MESH_ALLOWED_URLS"):
            await make_verifier(http, secret=secret).verify(mesh.mint_token())


@pytest.mark.parametrize(
    "answer",
    [
        Response(status_code=404),
        Response(status_code=429),
        PlainTextResponse("<html>"),
        PlainTextResponse("x" * 10_001),
        JSONResponse({"error": {"code": 1}}),
        Response(status_code=302, headers={"Location": "http://elsewhere.example"}),
    ],
)
async def test_mesh_that_gives_no_answer_to_the_question_is_unavailable(
    mesh: FakeMesh, http: httpx2.AsyncClient, answer: Response
) -> None:
    mesh.faults.append(answer)
    with pytest.raises(MeshUnavailableError):
        await make_verifier(http, urls=[mesh.url]).verify(mesh.mint_token())


async def test_mesh_in_trouble_is_asked_again_and_then_unavailable(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    verifier = make_verifier(http, urls=[mesh.url])
    mesh.faults.append(Response(status_code=503))
    await verifier.verify(mesh.mint_token("conn_1"))
    mesh.faults += [Response(status_code=503), Response(status_code=500)]
    with pytest.raises(MeshUnavailableError):
        await verifier.verify(mesh.mint_token("conn_2"))


async def test_mesh_that_is_down_is_unavailable(http: httpx2.AsyncClient) -> None:
    mesh = FakeMesh()
    async with serve_app(mesh.app) as mesh.url:
        token = mesh.mint_token()
    with pytest.raises(MeshUnavailableError):
        await make_verifier(http, urls=[mesh.url]).verify(token)


async def test_expiry_has_a_leeway_for_clocks_that_differ(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    clock = SteppingClock()
    verifier = make_verifier(http, secret=SECRET, clock=clock)
    await verifier.verify(mesh.mint_token(exp=int(clock.time_s) - 4))
    with pytest.raises(UnauthenticatedError, match="expired"):
        await verifier.verify(mesh.mint_token(exp=int(clock.time_s) - 6))


BAD_CLAIMS: list[dict[str, Any]] = [
    {"exp": None},
    {"exp": "1800000000"},
    {"exp": True},
    {"exp": [1]},
    {"exp": float("nan")},
    {"exp": float("inf")},
    {"exp": -(10**400)},
    {"metadata": {"connectionId": None}},
    {"metadata": {"connectionId": ""}},
    {"metadata": {"connectionId": 7}},
    {"metadata": {"connectionId": "c" * 257}},
    {"metadata": {"connectionId": "c\n"}},
    {"metadata": {"organizationId": None}},
    {"metadata": {"organizationId": {"x": 1}}},
    {"metadata": {"organizationSlug": 7}},
    {"metadata": {"organizationSlug": "../admin"}},
    {"metadata": {"organizationSlug": ".."}},
    {"metadata": {"meshUrl": None}},
    {"metadata": {"meshUrl": 7}},
    {"metadata": {"meshUrl": "ftp://mesh.example"}},
    {"metadata": {"state": "xoxb"}},
    {"metadata": {"state": [1]}},
]


@pytest.mark.parametrize("claims", BAD_CLAIMS)
async def test_signed_token_with_odd_claims_is_refused(
    mesh: FakeMesh, http: httpx2.AsyncClient, claims: dict[str, Any]
) -> None:
    with pytest.raises(UnauthenticatedError):
        await make_verifier(http, secret=SECRET, urls=[mesh.url]).verify(mesh.mint_token(**claims))


def encode(header: object, payload: object, signature: bytes = b"x") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


GOOD_HEADER = {"alg": "HS256", "typ": "JWT"}
BAD_TOKENS = [
    "",
    "x",
    "a.b.c",
    "....",
    "é.é.é",
    "\ud800.a.b",
    "a" * 1_000_000,
    encode(GOOD_HEADER, "x"),
    encode(GOOD_HEADER, [1]),
    encode([], {}),
    encode(5, {}),
    encode({"alg": None}, {}),
    encode({"alg": {}}, {}),
    encode({"alg": "HS256", "crit": ["x"], "x": 1}, {"exp": 9e9}),
    encode({"alg": "HS256", "b64": False, "crit": ["b64"]}, {"exp": 9e9}),
    encode({"alg": "HS256", "kid": 5}, {"exp": 9e9}),
    ".".join(base64.urlsafe_b64encode(part).decode() for part in (b'{"alg":"HS256"}', b"[" * 50_000, b"x")),
    ".".join(
        base64.urlsafe_b64encode(part).decode() for part in (b'{"alg":"HS256"}', b'{"exp":' + b"9" * 9000 + b"}", b"x")
    ),
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=range(len(BAD_TOKENS)))
async def test_garbage_is_refused_with_a_plain_sentence(http: httpx2.AsyncClient, token: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        await make_verifier(http, secret=SECRET, urls=["https://listed.example"]).verify(token)
    assert str(caught.value).endswith(".")
    assert len(token) < 5 or token not in str(caught.value)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS384", "HS512", "RS256"])
async def test_any_other_algorithm_is_refused_even_where_mesh_would_be_asked(
    mesh: FakeMesh, http: httpx2.AsyncClient, algorithm: str
) -> None:
    payload = jwt.decode(mesh.mint_token(), SECRET, algorithms=["HS256"])
    tokens = [encode({"alg": algorithm}, payload, signature) for signature in (b"", b"x")]
    if algorithm in {"HS384", "HS512"}:
        tokens = [jwt.encode(payload, SECRET * 2, algorithm=algorithm)]
    for token in tokens:
        with pytest.raises(UnauthenticatedError):
            await make_verifier(http, secret=SECRET, urls=[mesh.url]).verify(token)
    assert not mesh.calls


claim_values = st.none() | st.text() | st.integers() | st.just("HS256") | st.dictionaries(st.text(), st.text())
claim_names = st.sampled_from(["alg", "exp", "metadata", "connectionId", "meshUrl"])
objects = st.dictionaries(claim_names, claim_values)


@given(st.text() | st.lists(st.text(), min_size=3, max_size=3).map(".".join) | st.builds(encode, objects, objects))
def test_no_token_makes_another_error(token: str) -> None:
    async def verify() -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(401))) as http:
            with pytest.raises(UnauthenticatedError):
                await make_verifier(http, secret=SECRET).verify(token)

    anyio.run(verify)


@pytest.mark.parametrize("odd", ["\n", " ", "*", "é", "."])
async def test_token_with_characters_that_a_lenient_reader_skips_is_refused(
    mesh: FakeMesh, http: httpx2.AsyncClient, odd: str
) -> None:
    token = mesh.mint_token()
    for spoilt in (odd + token, token + odd, token[:9] + odd + token[9:]):
        with pytest.raises(UnauthenticatedError):
            await make_verifier(http, secret=SECRET, urls=[mesh.url]).verify(spoilt)
    assert not mesh.calls


async def test_tokens_are_never_logged(mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
    verifier = make_verifier(http, urls=[mesh.url])
    token, forged = mesh.mint_token(), forge(mesh)
    mesh.faults.append(Response(status_code=503))
    with capture_logs() as logs:
        await verifier.verify(token)
        with pytest.raises(UnauthenticatedError) as caught:
            await verifier.verify(forged)
    assert token not in repr(logs)
    assert forged not in repr(logs) + str(caught.value)
