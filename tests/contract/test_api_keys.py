"""`ApiKeyStore` on every database."""

from dataclasses import replace

import pytest
from stepping_clock import SteppingClock
from store_samples import make_connection

from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.ports.identity import ApiKey
from slack_mcp.sealing import Sealer
from slack_mcp.store.api_keys import SqlApiKeyStore
from slack_mcp.store.connections import SqlConnectionStore
from slack_mcp.store.database import Database

pytestmark = pytest.mark.anyio


def make_api_key(key_id: str = "k1", connection_id: str = "conn_1", **changes: object) -> ApiKey:
    key = ApiKey(
        key_id=key_id,
        connection_id=ConnectionId(connection_id),
        name="laptop",
        key_hash="ab" * 32,
        access=Access.WRITE,
        created_at_ms=1_800_000_000_000,
        expires_at_ms=1_900_000_000_000,
    )
    return replace(key, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def connections(database: Database) -> SqlConnectionStore:
    store = SqlConnectionStore(database, Sealer(None), clock=SteppingClock())
    for connection_id in ("conn_1", "conn_2"):
        await store.save_connection(make_connection(connection_id))
    return store


@pytest.fixture
def keys(database: Database, connections: SqlConnectionStore) -> SqlApiKeyStore:
    return SqlApiKeyStore(database)


async def test_a_key_is_read_back_whole(keys: SqlApiKeyStore) -> None:
    plain = make_api_key()
    full = make_api_key("k2", access=Access.ADMIN, expires_at_ms=None, revoked_at_ms=7)
    for key in (plain, full):
        await keys.add_key(key)
        assert await keys.load_key(key.key_id) == key
    assert await keys.load_key("unknown") is None


async def test_a_key_opens_no_connection_that_does_not_exist(keys: SqlApiKeyStore) -> None:
    with pytest.raises(ConnectionNotFoundError):
        await keys.add_key(make_api_key(connection_id="conn_9"))
    assert await keys.list_keys(None) == []


async def test_keys_are_listed_by_connection_and_age(keys: SqlApiKeyStore) -> None:
    await keys.add_key(make_api_key("kc", "conn_2", created_at_ms=1))
    await keys.add_key(make_api_key("kb", "conn_1", created_at_ms=3))
    await keys.add_key(make_api_key("ka", "conn_1", created_at_ms=2))
    assert [key.key_id for key in await keys.list_keys(None)] == ["ka", "kb", "kc"]
    assert [key.key_id for key in await keys.list_keys(ConnectionId("conn_2"))] == ["kc"]
    assert await keys.list_keys(ConnectionId("conn_9")) == []


async def test_a_key_is_revoked_once_and_for_every_pod(keys: SqlApiKeyStore, other_database: Database) -> None:
    await keys.add_key(make_api_key())
    await keys.add_key(make_api_key("k2"))
    revoked = await keys.revoke_key("k1", now_ms=5)
    assert revoked == make_api_key(revoked_at_ms=5)
    assert await keys.revoke_key("k1", now_ms=9) == revoked
    other = SqlApiKeyStore(other_database)
    assert await other.load_key("k1") == revoked
    assert await other.load_key("k2") == make_api_key("k2")
    assert await keys.revoke_key("unknown", now_ms=5) is None


async def test_a_removed_connection_takes_its_keys_along_and_no_others(
    keys: SqlApiKeyStore, connections: SqlConnectionStore
) -> None:
    await keys.add_key(make_api_key("k1", "conn_1"))
    await keys.add_key(make_api_key("k2", "conn_2"))
    await connections.remove_connection(ConnectionId("conn_1"))
    await connections.save_connection(make_connection("conn_1"))
    assert await keys.load_key("k1") is None
    assert [key.key_id for key in await keys.list_keys(None)] == ["k2"]
