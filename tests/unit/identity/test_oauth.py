import base64
import json
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from identity_fakes import FakeIssuer
from stepping_clock import SteppingClock

from slack_mcp.core.errors import ForbiddenError, IssuerUnavailableError, UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.identity.issuer import FRESH_S, MIN_REFETCH_S, RETRY_S, STALE_S, IssuerKeys, list_metadata_urls
from slack_mcp.identity.oauth import MAX_TOKEN_CHARS, OAuthRules, OAuthVerifier
from slack_mcp.ports.identity import Principal, PrincipalKind

pytestmark = pytest.mark.anyio


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(["RS256", "ES256", "none", "HS256"]) | JSON_VALUES},
    optional={"kid": st.text(max_size=3) | JSON_VALUES, "typ": JSON_VALUES, "crit": JSON_VALUES},
)
CHANGES: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.dictionaries(
    st.sampled_from(["iss", "aud", "exp", "nbf"]), JSON_VALUES
)


class Login:
    """An issuer, and a verifier that believes it."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self.issuer = issuer
        self.clock = SteppingClock()
        self.http = issuer.open_http()
        self.verifier = self.open_verifier()

    def open_verifier(self, *, jwks_url: str | None = None, **rules: Any) -> OAuthVerifier:
        values = {
            "issuer": FakeIssuer.URL,
            "audience": FakeIssuer.AUDIENCE,
            "connection_claim": "connection",
            "connection_id": None,
        } | rules
        keys = IssuerKeys(http=self.http, clock=self.clock, issuer=values["issuer"], jwks_url=jwks_url)
        return OAuthVerifier(keys=keys, rules=OAuthRules(**values), clock=self.clock)

    def make_token(self, **changes: Any) -> str:
        return self.issuer.make_token(now_s=self.clock.time_s, **changes)

    async def verify(self, **changes: Any) -> Principal:
        return await self.verifier.verify(Secret(self.make_token(**changes)))

    async def refuse(self, token: str) -> str:
        """Return why the token is not believed."""
        with pytest.raises(UnauthenticatedError) as refusal:
            await self.verifier.verify(Secret(token))
        assert token not in str(refusal.value)
        return str(refusal.value)


@pytest.fixture(scope="module")
def keys() -> FakeIssuer:
    return FakeIssuer()  # RSA keys take a moment to make


@pytest.fixture
def login(keys: FakeIssuer) -> Login:
    fresh = FakeIssuer.__new__(FakeIssuer)
    fresh.__dict__ |= vars(keys) | {"keys": list(keys.keys), "metadata": dict(keys.metadata), "requests": []}
    fresh.error = None
    return Login(fresh)


async def test_a_good_token_says_whose_it_is_and_what_it_allows(login: Login) -> None:
    assert await login.verify() == Principal(
        kind=PrincipalKind.OAUTH, connection_id=ConnectionId("conn_a"), subject="oauth:user-1", access=Access.WRITE
    )
    assert login.issuer.requests == ["/.well-known/oauth-authorization-server/tenant", "/keys"]
    await login.verify()
    assert len(login.issuer.requests) == 2


@pytest.mark.parametrize(("kid", "alg"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
async def test_each_kind_of_key_proves_its_tokens(login: Login, kid: str, alg: str) -> None:
    await login.verify(key=getattr(login.issuer, kid), kid=kid, alg=alg)


async def test_a_key_for_no_certain_algorithm_takes_those_of_its_kind(login: Login) -> None:
    login.issuer.keys[0] = {name: value for name, value in login.issuer.keys[0].items() if name != "alg"}
    await login.verify(alg="PS512")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "https://other.example/mcp"}, "its audience must be https://slack.example/mcp"),
        ({"aud": ["a", "b"]}, "another service"),
        ({"aud": None}, "another service"),
        ({"aud": {"https://slack.example/mcp": 1}}, "another service"),
        ({"aud": "https://other.example", "resource": FakeIssuer.AUDIENCE}, "another service"),
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "exp is missing"),
        ({"nbf": 3_000_000_000}, "not good yet"),
        ({"sub": None}, "sub is missing"),
        ({"sub": "a\nb"}, "sub is missing, or no id"),
        ({"connection": None}, "connection is missing"),
        ({"connection": "x" * 257}, "connection is missing, or no id"),
        ({"connection": ""}, "connection is missing, or no id"),
        ({"kid": "unknown"}, "a key that OAUTH_ISSUER does not have"),
        ({"kid": None}, "a key that OAUTH_ISSUER does not have"),
        ({"kid": "ec"}, "an algorithm that its key is not for"),
        ({"alg": "RS512"}, "an algorithm that its key is not for"),
    ],
)
async def test_what_is_wrong_with_a_token_is_told(login: Login, changes: dict[str, Any], reason: str) -> None:
    assert reason in await login.refuse(login.make_token(**changes))


async def test_another_keys_signature_is_refused(login: Login) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "signature is wrong" in await login.refuse(login.make_token(key=other))


async def test_no_part_of_a_token_can_be_changed(login: Login) -> None:
    head, _, signature = login.make_token().split(".")
    claims = json.dumps({"iss": FakeIssuer.URL, "aud": FakeIssuer.AUDIENCE, "exp": 4e9, "scope": "slack:admin"})
    forged = base64.urlsafe_b64encode(claims.encode()).rstrip(b"=").decode()
    assert "signature is wrong" in await login.refuse(f"{head}.{forged}.{signature}")


async def test_a_public_key_is_never_taken_for_a_shared_secret(login: Login) -> None:
    # PyJWT refuses to sign so; whoever forges does not.
    public = login.issuer.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": FakeIssuer.URL, "aud": FakeIssuer.AUDIENCE, "exp": 4e9, "sub": "u", "scope": "slack:admin"}
    token = jwt.encode(claims, base64.b64encode(public), algorithm="HS256", headers={"kid": "rsa"})
    assert "not signed with RS" in await login.refuse(token)
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "rsa"})
    assert "not signed with RS" in await login.refuse(unsigned)
    assert login.issuer.requests == []


@pytest.mark.parametrize("token", ["a.b.c", "eyJhbGciOiJSUzI1NiJ9.e30", "x" * (MAX_TOKEN_CHARS + 1)])
async def test_what_is_no_token_is_refused_without_asking_anybody(login: Login, token: str) -> None:
    await login.refuse(token)
    assert login.issuer.requests == []


@pytest.mark.parametrize(
    ("changes", "access"),
    [
        ({"scope": "slack:read"}, Access.READ),
        ({"scope": "slack:read slack:admin"}, Access.ADMIN),
        ({"scope": None, "scp": ["slack:write"]}, Access.WRITE),
        ({"scope": None, "scp": "slack:write openid"}, Access.WRITE),
    ],
)
async def test_the_scopes_say_how_much_is_allowed(login: Login, changes: dict[str, Any], access: Access) -> None:
    assert (await login.verify(**changes)).access is access


@pytest.mark.parametrize("scope", [None, "", "openid", "slack:everything", [1, None, ["slack:admin"], {}], {}, 7])
async def test_a_token_without_our_scopes_may_do_nothing(login: Login, scope: Any) -> None:
    with pytest.raises(ForbiddenError, match="slack:read, slack:write, slack:admin"):
        await login.verify(scope=scope)


async def test_a_resource_stands_for_a_missing_audience_and_a_lost_slash_is_no_fault(login: Login) -> None:
    await login.verify(aud=None, resource=FakeIssuer.AUDIENCE)
    await login.verify(iss=f"{FakeIssuer.URL}/")


async def test_one_connection_for_all_needs_no_claim(login: Login) -> None:
    login.verifier = login.open_verifier(connection_claim=None, connection_id=ConnectionId("conn_only"))
    assert (await login.verify(connection=None)).connection_id == "conn_only"
    assert (await login.verify(connection="conn_a")).connection_id == "conn_only"


@given(header=HEADERS, claims=CHANGES)
@settings(max_examples=300)
async def test_whatever_a_token_says_it_is_refused_in_words(header: dict[str, Any], claims: dict[str, Any]) -> None:
    issuer = FakeIssuer.__new__(FakeIssuer)
    issuer.keys, issuer.metadata, issuer.requests, issuer.error = [], {}, [], httpx2.ConnectError("down")
    good = {"iss": FakeIssuer.URL, "aud": FakeIssuer.AUDIENCE, "exp": 4e9}
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, good | claims)]
    token = b".".join([*parts, b"c2ln"]).decode()
    with pytest.raises((UnauthenticatedError, IssuerUnavailableError)):
        await Login(issuer).verifier.verify(Secret(token))


async def test_clocks_may_differ_by_seconds(login: Login) -> None:
    now_s = int(login.clock.time_s)
    await login.verify(exp=now_s - 4, nbf=now_s + 4)
    assert "expired" in await login.refuse(login.make_token(exp=now_s - 5))


async def test_a_new_key_is_found_and_invented_ones_make_nobody_ask_all_the_time(login: Login) -> None:
    await login.verify()
    login.clock.time_s += MIN_REFETCH_S + 1
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    login.issuer.keys.append({**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key())), "kid": "new"})
    await login.verify(key=other, kid="new")
    asked = len(login.issuer.requests)
    for number in range(20):
        await login.refuse(login.make_token(kid=f"invented-{number}"))
    assert len(login.issuer.requests) == asked


async def test_a_withdrawn_key_proves_nothing_for_longer_than_the_keys_are_fresh(login: Login) -> None:
    await login.verify()
    del login.issuer.keys[0]
    login.clock.time_s += FRESH_S + 1
    assert "does not have" in await login.refuse(login.make_token())


async def test_old_keys_bridge_an_issuer_that_does_not_answer_for_a_while(login: Login) -> None:
    await login.verify()
    login.issuer.error = httpx2.ConnectError("down")
    login.clock.time_s += FRESH_S + 1
    await login.verify()
    asked = len(login.issuer.requests)
    await login.verify()
    assert len(login.issuer.requests) == asked  # a moment later nobody asks again
    login.clock.time_s += STALE_S
    with pytest.raises(IssuerUnavailableError):
        await login.verify()
    login.issuer.error = None
    login.clock.time_s += RETRY_S
    await login.verify()


@pytest.mark.parametrize(
    "keys_document", [httpx2.Response(500), httpx2.Response(200, content=b"["), httpx2.Response(200, json={"keys": 1})]
)
async def test_an_issuer_without_keys_is_our_trouble_and_not_the_callers(
    login: Login, keys_document: httpx2.Response
) -> None:
    login.http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _request: keys_document))
    login.verifier = login.open_verifier(jwks_url="https://login.example/keys")
    with pytest.raises(IssuerUnavailableError, match="OAUTH_JWKS_URL"):
        await login.verify()


async def test_metadata_of_another_issuer_is_not_believed(login: Login) -> None:
    path = "/.well-known/oauth-authorization-server/tenant"
    login.issuer.metadata[path] = {"issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys"}
    with pytest.raises(IssuerUnavailableError, match="check OAUTH_ISSUER"):
        await login.verify()
    assert "/keys" not in login.issuer.requests


async def test_openid_connect_metadata_serves_as_well(login: Login) -> None:
    login.issuer.metadata = {
        "/tenant/.well-known/openid-configuration": {"issuer": FakeIssuer.URL, "jwks_uri": "https://login.example/keys"}
    }
    await login.verify()


async def test_keys_are_not_fetched_in_clear_from_an_issuer_that_is_encrypted(login: Login) -> None:
    login.verifier = login.open_verifier(jwks_url="http://login.example/keys")
    with pytest.raises(IssuerUnavailableError, match="without encryption"):
        await login.verify()


async def test_an_endless_answer_is_not_read_to_its_end(login: Login) -> None:
    login.http = httpx2.AsyncClient(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=b" " * 2**21))
    )
    login.verifier = login.open_verifier(jwks_url="https://login.example/keys")
    with pytest.raises(IssuerUnavailableError, match="too much"):
        await login.verify()


async def test_an_issuer_that_hangs_is_given_up(login: Login) -> None:
    async def hang(_request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(hang))
    keys = IssuerKeys(http=http, clock=login.clock, issuer=FakeIssuer.URL, jwks_url=None, timeout_s=0.01)
    with anyio.fail_after(5), pytest.raises(IssuerUnavailableError, match="in time"):
        await keys.find("rsa")


async def test_a_hundred_callers_at_once_fetch_the_keys_once(login: Login) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(login.verify)
    assert len(login.issuer.requests) == 2


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://a.example",
            (
                "https://a.example/.well-known/oauth-authorization-server",
                "https://a.example/.well-known/openid-configuration",
            ),
        ),
        (
            "https://a.example/t/",
            (
                "https://a.example/.well-known/oauth-authorization-server/t",
                "https://a.example/t/.well-known/openid-configuration",
            ),
        ),
    ],
)
def test_where_the_metadata_may_be(issuer: str, urls: tuple[str, str]) -> None:
    assert list_metadata_urls(issuer) == urls
