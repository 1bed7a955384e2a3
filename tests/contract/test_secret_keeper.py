"""All values can be counted by their keys, and sealed anew, beside whoever works with them."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from sealing_process import ONE, POD, TWO, Process, fetch, pass_over, save_without_data_keys
from sqlalchemy import LargeBinary, Text, select, update
from store_samples import CHANNEL, ROOT, make_connection, make_turn
from trigger_fakes import make_trigger

from slack_mcp.core.errors import ConflictError
from slack_mcp.core.ids import ConnectionId, Ts, UserId
from slack_mcp.ports.attachments import TempFile
from slack_mcp.ports.questions import Question, QuestionState
from slack_mcp.ports.secrets import Resealed, SealCount, SealedBy
from slack_mcp.ports.transcript import ThreadMessage
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store import schema
from slack_mcp.store.connections import SECRET_COLUMNS
from slack_mcp.store.database import Database
from slack_mcp.store.questions import SqlQuestionStore
from slack_mcp.store.schema import data_keys, turns
from slack_mcp.store.sealed_columns import SEALED
from slack_mcp.store.secret_keeper import SqlSecretKeeper
from slack_mcp.store.temp_files import SqlTempFileStore
from slack_mcp.store.transcript import SqlTranscript

pytestmark = pytest.mark.anyio

OLD = {"old": b"o" * 32}
NEW = {"new": b"n" * 32}


def count(counts: Sequence[SealCount], by: SealedBy, key_id: str | None = None) -> int:
    return sum(each.count for each in counts if (each.sealed_by, each.key_id) == (by, key_id))


def count_left(counts: Sequence[SealCount]) -> int:
    return sum(each.count for each in counts if each.is_left)


async def fill(process: Process, connection_id: ConnectionId) -> None:
    """Write something into every sealed column."""
    database, sealer, clock = process.database, process.sealer, process.clock
    await process.connections.save_connection(make_connection(connection_id))
    await process.triggers.update_triggers(connection_id, lambda _: [make_trigger()])
    await process.turns.begin_turn(make_turn(connection_id, answer="canary", opening="canary"))
    transcript = SqlTranscript(database, sealer, clock=clock)
    said = ThreadMessage(
        message_ts=Ts("1700000000.000200"), thread_ts=ROOT, user_id=UserId("UANN"), bot_id=None, text="canary"
    )
    await transcript.add_message(connection_id, CHANNEL, said)
    await transcript.save_summary(connection_id, CHANNEL, ROOT, summary="canary", until_ts=ROOT, generation=0)
    questions = SqlQuestionStore(database, sealer, clock=clock)
    question = Question(
        connection_id=connection_id,
        question_id="q1",
        channel_id=CHANNEL,
        thread_ts=None,
        message_ts=None,
        asked_by="test",
        text="canary",
        options=("a", "b"),
        has_form=False,
        answerers=(),
        quorum=1,
        state=QuestionState.OPEN,
        expires_at_ms=10**15,
        created_at_ms=0,
        answers=(),
        is_used=False,
    )
    await questions.add_question(question)
    await questions.add_answer(connection_id, "q1", UserId("UANN"), "a")
    file = TempFile(name="canary", mimetype="text/plain", content=b"canary")
    await SqlTempFileStore(database, sealer, clock=clock).add_temp_file(connection_id, file, ttl_s=3600)
    await process.append(1, connection_id)


async def read_all(database: Database) -> list[Any]:
    return [await fetch(database, sealed.table) for sealed in SEALED]


async def test_every_sealed_column_is_known(database: Database) -> None:
    process = Process(database)
    await fill(process, ONE)
    known = {(sealed.table.name, name) for sealed in SEALED for name in sealed.columns} | {
        ("slack_data_keys", "sealed_key")
    }
    sealed: set[tuple[str, str]] = set()
    async with database.reading() as connection:
        for table in schema.metadata.sorted_tables:
            for row in (await connection.execute(select(table))).mappings():
                for name, value in row.items():
                    text = value[:3] == b"\x00sl" if isinstance(value, bytes) else str(value).startswith("sealed:")
                    if text:
                        sealed.add((table.name, name))
    assert sealed == known
    assert set(SEALED[0].columns) == set(SECRET_COLUMNS)
    kinds = {type(each.table.c[name].type) for each in SEALED for name in each.columns}
    assert kinds <= {Text, LargeBinary}


async def test_everything_moves_under_the_new_key_and_still_opens(database: Database) -> None:
    old = Process(database, Sealer(KeyRing(OLD)))
    for connection_id in (ONE, TWO):
        await fill(old, connection_id)
    before = await old.connections.load_connection(ONE)
    sealer = Sealer(KeyRing(NEW | OLD))
    keeper = SqlSecretKeeper(database, sealer)
    counts = await keeper.count_sealed()
    assert keeper.key_ids == ("new", "old")
    assert count(counts, SealedBy.RING, "old") == 2  # the data keys: all else hangs on them
    assert count_left(counts) == 2
    rows = await read_all(database)
    assert await keeper.rotate(pass_over) == Resealed(keys_moved=2)
    assert await read_all(database) == rows
    counts = await keeper.count_sealed()
    assert count_left(counts) == 0
    assert count(counts, SealedBy.RING, "new") == 2
    assert count(counts, SealedBy.DATA_KEY) == 2 * sum(len(sealed.columns) for sealed in SEALED)
    new = Process(database, Sealer(KeyRing(NEW)))
    assert await new.connections.load_connection(ONE) == before


@pytest.mark.parametrize("before", ["ring", "clear"])
async def test_what_was_sealed_by_the_ring_or_clear_gets_data_keys(database: Database, before: str) -> None:
    ring = None if before == "clear" else KeyRing(OLD)
    process = Process(database, Sealer(ring))
    for connection_id in (ONE, TWO):
        await fill(process, connection_id)
    if before == "ring":
        await SqlSecretKeeper(database, process.sealer).drop_data_keys(pass_over)
    assert await fetch(database, data_keys) == []
    values = 2 * sum(len(sealed.columns) for sealed in SEALED)

    keeper = SqlSecretKeeper(database, Sealer(KeyRing(NEW | OLD)))
    counts = await keeper.count_sealed()
    expected = (SealedBy.CLEAR, None) if before == "clear" else (SealedBy.RING, "old")
    assert count(counts, *expected) == count_left(counts) == values
    assert await keeper.rotate(pass_over) == Resealed(keys_made=2, values=values)
    counts = await keeper.count_sealed()
    assert (count(counts, SealedBy.DATA_KEY), count_left(counts)) == (values, 0)
    assert await keeper.rotate(pass_over) == Resealed()

    new = Process(database, Sealer(KeyRing(NEW)))
    loaded = await new.connections.load_connection(TWO)
    assert loaded is not None
    assert loaded.bot_token == make_connection(TWO).bot_token
    turn = await new.turns.load_turn(ONE, CHANNEL, ROOT)
    assert turn is not None
    assert (turn.question, turn.answer, turn.opening) == ("canary-question-conn_1", "canary", "canary")
    assert [event.payload for event in await new.claim()] == [b"canary", b"canary"]


async def test_what_a_removed_connection_left_under_an_old_key_moves_too(database: Database) -> None:
    old = Process(database, Sealer(KeyRing(OLD)))
    await save_without_data_keys(old, ONE)
    await old.append(1)
    await old.connections.remove_connection(ONE)
    keeper = SqlSecretKeeper(database, Sealer(KeyRing(NEW | OLD)))
    assert count_left(await keeper.count_sealed()) == 1
    assert await keeper.rotate(pass_over) == Resealed(values=1)
    counts = await keeper.count_sealed()
    assert (count(counts, SealedBy.RING, "new"), count_left(counts)) == (1, 0)


async def test_what_was_destroyed_is_told_and_left_alone(database: Database) -> None:
    process = Process(database)
    await process.connections.save_connection(make_connection())
    await process.append(1)
    await process.connections.remove_connection(ONE)
    keeper = SqlSecretKeeper(database, process.sealer)
    assert await keeper.rotate(pass_over) == Resealed()
    counts = await keeper.count_sealed()
    assert (count(counts, SealedBy.DESTROYED), count_left(counts)) == (1, 0)


async def test_what_does_not_open_is_counted_and_stays_as_it_is(database: Database) -> None:
    lost = Process(database, Sealer(KeyRing(OLD)))
    await save_without_data_keys(lost, ONE)
    await lost.append(1)
    rows = await read_all(database)
    keeper = SqlSecretKeeper(database, Sealer(KeyRing(NEW)))
    done = await keeper.rotate(pass_over)
    assert (done.keys_made, done.values, done.unreadable) == (1, 0, 1 + len(SECRET_COLUMNS))
    assert await read_all(database) == rows
    assert count_left(await keeper.count_sealed()) == 1 + len(SECRET_COLUMNS)


async def test_nobody_loses_what_he_writes_meanwhile(database: Database, other_database: Database) -> None:
    pod = Process(other_database, Sealer(KeyRing(OLD)))
    await save_without_data_keys(pod, ONE)
    for number in range(300):
        await pod.append(number)
    pod.keys.cache.drop(ONE)
    # As a pod that has heard of the new key's place: it opens and seals with either.
    running = Process(other_database, Sealer(KeyRing(NEW | OLD)))
    keeper = SqlSecretKeeper(database, Sealer(KeyRing(NEW | OLD)))
    written: list[str] = []
    ended = anyio.Event()

    async def write() -> None:
        number = 1000
        while not ended.is_set():
            prompt = f"prompt {number}"
            saved = await running.connections.save_connection(make_connection(model_id=prompt))
            assert saved.model_id == prompt
            written.append(prompt)
            await running.append(number)
            number += 1

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            done = await keeper.rotate(pass_over)
            ended.set()
    assert done.values >= 300
    assert len(written) > 1  # both were under way
    done_after = await keeper.rotate(pass_over)
    assert count_left(await keeper.count_sealed()) == 0
    assert done_after.unreadable == 0
    loaded = await running.connections.load_connection(ONE)
    assert loaded is not None
    assert loaded.model_id == written[-1]
    claimed: list[bytes] = []
    while claims := await running.journal.claim(
        POD, max_lanes=1000, lanes_per_connection=1000, lease_s=60, events_per_lane=10
    ):
        claimed += [event.payload for claim in claims for event in claim.events]
    assert claimed == [b"canary"] * (300 + len(written))


async def test_data_keys_are_not_deleted_while_something_hangs_on_them(database: Database) -> None:
    process = Process(database)
    await fill(process, ONE)
    keeper = SqlSecretKeeper(database, process.sealer)
    async with database.transaction() as connection:
        (row,) = (await connection.execute(select(turns))).mappings().all()
        broken = row["question"][:-4] + "AAAA"
        await connection.execute(update(turns).values(question=broken))
    with pytest.raises(ConflictError, match="slack_turns"):
        await keeper.drop_data_keys(pass_over)
    assert len(await fetch(database, data_keys)) == 1


async def test_the_progress_is_told(database: Database) -> None:
    process = Process(database, Sealer(None))
    for number in range(250):
        await process.append(number)
    heard: list[tuple[str, int]] = []
    keeper = SqlSecretKeeper(database, Sealer(KeyRing(NEW)))
    await keeper.rotate(lambda table, done: heard.append((table, done)))
    assert heard == [("slack_events", 100), ("slack_events", 200), ("slack_events", 250)]
