"""The audit of what tools write and commands change."""

import pytest
from stepping_clock import SteppingClock

from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.audit import WHOLE_SERVICE
from slack_mcp.store.audit import SqlAuditLog
from slack_mcp.store.database import Database

pytestmark = pytest.mark.anyio

ACME, GLOBEX = ConnectionId("conn_acme"), ConnectionId("conn_globex")


async def test_an_entry_says_that_a_call_began_until_it_says_how_it_ended(database: Database) -> None:
    log = SqlAuditLog(database, clock=SteppingClock())
    entry_id = await log.begin(ACME, actor="key:k1", tool="SLACK_SEND_MESSAGE")
    (entry,) = await log.list_entries(ACME)
    assert (entry.result, entry.target, entry.actor) == ("begun", None, "key:k1")
    await log.finish(ACME, entry_id, target="C1/1.0", result="ok")
    (entry,) = await log.list_entries(ACME)
    assert (entry.id, entry.result, entry.target, entry.tool) == (entry_id, "ok", "C1/1.0", "SLACK_SEND_MESSAGE")


async def test_a_connection_reads_and_ends_its_own_entries_alone(database: Database) -> None:
    log = SqlAuditLog(database, clock=SteppingClock())
    theirs = await log.begin(GLOBEX, actor="local", tool="SLACK_PIN_MESSAGE")
    await log.finish(ACME, theirs, target="C9", result="ok")
    assert await log.list_entries(ACME) == []
    (entry,) = await log.list_entries(GLOBEX)
    assert entry.result == "begun"


async def test_entries_come_newest_first_and_page_by_number(database: Database) -> None:
    log = SqlAuditLog(database, clock=SteppingClock())
    ids = [await log.begin(ACME, actor="local", tool=f"T{number}") for number in range(5)]
    assert [entry.id for entry in await log.list_entries(ACME, limit=2)] == ids[:2:-1]
    assert [entry.id for entry in await log.list_entries(ACME, before_id=ids[2])] == ids[1::-1]


async def test_old_entries_are_deleted_in_batches(database: Database) -> None:
    clock = SteppingClock()
    log = SqlAuditLog(database, clock=clock)
    for _ in range(3):
        await log.begin(ACME, actor="local", tool="T")
        clock.time_s += 100
    assert await log.delete_entries(before_s=150, limit=1) == 1
    assert await log.delete_entries(before_s=150, limit=10) == 1
    assert len(await log.list_entries(ACME)) == 1


async def test_whoever_runs_the_service_sees_every_entry_and_a_connection_its_own(database: Database) -> None:
    log = SqlAuditLog(database, clock=SteppingClock())
    ids = [await log.begin(whose, actor="cli:ann@host", tool="keys create") for whose in (ACME, WHOLE_SERVICE, GLOBEX)]
    everything = await log.list_all_entries()
    assert [entry.connection_id for entry in everything] == [GLOBEX, WHOLE_SERVICE, ACME]
    assert [entry.id for entry in await log.list_all_entries(before_id=ids[2], limit=1)] == [ids[1]]
    assert [entry.id for entry in await log.list_entries(ACME)] == [ids[0]]
