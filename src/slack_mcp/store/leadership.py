"""The leases of duties that one pod does for all; see `ports.leadership`."""

from typing import Final

from sqlalchemy import BigInteger, ColumnElement, cast, delete, func, literal, or_

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import PodId
from slack_mcp.store.database import Database
from slack_mcp.store.schema import duties

_MS: Final = 1000


class SqlLeadership:
    """`ports.leadership.Leadership`.

    Args:
        clock: the time of SQLite's leases; PostgreSQL has its own.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def lead(self, duty: str, pod_id: PodId, *, lease_s: float) -> bool:
        """Take the lead of a duty, or keep it, for so many seconds; False when another pod has it."""
        now_ms = self._now_ms()
        until_ms = now_ms + int(lease_s * _MS)
        # One statement: of two that come at once the second waits for the row, and then sees a lease that holds.
        statement = (
            self._database.insert(duties)
            .values(duty=duty, holder=pod_id, lease_until_ms=until_ms)
            .on_conflict_do_update(
                index_elements=[duties.c.duty],
                set_={"holder": pod_id, "lease_until_ms": until_ms},
                where=or_(duties.c.holder == pod_id, duties.c.lease_until_ms <= now_ms),
            )
            .returning(duties.c.holder)
        )
        async with self._database.transaction() as database:
            return (await database.execute(statement)).first() is not None

    async def hand_over(self, duty: str, pod_id: PodId) -> None:
        """Give up the lead, if the pod has it: whoever asks next gets it."""
        async with self._database.transaction() as database:
            await database.execute(delete(duties).where(duties.c.duty == duty, duties.c.holder == pod_id))

    def _now_ms(self) -> ColumnElement[int]:
        if self._database.dialect == "sqlite":
            return literal(int(self._clock.now_s() * _MS))
        return cast(func.extract("epoch", func.clock_timestamp()) * _MS, BigInteger)
