"""Port fakes for what configures connections, importable from everywhere below tests/."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepping_clock import SteppingClock

from slack_mcp.connections.configure import Configurator
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.core.errors import UnauthenticatedError
from slack_mcp.core.ids import ConnectionId, TeamId, UserId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.mesh import MeshApiKey, MeshClaims
from slack_mcp.ports.slack import SlackIdentity

MESH_URL = "https://mesh.example"
BOT_TOKEN = "xoxb-canary-bot"
SIGNING_SECRET = "canarysigningsecret"
MESH_TOKEN = "canary-mesh-token"

IDENTITY = SlackIdentity(
    team_id=TeamId("T1"),
    team_name="Acme",
    bot_user_id=UserId("UBOT"),
    bot_id="B1",
    api_app_id="A1",
    scopes=None,
)


TOOL_NAMES = frozenset({"SLACK_SEND_MESSAGE", "SLACK_DELETE_MESSAGE"})


def make_state(**changes: Any) -> dict[str, Any]:
    return {"SLACK_CREDENTIALS": {"BOT_TOKEN": BOT_TOKEN, "SIGNING_SECRET": SIGNING_SECRET}, **changes}


def make_claims(connection_id: str = "conn_a", **changes: Any) -> MeshClaims:
    claims = MeshClaims(
        connection_id=ConnectionId(connection_id),
        organization_id="org1",
        organization_slug="acme",
        mesh_url=MESH_URL,
        user_id="user1",
        expires_at_s=1_800_000_300.0,
        token=Secret(MESH_TOKEN),
        state=make_state(),
    )
    return replace(claims, **changes)


class FakeConnectionStore:
    """The database's connections, as `ports.store.ConnectionStore` promises them."""

    def __init__(self) -> None:
        self.rows: dict[ConnectionId, Connection] = {}
        self.loads = 0
        self.error: Exception | None = None

    async def load_connection(self, connection_id: ConnectionId) -> Connection | None:
        self.loads += 1
        if self.error:
            raise self.error
        return self.rows.get(connection_id)

    async def save_connection(self, connection: Connection) -> Connection:
        stored = self.rows.get(connection.connection_id)
        saved = replace(connection, version=stored.version + 1 if stored else 1)
        self.rows[connection.connection_id] = saved
        return saved

    async def remove_connection(self, connection_id: ConnectionId) -> bool:
        return self.rows.pop(connection_id, None) is not None

    async def list_connections(self) -> Sequence[Connection]:
        return [self.rows[key] for key in sorted(self.rows)]

    async def count_connections(self) -> tuple[int, int]:
        return len(self.rows), sum(row.mesh_api_key is not None for row in self.rows.values())

    async def load_connection_ids_of_team(self, team_id: TeamId) -> Sequence[tuple[ConnectionId, str | None]]:
        return [(row.connection_id, row.api_app_id) for row in self.rows.values() if row.team_id == team_id]


class FakeSlack:
    """Slack, as far as a save asks it. `tokens` records the token of each question."""

    def __init__(self) -> None:
        self.identity = IDENTITY
        self.error: Exception | None = None
        self.tokens: list[str] = []

    def open(self, connection: Connection) -> "FakeSlackApi":
        return FakeSlackApi(self, connection)

    def open_as_user(self, connection: Connection) -> "FakeSlackApi":
        return self.open(connection)


class FakeSlackApi:
    def __init__(self, slack: FakeSlack, connection: Connection) -> None:
        self._slack = slack
        self._connection = connection

    async def fetch_identity(self) -> SlackIdentity:
        self._slack.tokens.append(self._connection.bot_token.reveal())
        if self._slack.error:
            raise self._slack.error
        return self._slack.identity


class FakeMeshApi:
    """Makes keys `key-1`, `key-2`, … and counts them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.error: Exception | None = None

    async def create_api_key(self, claims: MeshClaims, *, name: str) -> MeshApiKey:
        if self.error:
            raise self.error
        self.names.append(name)
        return MeshApiKey(id=f"id-{len(self.names)}", key=Secret(f"key-{len(self.names)}"))


class FakeTokens:
    """Believes the tokens it was given, and counts how often it was asked."""

    def __init__(self, claims: Mapping[str, MeshClaims] | None = None) -> None:
        self.claims = dict(claims or {})
        self.verified: list[str] = []
        self.error: Exception | None = None

    async def verify(self, token: str) -> MeshClaims:
        self.verified.append(token)
        if self.error:
            raise self.error
        if token not in self.claims:
            raise UnauthenticatedError("The token was not made by a Mesh that is known here.")
        return self.claims[token]


def make_configurator(store: FakeConnectionStore, slack: FakeSlack, mesh_api: FakeMeshApi) -> Configurator:
    """Return the real one over fakes."""
    saver = ConnectionSaver(store=store, slack=slack, clock=SteppingClock(), signing_secret_overlap_s=60)
    return Configurator(store=store, saver=saver, mesh_api=mesh_api, tool_names=TOOL_NAMES)
