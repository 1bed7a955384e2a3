"""The second level of the directory: what one pod has read of the database, for the others, sealed.

A pod believes what it finds there only where that is as good as reading the database itself: it was read from a moment
on that is not before the pod began to listen to the database, so that the pod has heard of every change since, and
nothing that it has heard is newer. Nobody has to tell Valkey of a change for that, and a pod that dies between its
commit and Valkey leaves nothing behind that anybody believes.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import structlog
from redis.asyncio import Redis

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SealingError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.directory import Found, ReadPoint
from slack_mcp.sealing import Sealer, looks_sealed_bytes
from slack_mcp.valkey.client import Valkey
from slack_mcp.valkey.outbox import Command

PURPOSE: Final = "valkey.connection"
"""What is sealed here opens nowhere else, and what is sealed elsewhere does not open here."""
SKEW_S: Final = 5.0
"""How far the clocks of two pods may differ. Where they differ by more, the second level is of no use."""
VERSION_DIGITS: Final = 20
FORMAT: Final = "1"

_MS: Final = 1000

# The version stands before what is sealed, so that an older one never takes the place of a newer one.
_KEEP: Final = f"""
local held = redis.call('GETRANGE', KEYS[1], 0, {VERSION_DIGITS - 1})
if held > ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
"""

_log = structlog.get_logger(__name__)


class PointedStore(Protocol):
    """The database, which says since when a connection is as it is."""

    async def read_connection(self, connection_id: ConnectionId) -> tuple[Connection | None, ReadPoint | None]:
        """Return the connection and the moment of the reading; None for what there is not."""
        ...


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed.

    Attributes:
        read_s: when it was read, on the clock of the pod that did.
    """

    server: int
    transaction: int
    read_s: float
    connection: Connection


class SharedConnections:
    """`ports.directory.SecondLevel` in Valkey.

    Args:
        valkey: has what is kept.
        store: the database.
        sealer: has keys; without any nothing may be kept here.
        clock: its wall time says how old something is, and its monotonic time how long a change is remembered.
        post: sends a command without waiting for it.
        ttl_s: how long something may be used after it was read, here and in the process's own cache together.
        max_changes: how many changes are remembered; with more nothing is believed until they are old.
    """

    def __init__(
        self,
        *,
        valkey: Valkey,
        store: PointedStore,
        sealer: Sealer,
        clock: Clock,
        post: Callable[[Command], None],
        ttl_s: float,
        max_changes: int,
    ) -> None:
        self._valkey = valkey
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._post = post
        self._ttl_s = ttl_s
        self._max_changes = max_changes
        # As long as anything older can be there that was not deleted, whoever put it there again.
        self._remembered_s = ttl_s + 2 * SKEW_S
        self._oldest: TtlCache[ConnectionId, float] = TtlCache(clock=clock, max_entries=max_changes)
        self._listens_from: ReadPoint | None = None
        self._believes_from_s = float("-inf")
        self._decoder = msgspec.msgpack.Decoder(_Kept, dec_hook=_read_secret)
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_write_secret)
        self._prefix = f"{valkey.prefix}:connection:{_name_format()}"
        self.hits = 0

    async def load(self, connection_id: ConnectionId) -> Found:
        """Return the connection as another pod has read it, if that is as good as reading it, else read it."""
        found = await self._find(connection_id)
        if found is not None:
            self.hits += 1
            return found
        started_s, read_s = self._clock.monotonic_s(), self._clock.now_s()
        connection, point = await self._store.read_connection(connection_id)
        if connection is not None and point is not None:
            self._keep(connection, point, read_s=read_s, until_s=started_s + self._ttl_s)
        return Found(connection=connection, ttl_s=self._ttl_s)

    def distrust(self, connection_id: ConnectionId, version: int | None) -> None:
        """Believe nothing older than this version from now on; without a version, nothing that was kept."""
        if len(self._oldest) >= self._max_changes:
            # Nothing may be forgotten that somebody could be wrong by.
            self._oldest.clear()
            self._believes_from_s = self._clock.monotonic_s() + self._remembered_s
        oldest = float("inf") if version is None else max(version, self._oldest.get(connection_id) or 0)
        self._oldest.put(connection_id, oldest, ttl_s=self._remembered_s)

    def listen_from(self, point: ReadPoint | None) -> None:
        """Believe what was read from here on, since all later changes are heard; None believes nothing."""
        self._listens_from = point

    async def _find(self, connection_id: ConnectionId) -> Found | None:
        """Return what is kept of the connection, if it may be believed."""
        if self._listens_from is None:
            return None
        key = self._get_key(connection_id)

        async def read(redis: Redis) -> Any:
            # In one go, and with how long it is still there: no pod's clock has to be right for that.
            pipeline = redis.pipeline(transaction=False)
            pipeline.get(key)
            pipeline.pttl(key)
            return await pipeline.execute()

        try:
            value, left_ms = await self._valkey.run(read)
        except StoreUnavailableError:
            return None
        if value is None or left_ms <= 0 or not looks_sealed_bytes(value[VERSION_DIGITS:]):
            return None
        try:
            kept = self._decoder.decode(self._sealer.open_bytes(connection_id, PURPOSE, value[VERSION_DIGITS:]))
        except (SealingError, msgspec.MsgspecError) as error:
            _log.debug("valkey.unreadable", connection_id=connection_id, error=type(error).__name__)
            return None
        if not self._may_believe(connection_id, kept):
            return None
        return Found(connection=kept.connection, ttl_s=min(left_ms / _MS, self._ttl_s), is_shared=True)

    def _may_believe(self, connection_id: ConnectionId, kept: _Kept) -> bool:
        """Whether the database, asked now, could not say more. Looked at last: much may be heard while Valkey is asked.

        Who can write there can also put back what was there before; so how old it is stands in what is sealed.
        """
        point = ReadPoint(server=kept.server, transaction=kept.transaction)
        oldest = self._oldest.get(connection_id) or 0
        return (
            self._listens_from is not None
            and point.has_seen_all_before(self._listens_from)
            and kept.connection.connection_id == connection_id
            and kept.connection.version >= oldest
            and self._clock.monotonic_s() >= self._believes_from_s
            and -SKEW_S <= self._clock.now_s() - kept.read_s <= self._ttl_s + SKEW_S
        )

    def _keep(self, connection: Connection, point: ReadPoint, *, read_s: float, until_s: float) -> None:
        kept = _Kept(server=point.server, transaction=point.transaction, read_s=read_s, connection=connection)
        sealed = self._sealer.seal_bytes(connection.connection_id, PURPOSE, self._encoder.encode(kept))
        key, version = self._get_key(connection.connection_id), str(connection.version).zfill(VERSION_DIGITS)

        async def send(redis: Redis) -> None:
            left_ms = int((until_s - self._clock.monotonic_s()) * _MS)
            if left_ms > 0:
                await redis.eval(_KEEP, 1, key, version, sealed, left_ms)

        self._post(send)

    def _get_key(self, connection_id: ConnectionId) -> str:
        return f"{self._prefix}:{connection_id}"


def _write_secret(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _read_secret(kind: type, value: object) -> object:
    if kind is Secret:
        return Secret(str(value))
    raise NotImplementedError(kind.__name__)


def _name_format() -> str:
    """Return a name for how connections are written: versions of this service that know other fields do not meet."""
    schema = msgspec.json.schema(_Kept, schema_hook=lambda _kind: {"type": "string"})
    return hashlib.sha256(FORMAT.encode() + msgspec.json.encode(schema, order="deterministic")).hexdigest()[:12]
