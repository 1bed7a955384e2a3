"""The guarantees of `ports.store.ConnectionStore`, on every database."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from stepping_clock import SteppingClock
from store_samples import claim_lane, make_connection, make_turn

from slack_mcp.core.errors import SealingError, StoreError
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import Connection, ConnectionChange, ConnectionSettings
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import KeyRing, Sealer
from slack_mcp.store.connections import SECRET_COLUMNS, SqlConnectionStore
from slack_mcp.store.database import Database
from slack_mcp.store.schema import connections, events
from slack_mcp.store.turns import SqlTurnStore

pytestmark = pytest.mark.anyio

CONN = ConnectionId("conn_1")
RING = KeyRing.generate("k1")
NOW = "2027-01-15T08:00:00.000000+00:00"


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def heard() -> list[ConnectionChange]:
    return []


@pytest.fixture
def store(database: Database, clock: SteppingClock, heard: list[ConnectionChange]) -> SqlConnectionStore:
    return SqlConnectionStore(database, Sealer(RING), clock=clock, announce=heard.append)


async def load_row(database: Database, connection_id: str = CONN) -> dict[str, object]:
    async with database.reading() as connection:
        statement = select(connections).where(connections.c.connection_id == connection_id)
        return dict((await connection.execute(statement)).mappings().one())


async def change_row(database: Database, values: dict[str, object], connection_id: str = CONN) -> None:
    async with database.transaction() as connection:
        await connection.execute(update(connections).where(connections.c.connection_id == connection_id).values(values))


async def test_connection_comes_back_as_it_was_saved(store: SqlConnectionStore) -> None:
    saved = await store.save_connection(make_connection())
    assert saved == make_connection(version=1, configured_at=NOW, updated_at=NOW)
    assert await store.load_connection(CONN) == saved


async def test_connection_with_the_least_comes_back_as_it_was_saved(store: SqlConnectionStore) -> None:
    least = Connection(
        connection_id=CONN, organization_id="", mesh_url="", bot_token=Secret("t"), signing_secret=Secret("s")
    )
    assert await store.save_connection(least) == replace(least, configured_at=NOW, updated_at=NOW)


async def test_unknown_connection_is_none(store: SqlConnectionStore) -> None:
    assert await store.load_connection(CONN) is None
    assert await store.list_connections() == []
    assert await store.count_connections() == (0, 0)
    assert await store.load_connection_ids_of_team(TeamId("T1")) == []


async def test_saving_again_replaces_everything_and_raises_the_version(
    store: SqlConnectionStore, clock: SteppingClock
) -> None:
    await store.save_connection(make_connection())
    clock.time_s += 1.5
    least = Connection(
        connection_id=CONN,
        organization_id="org_2",
        mesh_url="https://other.example",
        bot_token=Secret("t2"),
        signing_secret=Secret("s2"),
        mesh_token=Secret(""),
        configured_at=NOW,
    )
    saved = await store.save_connection(least)
    assert saved == replace(least, version=2, updated_at="2027-01-15T08:00:01.500000+00:00")
    assert await store.load_connection(CONN) == saved


async def test_version_comes_from_the_database_and_not_from_the_caller(store: SqlConnectionStore) -> None:
    await store.save_connection(make_connection(version=7))
    assert (await store.save_connection(make_connection(version=1))).version == 2


async def test_time_of_configuration_is_new_when_the_connection_comes_without(
    store: SqlConnectionStore, clock: SteppingClock
) -> None:
    first = await store.save_connection(make_connection())
    clock.time_s += 60
    assert (await store.save_connection(first)).configured_at == NOW
    assert (await store.save_connection(make_connection())).configured_at == "2027-01-15T08:01:00.000000+00:00"


async def test_two_pods_that_save_at_once_never_make_the_same_version(
    database: Database, other_database: Database, clock: SteppingClock
) -> None:
    pods = [SqlConnectionStore(each, Sealer(RING), clock=clock) for each in (database, other_database)]
    saved: list[Connection] = []

    async def save(pod: SqlConnectionStore, number: int) -> None:
        saved.append(await pod.save_connection(make_connection(team_name=f"Acme {number}")))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(save, pods[number % 2], number)

    assert sorted(each.version for each in saved) == list(range(1, 21))
    # What stands is what the highest version was returned for: no save wrote over a later one.
    assert await pods[0].load_connection(CONN) == max(saved, key=lambda each: each.version)


async def test_change_is_announced_here_after_its_commit(
    store: SqlConnectionStore, heard: list[ConnectionChange]
) -> None:
    await store.save_connection(make_connection())
    await store.save_connection(make_connection())
    await store.remove_connection(CONN)
    assert heard == [ConnectionChange(connection_id=CONN, version=version) for version in (1, 2, None)]


async def test_secrets_are_sealed_in_every_column(store: SqlConnectionStore, database: Database) -> None:
    await store.save_connection(make_connection())
    row = await load_row(database)
    for column in SECRET_COLUMNS:
        assert str(row[column]).startswith("sealed:v2:")
    assert "canary" not in repr(row)
    assert row["system_prompt"] == "Be kind."


async def test_secrets_do_not_open_with_another_key(store: SqlConnectionStore, database: Database) -> None:
    await store.save_connection(make_connection())
    stranger = SqlConnectionStore(database, Sealer(KeyRing.generate("k2")), clock=SteppingClock())
    with pytest.raises(SealingError, match="k1"):
        await stranger.load_connection(CONN)


@pytest.mark.parametrize("column", SECRET_COLUMNS)
async def test_secret_moved_to_another_connection_or_column_does_not_open(
    store: SqlConnectionStore, database: Database, column: str
) -> None:
    await store.save_connection(make_connection())
    await store.save_connection(make_connection("conn_2"))
    theirs = await load_row(database, "conn_2")
    await change_row(database, {column: theirs[column]})
    with pytest.raises(SealingError, match=column):
        await store.load_connection(CONN)
    other_column = next(name for name in SECRET_COLUMNS if name != column)
    await change_row(database, {column: theirs[other_column]}, "conn_2")
    with pytest.raises(SealingError, match=column):
        await store.load_connection(ConnectionId("conn_2"))


async def test_clear_secrets_that_a_deployment_brings_along_are_read(
    store: SqlConnectionStore, database: Database
) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO slack_connections (connection_id, organization_id, mesh_url, bot_token, signing_secret) "
                "VALUES ('conn_1', 'org_1', 'https://mesh.example', 'xoxb-1', 'secret-1')"
            )
        )
    found = await store.load_connection(CONN)
    assert found is not None
    assert (found.bot_token.reveal(), found.signing_secret.reveal()) == ("xoxb-1", "secret-1")
    assert (found.settings, found.version, found.disabled) == (ConnectionSettings(), 1, False)


async def test_list_is_in_order_of_the_ids(store: SqlConnectionStore) -> None:
    for connection_id in ("conn_b", "conn_c", "conn_a"):
        await store.save_connection(make_connection(connection_id))
    assert [each.connection_id for each in await store.list_connections()] == ["conn_a", "conn_b", "conn_c"]


@pytest.mark.parametrize("broken", [{"bot_token": "sealed:v1:k9:AAAA"}, {"settings": "[]"}, {"settings": "{"}])
async def test_connection_that_cannot_be_read_does_not_hide_the_others(
    store: SqlConnectionStore, database: Database, broken: dict[str, object]
) -> None:
    for connection_id in ("conn_1", "conn_2"):
        await store.save_connection(make_connection(connection_id))
    await change_row(database, broken)
    with structlog.testing.capture_logs() as lines:
        assert [each.connection_id for each in await store.list_connections()] == ["conn_2"]
    assert [(line["event"], line["connection_id"]) for line in lines] == [("connection.unreadable", "conn_1")]


async def test_settings_of_a_newer_version_are_read_as_far_as_they_are_known(
    store: SqlConnectionStore, database: Database
) -> None:
    await store.save_connection(make_connection())
    await change_row(database, {"settings": '{"agent": "oracle", "allowed_channels": ["C7"], "mood": "sunny"}'})
    found = await store.load_connection(CONN)
    assert found is not None
    assert found.settings == ConnectionSettings(agent=None, allowed_channels=("C7",))  # type: ignore[arg-type]


@pytest.mark.parametrize("held", ["null", "[]", "{", '{"allowed_channels": null}', '{"thread_timeout_min": "x"}'])
async def test_settings_that_cannot_be_read_are_an_error_and_not_a_permission(
    store: SqlConnectionStore, database: Database, held: str
) -> None:
    await store.save_connection(make_connection())
    await change_row(database, {"settings": held})
    with pytest.raises(StoreError, match="settings"):
        await store.load_connection(CONN)


async def test_connections_are_counted_with_and_without_a_key(store: SqlConnectionStore) -> None:
    await store.save_connection(make_connection("conn_1"))
    await store.save_connection(make_connection("conn_2", mesh_api_key=None))
    assert await store.count_connections() == (2, 1)


async def test_workspace_has_its_connections_by_id(store: SqlConnectionStore) -> None:
    await store.save_connection(make_connection("conn_2", api_app_id=None))
    await store.save_connection(make_connection("conn_1"))
    await store.save_connection(make_connection("conn_3", team_id=TeamId("T2")))
    await store.save_connection(make_connection("conn_4", team_id=None))
    assert await store.load_connection_ids_of_team(TeamId("T1")) == [("conn_1", "A1"), ("conn_2", None)]


async def test_removed_connection_takes_its_turns_along_and_leaves_its_events(
    store: SqlConnectionStore, database: Database
) -> None:
    turns = SqlTurnStore(database, Sealer(RING), clock=SteppingClock())
    for connection_id in ("conn_1", "conn_2"):
        await store.save_connection(make_connection(connection_id))
        await turns.begin_turn(make_turn(connection_id))
        await claim_lane(database, connection_id)

    assert await store.remove_connection(CONN) is True
    assert await store.remove_connection(CONN) is False

    assert await store.load_connection(CONN) is None
    assert await store.load_connection(ConnectionId("conn_2")) is not None
    assert not await turns.has_turn_in_thread(CONN, make_turn().channel_id, make_turn().thread_ts)
    assert await turns.count_turns() == 1
    async with database.reading() as connection:
        journalled = (await connection.execute(select(events.c.connection_id).order_by(events.c.id))).scalars().all()
    assert journalled == ["conn_1", "conn_2"]


HEALTHY: dict[str, Any] = {"disabled": False, "mesh_refused_since_ms": None}
DAY_S = 86_400


async def test_first_refusal_of_mesh_is_noted_once_and_announced(
    store: SqlConnectionStore, clock: SteppingClock, heard: list[ConnectionChange]
) -> None:
    first = await store.save_connection(make_connection(**HEALTHY))
    other = await store.save_connection(make_connection("conn_2", **HEALTHY))
    clock.time_s += 1.5
    await store.note_refusal(first)
    noted = await store.load_connection(CONN)
    assert noted == replace(first, version=2, mesh_refused_since_ms=1_800_000_001_500)
    clock.time_s += 60
    await store.note_refusal(noted)
    assert await store.load_connection(CONN) == noted
    assert await store.load_connection(other.connection_id) == other
    assert heard[2:] == [ConnectionChange(connection_id=CONN, version=2)]


async def test_refusal_of_what_the_connection_was_before_is_not_noted(store: SqlConnectionStore) -> None:
    before = await store.save_connection(make_connection(**HEALTHY))
    now = await store.save_connection(make_connection(**HEALTHY, mesh_api_key=Secret("a newer key")))
    await store.note_refusal(before)
    assert await store.load_connection(CONN) == now


async def test_refusal_of_a_connection_that_its_operator_disabled_is_not_noted(store: SqlConnectionStore) -> None:
    disabled = await store.save_connection(make_connection(mesh_refused_since_ms=None))
    await store.note_refusal(disabled)
    await store.clear_refusal(disabled)
    assert await store.load_connection(CONN) == disabled


@pytest.mark.parametrize("disabled", [False, True])
async def test_refusal_is_cleared_once_and_what_was_disabled_for_it_is_enabled(
    store: SqlConnectionStore, heard: list[ConnectionChange], *, disabled: bool
) -> None:
    refused = await store.save_connection(make_connection(disabled=disabled))
    other = await store.save_connection(make_connection("conn_2"))
    for _ in range(2):
        await store.clear_refusal(refused)
    assert await store.load_connection(CONN) == replace(refused, version=2, disabled=False, mesh_refused_since_ms=None)
    assert await store.load_connection(other.connection_id) == other
    assert heard[2:] == [ConnectionChange(connection_id=CONN, version=2)]


async def test_only_connections_that_are_refused_for_long_enough_are_disabled(
    store: SqlConnectionStore, clock: SteppingClock, heard: list[ConnectionChange]
) -> None:
    noted: list[Connection | None] = []
    for connection_id in ("conn_1", "conn_2"):
        await store.note_refusal(await store.save_connection(make_connection(connection_id, **HEALTHY)))
        noted.append(await store.load_connection(ConnectionId(connection_id)))
        clock.time_s += DAY_S
    healthy = await store.save_connection(make_connection("conn_3", **HEALTHY))
    heard.clear()

    assert await store.disable_gone(refused_for_s=2 * DAY_S + 1) == 0
    with structlog.testing.capture_logs() as lines:
        assert await store.disable_gone(refused_for_s=2 * DAY_S) == 1
    assert await store.disable_gone(refused_for_s=2 * DAY_S) == 0

    gone = await store.load_connection(CONN)
    assert gone is not None
    assert noted[0] is not None
    assert gone == replace(noted[0], version=3, disabled=True)
    assert gone.is_gone
    assert await store.load_connection(ConnectionId("conn_2")) == noted[1]
    assert await store.load_connection(healthy.connection_id) == healthy
    assert heard == [ConnectionChange(connection_id=CONN, version=3)]
    assert [(line["event"], line["connection_id"]) for line in lines] == [("connection.gone", "conn_1")]


async def test_two_pods_that_disable_at_once_disable_each_connection_once(
    database: Database, other_database: Database, clock: SteppingClock
) -> None:
    pods = [SqlConnectionStore(each, Sealer(RING), clock=clock) for each in (database, other_database)]
    for number in range(10):
        await pods[0].save_connection(make_connection(f"conn_{number}", disabled=False))
    counts: list[int] = []

    async def disable(pod: SqlConnectionStore) -> None:
        counts.append(await pod.disable_gone(refused_for_s=0))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for pod in pods:
                tasks.start_soon(disable, pod)
    assert sum(counts) == 10
    assert {(each.version, each.is_gone) for each in await pods[0].list_connections()} == {(2, True)}


# What PostgreSQL cannot store at all is refused where it comes in: NUL, and half a surrogate pair.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(TEXTS, min_size=4, max_size=4))
async def test_any_text_comes_back_as_it_was_saved(store: SqlConnectionStore, words: list[str]) -> None:
    connection = make_connection(
        bot_token=Secret(words[0]), mesh_token=Secret(words[1]), system_prompt=words[2], team_name=words[3]
    )
    saved = await store.save_connection(connection)
    found = await store.load_connection(CONN)
    assert found == saved
    assert replace(saved, version=1, configured_at="", updated_at="") == connection
