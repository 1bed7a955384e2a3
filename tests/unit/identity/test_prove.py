import pytest
from configuration_fakes import FakeTokens, make_claims
from identity_fakes import FakeKeyStore
from stepping_clock import SteppingClock

from slack_mcp.core.errors import MeshUnavailableError, UnauthenticatedError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.core.secret import Secret
from slack_mcp.identity.api_keys import ApiKeyVerifier, make_key
from slack_mcp.identity.prove import CredentialProver
from slack_mcp.ports.identity import Credentials, PrincipalKind

pytestmark = pytest.mark.anyio

JWT = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"


class Proofs:
    """A prover, a Mesh that is known, and an API key of `conn_key`."""

    def __init__(self) -> None:
        self.tokens = FakeTokens({"mesh": make_claims("conn_mesh"), "nobody": make_claims("conn_mesh", user_id=None)})
        self.store, clock = FakeKeyStore(), SteppingClock()
        made = make_key(ConnectionId("conn_key"), name="n", access=Access.READ, expires_in_s=None, clock=clock)
        self.store.rows[made.kept.key_id] = made.kept
        self.key = made.shown.reveal()
        self.prover = CredentialProver(mesh=self.tokens, keys=ApiKeyVerifier(store=self.store, clock=clock), oauth=None)

    async def identify(self, *, mesh: str | None = None, bearer: str | None = None) -> tuple[str, PrincipalKind]:
        principal = await self.prover.identify(
            Credentials(mesh_token=Secret(mesh) if mesh else None, bearer=Secret(bearer) if bearer else None)
        )
        return principal.connection_id, principal.kind


async def test_a_mesh_token_goes_before_everything_else() -> None:
    proofs = Proofs()
    assert await proofs.identify(mesh="mesh", bearer=proofs.key) == ("conn_mesh", PrincipalKind.MESH)
    assert proofs.store.loads == 0


async def test_mesh_may_do_everything_and_its_claims_are_kept() -> None:
    proofs = Proofs()
    principal = await proofs.prover.identify(Credentials(mesh_token=Secret("mesh")))
    assert (principal.access, principal.subject) == (Access.ADMIN, "mesh:user1")
    assert principal.claims is not None
    nobody = await proofs.prover.identify(Credentials(mesh_token=Secret("nobody")))
    assert nobody.subject == "mesh:unknown"


async def test_a_key_helps_where_a_mesh_token_is_not_believed() -> None:
    proofs = Proofs()
    assert await proofs.identify(mesh="foreign", bearer=proofs.key) == ("conn_key", PrincipalKind.API_KEY)


async def test_a_mesh_that_does_not_answer_is_not_passed_over() -> None:
    proofs = Proofs()
    proofs.tokens.error = MeshUnavailableError("away")
    with pytest.raises(MeshUnavailableError):
        await proofs.identify(mesh="mesh", bearer=proofs.key)


@pytest.mark.parametrize("bearer", [None, "some-other-word", JWT])
async def test_what_a_mesh_carries_for_others_does_not_hide_what_is_wrong_with_its_token(bearer: str | None) -> None:
    proofs = Proofs()
    proofs.tokens.error = UnauthenticatedError("canary-mesh")
    with pytest.raises(UnauthenticatedError, match="canary-mesh"):
        await proofs.identify(mesh="foreign", bearer=bearer)


@pytest.mark.parametrize(
    ("bearer", "reason"),
    [
        (None, "send an API key as `Authorization: Bearer smk_…`"),
        ("nonsense", "neither an API key"),
        ("a.b", "neither an API key"),
        (JWT, "OAUTH_ISSUER is not set"),
        ("smk_half", "not whole"),
    ],
)
async def test_what_is_missing_is_told(bearer: str | None, reason: str) -> None:
    with pytest.raises(UnauthenticatedError) as refusal:
        await Proofs().identify(bearer=bearer)
    assert reason in str(refusal.value)
    assert bearer is None or bearer not in str(refusal.value)
