"""However long the backlog is, PostgreSQL looks up the lanes that a statement is about, and reads no others."""

from typing import Any

import anyio
import pytest
from postgres import make_url

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ConnectionId, EventId, PodId
from slack_mcp.core.model import Delivery
from slack_mcp.sealing import Sealer
from slack_mcp.store import journal_postgresql
from slack_mcp.store.database import open_database
from slack_mcp.store.open import open_journal

pytestmark = pytest.mark.anyio

POD = PodId("pod-a")
LANES, BATCH = 6_000, 500
MINE = 64


def deliver(number: int) -> Delivery:
    return Delivery(
        connection_id=ConnectionId(f"conn_{number % 8}"),
        event_id=EventId(f"Ev{number}"),
        event_time=1_764_000_000,
        lane=f"C1:{number}",
        event_type="message",
        payload=b"{}",
    )


async def test_a_backlog_is_not_read_from_end_to_end(postgres_url: str) -> None:
    with anyio.fail_after(60):
        async with open_database(make_url(postgres_url)) as database:
            journal = open_journal(database, Sealer(None), POD, clock=SystemClock())
            for first in range(0, LANES, BATCH):
                await journal.append([deliver(number) for number in range(first, first + BATCH)])
            claims = await journal.claim(POD, max_lanes=MINE, lanes_per_connection=16, lease_s=60, events_per_lane=1)
            lanes, fences = [each.lane_id for each in claims], [each.fence for each in claims]
            events = [event.id for each in claims for event in each.events]
            times = [event.event_time for each in claims for event in each.events]
            assert (len(lanes), len(events)) == (MINE, MINE)
            said = [[word] * MINE for word in ("done", True, 0, None, None)]
            statements: dict[str, tuple[Any, ...]] = {
                "CLAIM": ("", MINE, 16, POD, 60_000, 1),
                "RENEW": (lanes, fences, POD, 60_000),
                "LOCK": (lanes, fences),
                "SETTLE": (events, *said, lanes, [True] * MINE, [None] * MINE, [True] * MINE, 1, 60_000, times),
            }
            async with database.driver() as connection:
                for name, arguments in statements.items():
                    rows = await connection.fetch(f"EXPLAIN {getattr(journal_postgresql, name)}", *arguments)
                    assert "Seq Scan on slack_lanes" not in "\n".join(row[0] for row in rows), name
