"""The only door to a connection: the database behind a cache that hears of every change.

An entry is used until its time is over, a change of it is announced, or the announcements themselves are lost: then
nothing cached is believed until they are heard again.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    SealingError,
    SlackMcpError,
    StoreError,
    StoreUnavailableError,
)
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import CacheStats, Connection
from slack_mcp.flights import Flight, SingleFlight
from slack_mcp.ports.directory import Found, SecondLevel
from slack_mcp.ports.store import ConnectionStore

UNKNOWN_TTL_S: Final = 1.0

Members = Sequence[tuple[ConnectionId, str | None]]

_log = structlog.get_logger(__name__)


class _Unknown:
    """Stands in the cache for a connection that does not exist."""

    version = 0


_UNKNOWN: Final = _Unknown()


class CachedDirectory:
    """`ports.directory.Directory` over a `ConnectionStore`.

    Args:
        ttl_s: how long an entry may be used without asking the database.
        max_entries: connections kept in memory; as many workspaces.
        is_listening: whether changes are heard from the start.
        second: what the pods keep for each other, asked before the database.
    """

    def __init__(
        self,
        *,
        store: ConnectionStore,
        clock: Clock,
        ttl_s: float,
        max_entries: int,
        is_listening: bool = True,
        second: SecondLevel | None = None,
    ) -> None:
        self._store = store
        self._second = second
        self._ttl_s = ttl_s
        self._is_listening = is_listening
        self._connections: TtlCache[ConnectionId, Connection | _Unknown] = TtlCache(
            clock=clock, max_entries=max_entries
        )
        self._teams: TtlCache[TeamId, Members] = TtlCache(clock=clock, max_entries=max_entries)
        self._loads_of_connections: SingleFlight[ConnectionId, Connection | _Unknown] = SingleFlight()
        self._loads_of_teams: SingleFlight[TeamId, Members] = SingleFlight()
        self._hits = self._misses = self._loads = self._invalidations = 0

    def get(self, connection_id: ConnectionId) -> Connection | None:
        """Return the connection if the cache has it and may be believed, else None: `load` asks the database then."""
        cached = self._connections.get(connection_id) if self._is_listening else None
        if cached is None or isinstance(cached, _Unknown):
            return None
        self._hits += 1
        return cached

    async def load(self, connection_id: ConnectionId) -> Connection:
        """Return the connection; raises ConnectionNotFoundError, StoreUnavailableError."""
        if self._is_listening:
            cached = self._connections.get(connection_id)
            if cached is not None:
                self._hits += 1
                return _require(cached, connection_id)
        self._misses += 1
        return _require(await self._loads_of_connections.join_or_start(connection_id, self._fetch), connection_id)

    async def reload(self, connection_id: ConnectionId) -> Connection:
        """Return the connection as the database has it now; raises ConnectionNotFoundError, StoreUnavailableError.

        Those who ask while a reading is under way share the next one: that one began after they asked.
        """
        if self._second is not None:
            self._second.distrust(connection_id, None)
        await self._loads_of_connections.wait_for_end(connection_id)
        return _require(await self._loads_of_connections.join_or_start(connection_id, self._fetch), connection_id)

    async def load_of_team(self, team_id: TeamId, api_app_id: str | None) -> Sequence[Connection]:
        """Return the workspace's connections that belong to this app, or may.

        One that cannot be read (a secret does not open, say) is left out, so that the others can work.

        Raises:
            StoreUnavailableError: the database.
            SealingError, StoreError: none of them can be read.
        """
        members = self._teams.get(team_id) if self._is_listening else None
        if members is None:
            members = await self._loads_of_teams.join_or_start(team_id, self._fetch_team)
        found: list[Connection] = []
        unreadable: SlackMcpError | None = None
        for connection_id, app_id in members:
            if app_id is None or api_app_id is None or app_id == api_app_id:
                try:
                    found.append(await self.load(connection_id))
                except ConnectionNotFoundError:
                    continue  # removed a moment ago
                except StoreUnavailableError:
                    raise
                except (SealingError, StoreError) as error:
                    _log.error("connection.unreadable", connection_id=connection_id, error=str(error))
                    unreadable = error
        if unreadable is not None and not found:
            raise unreadable
        return found

    def invalidate(self, connection_id: ConnectionId, version: int | None = None) -> None:
        """Forget one connection, unless the cached one is already at this version or later."""
        self._invalidations += 1
        # Whose workspace it was, or is now, is not known here.
        self._teams.clear()
        self._loads_of_teams.detach_all()
        self._loads_of_connections.detach(connection_id)
        if self._second is not None:
            self._second.distrust(connection_id, version)
        cached = self._connections.get(connection_id)
        if cached is not None and (version is None or cached.version < version):
            self._connections.drop(connection_id)

    def clear(self) -> None:
        """Forget everything."""
        self._connections.clear()
        self._teams.clear()
        self._loads_of_connections.detach_all()
        self._loads_of_teams.detach_all()

    def set_listening(self, is_listening: bool) -> None:
        """Believe the cache only while changes are heard; what was missed meanwhile is read again."""
        self._is_listening = is_listening
        if self._second is not None and not is_listening:
            self._second.listen_from(None)
        if is_listening:
            self.clear()

    def get_stats(self) -> CacheStats:
        """Return the counters since the start, and the number of connections in the cache."""
        return CacheStats(
            hits=self._hits,
            misses=self._misses,
            loads=self._loads,
            invalidations=self._invalidations,
            size=len(self._connections),
        )

    async def _fetch(self, connection_id: ConnectionId, flight: Flight[Connection | _Unknown]) -> None:
        found = await self._find(connection_id)
        flight.result = found.connection or _UNKNOWN
        if not flight.is_detached:
            ttl_s = found.ttl_s if found.connection else min(self._ttl_s, UNKNOWN_TTL_S)
            self._connections.put(connection_id, flight.result, ttl_s=ttl_s)

    async def _find(self, connection_id: ConnectionId) -> Found:
        if self._second is None:
            self._loads += 1
            return Found(connection=await self._store.load_connection(connection_id), ttl_s=self._ttl_s)
        found = await self._second.load(connection_id)
        self._loads += not found.is_shared
        return found

    async def _fetch_team(self, team_id: TeamId, flight: Flight[Members]) -> None:
        flight.result = await self._store.load_connection_ids_of_team(team_id)
        if not flight.is_detached:
            ttl_s = self._ttl_s if flight.result else min(self._ttl_s, UNKNOWN_TTL_S)
            self._teams.put(team_id, flight.result, ttl_s=ttl_s)


def _require(found: Connection | _Unknown, connection_id: ConnectionId) -> Connection:
    if isinstance(found, _Unknown):
        raise ConnectionNotFoundError(connection_id)
    return found
