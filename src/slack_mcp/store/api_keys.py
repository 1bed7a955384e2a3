"""API keys in the database. Their hashes are no secrets: nobody finds a key of 256 random bits from one."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, update

from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Access
from slack_mcp.ports.identity import ApiKey
from slack_mcp.store.database import Database
from slack_mcp.store.schema import api_keys, connections


class SqlApiKeyStore:
    """`ports.identity.ApiKeyStore`. A key goes with its connection: see `store.connections.OF_A_CONNECTION`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new key; raises ConnectionNotFoundError."""
        values = {
            "key_id": key.key_id,
            "connection_id": key.connection_id,
            "name": key.name,
            "key_hash": key.key_hash,
            "access": key.access.name.lower(),
            "created_at_ms": key.created_at_ms,
            "expires_at_ms": key.expires_at_ms,
            "revoked_at_ms": key.revoked_at_ms,
        }
        # The connection's row is held until the commit, so that a key never outlives a removal at the same moment.
        held = (
            select(connections.c.connection_id)
            .where(connections.c.connection_id == key.connection_id)
            .with_for_update(read=True)
        )
        async with self._database.transaction() as database:
            if (await database.execute(held)).first() is None:
                raise ConnectionNotFoundError(key.connection_id)
            await database.execute(self._database.insert(api_keys).values(**values))

    async def load_key(self, key_id: str) -> ApiKey | None:
        """Return the key, revoked or not; None when there is none, or its connection was removed."""
        async with self._database.reading() as database:
            row = (await database.execute(select(api_keys).where(api_keys.c.key_id == key_id))).mappings().one_or_none()
        return None if row is None else _read(row)

    async def list_keys(self, connection_id: ConnectionId | None) -> Sequence[ApiKey]:
        """Return the keys of one connection, or of all; oldest first within each."""
        statement = select(api_keys).order_by(api_keys.c.connection_id, api_keys.c.created_at_ms, api_keys.c.key_id)
        if connection_id is not None:
            statement = statement.where(api_keys.c.connection_id == connection_id)
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).mappings().all()
        return [_read(row) for row in rows]

    async def revoke_key(self, key_id: str, *, now_ms: int) -> ApiKey | None:
        """Let a key open nothing any more, and return it; None when there is none. Once revoked stays as it was."""
        statement = (
            update(api_keys)
            .where(api_keys.c.key_id == key_id)
            .values(revoked_at_ms=func.coalesce(api_keys.c.revoked_at_ms, now_ms))
            .returning(api_keys)
        )
        async with self._database.transaction() as database:
            row = (await database.execute(statement)).mappings().one_or_none()
        return None if row is None else _read(row)


def _read(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        connection_id=ConnectionId(row["connection_id"]),
        name=row["name"],
        key_hash=row["key_hash"],
        access=Access[row["access"].upper()],
        created_at_ms=row["created_at_ms"],
        expires_at_ms=row["expires_at_ms"],
        revoked_at_ms=row["revoked_at_ms"],
    )
