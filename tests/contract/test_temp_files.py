"""The guarantees of `ports.attachments.TempFileStore`, on every database."""

import pytest
from sqlalchemy import func, select
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.attachments import TempFile
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.schema import temp_files
from slack_mcp.store.temp_files import SqlTempFileStore

pytestmark = pytest.mark.anyio

CONN, OTHER = ConnectionId("conn_1"), ConnectionId("conn_2")
RING = KeyRing.generate("k1")
FILE = TempFile(name="canary name.mp3", mimetype="audio/mpeg", content=b"canary\0" * 1_000)


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def store(database: Database, clock: SteppingClock) -> SqlTempFileStore:
    return SqlTempFileStore(database, Sealer(RING), clock=clock)


async def count(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(temp_files))).scalar_one())


async def test_a_file_comes_back_as_it_was_on_any_pod(
    store: SqlTempFileStore, other_database: Database, clock: SteppingClock
) -> None:
    file_id = await store.add_temp_file(CONN, FILE, ttl_s=60)
    other = SqlTempFileStore(other_database, Sealer(RING), clock=clock)
    assert await other.load_temp_file(file_id) == FILE
    assert await store.load_temp_file(file_id.swapcase()) is None


async def test_a_file_of_many_megabytes_is_kept(store: SqlTempFileStore) -> None:
    large = TempFile(name="a", mimetype="audio/wav", content=bytes(25_000_000))
    file_id = await store.add_temp_file(CONN, large, ttl_s=60)
    assert await store.load_temp_file(file_id) == large


async def test_each_file_has_an_id_of_its_own(store: SqlTempFileStore) -> None:
    ids = {await store.add_temp_file(CONN, FILE, ttl_s=60) for _ in range(3)}
    assert len(ids) == 3


async def test_name_and_content_are_sealed(store: SqlTempFileStore, database: Database) -> None:
    await store.add_temp_file(CONN, FILE, ttl_s=60)
    async with database.reading() as connection:
        rows = (await connection.execute(select(temp_files))).all()
    assert len(rows) == 1
    assert "canary" not in repr(rows)


async def test_a_file_whose_time_is_over_is_not_given_out_and_is_deleted_in_small_batches(
    store: SqlTempFileStore, database: Database, clock: SteppingClock
) -> None:
    old = [await store.add_temp_file(CONN, FILE, ttl_s=60) for _ in range(3)]
    new = await store.add_temp_file(CONN, FILE, ttl_s=61)
    clock.time_s += 60
    assert [await store.load_temp_file(each) for each in old] == [None, None, None]
    assert [await store.delete_expired(limit=2) for _ in range(3)] == [2, 1, 0]
    assert await store.load_temp_file(new) == FILE
    assert await count(database) == 1


async def test_a_connection_removes_its_own_files_and_no_others(store: SqlTempFileStore) -> None:
    file_id = await store.add_temp_file(CONN, FILE, ttl_s=60)
    await store.remove_temp_file(OTHER, file_id)
    assert await store.load_temp_file(file_id) == FILE
    await store.remove_temp_file(CONN, file_id)
    await store.remove_temp_file(CONN, file_id)
    assert await store.load_temp_file(file_id) is None


async def test_a_file_goes_with_its_connection(
    store: SqlTempFileStore, database: Database, clock: SteppingClock
) -> None:
    connections = SqlConnectionStore(database, Sealer(RING), clock=clock)
    await connections.save_connection(make_connection(CONN))
    await store.add_temp_file(CONN, FILE, ttl_s=60)
    kept = await store.add_temp_file(OTHER, FILE, ttl_s=60)
    await connections.remove_connection(CONN)
    assert await count(database) == 1
    assert await store.load_temp_file(kept) == FILE


async def test_a_file_that_does_not_open_any_more_is_as_good_as_gone(
    store: SqlTempFileStore, database: Database, clock: SteppingClock
) -> None:
    file_id = await store.add_temp_file(CONN, FILE, ttl_s=60)
    assert await SqlTempFileStore(database, Sealer(None), clock=clock).load_temp_file(file_id) is None
