"""Triggers in the database: their secrets sealed, every change announced as a change of their connection."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ConnectionNotFoundError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange, Trigger, TriggerKind
from slack_mcp.core.secret import Secret
from slack_mcp.sealing import ConnectionSealer, Sealer
from slack_mcp.store.announcements import announce_change
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.schema import connections, triggers

SECRET_COLUMN: Final = "trigger_secret"  # noqa: S105 - what the seal is bound to
_MS: Final = 1000


class SqlTriggerStore:
    """`ports.triggers.TriggerStore`.

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

    async def update_triggers(
        self, connection_id: ConnectionId, change: Callable[[tuple[Trigger, ...]], Iterable[Trigger]]
    ) -> tuple[Trigger, ...]:
        """Replace a connection's triggers by what `change` makes of them, and return those that stand now, by id."""
        is_connection = connections.c.connection_id == connection_id
        # Its row is locked, so that two changes at once do not each put back what the other took away.
        locking = select(connections.c.version).where(is_connection).with_for_update()
        theirs = select(triggers).where(triggers.c.connection_id == connection_id).order_by(triggers.c.trigger_id)
        async with self._database.transaction() as database:
            if (await database.execute(locking)).first() is None:
                raise ConnectionNotFoundError(connection_id)
            rows = (await database.execute(theirs)).mappings().all()
            sealer = await self._keys.of(connection_id, *(row["secret"] for row in rows), session=database)
            before = {trigger.trigger_id: trigger for trigger in (open_trigger(sealer, row) for row in rows)}
            after = {trigger.trigger_id: trigger for trigger in change(tuple(before.values()))}
            standing = tuple(after[trigger_id] for trigger_id in sorted(after))
            if after == before:
                return standing
            await self._write(database, connection_id, before, after, sealer)
            raising = update(connections).where(is_connection).values(version=connections.c.version + 1)
            version = (await database.execute(raising.returning(connections.c.version))).scalar_one()
            announced = ConnectionChange(connection_id=connection_id, version=version)
            await announce_change(database, announced)
        self._announce(announced)
        return standing

    async def _write(
        self,
        database: AsyncConnection,
        connection_id: ConnectionId,
        before: Mapping[str, Trigger],
        after: Mapping[str, Trigger],
        sealer: ConnectionSealer,
    ) -> None:
        """Write what differs."""
        gone = [trigger_id for trigger_id in before if trigger_id not in after]
        if gone:
            await database.execute(
                delete(triggers).where(triggers.c.connection_id == connection_id, triggers.c.trigger_id.in_(gone))
            )
        for trigger in after.values():
            if before.get(trigger.trigger_id) != trigger:
                values = self._render(connection_id, trigger, sealer)
                await database.execute(
                    self._database.insert(triggers)
                    .values(**values, created_at_ms=values["updated_at_ms"])
                    .on_conflict_do_update(index_elements=list(triggers.primary_key), set_=values)
                )

    def _render(self, connection_id: ConnectionId, trigger: Trigger, sealer: ConnectionSealer) -> dict[str, Any]:
        return {
            "connection_id": connection_id,
            "trigger_id": trigger.trigger_id,
            "kind": trigger.kind.value,
            "event_type": trigger.event_type,
            "url": trigger.url,
            "secret": sealer.seal(SECRET_COLUMN, trigger.secret.reveal()),
            "filters": msgspec.json.encode(trigger.filters).decode(),
            "refused_at_ms": trigger.refused_at_ms,
            "updated_at_ms": int(self._clock.now_s() * _MS),
        }


def open_trigger(sealer: ConnectionSealer, row: Mapping[Any, Any]) -> Trigger:
    """Return the trigger of a row; raises SealingError."""
    return Trigger(
        trigger_id=row["trigger_id"],
        kind=TriggerKind(row["kind"]),
        event_type=row["event_type"],
        url=row["url"],
        secret=Secret(sealer.open(SECRET_COLUMN, row["secret"])),
        filters=msgspec.json.decode(row["filters"], type=dict[str, str]),
        refused_at_ms=row["refused_at_ms"],
    )
