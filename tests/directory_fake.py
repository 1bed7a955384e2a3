"""A directory that a test writes by hand, and the connections to put into it."""

from collections.abc import Sequence
from dataclasses import replace

from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import CacheStats, Connection
from slack_mcp.core.secret import Secret


def make_connection(
    name: str = "conn_1", *, secret: str = "signing", team_id: str = "T1", version: int = 1
) -> Connection:
    return Connection(
        connection_id=ConnectionId(name),
        organization_id="org1",
        mesh_url="",
        bot_token=Secret(f"xoxb-{name}"),
        signing_secret=Secret(secret),
        team_id=TeamId(team_id),
        api_app_id="A1",
        version=version,
    )


class FakeDirectory:
    """Answers from `cached`; `reload` copies from `stored` first."""

    def __init__(self, *connections: Connection) -> None:
        self.cached = {each.connection_id: each for each in connections}
        self.stored = dict(self.cached)
        self.reloads: list[ConnectionId] = []

    def get(self, connection_id: ConnectionId) -> Connection | None:
        return self.cached.get(connection_id)

    async def load(self, connection_id: ConnectionId) -> Connection:
        if connection_id not in self.cached:
            raise ConnectionNotFoundError(connection_id)
        return self.cached[connection_id]

    async def reload(self, connection_id: ConnectionId) -> Connection:
        self.reloads.append(connection_id)
        if connection_id in self.stored:
            self.cached[connection_id] = self.stored[connection_id]
        else:
            self.cached.pop(connection_id, None)
        return await self.load(connection_id)

    async def load_of_team(self, team_id: TeamId, api_app_id: str | None) -> Sequence[Connection]:
        return [
            each for each in self.cached.values() if each.team_id == team_id and each.api_app_id in {None, api_app_id}
        ]

    def invalidate(self, connection_id: ConnectionId, version: int | None = None) -> None:
        self.cached.pop(connection_id, None)

    def clear(self) -> None:
        self.cached.clear()

    def get_stats(self) -> CacheStats:
        return CacheStats(hits=0, misses=0, loads=0, invalidations=0, size=len(self.cached))

    def store(self, connection: Connection, **changes: object) -> None:
        """Change what the database has, behind the cache's back."""
        self.stored[connection.connection_id] = replace(connection, **changes)  # type: ignore[arg-type]
