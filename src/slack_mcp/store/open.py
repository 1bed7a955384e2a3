"""The journal that fits the database."""

from collections.abc import Callable

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import PodId
from slack_mcp.ports.store import Journal
from slack_mcp.sealing import Sealer
from slack_mcp.store.database import Database
from slack_mcp.store.journal_postgresql import PostgresqlJournal
from slack_mcp.store.journal_sqlite import SqliteJournal


def open_journal(
    database: Database, sealer: Sealer, pod_id: PodId, *, clock: Clock, tell_work: Callable[[], None] = lambda: None
) -> Journal:
    """Return the journal. The clock is SQLite's only one; PostgreSQL has its own for all pods.

    `tell_work` wakes other pods beside the database; SQLite has none.
    """
    if database.dialect == "sqlite":
        return SqliteJournal(database, sealer, pod_id, clock=clock)
    return PostgresqlJournal(database, sealer, pod_id, tell_work=tell_work)
