"""Counting and renewing seals in the database; see `ports.secrets.SecretKeeper`.

A batch locks its rows and passes over those that somebody else has locked: it waits for nobody while it holds them, so
that it can take part in no circle of waiting. What it passed over, and what came behind its back, is looked at again.
Between two batches it rests for as long as a batch took.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import anyio
from sqlalchemy import Select, Update, and_, bindparam, case, delete, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slack_mcp.core.errors import ConflictError, SealingError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.secrets import Resealed, SealCount, SealedBy
from slack_mcp.sealing import ConnectionSealer, Sealer, find_data_key_id, find_ring_key_id
from slack_mcp.store.announcements import announce_change
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.schema import connections, data_keys
from slack_mcp.store.sealed_columns import (
    SEALED,
    Sealed,
    find_key_id,
    find_version,
    is_of_key,
    is_sealed_by_data_key,
    may_be_left,
)

MAX_PASSES: Final = 5
KEYS_PER_BATCH: Final = 100
LONGEST_REST_S: Final = 1.0

Tell = Callable[[str, int], None]


class SqlSecretKeeper:
    """`ports.secrets.SecretKeeper`."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._keys = get_data_keys(database, sealer)

    @property
    def key_ids(self) -> Sequence[str]:
        """The ids of the ring's keys, the one that seals first."""
        return self._sealer.key_ids

    async def count_sealed(self) -> Sequence[SealCount]:
        """Return how all values are sealed."""
        counts = [await self._count_data_keys()]
        counts += [await self._count_column(sealed, name) for sealed in SEALED for name in sealed.columns]
        return [count for column in counts for count in column]

    async def rotate(self, tell: Tell) -> Resealed:
        """Make the data keys that are missing, move the others under the first key, and seal all values anew."""
        done = Resealed(keys_made=await self._make_keys(), keys_moved=await self._move_keys())
        for sealed in SEALED:
            done = await self._reseal_table(done, sealed, tell, to_ring=False)
        return done

    async def drop_data_keys(self, tell: Tell) -> Resealed:
        """Seal everything under the first key, and then delete the data keys."""
        done = Resealed()
        for sealed in SEALED:
            done = await self._reseal_table(done, sealed, tell, to_ring=True)
        async with self._database.transaction() as database:
            for sealed in SEALED:
                for name in sealed.columns:
                    column = sealed.table.c[name]
                    alive = (
                        select(column)
                        .join(data_keys, data_keys.c.connection_id == sealed.table.c.connection_id)
                        .where(is_sealed_by_data_key(column), is_of_key(column, self._database.dialect))
                        .limit(1)
                    )
                    if (await database.execute(alive)).first() is not None:
                        raise ConflictError(
                            f"Values in {sealed.table.name} are still sealed with data keys: stop all pods, and run "
                            "this again. No data key was deleted."
                        )
            await database.execute(delete(data_keys))
        return done

    async def _make_keys(self) -> int:
        """Give each connection a data key, and tell the pods; returns how many got one."""
        made = 0
        without = (
            select(connections.c.connection_id, connections.c.version)
            .join(data_keys, data_keys.c.connection_id == connections.c.connection_id, isouter=True)
            .where(data_keys.c.connection_id.is_(None))
            .limit(KEYS_PER_BATCH)
        )
        while True:
            async with self._database.transaction() as database:
                rows = (await database.execute(without)).all()
                for row in rows:
                    connection_id = ConnectionId(row.connection_id)
                    made += await self._keys.make_key(database, connection_id)
                    self._keys.cache.drop(connection_id)
                    # Not a new version: the connection is what it was, and only its key is read again.
                    await announce_change(database, ConnectionChange(connection_id=connection_id, version=row.version))
            if not rows:
                return made

    async def _move_keys(self) -> int:
        """Seal the data keys under the ring's first key; returns how many were not."""
        moved, after = 0, ""
        while True:
            async with self._database.transaction() as database:
                page = (
                    select(data_keys)
                    .where(data_keys.c.connection_id > after)
                    .order_by(data_keys.c.connection_id)
                    .limit(KEYS_PER_BATCH)
                    .with_for_update(skip_locked=True)
                )
                rows = (await database.execute(page)).all()
                for row in rows:
                    moved += await self._move_key(database, row)
            if not rows:
                return moved
            after = rows[-1].connection_id

    async def _move_key(self, database: AsyncConnection, row: Any) -> bool:
        if find_ring_key_id(row.sealed_key) == self._sealer.key_ids[0]:
            return False
        try:
            sealed = self._sealer.reseal_data_key(ConnectionId(row.connection_id), row.key_id, row.sealed_key)
        except SealingError:
            return False  # told of by the values that need it
        same = (data_keys.c.connection_id == row.connection_id, data_keys.c.sealed_key == row.sealed_key)
        await database.execute(update(data_keys).where(*same).values(sealed_key=sealed))
        return True

    async def _reseal_table(self, done: Resealed, sealed: Sealed, tell: Tell, *, to_ring: bool) -> Resealed:
        """Go over a table until nothing is found to do."""
        total = 0
        for _ in range(MAX_PASSES):
            changed, unreadable, after = 0, 0, None
            while True:
                began_s = anyio.current_time()
                batch = await self._reseal_batch(sealed, after, to_ring=to_ring)
                changed += batch.changed
                unreadable += batch.unreadable
                if batch.changed:
                    tell(sealed.table.name, total + changed)
                if batch.last is None:
                    break
                after = batch.last
                await anyio.sleep(min(anyio.current_time() - began_s, LONGEST_REST_S))
            total += changed
            if not changed:
                break
        return replace(done, values=done.values + total, unreadable=done.unreadable + unreadable)

    async def _reseal_batch(self, sealed: Sealed, after: tuple[Any, ...] | None, *, to_ring: bool) -> "_Batch":
        """Seal the next rows anew in one transaction."""
        keys = list(sealed.table.primary_key)
        async with self._database.transaction() as database:
            rows = (await database.execute(_render_page(sealed, after, to_ring=to_ring))).mappings().all()
            openers = await self._keys.load({ConnectionId(row["connection_id"]) for row in rows}, database)
            changes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
            count = unreadable = 0
            for row in rows:
                new, failed = self._reseal_row(sealed, row, openers[row["connection_id"]], to_ring=to_ring)
                count += len(new)
                unreadable += failed
                if new:
                    named = {f"key_{key.name}": row[key.name] for key in keys}
                    named |= {f"old_{name}": row[name] for name in new} | {f"new_{name}": new[name] for name in new}
                    changes.setdefault(tuple(new), []).append(named)
            for names, each in changes.items():
                await database.execute(_render_update(sealed, names), each)
        last = tuple(rows[-1][key.name] for key in keys) if rows else None
        return _Batch(last, count, unreadable)

    def _reseal_row(
        self, sealed: Sealed, row: Mapping[Any, Any], opener: ConnectionSealer, *, to_ring: bool
    ) -> tuple[dict[str, Any], int]:
        """Return (the values that change, how many do not open)."""
        target = self._sealer.for_connection(ConnectionId(row["connection_id"]), None) if to_ring else opener
        new: dict[str, Any] = {}
        failed = 0
        for name, bound_as in sealed.columns.items():
            stored = row[name]
            if stored is None or self._is_current(target, stored):
                continue
            try:
                new[name] = _reseal(opener, target, bound_as, stored)
            except SealingError as error:
                failed += not error.is_destroyed
        return new, failed

    def _is_current(self, target: ConnectionSealer, stored: str | bytes) -> bool:
        if target.data_key is not None:
            return find_data_key_id(stored) == target.data_key.key_id
        return find_ring_key_id(stored) == self._sealer.key_ids[0]

    async def _count_data_keys(self) -> list[SealCount]:
        version, key_id = self._describe(data_keys.c.sealed_key)
        statement = select(version, key_id, func.count()).group_by(version, key_id)
        async with self._database.reading() as database:
            rows = (await database.execute(statement)).all()
        return [
            SealCount(
                table=data_keys.name,
                column="sealed_key",
                sealed_by=SealedBy.RING if kind == "v1" else SealedBy.CLEAR,
                key_id=held,
                count=count,
                is_left=held not in self._sealer.key_ids[:1],
            )
            for kind, held, count in rows
        ]

    async def _count_column(self, sealed: Sealed, name: str) -> list[SealCount]:
        table, column = sealed.table, sealed.table.c[name]
        version, key_id = self._describe(column)
        is_alive = case((and_(version == "v2", is_of_key(column, self._database.dialect)), 1), else_=0)
        is_owned = case((or_(data_keys.c.key_id.is_not(None), connections.c.version.is_not(None)), 1), else_=0)
        source = table.join(data_keys, data_keys.c.connection_id == table.c.connection_id, isouter=True)
        if table is not connections:
            source = source.join(connections, connections.c.connection_id == table.c.connection_id, isouter=True)
        kinds = (
            select(version.label("v"), key_id.label("k"), is_alive.label("a"), is_owned.label("o"))
            .select_from(source)
            .where(column.is_not(None))
            .subquery()
        )
        statement = select(*kinds.c, func.count()).group_by(*kinds.c)
        async with self._database.reading() as database:
            rows = [tuple(row) for row in await database.execute(statement)]
        found: Counter[tuple[SealedBy, str | None, bool]] = Counter()
        for kind, held, alive, owned, count in rows:
            if kind == "v2":
                found[SealedBy.DATA_KEY if alive else SealedBy.DESTROYED, None, False] += count
            elif kind == "v1":
                # What belongs to no connection has no data key to be sealed with.
                found[SealedBy.RING, held, bool(owned) or held not in self._sealer.key_ids[:1]] += count
            else:
                found[SealedBy.CLEAR, None, True] += count
        return [
            SealCount(table=table.name, column=name, sealed_by=by, key_id=held, count=count, is_left=is_left)
            for (by, held, is_left), count in sorted(found.items(), key=str)
        ]

    def _describe(self, column: Any) -> tuple[Any, Any]:
        """Return (version, key id of version 1)."""
        version = find_version(column)
        return version, case((version == "v1", find_key_id(column, self._database.dialect)), else_=None)


class _Batch(NamedTuple):
    """The key of the last row that was looked at, None when there was none, and what was done."""

    last: tuple[Any, ...] | None
    changed: int
    unreadable: int


def _reseal(opener: ConnectionSealer, target: ConnectionSealer, bound_as: str, stored: str | bytes) -> str | bytes:
    """Return a value sealed anew; raises SealingError."""
    if isinstance(stored, str):
        return target.seal(bound_as, opener.open(bound_as, stored))
    return target.seal_bytes(bound_as, opener.open_bytes(bound_as, stored))


def _render_page(sealed: Sealed, after: tuple[Any, ...] | None, *, to_ring: bool) -> Select[Any]:
    """Return the query for the next rows to look at, which locks them."""
    keys = list(sealed.table.primary_key)
    columns = dict.fromkeys((*keys, sealed.table.c.connection_id, *(sealed.table.c[name] for name in sealed.columns)))
    page = select(*columns).where(may_be_left(sealed, to_ring=to_ring))
    if after is not None:
        place = [bindparam(None, value, type_=key.type) for key, value in zip(keys, after, strict=True)]
        page = page.where(tuple_(*keys) > tuple_(*place))
    return page.order_by(*keys).limit(sealed.rows_per_batch).with_for_update(skip_locked=True)


def _render_update(sealed: Sealed, names: tuple[str, ...]) -> Update:
    """Return the statement that replaces values, each only if it still is what was read."""
    table = sealed.table
    same = [key == bindparam(f"key_{key.name}", type_=key.type) for key in table.primary_key]
    same += [table.c[name] == bindparam(f"old_{name}", type_=table.c[name].type) for name in names]
    return update(table).where(*same).values({name: bindparam(f"new_{name}") for name in names})
