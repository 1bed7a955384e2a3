"""The audit of what tools write and commands change, in the database; see `ports.audit`."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, insert, select, true, update

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.audit import AuditEntry
from slack_mcp.store.database import Database
from slack_mcp.store.schema import audit

BEGUN = "begun"


class SqlAuditLog:
    """`ports.audit.AdminAuditLog`.

    Args:
        clock: dates the entries.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, connection_id: ConnectionId, *, actor: str, tool: str) -> int:
        """Write that a call begins; returns the entry's number."""
        values = {
            "connection_id": connection_id,
            "at_ms": int(self._clock.now_s() * 1000),
            "actor": actor,
            "tool": tool,
            "result": BEGUN,
        }
        async with self._database.transaction() as database:
            return int((await database.execute(insert(audit).values(**values).returning(audit.c.id))).scalar_one())

    async def finish(self, connection_id: ConnectionId, entry_id: int, *, target: str | None, result: str) -> None:
        """Write how the call ended."""
        statement = update(audit).where(audit.c.id == entry_id, audit.c.connection_id == connection_id)
        async with self._database.transaction() as database:
            await database.execute(statement.values(target=target, result=result))

    async def list_entries(
        self, connection_id: ConnectionId, *, before_id: int | None = None, limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Return a connection's entries, newest first."""
        return await self._list(audit.c.connection_id == connection_id, before_id=before_id, limit=limit)

    async def list_all_entries(self, *, before_id: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Return the entries of all connections and of the whole service, newest first."""
        return await self._list(true(), before_id=before_id, limit=limit)

    async def _list(self, whose: ColumnElement[bool], *, before_id: int | None, limit: int) -> Sequence[AuditEntry]:
        statement = select(audit).where(whose).order_by(audit.c.id.desc()).limit(limit)
        if before_id is not None:
            statement = statement.where(audit.c.id < before_id)
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).mappings().all()
        return [AuditEntry(**row) for row in rows]

    async def delete_entries(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` entries older than `before_s` seconds."""
        oldest_ms = int((self._clock.now_s() - before_s) * 1000)
        old = select(audit.c.id).where(audit.c.at_ms < oldest_ms).order_by(audit.c.at_ms).limit(limit)
        async with self._database.transaction() as database:
            return (await database.execute(delete(audit).where(audit.c.id.in_(old)))).rowcount
