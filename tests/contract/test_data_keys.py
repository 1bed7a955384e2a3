"""Each connection's values are sealed with a key of its own, and nothing opens any more when that key is destroyed."""

from dataclasses import replace

import anyio
import pytest
from sealing_process import ONE, TWO, Process, fetch, save_without_data_keys
from store_samples import CHANNEL, ROOT, make_connection, make_turn
from trigger_fakes import make_trigger

from slack_mcp.core.errors import SealingError
from slack_mcp.core.ids import Ts, UserId
from slack_mcp.core.model import TurnState
from slack_mcp.core.secret import Secret
from slack_mcp.ports.transcript import ThreadMessage
from slack_mcp.sealing import KeyRing, Sealer, find_data_key_id, find_ring_key_id
from slack_mcp.store.database import Database
from slack_mcp.store.installations import OF_AN_INSTALLATION
from slack_mcp.store.schema import connections, data_keys, events, triggers, turns
from slack_mcp.store.transcript import SqlTranscript

pytestmark = pytest.mark.anyio


@pytest.fixture
def one(database: Database) -> Process:
    return Process(database)


@pytest.fixture
def other(other_database: Database) -> Process:
    return Process(other_database)


async def test_all_values_of_a_connection_are_sealed_with_its_own_key(one: Process, database: Database) -> None:
    for connection_id in (ONE, TWO):
        await one.connections.save_connection(make_connection(connection_id))
        await one.turns.begin_turn(make_turn(connection_id))
        await one.append(1, connection_id)
    key_ids = {row["connection_id"]: row["key_id"] for row in await fetch(database, data_keys)}
    assert len(set(key_ids.values())) == 2
    assert {find_ring_key_id(row["sealed_key"]) for row in await fetch(database, data_keys)} == {"k1"}
    for table, column in ((connections, "bot_token"), (turns, "question"), (events, "payload")):
        found = {row["connection_id"]: find_data_key_id(row[column]) for row in await fetch(database, table)}
        assert found == key_ids, table.name


async def test_another_pod_opens_them_and_seals_with_the_same_key(one: Process, other: Process) -> None:
    await one.connections.save_connection(make_connection())
    assert await other.connections.load_connection(ONE) == await one.connections.load_connection(ONE)
    await other.turns.begin_turn(make_turn(question="from there"))
    turn = await one.turns.load_turn(ONE, CHANNEL, ROOT)
    assert turn is not None
    assert turn.question == "from there"
    await other.append(1)
    assert [event.payload for event in await one.claim()] == [b"canary"]
    assert len(await fetch(one.database, data_keys)) == 1


async def test_a_save_keeps_the_key_and_saves_at_once_make_one(one: Process, other: Process) -> None:
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                process = (one, other)[number % 2]
                tasks.start_soon(process.connections.save_connection, make_connection(system_prompt=str(number)))
    (row,) = await fetch(one.database, data_keys)
    await one.connections.save_connection(make_connection())
    assert await fetch(one.database, data_keys) == [row]
    assert await other.connections.load_connection(ONE) is not None


async def test_in_a_database_without_data_keys_nothing_is_sealed_with_one(one: Process, database: Database) -> None:
    await save_without_data_keys(one, ONE, TWO)
    # Pods of the version before may still be there, and could not open it.
    await one.connections.save_connection(make_connection())
    await one.turns.begin_turn(make_turn())
    assert await fetch(database, data_keys) == []
    (turn,) = await fetch(database, turns)
    assert find_ring_key_id(turn["question"]) == "k1"
    assert await one.connections.load_connection(ONE) is not None


async def test_a_process_that_remembers_no_key_opens_what_another_has_just_sealed_with_a_new_one(
    one: Process, other: Process
) -> None:
    await save_without_data_keys(one, ONE)
    await other.append(1)  # it knows now that there is no key
    async with one.database.transaction() as database:
        assert await one.keys.make_key(database, ONE)
        assert not await one.keys.make_key(database, ONE)
    one.keys.cache.drop(ONE)
    await one.append(2)
    assert [event.payload for event in await other.claim()] == [b"canary", b"canary"]
    assert [find_data_key_id(row["payload"]) is None for row in await fetch(one.database, events)] == [True, False]


async def test_what_was_removed_does_not_open_any_more_also_when_it_is_connected_again(
    one: Process, other: Process
) -> None:
    await one.connections.save_connection(make_connection())
    await one.turns.begin_turn(make_turn())
    await one.append(1)
    copies = [(row, await fetch(one.database, turns)) for row in await fetch(one.database, connections)]
    assert await one.connections.remove_connection(ONE)
    assert await fetch(one.database, data_keys) == []
    await one.connections.save_connection(make_connection())
    await other.append(2)
    (old, new) = await one.claim()
    assert old.unreadable is not None
    assert old.unreadable.is_destroyed
    assert (new.payload, new.unreadable) == (b"canary", None)
    for connection, (turn,) in copies:
        sealer = await one.keys.of(ONE, connection["bot_token"])
        with pytest.raises(SealingError):
            sealer.open("bot_token", connection["bot_token"])
        with pytest.raises(SealingError):
            sealer.open("question", turn["question"])


async def test_a_pod_that_did_not_hear_of_it_lets_go_of_the_key_after_a_while(one: Process, other: Process) -> None:
    await one.connections.save_connection(make_connection())
    await other.append(1)
    assert await one.connections.remove_connection(ONE)
    assert other.keys.cache.get(ONE) is not None
    other.keys.cache.set_listening(False)
    assert other.keys.cache.get(ONE) is None
    assert (await other.keys.of(ONE)).data_key is None


async def test_without_its_ring_nothing_of_a_connection_opens_and_nothing_is_written_clear(
    one: Process, database: Database
) -> None:
    await one.connections.save_connection(make_connection())
    await one.append(1)
    stranger = Process(database, Sealer(KeyRing.generate("k2")))
    with pytest.raises(SealingError, match="k1"):
        await stranger.connections.load_connection(ONE)
    with pytest.raises(SealingError, match="k1"):
        await stranger.connections.save_connection(make_connection())
    with pytest.raises(SealingError, match="k1"):
        await stranger.append(2)
    (event,) = await stranger.claim()
    assert event.unreadable is not None
    assert not event.unreadable.is_destroyed


async def test_a_disconnected_connection_keeps_what_is_not_the_workspaces(one: Process, other: Process) -> None:
    connection = replace(make_connection(), disabled=False, mesh_refused_since_ms=None)
    await one.connections.save_connection(connection)
    await one.connections.save_connection(make_connection(TWO))
    await one.triggers.update_triggers(ONE, lambda _: [make_trigger()])
    for connection_id in (ONE, TWO):
        await one.turns.begin_turn(make_turn(connection_id))
    await one.append(1)
    before = {row["connection_id"]: row["key_id"] for row in await fetch(one.database, data_keys)}
    stored = await one.connections.load_connection(ONE)
    assert stored is not None

    assert await one.installations.disconnect(stored)
    assert not await one.installations.disconnect(stored)  # it is another one now
    left = await other.connections.load_connection(ONE)
    assert left is not None
    assert left.is_disconnected
    assert (left.disabled, left.user_token, left.bot_scopes, left.version) == (True, None, None, stored.version + 1)
    assert (left.signing_secret, left.mesh_api_key, left.settings, left.triggers) == (
        stored.signing_secret,
        stored.mesh_api_key,
        stored.settings,
        stored.triggers,
    )
    after = {row["connection_id"]: row["key_id"] for row in await fetch(one.database, data_keys)}
    assert (after[TWO], len(after)) == (before[TWO], 2)
    assert after[ONE] != before[ONE]
    for table in OF_AN_INSTALLATION:
        assert [row for row in await fetch(one.database, table) if row["connection_id"] == ONE] == [], table.name
    assert await one.turns.load_turn(TWO, CHANNEL, ROOT) is not None
    assert [event.unreadable and event.unreadable.is_destroyed for event in await other.claim()] == [True]


async def test_a_disconnected_connection_without_keys_is_emptied_all_the_same(database: Database) -> None:
    process = Process(database, Sealer(None))
    stored = await process.connections.save_connection(make_connection())
    assert await process.installations.disconnect(stored)
    left = await process.connections.load_connection(ONE)
    assert left is not None
    assert left.is_disconnected
    assert await fetch(database, data_keys) == []


async def test_a_user_token_alone_can_be_forgotten(one: Process) -> None:
    stored = await one.connections.save_connection(make_connection())
    assert await one.installations.drop_user_token(stored)
    assert not await one.installations.drop_user_token(stored)
    left = await one.connections.load_connection(ONE)
    assert left is not None
    assert (left.user_token, left.user_scopes, left.bot_token) == (None, None, stored.bot_token)
    assert (await fetch(one.database, triggers)) == []


async def test_a_changed_connection_is_not_disconnected_by_what_was_read_before(one: Process) -> None:
    stored = await one.connections.save_connection(make_connection())
    await one.connections.save_connection(replace(stored, bot_token=Secret("xoxb-new")))
    assert not await one.installations.disconnect(stored)
    left = await one.connections.load_connection(ONE)
    assert left is not None
    assert left.bot_token == Secret("xoxb-new")


async def test_what_was_still_written_with_a_destroyed_key_is_as_if_never_said(one: Process, other: Process) -> None:
    stored = await one.connections.save_connection(make_connection())
    transcripts = [SqlTranscript(each.database, each.sealer, clock=each.clock) for each in (one, other)]
    await other.keys.of(ONE)  # this pod knows the key, and does not hear in time that it is gone
    assert await one.installations.disconnect(stored)
    answered = make_turn(answer="canary", state=TurnState.FINISHED)
    await other.turns.begin_turn(answered)
    said = ThreadMessage(
        message_ts=Ts("1700000000.000200"), thread_ts=ROOT, user_id=UserId("UANN"), bot_id=None, text="canary"
    )
    await transcripts[1].add_message(ONE, CHANNEL, said)
    thread = await transcripts[0].load_thread(ONE, CHANNEL, ROOT, before_ts=Ts("1800000000.000100"), limit=10)
    assert (thread.messages, thread.answers) == ((), ())
    assert await one.turns.load_history(ONE, CHANNEL, ROOT, limit=10, max_age_s=1e9) == []
