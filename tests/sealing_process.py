"""The stores of one process with what it remembers of keys, for tests of sealing."""

from typing import Any

from sqlalchemy import Table, select
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.core.ids import ConnectionId, EventId, PodId
from slack_mcp.core.model import Delivery, JournalledEvent
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.installations import SqlInstallationStore
from slack_mcp.store.open import open_journal
from slack_mcp.store.secret_keeper import SqlSecretKeeper
from slack_mcp.store.triggers import SqlTriggerStore
from slack_mcp.store.turns import SqlTurnStore

RING = KeyRing.generate("k1")
ONE, TWO = ConnectionId("conn_1"), ConnectionId("conn_2")
POD = PodId("pod-a")


class Process:
    """The stores of one process, with what it remembers of keys."""

    def __init__(self, database: Database, sealer: Sealer | None = None) -> None:
        self.database, self.clock = database, SteppingClock()
        self.sealer = sealer or Sealer(RING)
        # Nothing is forgotten because a test takes its time.
        self.keys = get_data_keys(database, self.sealer, ttl_s=3600)
        self.connections = SqlConnectionStore(database, self.sealer, clock=self.clock)
        self.installations = SqlInstallationStore(database, self.sealer, clock=self.clock)
        self.triggers = SqlTriggerStore(database, self.sealer, clock=self.clock)
        self.turns = SqlTurnStore(database, self.sealer, clock=self.clock)
        self.journal = open_journal(database, self.sealer, POD, clock=self.clock)

    async def append(self, number: int, connection_id: ConnectionId = ONE) -> None:
        await self.journal.append(
            [
                Delivery(
                    connection_id=connection_id,
                    event_id=EventId(f"Ev{number}"),
                    event_time=1_800_000_000,
                    lane=f"C1:{number}",
                    event_type="message",
                    payload=b"canary",
                )
            ]
        )

    async def claim(self) -> list[JournalledEvent]:
        claims = await self.journal.claim(POD, max_lanes=10, lanes_per_connection=10, lease_s=15, events_per_lane=10)
        return [event for claim in claims for event in claim.events]


async def fetch(database: Database, table: Table) -> list[dict[str, Any]]:
    async with database.reading() as connection:
        return [dict(row) for row in (await connection.execute(select(table))).mappings()]


def pass_over(_table: str, _count: int) -> None:
    """Hear how far it is and do nothing."""


async def save_without_data_keys(process: Process, *ids: ConnectionId) -> None:
    """Save connections as the version before did: sealed by the ring alone."""
    for connection_id in ids:
        await process.connections.save_connection(make_connection(connection_id))
    await SqlSecretKeeper(process.database, process.sealer).drop_data_keys(pass_over)
    for connection_id in ids:
        process.keys.cache.drop(connection_id)
