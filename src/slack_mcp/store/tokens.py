"""Tokens that expire, in the database; see `ports.tokens.TokenStore`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

import anyio
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, ConnectionChange
from slack_mcp.ports.tokens import RenewedToken
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.announcements import announce_change
from slack_mcp.store.connections import open_row
from slack_mcp.store.data_keys import get_data_keys, select_with_data_key
from slack_mcp.store.database import Database
from slack_mcp.store.schema import connections

# While Slack is asked the transaction waits; otherwise the server ends one that does nothing for 3 s.
HOLD_LOCK: Final = text("SET LOCAL idle_in_transaction_session_timeout = '30s'")


class SqlTokenStore:
    """`ports.tokens.TokenStore`.

    PostgreSQL keeps the other pods off by a lock on the connection's row, which ends with this process. SQLite has one
    process, and a lock on the only writer would hold up the journal: a lock in memory does.

    Args:
        announce: tells this process of a change after its commit; the others hear of it from the database.
    """

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        *,
        clock: Clock,
        announce: Callable[[ConnectionChange], None] = lambda _change: None,
    ) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._clock = clock
        self._announce = announce
        self._renewing = anyio.Lock()

    async def list_expiring(self, *, before_s: float, limit: int) -> Sequence[ConnectionId]:
        """Return the connections whose token is to be replaced."""
        statement = (
            select(connections.c.connection_id)
            .where(*_is_due(before_s))
            .order_by(connections.c.token_expires_at_s)
            .limit(limit)
        )
        async with self._database.reading() as database:
            return [ConnectionId(row.connection_id) for row in await database.execute(statement)]

    async def renew_token(
        self,
        connection_id: ConnectionId,
        renew: Callable[[Connection], Awaitable[RenewedToken | None]],
        *,
        before_s: float,
    ) -> bool | None:
        """Replace the token of one connection."""
        statement = select_with_data_key().where(connections.c.connection_id == connection_id, *_is_due(before_s))
        is_postgresql = self._database.dialect == "postgresql"
        # A lock that does not wait: whoever has it does what is to be done.
        locking = statement.with_for_update(of=connections, skip_locked=True)
        # Once Slack has been asked, the answer is stored, also while the process is being stopped.
        with anyio.CancelScope(shield=True):
            async with self._renewing, self._hold(is_postgresql=is_postgresql) as held:
                row = await self._read(locking if is_postgresql else statement, held)
                if row is None:
                    return None
                sealer = self._keys.open_joined(row)
                renewed = await renew(open_row(sealer, row))
                change = await self._write(row, _render(sealer, renewed, now_s=self._clock.now_s()), held)
        if change is None:
            return None
        self._keys.cache.drop(connection_id)
        self._announce(change)
        return renewed is not None

    def _hold(self, *, is_postgresql: bool) -> AbstractAsyncContextManager[AsyncConnection | None]:
        """Return the transaction that holds the lock from the reading to the writing."""
        return self._database.transaction() if is_postgresql else nullcontext()

    async def _read(self, statement: Any, held: AsyncConnection | None) -> Mapping[Any, Any] | None:
        if held is None:
            async with self._database.reading() as database:
                return _read_one(await database.execute(statement))
        await held.execute(HOLD_LOCK)
        return _read_one(await held.execute(statement))

    async def _write(
        self, row: Mapping[Any, Any], values: Mapping[str, Any], held: AsyncConnection | None
    ) -> ConnectionChange | None:
        """Write the tokens, unless others were saved meanwhile."""
        if held is None:
            async with self._database.transaction() as database:
                return await _update(database, row, values)
        return await _update(held, row, values)


def _is_due(before_s: float) -> tuple[Any, ...]:
    held = connections.c
    return held.refresh_token.is_not(None), held.token_expires_at_s <= before_s, ~held.disabled


def _read_one(result: Any) -> Mapping[Any, Any] | None:
    row: Mapping[Any, Any] | None = result.mappings().one_or_none()
    return row


def _render(sealer: ConnectionSealer, renewed: RenewedToken | None, *, now_s: float) -> dict[str, Any]:
    """Return the columns that change; without new tokens the one that is of no use."""
    if renewed is None:
        return {"refresh_token": None}
    return {
        "bot_token": sealer.seal("bot_token", renewed.bot_token.reveal()),
        "refresh_token": sealer.seal("refresh_token", renewed.refresh_token.reveal()),
        "token_expires_at_s": now_s + renewed.expires_in_s,
    }


async def _update(
    database: AsyncConnection, row: Mapping[Any, Any], values: Mapping[str, Any]
) -> ConnectionChange | None:
    statement = (
        update(connections)
        .where(connections.c.connection_id == row["connection_id"], connections.c.refresh_token == row["refresh_token"])
        .values(**values, version=connections.c.version + 1)
        .returning(connections.c.version)
    )
    version = (await database.execute(statement)).scalar_one_or_none()
    if version is None:
        return None
    change = ConnectionChange(connection_id=ConnectionId(row["connection_id"]), version=version)
    await announce_change(database, change)
    return change
