import pytest
from configuration_fakes import FakeTokens
from identity_fakes import FakeIdentities, make_known_caller, make_principal

from slack_mcp.core.errors import StoreUnavailableError, UnauthenticatedError
from slack_mcp.core.secret import Secret
from slack_mcp.ports.identity import Credentials, PrincipalKind
from slack_mcp.tools.caller import Caller

pytestmark = pytest.mark.anyio

KEY = Credentials(bearer=Secret("key"))


async def test_a_caller_is_proven_once() -> None:
    identities = FakeIdentities({"key": make_principal()})
    caller = Caller(identities=identities, credentials=KEY)
    assert caller.has_credentials
    assert (caller.known, identities.asked) == (None, 0)
    principal = await caller.identify()
    assert await caller.identify() is principal
    assert (caller.known, identities.asked) == (principal, 1)


async def test_a_caller_that_is_not_believed_is_not_asked_about_again() -> None:
    identities = FakeIdentities()
    caller = Caller(identities=identities, credentials=KEY)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            await caller.identify()
    assert (identities.asked, caller.known) == (1, None)


async def test_what_cannot_be_found_out_is_told_as_it_is() -> None:
    identities = FakeIdentities()
    identities.error = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        await Caller(identities=identities, credentials=KEY).identify()


@pytest.mark.parametrize("caller", [Caller(), Caller(identities=FakeIdentities(), credentials=Credentials())])
async def test_without_credentials_nobody_is_believed(caller: Caller) -> None:
    assert not caller.has_credentials
    with pytest.raises(UnauthenticatedError):
        await caller.identify()


async def test_a_known_caller_needs_no_proof() -> None:
    caller = make_known_caller(kind=PrincipalKind.LOCAL, subject="local")
    assert caller.has_credentials
    assert (await caller.identify()).subject == "local"


async def test_claims_are_those_of_a_mesh_token_alone(tokens: FakeTokens) -> None:
    identities = FakeIdentities({"key": make_principal()}, tokens=tokens)
    mesh = Caller(identities=identities, credentials=Credentials(mesh_token=Secret("token-a")))
    assert (await mesh.fetch_claims()).connection_id == "conn_a"
    for other in (Caller(identities=identities, credentials=KEY), make_known_caller(), Caller()):
        with pytest.raises(UnauthenticatedError):
            await other.fetch_claims()
