"""The only door to a connection."""

from collections.abc import Sequence
from typing import Protocol

from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import CacheStats, Connection


class Directory(Protocol):
    """Connections, from a cache that all pods keep coherent. Every load may raise `StoreUnavailableError`."""

    def get(self, connection_id: ConnectionId) -> Connection | None:
        """Return the connection if it is in memory and may be believed, else None: `load` finds out then."""
        ...

    async def load(self, connection_id: ConnectionId) -> Connection:
        """Return the connection; raises ConnectionNotFoundError."""
        ...

    async def reload(self, connection_id: ConnectionId) -> Connection:
        """Return the connection as the database has it now; raises ConnectionNotFoundError."""
        ...

    async def load_of_team(self, team_id: TeamId, api_app_id: str | None) -> Sequence[Connection]:
        """Return the workspace's connections that belong to this Slack app, or may (their app is not known yet)."""
        ...

    def invalidate(self, connection_id: ConnectionId, version: int | None = None) -> None:
        """Forget one connection, unless the cached one is already at this version or later."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def get_stats(self) -> CacheStats:
        """Return the counters."""
        ...
