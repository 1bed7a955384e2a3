from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from configuration_fakes import (
    BOT_TOKEN,
    MESH_TOKEN,
    MESH_URL,
    SIGNING_SECRET,
    TOOL_NAMES,
    FakeConnectionStore,
    FakeMeshApi,
    FakeSlack,
    make_claims,
    make_configurator,
    make_state,
)
from stepping_clock import SteppingClock
from structlog.testing import capture_logs

from slack_mcp.connections.configure import Configurator
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.core.errors import (
    ConflictError,
    InvalidInputError,
    MeshRefusedError,
    MeshUnavailableError,
    StoreUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import AgentBackend, Connection, ToolPolicy
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshClaims

pytestmark = pytest.mark.anyio


@pytest.fixture
def mesh_api() -> FakeMeshApi:
    return FakeMeshApi()


@pytest.fixture
def configurator(store: FakeConnectionStore, slack: FakeSlack, mesh_api: FakeMeshApi) -> Configurator:
    return make_configurator(store, slack, mesh_api)


async def configure(configurator: Configurator, claims: MeshClaims, **arguments: Any) -> Connection:
    """Call as Mesh does: with the state that the token carries."""
    return await configurator.configure(claims, {"state": claims.state, "scopes": [], **arguments})


async def test_a_first_configuration_is_saved_with_everything_the_token_says(
    configurator: Configurator, store: FakeConnectionStore
) -> None:
    state = make_state(
        AGENT={"__type": "@deco/agent", "value": "vir_1"},
        MODEL_PROVIDER={"__type": "@deco/llm", "value": "conn_llm"},
        LANGUAGE_MODEL={"__type": "@deco/language-model", "value": {"id": "model-1"}},
        CHANNEL_CONFIG={"ALLOWED_CHANNELS": ["C1"]},
        CONTEXT_CONFIG={"THREAD_TIMEOUT_MIN": 30},
        CONNECTION_NAME="Acme",
        SYSTEM_PROMPT="Be kind.",
        LANGUAGE="pt-BR",
    )
    saved = await configure(configurator, make_claims(state=state), firstRun=True)
    assert store.rows == {ConnectionId("conn_a"): saved}
    assert (saved.organization_id, saved.organization_slug, saved.mesh_url) == ("org1", "acme", MESH_URL)
    assert saved.bot_token.reveal() == BOT_TOKEN
    assert saved.signing_secret.reveal() == SIGNING_SECRET
    assert saved.mesh_token == Secret(MESH_TOKEN)
    assert (saved.mesh_api_key, saved.mesh_api_key_id) == (Secret("key-1"), "id-1")
    assert (saved.model_provider_id, saved.model_id, saved.agent_id) == ("conn_llm", "model-1", "vir_1")
    assert (saved.team_id, saved.bot_user_id) == ("T1", "UBOT")
    assert (saved.connection_name, saved.system_prompt) == ("Acme", "Be kind.")
    assert saved.settings.agent is AgentBackend.MESH
    assert saved.settings.allowed_channels == ("C1",)
    assert (saved.settings.language, saved.settings.thread_timeout_min) == ("pt-BR", 30)


async def test_without_an_agent_the_services_default_answers(configurator: Configurator) -> None:
    saved = await configure(configurator, make_claims())
    assert (saved.settings.agent, saved.agent_id) == (None, None)


async def test_a_later_save_replaces_the_configuration_and_keeps_what_mesh_does_not_know(
    configurator: Configurator, store: FakeConnectionStore
) -> None:
    first = await configure(configurator, make_claims(state=make_state(AGENT={"value": "vir_1"}, SYSTEM_PROMPT="Hm.")))
    store.rows[first.connection_id] = replace(first, disabled=True)
    second = await configure(configurator, make_claims())
    assert second.disabled
    assert second.version == 2
    assert (second.agent_id, second.settings.agent, second.system_prompt) == (None, None, None)


async def test_a_save_that_says_nothing_of_the_tools_leaves_their_policy(
    configurator: Configurator, store: FakeConnectionStore
) -> None:
    first = await configure(configurator, make_claims())
    policy = ToolPolicy(is_read_only=True, denied_write_channels=(ChannelId("C1"),))
    store.rows[first.connection_id] = replace(first, settings=replace(first.settings, tools=policy))
    assert (await configure(configurator, make_claims())).settings.tools == policy
    chosen = make_state(TOOLS_CONFIG={"READ_ONLY": False, "DENIED_TOOLS": ["SLACK_DELETE_MESSAGE"]})
    changed = await configure(configurator, make_claims(state=chosen))
    assert changed.settings.tools == ToolPolicy(denied_tools=("SLACK_DELETE_MESSAGE",))


async def test_a_rotated_signing_secret_overlaps(configurator: Configurator) -> None:
    await configure(configurator, make_claims())
    rotated = make_state(SLACK_CREDENTIALS={"BOT_TOKEN": BOT_TOKEN, "SIGNING_SECRET": "rotated"})
    saved = await configure(configurator, make_claims(state=rotated))
    assert saved.signing_secret == Secret("rotated")
    assert saved.previous_signing_secret == Secret(SIGNING_SECRET)


async def test_the_api_key_is_made_once(configurator: Configurator, mesh_api: FakeMeshApi) -> None:
    await configure(configurator, make_claims())
    again = await configure(configurator, make_claims(token=Secret("a newer token")))
    assert mesh_api.names == ["slack-mcp conn_a"]
    assert (again.mesh_api_key, again.mesh_api_key_id) == (Secret("key-1"), "id-1")
    assert again.mesh_token == Secret("a newer token")


async def test_the_api_key_of_another_mesh_is_not_used(configurator: Configurator, mesh_api: FakeMeshApi) -> None:
    await configure(configurator, make_claims())
    moved = await configure(configurator, make_claims(mesh_url="https://other.example"))
    assert moved.mesh_api_key == Secret("key-2")
    mesh_api.error = MeshRefusedError("no")
    moved_again = await configure(configurator, make_claims(mesh_url="https://third.example"))
    assert (moved_again.mesh_api_key, moved_again.mesh_api_key_id) == (None, None)


async def test_another_agent_gets_a_key_that_reaches_it(configurator: Configurator, mesh_api: FakeMeshApi) -> None:
    for agent_id in ("vir_1", "vir_1", "vir_2"):
        saved = await configure(configurator, make_claims(state=make_state(AGENT={"value": agent_id})))
    assert saved.mesh_api_key == Secret("key-2")
    assert len(mesh_api.names) == 2


@pytest.mark.parametrize("disabled", [False, True])
async def test_a_save_after_refusals_of_mesh_makes_a_new_key_and_enables(
    configurator: Configurator, store: FakeConnectionStore, *, disabled: bool
) -> None:
    first = await configure(configurator, make_claims())
    store.rows[first.connection_id] = replace(first, disabled=disabled, mesh_refused_since_ms=1)
    saved = await configure(configurator, make_claims())
    assert saved.mesh_api_key == Secret("key-2")
    assert (saved.disabled, saved.mesh_refused_since_ms) == (False, None)


async def test_a_save_does_not_enable_what_the_operator_disabled(
    configurator: Configurator, store: FakeConnectionStore
) -> None:
    first = await configure(configurator, make_claims())
    store.rows[first.connection_id] = replace(first, disabled=True)
    saved = await configure(configurator, make_claims())
    assert (saved.disabled, saved.mesh_api_key) == (True, Secret("key-1"))


async def test_a_key_name_fits_what_mesh_takes(configurator: Configurator, mesh_api: FakeMeshApi) -> None:
    await configure(configurator, make_claims("conn_" + "x" * 100))
    assert [len(name) for name in mesh_api.names] == [64]


@pytest.mark.parametrize("error", [MeshUnavailableError("down"), MeshRefusedError("no")])
async def test_without_a_key_the_connection_is_saved_and_the_next_save_tries_again(
    configurator: Configurator, mesh_api: FakeMeshApi, error: Exception
) -> None:
    mesh_api.error = error
    with capture_logs() as lines:
        saved = await configure(configurator, make_claims())
    assert (saved.mesh_api_key, saved.mesh_token) == (None, Secret(MESH_TOKEN))
    assert [line["log_level"] for line in lines if line["event"] == "connection.api_key_missing"] == ["warning"]
    mesh_api.error = None
    assert (await configure(configurator, make_claims())).mesh_api_key == Secret("key-1")


async def test_a_token_that_slack_refuses_stores_nothing_and_costs_no_key(
    configurator: Configurator, store: FakeConnectionStore, slack: FakeSlack, mesh_api: FakeMeshApi
) -> None:
    slack.error = TokenRevokedError("auth.test", "invalid_auth")
    with pytest.raises(TokenRevokedError):
        await configure(configurator, make_claims())
    assert store.rows == {}
    assert mesh_api.names == []


async def test_a_state_with_mistakes_stores_nothing_and_asks_nobody(
    configurator: Configurator, store: FakeConnectionStore, slack: FakeSlack
) -> None:
    with pytest.raises(InvalidInputError):
        await configure(configurator, make_claims(state={"SLACK_CREDENTIALS": {"BOT_TOKEN": "?"}}))
    assert (store.rows, store.loads, slack.tokens) == ({}, 0, [])


async def test_a_database_that_is_gone_is_passed_on(configurator: Configurator, store: FakeConnectionStore) -> None:
    store.error = StoreUnavailableError("gone")
    with pytest.raises(StoreUnavailableError):
        await configure(configurator, make_claims())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"state": {}},
        {"state": None},
        {"state": make_state(AGENT={"value": "vir_evil"})},
        {"state": make_state(), "connectionId": "conn_b"},
        {"state": make_state(), "organizationId": "org2"},
        {"state": make_state(), "connectionId": {"un": "hashable"}},
        {"state": make_state(), "vault": {"subjectConnectionId": "conn_b"}},
    ],
)
async def test_invented_arguments_are_refused(
    configurator: Configurator, store: FakeConnectionStore, slack: FakeSlack, arguments: Mapping[str, Any]
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await configurator.configure(make_claims(), arguments)
    assert (store.rows, slack.tokens) == ({}, [])
    assert BOT_TOKEN not in str(caught.value)


async def test_what_mesh_adds_to_its_call_is_no_difference(configurator: Configurator) -> None:
    claims = make_claims(state=make_state(AGENT={"value": "vir_1"}, LIST=[{"a": 1}]))
    sent = make_state(
        AGENT={"value": "vir_1", "__binding": [{"name": "X"}]},
        LIST=[{"a": 1, "__binding": None}],
        SELF={"value": "org1_self"},
    )
    vault = {"baseUrl": MESH_URL, "org": "acme", "subjectConnectionId": "conn_a", "token": "t"}
    saved = await configurator.configure(claims, {"state": sent, "scopes": [], "firstRun": False, "vault": vault})
    assert saved.agent_id == "vir_1"


async def test_the_token_of_one_connection_never_configures_another(
    configurator: Configurator, store: FakeConnectionStore
) -> None:
    first = await configure(configurator, make_claims("conn_a"))
    await configure(configurator, make_claims("conn_b", organization_id="org2"))
    with pytest.raises(InvalidInputError):
        await configure(configurator, make_claims("conn_b", organization_id="org2"), connectionId="conn_a")
    assert store.rows[ConnectionId("conn_a")] == first


@pytest.mark.parametrize("owner", ["org1", ""])
async def test_nobody_takes_over_what_another_organization_or_the_operator_connected(
    configurator: Configurator, store: FakeConnectionStore, mesh_api: FakeMeshApi, owner: str
) -> None:
    first = await configure(configurator, make_claims())
    store.rows[first.connection_id] = owned = replace(first, organization_id=owner)
    with pytest.raises(ConflictError, match="connections remove conn_a"):
        await configure(configurator, make_claims(organization_id="org2"))
    assert store.rows == {first.connection_id: owned}
    assert len(mesh_api.names) == 1


async def test_two_saves_at_once_leave_one_of_them_whole(
    store: FakeConnectionStore, slack: FakeSlack, mesh_api: FakeMeshApi
) -> None:
    """The second save runs as a whole while the first, on another pod, waits for its key."""

    class SlowMeshApi(FakeMeshApi):
        async def create_api_key(self, claims: MeshClaims, *, name: str) -> Any:
            await configure(other_pod, make_claims(state=make_state(CONNECTION_NAME="second")))
            return await mesh_api.create_api_key(claims, name=name)

    saver = ConnectionSaver(store=store, slack=slack, clock=SteppingClock(), signing_secret_overlap_s=60)
    other_pod = Configurator(store=store, saver=saver, mesh_api=mesh_api, tool_names=TOOL_NAMES)
    this_pod = Configurator(store=store, saver=saver, mesh_api=SlowMeshApi(), tool_names=TOOL_NAMES)
    await configure(this_pod, make_claims(state=make_state(CONNECTION_NAME="first")))
    stored = store.rows[ConnectionId("conn_a")]
    assert (stored.connection_name, stored.mesh_api_key, stored.version) == ("first", Secret("key-2"), 2)
    assert len(mesh_api.names) == 2
