"""The same ids in two tenants never meet, on every database."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update
from stepping_clock import SteppingClock
from store_samples import CHANNEL, ROOT, claim_lane, lose_lane, make_connection, make_turn

from slack_mcp.core.errors import LeaseLostError, SealingError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import TurnState
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.schema import turns
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

OURS, THEIRS = ConnectionId("conn_1"), ConnectionId("conn_2")
SEALER = Sealer(KeyRing.generate("k1"))


@pytest.fixture
def connections(database: Database) -> SqlConnectionStore:
    return SqlConnectionStore(database, SEALER, clock=SteppingClock())


@pytest.fixture
def store(database: Database) -> SqlTurnStore:
    return SqlTurnStore(database, SEALER, clock=SteppingClock())


async def test_two_connections_of_one_workspace_and_app_keep_to_themselves(connections: SqlConnectionStore) -> None:
    for connection_id in (OURS, THEIRS):
        await connections.save_connection(make_connection(connection_id))
    await connections.save_connection(make_connection(OURS, system_prompt="Ours."))
    await connections.save_connection(make_connection(OURS, system_prompt="Ours."))
    theirs = await connections.load_connection(THEIRS)
    assert theirs is not None
    assert (theirs.system_prompt, theirs.version) == ("Be kind.", 1)
    assert theirs.bot_token.reveal() == f"canary-bot_token-{THEIRS}"


@pytest.mark.parametrize("name", ["conn_%", "conn__", "CONN_1", "conn_1 ", "conn_1' OR '1'='1", ""])
async def test_id_is_matched_to_the_letter(connections: SqlConnectionStore, name: str) -> None:
    await connections.save_connection(make_connection(OURS))
    assert await connections.load_connection(ConnectionId(name)) is None
    assert await connections.remove_connection(ConnectionId(name)) is False
    assert await connections.load_connection(OURS) is not None


async def test_the_same_message_in_two_tenants_is_two_turns(store: SqlTurnStore) -> None:
    for connection_id in (OURS, THEIRS):
        standing = await store.begin_turn(make_turn(connection_id))
        assert standing.question == f"canary-question-{connection_id}"
    assert await store.count_turns() == 2


async def test_progress_notice_and_history_stay_with_the_tenant(store: SqlTurnStore, database: Database) -> None:
    for connection_id in (OURS, THEIRS):
        await store.begin_turn(make_turn(connection_id))
    claim = await claim_lane(database, OURS)
    done = replace(make_turn(OURS), state=TurnState.FINISHED, answer="ours", notice="agent_not_configured")
    await store.save_turn(done, claim)

    assert await store.begin_turn(make_turn(THEIRS)) == make_turn(THEIRS)
    assert not await store.has_notice_in_thread(THEIRS, CHANNEL, ROOT, "agent_not_configured")
    assert await store.load_history(THEIRS, CHANNEL, ROOT, limit=20, max_age_s=600) == []
    assert await store.load_history(OURS, CHANNEL, ROOT, limit=20, max_age_s=600) == [done]


async def test_bot_takes_part_in_the_thread_of_one_tenant_only(store: SqlTurnStore) -> None:
    await store.begin_turn(make_turn(OURS))
    assert not await store.has_turn_in_thread(THEIRS, CHANNEL, ROOT)


async def test_lane_lost_by_one_tenant_is_not_lost_by_the_other(store: SqlTurnStore, database: Database) -> None:
    claims = {connection_id: await claim_lane(database, connection_id) for connection_id in (OURS, THEIRS)}
    for connection_id in (OURS, THEIRS):
        await store.begin_turn(make_turn(connection_id))
    await lose_lane(database, claims[OURS])
    with pytest.raises(LeaseLostError):
        await store.save_turn(replace(make_turn(OURS), answer="late"), claims[OURS])
    await store.save_turn(replace(make_turn(THEIRS), answer="theirs"), claims[THEIRS])


async def test_claim_of_one_tenant_writes_nothing_for_another(store: SqlTurnStore, database: Database) -> None:
    await store.begin_turn(make_turn(THEIRS))
    claim = await claim_lane(database, OURS)
    with pytest.raises(LeaseLostError):
        await store.save_turn(replace(make_turn(THEIRS), answer="not ours to give"), claim)
    assert await store.begin_turn(make_turn(THEIRS)) == make_turn(THEIRS)


async def test_text_moved_to_another_tenant_does_not_open(store: SqlTurnStore, database: Database) -> None:
    for connection_id in (OURS, THEIRS):
        await store.begin_turn(make_turn(connection_id))
    async with database.transaction() as connection:
        ours = select(turns.c.question).where(turns.c.connection_id == OURS).scalar_subquery()
        await connection.execute(update(turns).where(turns.c.connection_id == THEIRS).values(question=ours))
    with pytest.raises(SealingError):
        await store.begin_turn(make_turn(THEIRS))


async def test_removing_one_tenant_leaves_the_other_whole(connections: SqlConnectionStore, store: SqlTurnStore) -> None:
    for connection_id in (OURS, THEIRS):
        await connections.save_connection(make_connection(connection_id))
        await store.begin_turn(make_turn(connection_id))
    await connections.remove_connection(OURS)
    assert await connections.load_connection(THEIRS) is not None
    assert await store.has_turn_in_thread(THEIRS, CHANNEL, ROOT)
