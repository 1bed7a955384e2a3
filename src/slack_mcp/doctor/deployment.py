"""What is examined, opened as far as it can be: nothing is made, migrated or changed by looking."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2

from slack_mcp.agents.registry import AgentRegistry
from slack_mcp.app.agents import make_agents
from slack_mcp.app.compose import open_store
from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.slack import IdentityApis
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.settings import Settings
from slack_mcp.slack.client import open_slack_apis
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.inspect import SqlInspector
from slack_mcp.store.keyfile import get_key_file, load_key_file
from slack_mcp.store.pods import SqlPods


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The parts that the checks look at.

    Attributes:
        only: the one connection that is looked at; None is all of them.
        timeout_s: how long one check may take.
    """

    settings: Settings
    database: Database
    sealer: Sealer
    inspector: SqlInspector
    connections: SqlConnectionStore
    pods: SqlPods
    slack: IdentityApis
    http: httpx2.AsyncClient
    clock: Clock
    only: ConnectionId | None
    timeout_s: float

    def make_agents(self) -> AgentRegistry:
        """Return the agents as the pods have them; raises SettingsError."""
        return make_agents(self.settings, http=self.http, mesh=MeshTransport(http=self.http), refusals=self.connections)


def load_ring(settings: Settings) -> KeyRing | None:
    """Return the keys that the pods use, and make none.

    Raises:
        FileNotFoundError: a SQLite database's key file does not exist.
        SettingsError: it cannot be read.
    """
    if settings.key_ring is not None or settings.database.sqlite_path is None:
        return settings.key_ring
    return load_key_file(get_key_file(settings.database.sqlite_path))


@asynccontextmanager
async def open_deployment(
    settings: Settings, *, ring: KeyRing | None, only: ConnectionId | None, timeout_s: float, clock: Clock
) -> AsyncIterator[Deployment]:
    """Yield the parts; nothing of it connects before a check asks."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_store(settings))
        slack = await stack.enter_async_context(open_slack_apis(base_url=settings.slack_api_url))
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=timeout_s))
        sealer = Sealer(ring)
        yield Deployment(
            settings=settings,
            database=database,
            sealer=sealer,
            inspector=SqlInspector(database, clock=clock),
            connections=SqlConnectionStore(database, sealer, clock=clock),
            pods=SqlPods(database, clock=clock),
            slack=slack,
            http=http,
            clock=clock,
            only=only,
            timeout_s=timeout_s,
        )
