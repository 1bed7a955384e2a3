"""Connections that a Mesh refuses: noted by the agent's turns, disabled in time, and enabled by the next save."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from configuration_fakes import FakeSlack, make_claims, make_state
from fake_mesh import FakeMesh
from postgres import make_url
from starlette.responses import Response
from stepping_clock import SteppingClock

from slack_mcp.agents.mesh import MeshAgent
from slack_mcp.app.stores import S_PER_DAY, Stores, list_deletions, make_stores
from slack_mcp.connections.configure import Configurator
from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.core.errors import AgentError, AgentRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, PodId, Ts
from slack_mcp.core.model import Connection, ConnectionChange
from slack_mcp.core.secret import Secret
from slack_mcp.inbox.prune import prune
from slack_mcp.mesh.client import MeshClient
from slack_mcp.mesh.decopilot import Decopilot
from slack_mcp.mesh.refusals import WatchedAgents
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.agent import AgentRequest, AgentText
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.settings import Settings
from slack_mcp.simulator.server import serve_app
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.url import DatabaseUrl

pytestmark = pytest.mark.anyio

OURS, THEIRS = ConnectionId("conn_a"), ConnectionId("conn_b")
STATE = make_state(AGENT={"__type": "@deco/agent", "value": "vir_1"})


class Service:
    """What one process keeps of connections, with a Mesh and its clock beside it."""

    def __init__(self, database: Database, mesh: FakeMesh, http: httpx2.AsyncClient) -> None:
        self.mesh = mesh
        self.clock = SteppingClock()
        sealer = Sealer(KeyRing.generate("k1"))
        self.stores: Stores = make_stores(database, sealer, PodId("pod-a"), clock=self.clock, announce=self._hear)
        store = self.stores.connections
        self.directory = CachedDirectory(store=store, clock=self.clock, ttl_s=1e9, max_entries=9)
        transport = MeshTransport(http=http, timeout_s=5, retry_pause_s=0)
        self.agent = MeshAgent(mesh=WatchedAgents(agents=Decopilot(transport=transport), refusals=store))
        self.configurator = Configurator(
            store=store,
            saver=ConnectionSaver(store=store, slack=FakeSlack(), clock=self.clock, signing_secret_overlap_s=60),
            mesh_api=MeshClient(transport=transport),
            tool_names=(),
        )
        self.events = 0

    def _hear(self, change: ConnectionChange) -> None:
        self.directory.invalidate(change.connection_id, change.version)

    async def save(self, connection_id: ConnectionId = OURS) -> Connection:
        """Save the configuration as Mesh does."""
        token = Secret(self.mesh.mint_token(connection_id))
        claims = make_claims(connection_id, mesh_url=self.mesh.url, token=token, state=STATE)
        return await self.configurator.configure(claims, {"state": STATE})

    async def ask(self, connection_id: ConnectionId = OURS, question: str = "Hi") -> str:
        self.events += 1
        request = AgentRequest(
            event_id=EventId(f"Ev{self.events}"),
            channel_id=ChannelId("C1"),
            thread_ts=Ts(f"{self.events}.0"),
            user_id=None,
            question=question,
        )
        connection = await self.directory.load(connection_id)
        with anyio.fail_after(10):
            events = [event async for event in self.agent.stream_answer(connection, request)]
        return "".join(event.text for event in events if isinstance(event, AgentText))

    async def prune(self, **environ: str) -> None:
        settings = Settings.from_env({"DATABASE_URL": ":memory:", **environ}, dotenv=None)
        await prune(list_deletions(settings, self.stores))

    async def refused_since_ms(self, connection_id: ConnectionId = OURS) -> int | None:
        return (await self.directory.load(connection_id)).mesh_refused_since_ms


@pytest.fixture
def generation() -> str:
    return "B"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    is_sqlite = request.param == "sqlite"
    return make_url(f"sqlite:{tmp_path}/slack.db" if is_sqlite else request.getfixturevalue("postgres_url"))


@pytest.fixture
async def service(database_url: DatabaseUrl, generation: Any, anyio_backend: str) -> AsyncIterator[Service]:
    mesh = FakeMesh(generation=generation)
    async with (
        open_database(database_url) as database,
        serve_app(mesh.app) as mesh.url,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        await Migrations(database_url, database=database).up()
        yield Service(database, mesh, http)


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_connection_that_mesh_forgot_is_noted_disabled_and_enabled_by_the_next_save(service: Service) -> None:
    saved, theirs = await service.save(), await service.save(THEIRS)
    assert await service.ask() == "Answer to: Hi"
    assert saved.mesh_api_key is not None
    key = saved.mesh_api_key.reveal()

    caller = service.mesh.api_keys.pop(key)
    for _ in range(3):
        with pytest.raises(AgentRefusedError):
            await service.ask()
    noted = await service.directory.load(OURS)
    assert (noted.mesh_refused_since_ms, noted.version) == (1_800_000_000_000, saved.version + 1)

    service.mesh.api_keys[key] = caller
    assert await service.ask() == "Answer to: Hi"
    assert await service.refused_since_ms() is None

    service.clock.time_s += 60
    del service.mesh.api_keys[key]
    with pytest.raises(AgentRefusedError):
        await service.ask()
    service.clock.time_s += 30 * S_PER_DAY - 1
    await service.prune()
    assert not (await service.directory.load(OURS)).disabled
    service.clock.time_s += 1
    await service.prune(SLACK_MCP_MESH_GONE_DAYS="0")
    assert not (await service.directory.load(OURS)).disabled
    await service.prune()
    gone = await service.directory.load(OURS)
    assert gone.is_gone
    assert gone.bot_token == saved.bot_token

    again = await service.save()
    assert (again.disabled, again.mesh_refused_since_ms) == (False, None)
    assert again.mesh_api_key is not None
    assert again.mesh_api_key.reveal() in service.mesh.api_keys
    assert await service.ask() == "Answer to: Hi"
    assert await service.ask(THEIRS) == "Answer to: Hi"
    assert await service.directory.load(THEIRS) == theirs


@pytest.mark.parametrize(
    ("faults", "is_noted"),
    [
        # The thread is made; then the newest way to ask is tried, then the one that this Mesh has.
        ([401], True),
        ([403], True),
        ([404, 404], True),
        ([404], False),
        ([None, 401], True),
        ([None, 403], False),
        ([None, None, 401], True),
        ([None, None, 403], False),
        # No way to ask is left after the models were looked for.
        ([None, None, 404, None, None, None, 404], False),
        ([400], False),
        ([503, 503], False),
    ],
)
async def test_only_what_is_refused_to_the_connection_itself_is_noted(
    service: Service, faults: list[int | None], *, is_noted: bool
) -> None:
    await service.save()
    service.mesh.faults += [None if status is None else Response(status_code=status) for status in faults]
    if faults == [404]:  # an older Mesh, which has the other path
        assert await service.ask() == "Answer to: Hi"
    else:
        with pytest.raises(AgentError):
            await service.ask()
    assert (await service.refused_since_ms() is not None) == is_noted


async def test_organization_that_was_deleted_is_noted(service: Service) -> None:
    await service.save()
    service.mesh.slugs.clear()
    with pytest.raises(AgentRefusedError):
        await service.ask()
    assert await service.refused_since_ms() is not None


async def test_token_that_is_good_for_minutes_only_is_no_sign(service: Service) -> None:
    service.mesh.faults += [Response(status_code=403)]
    saved = await service.save()
    assert saved.mesh_api_key is None
    service.mesh.faults += [Response(status_code=401)]
    with pytest.raises(AgentRefusedError):
        await service.ask()
    assert await service.refused_since_ms() is None
