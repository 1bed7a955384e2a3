"""The data keys of the connections: kept in a table of their own, sealed by the ring, and for a while in memory.

Whoever writes seals with what is remembered. Whoever reads finds the key's id in the value, and asks the database when
it is another than the one that is remembered: what another pod has just sealed always opens.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Select, delete, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock, SystemClock
from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.sealing import ConnectionSealer, Sealer, find_data_key_id
from slack_mcp.store.database import Database
from slack_mcp.store.rounds import Rounds
from slack_mcp.store.schema import connections, data_keys

DEFAULT_TTL_S: Final = 1.0
DEFAULT_MAX_ENTRIES: Final = 10_000
MAX_IDS_PER_QUERY: Final = 500
_MS: Final = 1000

Stored: TypeAlias = str | bytes | None


class DataKeyCache:
    """What one process remembers of data keys, for one ring; also that a connection has none.

    Attributes:
        ttl_s: how long an entry is believed.
        changes: how often something was forgotten; what was being read at such a moment is not remembered.
    """

    def __init__(self, *, clock: Clock, ttl_s: float, max_entries: int, is_listening: bool) -> None:
        self._entries: TtlCache[ConnectionId, ConnectionSealer] = TtlCache(clock=clock, max_entries=max_entries)
        self._is_listening = is_listening
        self.ttl_s = ttl_s
        self.changes = 0

    def get(self, connection_id: ConnectionId) -> ConnectionSealer | None:
        """Return what seals the connection's values, None when that has to be looked up."""
        return self._entries.get(connection_id) if self._is_listening else None

    def put(self, connection_id: ConnectionId, sealer: ConnectionSealer) -> None:
        """Remember it."""
        self._entries.put(connection_id, sealer, ttl_s=self.ttl_s)

    def drop(self, connection_id: ConnectionId) -> None:
        """Forget one connection's."""
        self.changes += 1
        self._entries.drop(connection_id)

    def set_listening(self, is_listening: bool) -> None:
        """Believe what is remembered only while changes are heard."""
        self._is_listening = is_listening
        self.changes += 1
        if is_listening:
            self._entries.clear()


class DataKeys:
    """The data keys in one database, as one process sees them; `get_data_keys` returns the one that all stores share.

    Attributes:
        cache: what is remembered; told of changes by whoever hears of them.
    """

    def __init__(self, database: Database, sealer: Sealer, *, cache: DataKeyCache) -> None:
        self._database = database
        self._sealer = sealer
        self.cache = cache
        # What is remembered of a connection becomes too old for all of its turns at the same moment.
        self._loads: Rounds[ConnectionId, ConnectionSealer] = Rounds(self._load_all)

    async def of(
        self, connection_id: ConnectionId, *stored: Stored, session: AsyncConnection | None = None
    ) -> ConnectionSealer:
        """Return what seals the connection's values, and opens these stored ones.

        Args:
            connection_id: whose values.
            stored: values that are to be opened.
            session: the connection to the database that the caller holds already, if it does.

        Raises:
            StoreUnavailableError: the database.
        """
        remembered = self._find(connection_id, stored)
        if remembered is not None:
            return remembered
        if session is None:
            return await self._loads.join(connection_id)
        return (await self.load([connection_id], session))[connection_id]

    async def of_all(
        self, connection_ids: Iterable[ConnectionId], stored: Iterable[tuple[ConnectionId, Stored]] = ()
    ) -> dict[ConnectionId, ConnectionSealer]:
        """Return the same for several connections; raises StoreUnavailableError.

        Args:
            connection_ids: whose values.
            stored: (connection, value) that are to be opened.
        """
        held: dict[ConnectionId, list[Stored]] = {connection_id: [] for connection_id in connection_ids}
        for connection_id, value in stored:
            held.setdefault(connection_id, []).append(value)
        found = {connection_id: self._find(connection_id, values) for connection_id, values in held.items()}
        missing = [connection_id for connection_id, sealer in found.items() if sealer is None]
        loaded = await self.load(missing, None) if missing else {}
        return {connection_id: sealer or loaded[connection_id] for connection_id, sealer in found.items()}

    async def make_for_save(self, session: AsyncConnection, connection_id: ConnectionId) -> ConnectionSealer:
        """Return what seals the connection's values, for the transaction that saves it: its key is locked until then.

        A connection without a key gets one where data keys are in use: from the first connection of a database on, else
        once `slack-mcp secrets rotate` has made them. Pods of a version that knows no data keys could not open them.

        Raises:
            SealingError: its key is not on the ring.
        """
        mine = data_keys.c.connection_id == connection_id
        row = (await session.execute(select(data_keys).where(mine).with_for_update())).first()
        if row is None and self._sealer.seals and (await session.execute(_ARE_IN_USE)).first() is not None:
            await self.make_key(session, connection_id)
            row = (await session.execute(select(data_keys).where(mine).with_for_update())).one()
        if row is None:
            return self._sealer.for_connection(connection_id, None)
        key = self._sealer.open_data_key(connection_id, row.key_id, row.sealed_key)
        return self._sealer.for_connection(connection_id, key)

    async def make_key(self, session: AsyncConnection, connection_id: ConnectionId) -> bool:
        """Give the connection a data key, unless it has one; tells whether it did."""
        key, sealed = self._sealer.make_data_key(connection_id)
        statement = (
            self._database.insert(data_keys)
            .values(
                connection_id=connection_id, key_id=key.key_id, sealed_key=sealed, created_at_ms=int(time.time() * _MS)
            )
            .on_conflict_do_nothing(index_elements=[data_keys.c.connection_id])
            .returning(data_keys.c.key_id)
        )
        return (await session.execute(statement)).first() is not None

    def open_joined(self, row: Mapping[Any, Any]) -> ConnectionSealer:
        """Return what opens the values of a row of `select_with_data_key`."""
        return self._open(ConnectionId(row["connection_id"]), row["data_key_id"], row["sealed_data_key"])

    def remember(self, connection_id: ConnectionId, sealer: ConnectionSealer, *, changes: int) -> None:
        """Keep what was read, unless something changed since: `changes` is what `cache.changes` was before."""
        if self.cache.changes == changes:
            self.cache.put(connection_id, sealer)

    def _find(self, connection_id: ConnectionId, stored: Collection[Stored]) -> ConnectionSealer | None:
        """Return what is remembered, if it opens all of these; None when the database has to be asked."""
        wanted = {key_id for value in stored if (key_id := find_data_key_id(value)) is not None}
        if not self._sealer.seals and not wanted:
            return self._sealer.for_connection(connection_id, None)  # nothing is sealed
        found = self.cache.get(connection_id)
        if found is None or not wanted:
            return found
        held = None if found.data_key is None else found.data_key.key_id
        return found if wanted == {held} else None

    async def _load_all(self, connection_ids: Sequence[ConnectionId]) -> Sequence[ConnectionSealer]:
        loaded = await self.load(frozenset(connection_ids), None)
        return [loaded[connection_id] for connection_id in connection_ids]

    async def load(
        self, connection_ids: Collection[ConnectionId], session: AsyncConnection | None
    ) -> dict[ConnectionId, ConnectionSealer]:
        """Return what seals the connections' values as the database has it now; raises StoreUnavailableError."""
        if session is None:
            async with self._database.reading() as reading:
                return await self.load(connection_ids, reading)
        changes = self.cache.changes
        ids = list(connection_ids)
        rows: dict[str, Any] = {}
        for start in range(0, len(ids), MAX_IDS_PER_QUERY):
            among = data_keys.c.connection_id.in_(ids[start : start + MAX_IDS_PER_QUERY])
            rows |= {row.connection_id: row for row in await session.execute(select(data_keys).where(among))}
        found = {}
        for connection_id in ids:
            row = rows.get(connection_id)
            found[connection_id] = sealer = self._open(
                connection_id, None if row is None else row.key_id, None if row is None else row.sealed_key
            )
            self.remember(connection_id, sealer, changes=changes)
        return found

    def _open(self, connection_id: ConnectionId, key_id: str | None, sealed_key: str | None) -> ConnectionSealer:
        if key_id is None or sealed_key is None:
            return self._sealer.for_connection(connection_id, None)
        try:
            key = self._sealer.open_data_key(connection_id, key_id, sealed_key)
        except SealingError as problem:
            return self._sealer.for_connection(connection_id, None, problem=problem)
        return self._sealer.for_connection(connection_id, key)


def get_data_keys(
    database: Database,
    sealer: Sealer,
    *,
    clock: Clock | None = None,
    ttl_s: float = DEFAULT_TTL_S,
    max_entries: int = DEFAULT_MAX_ENTRIES,
    is_listening: bool = True,
) -> DataKeys:
    """Return the data keys of a database as a ring opens them: the same for all stores of a process.

    Args:
        database: where they are.
        sealer: opens them.
        clock: of the first who asks, as are the following.
        ttl_s: how long a key is believed.
        max_entries: how many are remembered at most.
        is_listening: False where nothing is believed before changes are heard.
    """

    def make() -> DataKeys:
        cache = DataKeyCache(
            clock=clock or SystemClock(), ttl_s=ttl_s, max_entries=max_entries, is_listening=is_listening
        )
        return DataKeys(database, sealer, cache=cache)

    return database.share(sealer, make)


def select_with_data_key() -> Select[Any]:
    """Return the query for connections and their data keys, as `DataKeys.open_joined` takes its rows."""
    return select(
        connections, data_keys.c.key_id.label("data_key_id"), data_keys.c.sealed_key.label("sealed_data_key")
    ).join_from(connections, data_keys, connections.c.connection_id == data_keys.c.connection_id, isouter=True)


async def destroy_key(session: AsyncConnection, connection_id: ConnectionId) -> bool:
    """Delete the connection's data key: what was sealed with it never opens again. False when it had none."""
    statement = delete(data_keys).where(data_keys.c.connection_id == connection_id)
    return bool((await session.execute(statement)).rowcount)


_ARE_IN_USE: Final = select(1).where(or_(exists(select(data_keys)), ~exists(select(connections))))
