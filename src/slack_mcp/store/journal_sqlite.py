"""The journal on SQLite: the same guarantees with one writer.

Each operation is one transaction, run from its begin to its commit in the connection's own thread.
"""

from collections.abc import Sequence
from sqlite3 import Connection, Row
from typing import Any, Final

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import PodId
from slack_mcp.core.model import Claim, Delivery, EventState, JournalBacklog, JournalledEvent, Outcome, Settlement
from slack_mcp.sealing import Sealer
from slack_mcp.store.data_keys import get_data_keys
from slack_mcp.store.database import Database
from slack_mcp.store.journal import (
    collect_claims,
    collect_next,
    get_wait_ms,
    has_lane_twice,
    mark_new,
    render_detail,
    seal_payloads,
    to_ms,
)

_AFTER_ALL: Final = "\U0010ffff"
EVENT_COLUMNS: Final = "id, event_id, event_time, event_type, payload, attempts, received_at_ms, replayed_at_ms"

_NEW_EVENT: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
APPEND: Final = """
INSERT INTO slack_events (connection_id, event_id, event_time, lane, event_type, payload, state, retry_num,
                          retry_reason, received_by, received_at_ms, reason, finished_at_ms)
VALUES {rows} ON CONFLICT (connection_id, event_id, event_time) DO NOTHING
"""
# New rows have the largest numbers: those of AUTOINCREMENT only grow.
INSERTED: Final = "SELECT connection_id, event_id, event_time FROM slack_events ORDER BY id DESC LIMIT ?"
OPEN_LANE: Final = """
INSERT INTO slack_lanes (connection_id, lane, ready_at_ms) VALUES (?, ?, ?) ON CONFLICT (connection_id, lane) DO NOTHING
"""

ABANDONED: Final = """
SELECT lane_id FROM slack_lanes WHERE holder IS NOT NULL AND lease_until_ms <= :now ORDER BY lease_until_ms LIMIT :lanes
"""
# As on PostgreSQL: from tenant to tenant through the index, each with as many lanes as its cap leaves.
NEXT_TENANT: Final = """
SELECT connection_id,
  (SELECT count(*) FROM slack_lanes h WHERE h.holder IS NOT NULL AND h.connection_id = l.connection_id)
FROM slack_lanes l WHERE holder IS NULL AND connection_id > ? AND connection_id <= ? ORDER BY connection_id LIMIT 1
"""
FREE: Final = """
SELECT lane_id FROM slack_lanes WHERE holder IS NULL AND connection_id = ? AND ready_at_ms <= ?
ORDER BY ready_at_ms LIMIT ?
"""
TAKE: Final = """
UPDATE slack_lanes SET takeovers = takeovers + (holder IS NOT NULL), holder = ?, fence = fence + 1, lease_until_ms = ?
WHERE lane_id = ?
"""
CLAIMED: Final = f"""
SELECT l.lane_id, l.fence, l.connection_id, l.lane, l.takeovers, {EVENT_COLUMNS} FROM slack_lanes l
LEFT JOIN slack_events e ON e.id IN (
  SELECT id FROM slack_events
  WHERE connection_id = l.connection_id AND lane = l.lane AND state IN ('received', 'waiting') ORDER BY id LIMIT ?
)
WHERE l.lane_id = ? ORDER BY e.id
"""

RENEW: Final = (
    "UPDATE slack_lanes SET lease_until_ms = ? WHERE lane_id = ? AND fence = ? AND holder = ? RETURNING lane_id"
)

HELD: Final = "SELECT lane_id FROM slack_lanes WHERE lane_id = ? AND fence = ? AND holder IS NOT NULL"
SETTLE: Final = """
UPDATE slack_events SET state = ?, attempts = attempts + ?, reason = ?, detail = ?, next_attempt_at_ms = ?,
  finished_at_ms = ?
WHERE id = ?
"""
FOLLOWING: Final = f"""
SELECT ? AS lane_id, {EVENT_COLUMNS} FROM slack_events
WHERE connection_id = ? AND lane = ? AND state IN ('received', 'waiting') ORDER BY id LIMIT ?
"""
CLOSE_LANE: Final = "DELETE FROM slack_lanes WHERE lane_id = ?"
KEEP_LANE: Final = """
UPDATE slack_lanes SET takeovers = CASE WHEN :progressed THEN 0 ELSE takeovers END, ready_at_ms = :ready,
  holder = CASE WHEN :keeps THEN holder END, lease_until_ms = CASE WHEN :keeps THEN :lease END
WHERE lane_id = :lane_id
"""

TAKE_BACK: Final = """
UPDATE slack_lanes SET holder = NULL, lease_until_ms = NULL, takeovers = takeovers + 1 WHERE holder IS NOT NULL
"""

BACKLOG: Final = """
SELECT
  (SELECT count(*) FROM slack_events WHERE state IN ('received', 'waiting')) AS unfinished,
  (SELECT min(coalesce(replayed_at_ms, received_at_ms)) FROM slack_events
    WHERE state IN ('received', 'waiting')) AS oldest_ms,
  (SELECT count(*) FROM slack_events WHERE state = 'dead' AND finished_at_ms IS NOT NULL) AS dead
"""
DELETE_FINISHED: Final = """
DELETE FROM slack_events WHERE id IN (
  SELECT id FROM slack_events WHERE state = ? AND finished_at_ms IS NOT NULL AND finished_at_ms <= ?
  ORDER BY finished_at_ms LIMIT ?
)
"""


class SqliteJournal:
    """`ports.store.Journal` on SQLite, for one process."""

    def __init__(self, database: Database, sealer: Sealer, pod_id: PodId, *, clock: Clock) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._pod_id = pod_id
        self._clock = clock
        self._last_tenant = ""

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Write the deliveries in one transaction; True for each that is new."""
        now_ms = self._now_ms()
        payloads = await seal_payloads(self._keys, deliveries)
        values = [
            value
            for each, payload in zip(deliveries, payloads, strict=True)
            for value in self._render_event(each, payload, now_ms)
        ]
        statement = APPEND.format(rows=", ".join([_NEW_EVENT] * len(deliveries)))

        def work(connection: Connection) -> list[bool]:
            # As few statements as can be, and no RETURNING: for each, and for each row that one returns, the thread
            # hands the interpreter over and waits for it again.
            inserted = connection.execute(statement, values).rowcount
            if inserted == len(deliveries):
                is_new = [True] * inserted
            else:
                is_new = mark_new(deliveries, connection.execute(INSERTED, (inserted,)).fetchall())
            lanes = dict.fromkeys(
                (each.connection_id, each.lane)
                for each, is_one in zip(deliveries, is_new, strict=True)
                if is_one and each.skip_reason is None
            )
            if lanes:
                connection.executemany(OPEN_LANE, [(*lane, now_ms) for lane in lanes])
            return is_new

        return await self._database.run_in_sqlite(work)

    def _render_event(self, delivery: Delivery, payload: bytes, now_ms: int) -> tuple[Any, ...]:
        """Return the parameters of one new row."""
        is_skipped = delivery.skip_reason is not None
        return (
            delivery.connection_id,
            delivery.event_id,
            delivery.event_time,
            delivery.lane,
            delivery.event_type,
            payload,
            EventState.SKIPPED if is_skipped else EventState.RECEIVED,
            delivery.retry_num,
            delivery.retry_reason,
            self._pod_id,
            now_ms,
            delivery.skip_reason,
            now_ms if is_skipped else None,
        )

    async def claim(
        self, pod_id: PodId, *, max_lanes: int, lanes_per_connection: int, lease_s: float, events_per_lane: int
    ) -> Sequence[Claim]:
        """Claim up to `max_lanes` lanes, tenants in turn."""
        now_ms = self._now_ms()

        def work(connection: Connection) -> Sequence[Any]:
            abandoned = _fetch(connection, ABANDONED, {"now": now_ms, "lanes": max_lanes})
            lane_ids = [row["lane_id"] for row in abandoned]
            lane_ids += self._find_free(connection, now_ms, max_lanes - len(lane_ids), lanes_per_connection)
            lease_until_ms = now_ms + to_ms(lease_s)
            connection.executemany(TAKE, [(pod_id, lease_until_ms, lane_id) for lane_id in lane_ids])
            return [row for lane_id in lane_ids for row in _fetch(connection, CLAIMED, (events_per_lane, lane_id))]

        return await collect_claims(self._keys, await self._database.run_in_sqlite(work))

    def _find_free(self, connection: Connection, now_ms: int, max_lanes: int, lanes_per_connection: int) -> list[int]:
        """Return due lanes that nobody holds, beginning with the tenant after the one that came last."""
        lane_ids: list[int] = []
        last_tenant = self._last_tenant
        self._last_tenant = ""
        for after, until in ((last_tenant, _AFTER_ALL), ("", last_tenant)):
            tenant = after
            while found := _fetch(connection, NEXT_TENANT, (tenant, until)):
                if len(lane_ids) >= max_lanes:
                    self._last_tenant = tenant
                    return lane_ids
                tenant, held = found[0]
                wanted = min(max_lanes - len(lane_ids), max(0, lanes_per_connection - held))
                lane_ids += [row["lane_id"] for row in _fetch(connection, FREE, (tenant, now_ms, wanted))]
        return lane_ids

    async def renew(self, pod_id: PodId, claims: Sequence[Claim], *, lease_s: float) -> Sequence[Claim]:
        """Extend the leases; returns the claims that are still this pod's."""
        lease_until_ms = self._now_ms() + to_ms(lease_s)

        def work(connection: Connection) -> Sequence[Claim]:
            return [
                claim
                for claim in claims
                if _fetch(connection, RENEW, (lease_until_ms, claim.lane_id, claim.fence, pod_id))
            ]

        return await self._database.run_in_sqlite(work)

    async def settle(
        self, settlements: Sequence[Settlement], *, lease_s: float, events_per_lane: int
    ) -> Sequence[Sequence[JournalledEvent] | None]:
        """Write outcomes under their fences, in one transaction, and return what comes next in each lane."""
        if has_lane_twice(settlements):
            return [
                (await self.settle([each], lease_s=lease_s, events_per_lane=events_per_lane))[0] for each in settlements
            ]
        now_ms = self._now_ms()
        held: set[int] = set()
        rows: list[Any] = []

        def work(connection: Connection) -> None:
            for each in settlements:
                if not _fetch(connection, HELD, (each.claim.lane_id, each.claim.fence)):
                    continue
                held.add(each.claim.lane_id)
                connection.executemany(
                    SETTLE, [_render_outcome(event, outcome, now_ms) for event, outcome in each.outcomes]
                )
                rows.extend(_end_lane(connection, each, now_ms, lease_s=lease_s, events_per_lane=events_per_lane))

        await self._database.run_in_sqlite(work)
        return await collect_next(self._keys, settlements, frozenset(held), rows)

    async def take_back(self) -> int:
        """Free the lanes that an earlier process died with; returns how many."""
        return await self._database.run_in_sqlite(lambda connection: connection.execute(TAKE_BACK).rowcount)

    async def load_backlog(self) -> JournalBacklog:
        """Return what is unfinished."""
        async with self._database.reading() as connection:
            row = (await connection.exec_driver_sql(BACKLOG)).mappings().one()
        oldest_ms = row["oldest_ms"]
        age_s = 0.0 if oldest_ms is None else max(0, self._now_ms() - oldest_ms) / 1000
        return JournalBacklog(unfinished=row["unfinished"], oldest_age_s=age_s, dead=row["dead"])

    async def delete_finished(self, *, done_before_s: float, dead_before_s: float, limit: int) -> int:
        """Delete up to `limit` events that ended longer ago than these ages in seconds; returns how many."""
        now_ms = self._now_ms()

        def work(connection: Connection) -> int:
            deleted = 0
            for state, age_s in (("done", done_before_s), ("skipped", done_before_s), ("dead", dead_before_s)):
                parameters = (state, now_ms - to_ms(age_s), limit - deleted)
                deleted += connection.execute(DELETE_FINISHED, parameters).rowcount
            return deleted

        return await self._database.run_in_sqlite(work)

    async def tend_weeks(self, *, done_before_s: float, dead_before_s: float) -> int:  # noqa: ARG002
        """Return 0: there are no partitions."""
        return 0

    async def notify_work(self) -> None:
        """Return: there is no other pod."""

    def _now_ms(self) -> int:
        """Return the time of the process, which is the database's too."""
        return to_ms(self._clock.now_s())


def _end_lane(
    connection: Connection, settlement: Settlement, now_ms: int, *, lease_s: float, events_per_lane: int
) -> Sequence[Any]:
    """Close the lane, give it back or keep it; returns the rows of the events to go on with."""
    claim, wait_ms = settlement.claim, get_wait_ms(settlement)
    keeps = not settlement.release and wait_ms is None
    limit = events_per_lane if keeps else 1
    following = _fetch(connection, FOLLOWING, (claim.lane_id, claim.connection_id, claim.lane, limit))
    if not following:
        connection.execute(CLOSE_LANE, (claim.lane_id,))
        return ()
    connection.execute(
        KEEP_LANE,
        {
            "progressed": bool(settlement.outcomes),
            "ready": now_ms + (wait_ms or 0),
            "keeps": keeps,
            "lease": now_ms + to_ms(lease_s),
            "lane_id": claim.lane_id,
        },
    )
    return following if keeps else ()


def _render_outcome(event: JournalledEvent, outcome: Outcome, now_ms: int) -> tuple[Any, ...]:
    """Return the parameters of SETTLE."""
    waits = outcome.state is EventState.WAITING
    return (
        outcome.state.value,
        int(outcome.counts),
        outcome.reason,
        render_detail(outcome),
        now_ms + to_ms(outcome.retry_after_s) if waits else None,
        None if waits else now_ms,
        event.id,
    )


def _fetch(connection: Connection, statement: str, parameters: Any) -> Sequence[Any]:
    """Return a statement's rows, readable by name."""
    cursor = connection.cursor()
    cursor.row_factory = Row
    return cursor.execute(statement, parameters).fetchall()
