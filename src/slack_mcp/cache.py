"""A bounded map whose entries live for a time: the least recently used one makes room."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from slack_mcp.core.clock import Clock

Key = TypeVar("Key")
Value = TypeVar("Value")


class TtlCache(Generic[Key, Value]):
    """Keeps values until their time is over or there is no more room.

    Args:
        clock: its monotonic time decides.
        max_entries: how many values are kept at most.
    """

    __slots__ = ("_entries", "_max_entries", "_now_s")

    def __init__(self, *, clock: Clock, max_entries: int) -> None:
        self._now_s = clock.monotonic_s
        self._max_entries = max_entries
        self._entries: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """Return the value, None when there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._now_s():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: Key, value: Value, *, ttl_s: float) -> None:
        """Keep the value for `ttl_s` seconds."""
        self._entries[key] = (self._now_s() + ttl_s, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def select(self, is_meant: Callable[[Key], bool]) -> list[Value]:
        """Return the values of all keys that are meant, looking at each; none is kept longer for it."""
        now_s = self._now_s()
        return [value for key, (until_s, value) in self._entries.items() if until_s > now_s and is_meant(key)]

    def drop(self, key: Key) -> None:
        """Forget the value, if there is one."""
        self._entries.pop(key, None)

    def drop_where(self, is_meant: Callable[[Key], bool]) -> int:
        """Forget the values of all keys that are meant, looking at each; returns how many there were."""
        keys = [key for key in self._entries if is_meant(key)]
        for key in keys:
            del self._entries[key]
        return len(keys)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
