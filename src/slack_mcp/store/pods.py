"""Who serves, in the database; see `ports.pods`. Times are the database's own, beside which each pod writes its own."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, cast, delete, func, literal, select

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import PodId
from slack_mcp.ports.pods import Presence, SeenPod
from slack_mcp.store.database import Database
from slack_mcp.store.schema import pods

FORGET_AFTER_S: Final = 3600.0
_MS: Final = 1000


class SqlPods:
    """`ports.pods.Pods`.

    Args:
        clock: this process's; SQLite has no other one.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, presence: Presence) -> None:
        """Write that the pod is there, and forget those that have long been silent."""
        now = self._get_database_time()
        values: dict[str, Any] = {
            "instance": presence.instance,
            "version": presence.version,
            "seen_at_ms": now,
            "clock_ms": self._get_own_ms(),
        }
        statement = self._database.insert(pods).values(pod_id=presence.pod_id, started_at_ms=now, **values)
        async with self._database.transaction() as database:
            await database.execute(statement.on_conflict_do_update(index_elements=[pods.c.pod_id], set_=values))
            await database.execute(delete(pods).where(pods.c.seen_at_ms < now - int(FORGET_AFTER_S * _MS)))

    async def forget(self, pod_id: PodId) -> None:
        """Write that the pod has gone."""
        async with self._database.transaction() as database:
            await database.execute(delete(pods).where(pods.c.pod_id == pod_id))

    async def list_pods(self) -> Sequence[SeenPod]:
        """Return all that are known, by id."""
        statement = select(pods, (self._get_database_time() - pods.c.seen_at_ms).label("silent_ms"))
        async with self._database.reading() as database:
            rows = (await database.execute(statement.order_by(pods.c.pod_id))).all()
        return [
            SeenPod(
                presence=Presence(pod_id=PodId(row.pod_id), instance=row.instance, version=row.version),
                silent_s=row.silent_ms / _MS,
                skew_s=(row.clock_ms - row.seen_at_ms) / _MS,
            )
            for row in rows
        ]

    def _get_database_time(self) -> ColumnElement[int]:
        if self._database.dialect == "sqlite":
            return literal(self._get_own_ms(), BigInteger)
        return cast(func.floor(func.extract("epoch", func.clock_timestamp()) * _MS), BigInteger)

    def _get_own_ms(self) -> int:
        return int(self._clock.now_s() * _MS)
