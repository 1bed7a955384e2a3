"""The audit of what tools write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ConnectionId


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One write of one tool, done or refused.

    Attributes:
        at_ms: unix milliseconds by the database's clock.
        actor: who called, such as `mesh:user_1`, `key:k3v9`.
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
