import anyio
import pytest
from sqlalchemy import select, text
from stepping_clock import SteppingClock
from store_samples import make_connection
from trigger_fakes import SIGNING_SECRET, make_mesh_trigger, make_trigger

from slack_mcp.core.errors import ConnectionNotFoundError, InvalidInputError, SealingError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange, Trigger
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.schema import triggers
from slack_mcp.store.triggers import SqlTriggerStore

pytestmark = pytest.mark.anyio
RING = KeyRing.generate("k1")
ONE, OTHER = ConnectionId("conn_1"), ConnectionId("conn_2")


class Store:
    """Connections and their triggers, as one pod has them."""

    def __init__(self, database: Database) -> None:
        self.announced: list[ConnectionChange] = []
        self.clock = SteppingClock()
        self.connections = SqlConnectionStore(database, Sealer(RING), clock=self.clock)
        self.triggers = SqlTriggerStore(database, Sealer(RING), clock=self.clock, announce=self.announced.append)

    async def add(self, connection_id: ConnectionId, *added: Trigger) -> tuple[Trigger, ...]:
        return await self.triggers.update_triggers(connection_id, lambda standing: [*standing, *added])

    async def load(self, connection_id: ConnectionId) -> tuple[tuple[Trigger, ...], int]:
        connection = await self.connections.load_connection(connection_id)
        assert connection is not None
        return connection.triggers, connection.version


@pytest.fixture
async def store(database: Database) -> Store:
    store = Store(database)
    for connection_id in (ONE, OTHER):
        await store.connections.save_connection(make_connection(connection_id))
    return store


async def test_triggers_come_back_with_their_connection_and_raise_its_version(store: Store) -> None:
    added = (make_mesh_trigger(filters={"channel_id": "C1"}), make_trigger("trg_1", refused_at_ms=7))
    assert await store.add(ONE, *added) == added
    assert await store.load(ONE) == (added, 2)
    assert store.announced == [ConnectionChange(connection_id=ONE, version=2)]


async def test_a_change_replaces_adds_and_removes_in_one_go(store: Store) -> None:
    await store.add(ONE, make_trigger("trg_1"), make_trigger("trg_2"))
    changed = (make_trigger("trg_2", url="https://other.example/"), make_trigger("trg_3"))
    await store.triggers.update_triggers(ONE, lambda _standing: changed)
    assert (await store.load(ONE))[0] == changed


async def test_a_change_that_changes_nothing_is_not_announced(store: Store) -> None:
    await store.add(ONE, make_trigger())
    store.announced.clear()
    await store.triggers.update_triggers(ONE, lambda standing: standing)
    assert store.announced == []
    assert (await store.load(ONE))[1] == 2


async def test_a_change_that_fails_leaves_everything_as_it_was(store: Store) -> None:
    await store.add(ONE, make_trigger())

    def fail(_standing: object) -> tuple[Trigger, ...]:
        raise InvalidInputError("no")

    with pytest.raises(InvalidInputError):
        await store.triggers.update_triggers(ONE, fail)
    assert await store.load(ONE) == ((make_trigger(),), 2)


async def test_the_same_ids_in_two_connections_do_not_meet(store: Store) -> None:
    await store.add(ONE, make_trigger(url="https://one.example/"))
    await store.add(OTHER, make_trigger(url="https://other.example/"))
    await store.triggers.update_triggers(ONE, lambda _standing: ())
    assert (await store.load(ONE))[0] == ()
    assert [each.url for each in (await store.load(OTHER))[0]] == ["https://other.example/"]


async def test_changes_at_once_from_two_pods_lose_none(store: Store, other_database: Database) -> None:
    pods = [store, Store(other_database)]

    async def add(number: int) -> None:
        await pods[number % 2].add(ONE, make_trigger(f"trg_{number:02}"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(add, number)
    standing, version = await store.load(ONE)
    assert [each.trigger_id for each in standing] == [f"trg_{number:02}" for number in range(20)]
    assert version == 21


async def test_a_connection_that_does_not_exist_has_no_triggers(store: Store) -> None:
    with pytest.raises(ConnectionNotFoundError):
        await store.add(ConnectionId("conn_3"), make_trigger())
    await store.add(ONE, make_trigger())
    await store.connections.remove_connection(ONE)
    with pytest.raises(ConnectionNotFoundError):
        await store.add(ONE, make_trigger())
    await store.connections.save_connection(make_connection(ONE))
    assert (await store.load(ONE))[0] == ()


async def test_saving_the_connection_keeps_its_triggers(store: Store) -> None:
    await store.add(ONE, make_trigger())
    await store.connections.save_connection(make_connection(ONE, connection_name="New"))
    assert await store.load(ONE) == ((make_trigger(),), 3)


async def test_secrets_are_sealed_for_their_connection(store: Store, database: Database) -> None:
    await store.add(ONE, make_trigger())
    async with database.reading() as connection:
        (row,) = (await connection.execute(select(triggers))).mappings().all()
    assert SIGNING_SECRET not in row["secret"]
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE slack_triggers SET connection_id = 'conn_2'"))
    with pytest.raises(SealingError):
        await store.load(OTHER)
