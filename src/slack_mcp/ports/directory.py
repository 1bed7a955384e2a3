"""The only door to a connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import CacheStats, Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPoint:
    """A moment in the life of a database server, told by itself and not by a clock.

    Attributes:
        server: which process of the server it is: another one after a restart or a failover.
        transaction: of a reading, that it has seen all transactions with lower numbers; of a listener, that it hears
            of all others. So a reading from a point that is not before the listener's is as good as one of its own.
    """

    server: int
    transaction: int

    def has_seen_all_before(self, other: "ReadPoint") -> bool:
        """Whether what was read here has all that was committed before the other moment."""
        return self.server == other.server and self.transaction >= other.transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A connection, None when there is none, as the database had it `ttl_s` before it is to be read again.

    Attributes:
        is_shared: another pod had read it.
    """

    connection: Connection | None
    ttl_s: float
    is_shared: bool = False


class SecondLevel(Protocol):
    """What pods keep for each other of what they have read, between the cache of a process and the database."""

    async def load(self, connection_id: ConnectionId) -> Found:
        """Return the connection as another pod has read it, if that is as good as reading it, else read it.

        Raises:
            StoreUnavailableError: the database.
            SealingError, StoreError: the connection cannot be read.
        """
        ...

    def distrust(self, connection_id: ConnectionId, version: int | None) -> None:
        """Believe nothing older than this version from now on; without a version, nothing that was kept."""
        ...

    def listen_from(self, point: ReadPoint | None) -> None:
        """Believe what was read from here on, since all later changes are heard; None believes nothing."""
        ...


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
