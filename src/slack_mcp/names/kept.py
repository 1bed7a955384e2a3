"""The names that were read, for a while: bounded, and never older than the last news of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from slack_mcp.cache import TtlCache
from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.names.fetch import Known
from slack_mcp.ports.names import NameChange, NameKind

NAME_TTL_S: Final = 3_600.0
MISSING_TTL_S: Final = 30.0
MAX_MISSING: Final = 100
EMAIL: Final = "email"

_Key = tuple[ConnectionId, str, str]


class KeptNames:
    """What is known of channels and people. Every key begins with the connection.

    Args:
        clock: lets the entries age.
        max_entries: channels and people kept at most, of all connections together; as many names of them.
    """

    def __init__(self, *, clock: Clock, max_entries: int) -> None:
        self._known: TtlCache[_Key, Known] = TtlCache(clock=clock, max_entries=max_entries)
        self._ids: TtlCache[_Key, str] = TtlCache(clock=clock, max_entries=max_entries)
        self._missing: TtlCache[tuple[ConnectionId, str], set[str]] = TtlCache(clock=clock, max_entries=max_entries)
        self._readings: dict[ConnectionId, list[Reading]] = {}

    def get(self, connection_id: ConnectionId, kind: NameKind, of_id: str) -> Known | None:
        """Return what is known of an id."""
        return self._known.get((connection_id, kind, of_id))

    def get_id(self, connection_id: ConnectionId, kind: str, name: str) -> str | None:
        """Return whose name it was when it was read; whether it still is, `get` tells, or Slack."""
        return self._ids.get((connection_id, kind, name))

    def list_known(self, connection_id: ConnectionId, kind: NameKind) -> Sequence[Known]:
        """Return all that is known of a connection's channels or people, looking at every entry there is."""
        return self._known.select(lambda key: key[0] == connection_id and key[1] == kind)

    def drop_id(self, connection_id: ConnectionId, kind: str, name: str) -> None:
        """Forget whose name it was."""
        self._ids.drop((connection_id, kind, name))

    def is_missing(self, connection_id: ConnectionId, kind: NameKind, text: str) -> bool:
        """Tell whether Slack said a moment ago that there is nothing with this id or name."""
        missing = self._missing.get((connection_id, kind))
        return missing is not None and text in missing

    @contextmanager
    def reading(self, connection_id: ConnectionId) -> Iterator["Reading"]:
        """Yield what keeps the answers of a reading that begins now."""
        reading = Reading(self, connection_id)
        open_readings = self._readings.setdefault(connection_id, [])
        open_readings.append(reading)
        try:
            yield reading
        finally:
            open_readings.remove(reading)
            if not open_readings:
                del self._readings[connection_id]

    def forget(self, change: NameChange) -> int:
        """Drop what is not to be believed any more, and what is being read just now; returns how many were known."""
        connection_id = change.connection_id
        for reading in self._readings.get(connection_id, ()):
            reading.forgotten.add((change.kind, change.id))
        if change.kind is NameKind.CONNECTION:
            for kind in NameKind:
                self._missing.drop((connection_id, kind))
            self._ids.drop_where(lambda key: key[0] == connection_id)
            return self._known.drop_where(lambda key: key[0] == connection_id)
        self._missing.drop((connection_id, change.kind))  # its new name may be one that was asked for
        was_known = self.get(connection_id, change.kind, change.id) is not None
        self._known.drop((connection_id, change.kind, change.id))
        return int(was_known)

    def clear(self) -> None:
        """Forget everything: news may have been missed."""
        for connection_id in list(self._readings):
            self.forget(NameChange(connection_id=connection_id, kind=NameKind.CONNECTION))
        for cache in (self._known, self._ids, self._missing):
            cache.clear()

    def keep(self, key: _Key, known: Known) -> None:
        """Keep what is known; for `Reading`."""
        self._known.put(key, known, ttl_s=NAME_TTL_S)

    def keep_id(self, key: _Key, of_id: str) -> None:
        """Keep whose name it is; for `Reading`."""
        self._ids.put(key, of_id, ttl_s=NAME_TTL_S)

    def keep_missing(self, connection_id: ConnectionId, kind: NameKind, text: str) -> None:
        """Keep that there is nothing; for `Reading`. The time of all runs from the first."""
        missing = self._missing.get((connection_id, kind))
        if missing is None or len(missing) >= MAX_MISSING:
            missing = set()
            self._missing.put((connection_id, kind), missing, ttl_s=MISSING_TTL_S)
        missing.add(text)


class Reading:
    """Keeps the answers of one reading, but for what there was news of since it began.

    Attributes:
        forgotten: (kind, id) of the news.
    """

    def __init__(self, kept: KeptNames, connection_id: ConnectionId) -> None:
        self._kept = kept
        self._connection_id = connection_id
        self.forgotten: set[tuple[NameKind, str]] = set()

    def keep(self, kind: NameKind, known: Known) -> None:
        """Keep what is known of a channel or a person."""
        if not self._is_outdated(kind, known.id):
            self._kept.keep((self._connection_id, kind, known.id), known)

    def keep_id(self, kind: NameKind, name: str, of_id: str, *, space: str = "") -> None:
        """Keep whose name it is; `space` keeps e-mails apart from names, which people choose as they like."""
        if not self._is_outdated(kind, of_id):
            self._kept.keep_id((self._connection_id, space or kind, name), of_id)

    def keep_missing(self, kind: NameKind, text: str) -> None:
        """Keep that there is nothing with this id or name."""
        if not self.forgotten:
            self._kept.keep_missing(self._connection_id, kind, text)

    @property
    def is_void(self) -> bool:
        """Whether nothing of this reading is kept: there was news of all that the connection has."""
        return (NameKind.CONNECTION, "") in self.forgotten

    def _is_outdated(self, kind: NameKind, of_id: str) -> bool:
        return self.is_void or (kind, of_id) in self.forgotten
