"""What Slack took back, in the database; see `ports.installation.InstallationStore`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import RowMapping, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import Clock
from slack_mcp.core.model import Connection, ConnectionChange
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import Sealer
from slack_mcp.store.announcements import announce_change
from slack_mcp.store.connections import open_row, render_row
from slack_mcp.store.data_keys import destroy_key, get_data_keys, select_with_data_key
from slack_mcp.store.database import Database
from slack_mcp.store.schema import (
    answers,
    buckets,
    connections,
    messages,
    questions,
    ratings,
    temp_files,
    threads,
    triggers,
    turns,
)
from slack_mcp.store.triggers import SECRET_COLUMN

OF_AN_INSTALLATION: Final = (turns, threads, messages, ratings, temp_files, buckets, questions, answers)
NO_TOKEN: Final = Secret("")


class SqlInstallationStore:
    """`ports.installation.InstallationStore`.

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

    async def disconnect(self, connection: Connection) -> bool:
        """Destroy the data key with all that belonged to the installation, in one transaction."""
        connection_id = connection.connection_id
        async with self._database.transaction() as database:
            before = await self._keys.make_for_save(database, connection_id)  # locked before the connection, as always
            stored = await _lock(database, connection)
            if stored is None:
                return False
            theirs = select(triggers).where(triggers.c.connection_id == connection_id)
            held = [
                (row["trigger_id"], before.open(SECRET_COLUMN, row["secret"]))
                for row in (await database.execute(theirs)).mappings()
            ]
            left = replace(
                open_row(before, stored),
                bot_token=NO_TOKEN,
                user_token=None,
                refresh_token=None,
                token_expires_at_s=None,
                bot_scopes=None,
                user_scopes=None,
                disabled=True,
            )
            if await destroy_key(database, connection_id):
                await self._keys.make_key(database, connection_id)
            after = await self._keys.make_for_save(database, connection_id)
            for trigger_id, secret in held:
                await database.execute(
                    update(triggers)
                    .where(triggers.c.connection_id == connection_id, triggers.c.trigger_id == trigger_id)
                    .values(secret=after.seal(SECRET_COLUMN, secret))
                )
            for table in OF_AN_INSTALLATION:
                await database.execute(delete(table).where(table.c.connection_id == connection_id))
            change = await _write(database, connection, render_row(after, left, now_s=self._clock.now_s()))
        self._tell(change)
        return True

    async def drop_user_token(self, connection: Connection) -> bool:
        """Forget the user token."""
        async with self._database.transaction() as database:
            if await _lock(database, connection) is None:
                return False
            change = await _write(database, connection, {"user_token": None, "user_scopes": None})
        self._tell(change)
        return True

    def _tell(self, change: ConnectionChange) -> None:
        self._keys.cache.drop(change.connection_id)
        self._announce(change)


async def _lock(database: AsyncConnection, connection: Connection) -> RowMapping | None:
    """Return the connection's row, locked; None when it is another than the one that was read."""
    statement = (
        select_with_data_key()
        .where(connections.c.connection_id == connection.connection_id, connections.c.version == connection.version)
        .with_for_update(of=connections)
    )
    found: RowMapping | None = (await database.execute(statement)).mappings().one_or_none()
    return found


async def _write(database: AsyncConnection, connection: Connection, values: Mapping[str, Any]) -> ConnectionChange:
    """Change the row, raise its version, and announce that with the commit."""
    version = connection.version + 1
    own = connections.c.connection_id == connection.connection_id
    await database.execute(update(connections).where(own).values(**values, version=version))
    change = ConnectionChange(connection_id=connection.connection_id, version=version)
    await announce_change(database, change)
    return change
