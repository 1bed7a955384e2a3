"""Connections in the database: secrets sealed on the way in and opened on the way out, every change announced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import BigInteger, Select, Update, delete, func, literal_column, select, update

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SealingError, StoreError
from slack_mcp.core.ids import ConnectionId, TeamId, UserId
from slack_mcp.core.model import AgentBackend, Connection, ConnectionChange, ConnectionSettings
from slack_mcp.core.secret import Secret
from slack_mcp.ports.directory import ReadPoint
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.announcements import announce_change
from slack_mcp.store.data_keys import destroy_key, get_data_keys, select_with_data_key
from slack_mcp.store.database import Database
from slack_mcp.store.points import SEEN, SERVER
from slack_mcp.store.schema import (
    answers,
    api_keys,
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
from slack_mcp.store.triggers import open_trigger

# What goes with a connection. Its unfinished events end as skipped when they are claimed; its audit stays as long as
# any, for it tells what was done in the workspace.
OF_A_CONNECTION: Final = (
    turns,
    threads,
    messages,
    ratings,
    temp_files,
    buckets,
    triggers,
    questions,
    answers,
    api_keys,
)
SECRET_COLUMNS: Final = (
    "bot_token",
    "signing_secret",
    "mesh_token",
    "mesh_api_key",
    "previous_signing_secret",
    "user_token",
    "refresh_token",
    "client_secret",
)
SCOPE_COLUMNS: Final = ("bot_scopes", "user_scopes")
PLAIN_COLUMNS: Final = (
    "organization_id",
    "mesh_url",
    "mesh_api_key_id",
    "organization_slug",
    "model_provider_id",
    "model_id",
    "agent_id",
    "system_prompt",
    "team_id",
    "team_name",
    "bot_user_id",
    "bot_id",
    "api_app_id",
    "connection_name",
    "previous_signing_secret_until_s",
    "disabled",
    "mesh_refused_since_ms",
    "token_expires_at_s",
    "client_id",
)
_MS: Final = 1000


_log = structlog.get_logger(__name__)


class SqlConnectionStore:
    """`ports.store.ConnectionStore` and `ports.mesh.MeshRefusals`.

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

    async def load_connection(self, connection_id: ConnectionId) -> Connection | None:
        """Return the connection, or None.

        Raises:
            SealingError: its secrets do not open.
            StoreError: its settings cannot be read.
        """
        connection, _ = await self._read(connection_id, select_with_data_key())
        return connection

    async def read_connection(self, connection_id: ConnectionId) -> tuple[Connection | None, ReadPoint | None]:
        """Return what `load_connection` does, and since when it is so; None without a connection, and on SQLite."""
        if self._database.dialect != "postgresql":
            return await self.load_connection(connection_id), None
        server, seen = literal_column(SERVER, BigInteger), literal_column(SEEN, BigInteger)
        statement = select_with_data_key().add_columns(server.label("read_server"), seen.label("read_seen"))
        connection, row = await self._read(connection_id, statement)
        if row is None:
            return None, None
        return connection, ReadPoint(server=row["read_server"], transaction=row["read_seen"])

    async def _read(
        self, connection_id: ConnectionId, statement: Select[Any]
    ) -> tuple[Connection | None, Mapping[Any, Any] | None]:
        """Return the connection and its row. What is read after the row may be newer than it, and never older."""
        changes = self._keys.cache.changes
        async with self._database.reading() as database:
            found = await database.execute(statement.where(connections.c.connection_id == connection_id))
            row = found.mappings().one_or_none()
            if row is None:
                return None, None
            theirs = select(triggers).where(triggers.c.connection_id == connection_id)
            held = (await database.execute(theirs)).mappings()
            sealer = self._keys.open_joined(row)
            self._keys.remember(connection_id, sealer, changes=changes)
            own = tuple(open_trigger(sealer, each) for each in held)
            return replace(open_row(sealer, row), triggers=own), row

    async def load_connection_ids_of_team(self, team_id: TeamId) -> Sequence[tuple[ConnectionId, str | None]]:
        """Return (connection_id, api_app_id or None) of each connection of a workspace, by id."""
        async with self._database.reading() as database:
            statement = (
                select(connections.c.connection_id, connections.c.api_app_id)
                .where(connections.c.team_id == team_id)
                .order_by(connections.c.connection_id)
            )
            rows = (await database.execute(statement)).all()
        return [(ConnectionId(row.connection_id), row.api_app_id) for row in rows]

    async def list_connections(self) -> Sequence[Connection]:
        """Return all connections, by id.

        One whose secrets do not open, or whose settings cannot be read, is logged and left out: it is no reason to
        hide the others.
        """
        async with self._database.reading() as database:
            statement = select_with_data_key().order_by(connections.c.connection_id)
            rows = (await database.execute(statement)).mappings().all()
        found = []
        for row in rows:
            try:
                found.append(open_row(self._keys.open_joined(row), row))
            except (SealingError, StoreError) as error:
                _log.error("connection.unreadable", connection_id=row["connection_id"], error=str(error))
        return found

    async def count_connections(self) -> tuple[int, int]:
        """Return (connections, connections that hold a Mesh API key)."""
        async with self._database.reading() as database:
            statement = select(func.count(), func.count(connections.c.mesh_api_key)).select_from(connections)
            total, with_key = (await database.execute(statement)).one()
        return total, with_key

    async def save_connection(self, connection: Connection) -> Connection:
        """Insert or replace the connection, raise its version by one, and announce the change with the commit.

        The version grows in the database, so that two pods that save at once never make the same one. `configured_at`
        is kept when the connection brings it along, and set to now when it comes without.
        """
        async with self._database.transaction() as database:
            sealer = await self._keys.make_for_save(database, connection.connection_id)
            values = render_row(sealer, connection, now_s=self._clock.now_s())
            upsert = (
                self._database.insert(connections)
                .values(**values)
                .on_conflict_do_update(
                    index_elements=[connections.c.connection_id],
                    set_={**values, "version": connections.c.version + 1},
                )
                .returning(connections)
            )
            row = (await database.execute(upsert)).mappings().one()
            saved = open_row(sealer, row)
            change = ConnectionChange(connection_id=saved.connection_id, version=saved.version)
            await announce_change(database, change)
        self._keys.cache.drop(connection.connection_id)
        self._announce(change)
        return saved

    async def remove_connection(self, connection_id: ConnectionId) -> bool:
        """Delete the connection with all that is kept for it, and announce it. False when there was none.

        Its data key goes too: what is left of it in the journal, or anywhere else, does not open any more.
        """
        change = ConnectionChange(connection_id=connection_id, version=None)
        async with self._database.transaction() as database:
            # The key first, as whoever saves takes the locks; and once more, if somebody made one meanwhile.
            await destroy_key(database, connection_id)
            for table in OF_A_CONNECTION:
                await database.execute(delete(table).where(table.c.connection_id == connection_id))
            result = await database.execute(delete(connections).where(connections.c.connection_id == connection_id))
            await destroy_key(database, connection_id)
            await announce_change(database, change)
        self._keys.cache.drop(connection_id)
        self._announce(change)
        return bool(result.rowcount)

    async def note_refusal(self, connection: Connection) -> None:
        """Remember that Mesh refuses the connection from now on.

        Nothing is changed when that is known already, when the connection is disabled, or when it was changed since it
        was read: the refusal was not of what it is now.
        """
        held = connections.c
        await self._change(
            update(connections)
            .where(
                held.connection_id == connection.connection_id,
                held.version == connection.version,
                held.mesh_refused_since_ms.is_(None),
                ~held.disabled,
            )
            .values(mesh_refused_since_ms=self._now_ms())
        )

    async def clear_refusal(self, connection: Connection) -> None:
        """Forget that Mesh refused the connection; one that was disabled for it is enabled."""
        held = connections.c
        await self._change(
            update(connections)
            .where(held.connection_id == connection.connection_id, held.mesh_refused_since_ms.is_not(None))
            .values(mesh_refused_since_ms=None, disabled=False)
        )

    async def disable_gone(self, *, refused_for_s: float) -> int:
        """Disable the connections that Mesh has refused for so many seconds, and return how many.

        Several pods may do it at once: each connection is disabled, and announced, by one of them.
        """
        held = connections.c
        gone = await self._change(
            update(connections)
            .where(held.mesh_refused_since_ms <= self._now_ms() - int(refused_for_s * _MS), ~held.disabled)
            .values(disabled=True)
        )
        for connection_id in gone:
            _log.warning("connection.gone", connection_id=connection_id)
        return len(gone)

    async def _change(self, statement: Update) -> Sequence[ConnectionId]:
        """Change columns of some connections, raise their versions and announce it; returns their ids."""
        raising = statement.values(version=connections.c.version + 1)
        async with self._database.transaction() as database:
            rows = await database.execute(raising.returning(connections.c.connection_id, connections.c.version))
            changes = [ConnectionChange(connection_id=ConnectionId(row[0]), version=row[1]) for row in rows]
            for change in changes:
                await announce_change(database, change)
        for change in changes:
            self._announce(change)
        return [change.connection_id for change in changes]

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)


def render_row(sealer: ConnectionSealer, connection: Connection, *, now_s: float) -> dict[str, Any]:
    """Return the row of a connection, without its version."""
    now = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="microseconds")
    values: dict[str, Any] = {name: getattr(connection, name) for name in PLAIN_COLUMNS}
    for name in SECRET_COLUMNS:
        secret: Secret | None = getattr(connection, name)
        values[name] = None if secret is None else sealer.seal(name, secret.reveal())
    for name in SCOPE_COLUMNS:
        scopes: frozenset[str] | None = getattr(connection, name)
        values[name] = None if scopes is None else ",".join(sorted(scopes))
    return values | {
        "connection_id": connection.connection_id,
        "settings": msgspec.json.encode(connection.settings).decode(),
        "configured_at": connection.configured_at or now,
        "updated_at": now,
    }


def open_row(sealer: ConnectionSealer, row: Mapping[Any, Any]) -> Connection:
    """Return the connection of a row; raises SealingError, StoreError."""
    connection_id = ConnectionId(row["connection_id"])
    plain = {name: row[name] for name in PLAIN_COLUMNS}
    secrets = {name: None if row[name] is None else Secret(sealer.open(name, row[name])) for name in SECRET_COLUMNS}
    scopes = {name: _read_scopes(row[name]) for name in SCOPE_COLUMNS}
    ids = {"team_id": _wrap(TeamId, row["team_id"]), "bot_user_id": _wrap(UserId, row["bot_user_id"])}
    return Connection(
        **{**plain, **secrets, **scopes, **ids},
        connection_id=connection_id,
        settings=_parse_settings(row["settings"]),
        version=row["version"],
        configured_at=row["configured_at"],
        updated_at=row["updated_at"],
    )


def _read_scopes(text: str | None) -> frozenset[str] | None:
    """Return the granted scopes, None when they are not known."""
    return None if text is None else frozenset(text.split(",")) - {""}


def _wrap(kind: Callable[[str], Any], value: str | None) -> Any:
    return None if value is None else kind(value)


def _parse_settings(text: str) -> ConnectionSettings:
    """Return what a row holds; a newer version's keys are passed over, an older one's missing keys have defaults.

    Raises:
        StoreError: it is something else. With defaults in its place the bot could speak in channels not allowed to it.
    """
    try:
        held = msgspec.json.decode(text, type=dict[str, Any])
        if held.get("agent") not in tuple(AgentBackend):
            held["agent"] = None
        return msgspec.convert(held, ConnectionSettings)
    except msgspec.MsgspecError as error:
        raise StoreError(f"The connection's settings cannot be read ({error}): save the connection again.") from error
