"""What a process keeps in memory of the database and of Slack, and how it hears that it is old."""

from slack_mcp.connections.directory import CachedDirectory
from slack_mcp.core.model import ConnectionChange
from slack_mcp.names.resolve import CachedNames
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.store.data_keys import DataKeyCache


class Caches:
    """The caches of one process; each method is called in the event loop and does not wait.

    Args:
        directory: the connections.
        names: the names of channels and people.
        data_keys: the keys of the connections' values.
    """

    def __init__(self, *, directory: CachedDirectory, names: CachedNames, data_keys: DataKeyCache) -> None:
        self._directory = directory
        self._names = names
        self._data_keys = data_keys

    def hear_change(self, change: ConnectionChange) -> None:
        """Drop a connection that was changed, here or elsewhere."""
        self._data_keys.drop(change.connection_id)
        self._directory.invalidate(change.connection_id, change.version)

    def hear_names(self, change: NameChange) -> None:
        """Drop names, or all that is kept of a connection."""
        if change.kind is NameKind.CONNECTION:
            self._directory.invalidate(change.connection_id)
        self._names.forget(change)

    def hear_listening(self, is_listening: bool) -> None:
        """Believe nothing while nothing is heard, and no name that was kept before."""
        self._data_keys.set_listening(is_listening)
        self._directory.set_listening(is_listening)
        if is_listening:
            self._names.clear()
