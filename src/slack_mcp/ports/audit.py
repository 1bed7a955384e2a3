"""The audit of what tools write, and of what the commands change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from slack_mcp.core.ids import ConnectionId

# Whose entries those are of acts that concern no connection alone; no connection can have this id.
WHOLE_SERVICE: Final = ConnectionId("")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One write of one tool, or one act of a command, done or refused.

    Attributes:
        at_ms: unix milliseconds by the database's clock.
        actor: who called, such as `mesh:user_1`, `key:k3v9`, `cli:ann@host-1`.
        tool: its name; of a command what is typed, such as `keys revoke`.
        target: ids of what was written to, such as `C1/1700000000.000100`; never text. None when nothing was touched.
        result: `begun` until the call has ended, then `ok` or an error's code.
    """

    id: int
    connection_id: ConnectionId
    at_ms: int
    actor: str
    tool: str
    target: str | None
    result: str


class AuditLog(Protocol):
    """Keeps the entries."""

    async def begin(self, connection_id: ConnectionId, *, actor: str, tool: str) -> int:
        """Write that a call begins, before it does anything; returns the entry's number."""
        ...

    async def finish(self, connection_id: ConnectionId, entry_id: int, *, target: str | None, result: str) -> None:
        """Write how it ended."""
        ...

    async def list_entries(
        self, connection_id: ConnectionId, *, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return a connection's entries, newest first."""
        ...

    async def delete_entries(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` entries older than `before_s` seconds; returns how many."""
        ...


class AdminAuditLog(AuditLog, Protocol):
    """The same for those who run the service, who see what was done to any connection."""

    async def list_all_entries(self, *, before_id: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Return the entries of all connections and of the whole service, newest first."""
        ...
