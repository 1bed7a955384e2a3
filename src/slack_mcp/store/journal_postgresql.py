"""The journal on PostgreSQL: each operation is one or two statements on the driver's own connection.

Rows are locked in one order everywhere, events by (connection_id, event_id) and lanes by (connection_id, lane), so that
pods that work at the same time never wait for each other in a circle.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from slack_mcp.core.ids import PodId
from slack_mcp.core.model import Claim, Delivery, JournalBacklog, JournalledEvent, Settlement
from slack_mcp.ports.announcements import WORK_CHANNEL
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
from slack_mcp.store.weeks import MONDAY_S, WEEK_S, tend_weeks

MAX_TENANTS_PER_CLAIM: Final = 256

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# Asked once for the statement: compared with a clock that is read for every row, an index would not be used.
_NOW_ONCE: Final = f"(SELECT {_NOW})"
# Of a list from a query the planner knows no length, and looks its lanes up through the index. Joined with a list whose
# length it knows, it reads all lanes from end to end as soon as there is a backlog of a few thousand.
_AMONG: Final = "lane_id = ANY (ARRAY(SELECT {}))"

# Numbers are drawn in the order of arrival, before the rows are sorted for locking: a lane's order is that of arrival.
# The update that changes nothing locks an open lane's row, so that nobody closes the lane over the new event.
APPEND: Final = f"""
WITH arrived AS MATERIALIZED (
  SELECT nextval('slack_events_id_seq') AS id, d.*
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::smallint[], $7::text[], $8::text[],
              $9::bigint[])
    AS d(connection_id, event_id, lane, event_type, payload, retry_num, retry_reason, skip_reason, event_time)
), journalled AS (
  INSERT INTO slack_events (id, connection_id, event_id, lane, event_type, payload, state, retry_num, retry_reason,
                            received_by, received_at_ms, reason, finished_at_ms, event_time)
  SELECT id, connection_id, event_id, lane, event_type, payload,
    CASE WHEN skip_reason IS NULL THEN 'received' ELSE 'skipped' END, retry_num, retry_reason, $10, {_NOW},
    skip_reason, CASE WHEN skip_reason IS NOT NULL THEN {_NOW} END, event_time
  FROM arrived ORDER BY connection_id, event_id, event_time
  ON CONFLICT (connection_id, event_id, event_time) DO NOTHING
  RETURNING connection_id, event_id, event_time, lane, state
), opened AS (
  INSERT INTO slack_lanes (connection_id, lane, ready_at_ms)
  SELECT connection_id, lane, {_NOW} FROM (
    SELECT DISTINCT connection_id, lane FROM journalled WHERE state = 'received'
  ) AS due ORDER BY connection_id, lane
  ON CONFLICT (connection_id, lane) DO UPDATE SET ready_at_ms = slack_lanes.ready_at_ms
)
SELECT count(*) AS new,
  CASE WHEN count(*) < cardinality($1::text[]) THEN array_agg(connection_id) END AS connection_ids,
  CASE WHEN count(*) < cardinality($1::text[]) THEN array_agg(event_id) END AS event_ids,
  CASE WHEN count(*) < cardinality($1::text[]) THEN array_agg(event_time) END AS event_times
FROM journalled
"""

# The tenants that have a free lane are found by skipping through the index from one to the next, so that a busy tenant
# costs the others nothing; $1 is where the walk begins, and each takes at most what its cap leaves. There is always a
# row: `stopped_at` is where the walk has to go on, NULL when it came to the end.
CLAIM: Final = f"""
WITH RECURSIVE tenant AS (
  SELECT (SELECT l.connection_id FROM slack_lanes l WHERE l.holder IS NULL AND l.connection_id > $1
          ORDER BY l.connection_id LIMIT 1) AS connection_id, 1 AS place
  UNION ALL
  SELECT (SELECT l.connection_id FROM slack_lanes l WHERE l.holder IS NULL AND l.connection_id > t.connection_id
          ORDER BY l.connection_id LIMIT 1), t.place + 1
  FROM tenant t WHERE t.connection_id IS NOT NULL AND t.place < {MAX_TENANTS_PER_CLAIM}
), abandoned AS MATERIALIZED (
  SELECT lane_id FROM slack_lanes WHERE holder IS NOT NULL AND lease_until_ms <= {_NOW_ONCE}
  ORDER BY lease_until_ms LIMIT $2 FOR UPDATE SKIP LOCKED
), free AS MATERIALIZED (
  SELECT l.lane_id, t.place FROM tenant t CROSS JOIN LATERAL (
    SELECT lane_id FROM slack_lanes
    WHERE holder IS NULL AND connection_id = t.connection_id AND ready_at_ms <= {_NOW_ONCE}
    ORDER BY ready_at_ms
    LIMIT greatest(0, $3 - (SELECT count(*) FROM slack_lanes h
                            WHERE h.holder IS NOT NULL AND h.connection_id = t.connection_id))
    FOR UPDATE SKIP LOCKED
  ) l
  LIMIT $2
), picked AS MATERIALIZED (
  SELECT lane_id, 0 AS place FROM abandoned UNION ALL SELECT lane_id, place FROM free LIMIT $2
), claimed AS (
  UPDATE slack_lanes SET holder = $4, fence = fence + 1, lease_until_ms = {_NOW} + $5,
    takeovers = takeovers + (holder IS NOT NULL)::int
  WHERE {_AMONG.format("lane_id FROM picked")}
  RETURNING lane_id, fence, connection_id, lane, takeovers, ready_at_ms
), walk AS (
  SELECT (SELECT connection_id FROM tenant WHERE place = {MAX_TENANTS_PER_CLAIM}) AS stopped_at
)
SELECT w.stopped_at, c.lane_id, c.fence, c.connection_id, c.lane, c.takeovers, p.place,
  e.id, e.event_id, e.event_time, e.event_type, e.payload, e.attempts, e.received_at_ms, e.replayed_at_ms
FROM walk w LEFT JOIN (claimed c JOIN picked p USING (lane_id)) ON true LEFT JOIN LATERAL (
  SELECT * FROM slack_events
  WHERE connection_id = c.connection_id AND lane = c.lane AND state IN ('received', 'waiting') ORDER BY id LIMIT $6
) e ON true
ORDER BY c.ready_at_ms, c.lane_id, e.id
"""

RENEW: Final = f"""
WITH mine AS MATERIALIZED (
  SELECT l.lane_id FROM slack_lanes l JOIN unnest($1::bigint[], $2::bigint[]) AS c(lane_id, fence)
    ON c.lane_id = l.lane_id AND c.fence = l.fence
  WHERE l.holder = $3 AND l.{_AMONG.format("unnest($1)")} ORDER BY l.connection_id, l.lane FOR UPDATE OF l
)
UPDATE slack_lanes SET lease_until_ms = {_NOW} + $4 WHERE {_AMONG.format("lane_id FROM mine")} RETURNING lane_id
"""

LOCK: Final = f"""
SELECT l.lane_id FROM slack_lanes l JOIN unnest($1::bigint[], $2::bigint[]) AS c(lane_id, fence)
  ON c.lane_id = l.lane_id AND c.fence = l.fence
WHERE l.holder IS NOT NULL AND l.{_AMONG.format("unnest($1)")} ORDER BY l.connection_id, l.lane FOR UPDATE OF l
"""

# Runs after LOCK, as a statement of its own: its snapshot has every event appended before the rows were locked.
SETTLE: Final = f"""
WITH outcome AS MATERIALIZED (
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::boolean[], $4::bigint[], $5::text[], $6::text[], $13::bigint[])
    AS o(id, state, counts, retry_after_ms, reason, detail, event_time)
), settled AS (
  UPDATE slack_events e SET state = o.state, reason = o.reason, detail = o.detail,
    attempts = e.attempts + o.counts::int,
    next_attempt_at_ms = CASE WHEN o.state = 'waiting' THEN {_NOW} + o.retry_after_ms END,
    finished_at_ms = CASE WHEN o.state <> 'waiting' THEN {_NOW} END
  FROM outcome o WHERE e.id = o.id AND e.event_time = o.event_time
), wish AS MATERIALIZED (
  SELECT l.lane_id, l.connection_id, l.lane, w.keeps, w.wait_ms, w.progressed
  FROM unnest($7::bigint[], $8::boolean[], $9::bigint[], $10::boolean[]) AS w(lane_id, keeps, wait_ms, progressed)
  CROSS JOIN LATERAL (SELECT * FROM slack_lanes WHERE lane_id = w.lane_id LIMIT 1) l
), following AS MATERIALIZED (
  SELECT w.lane_id, e.* FROM wish w CROSS JOIN LATERAL (
    SELECT id, event_id, event_time, event_type, payload, attempts, received_at_ms, replayed_at_ms FROM slack_events
    WHERE connection_id = w.connection_id AND lane = w.lane AND state IN ('received', 'waiting')
      AND id NOT IN (SELECT id FROM outcome)
    ORDER BY id LIMIT CASE WHEN w.keeps THEN $11::int ELSE 1 END
  ) e
), ending AS MATERIALIZED (
  SELECT w.*, EXISTS (SELECT FROM following f WHERE f.lane_id = w.lane_id) AS has_more FROM wish w
), closed AS (
  DELETE FROM slack_lanes WHERE {_AMONG.format("lane_id FROM ending WHERE wait_ms IS NULL AND NOT has_more")}
), kept AS (
  UPDATE slack_lanes l SET takeovers = CASE WHEN n.progressed THEN 0 ELSE l.takeovers END,
    holder = CASE WHEN n.keeps THEN l.holder END,
    lease_until_ms = CASE WHEN n.keeps THEN {_NOW} + $12 END,
    ready_at_ms = {_NOW} + coalesce(n.wait_ms, 0)
  FROM ending n
  WHERE l.lane_id = n.lane_id AND l.{_AMONG.format("lane_id FROM ending WHERE wait_ms IS NOT NULL OR has_more")}
)
SELECT f.* FROM following f JOIN ending n USING (lane_id) WHERE n.keeps ORDER BY f.lane_id, f.id
"""

# Each part in the words of an index, so that neither looks at what is finished.
BACKLOG: Final = f"""
SELECT u.unfinished, d.dead, coalesce({_NOW} - u.oldest_ms, 0) AS oldest_age_ms
FROM (SELECT count(*) AS unfinished, min(coalesce(replayed_at_ms, received_at_ms)) AS oldest_ms
      FROM slack_events WHERE state IN ('received', 'waiting')) u,
     (SELECT count(*) AS dead FROM slack_events WHERE state = 'dead' AND finished_at_ms IS NOT NULL) d
"""

# Of weeks that are over as a whole, so that what will be dropped is not even looked at; and by an array of numbers, so
# that the plan does not depend on how many rows the database expects.
_OF_WEEKS_OVER: Final = f"""
  event_time < (SELECT at_s - (at_s - {MONDAY_S}) % {WEEK_S} FROM (SELECT {_NOW} / 1000 - $4::bigint AS at_s) AS over)
"""
DELETE_FINISHED: Final = f"""
DELETE FROM slack_events WHERE {_OF_WEEKS_OVER} AND id = ANY (ARRAY(
  SELECT id FROM slack_events
  WHERE {_OF_WEEKS_OVER} AND state = $1 AND finished_at_ms IS NOT NULL
    AND finished_at_ms <= (SELECT {_NOW} - $2::bigint)
  ORDER BY finished_at_ms LIMIT $3 FOR UPDATE SKIP LOCKED
))
"""


class PostgresqlJournal:
    """`ports.store.Journal` on PostgreSQL.

    Args:
        tell_work: wakes the other pods in another way as well; must not wait.
    """

    def __init__(
        self, database: Database, sealer: Sealer, pod_id: PodId, *, tell_work: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._keys = get_data_keys(database, sealer)
        self._tell_work = tell_work
        self._pod_id = pod_id
        self._last_tenant = ""

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Write the deliveries in one transaction; True for each that is new."""
        payloads = await seal_payloads(self._keys, deliveries)
        async with self._database.driver() as connection:
            row = await connection.fetchrow(
                APPEND,
                [each.connection_id for each in deliveries],
                [each.event_id for each in deliveries],
                [each.lane for each in deliveries],
                [each.event_type for each in deliveries],
                payloads,
                [each.retry_num for each in deliveries],
                [each.retry_reason for each in deliveries],
                [each.skip_reason for each in deliveries],
                [each.event_time for each in deliveries],
                self._pod_id,
            )
        if row["new"] == len(deliveries):
            return [True] * len(deliveries)
        columns = (row[name] or () for name in ("connection_ids", "event_ids", "event_times"))
        return mark_new(deliveries, zip(*columns, strict=True))

    async def claim(
        self, pod_id: PodId, *, max_lanes: int, lanes_per_connection: int, lease_s: float, events_per_lane: int
    ) -> Sequence[Claim]:
        """Claim up to `max_lanes` lanes, tenants in turn: the walk begins where the last one was full, and goes round.

        A connection's cap is kept by each pod for what it sees; pods that claim at the same moment may exceed it.
        """
        claimed: list[Any] = []
        count = 0
        after, has_wrapped = self._last_tenant, not self._last_tenant
        async with self._database.driver() as connection:
            while count < max_lanes:
                room = max_lanes - count
                rows = await connection.fetch(
                    CLAIM, after, room, lanes_per_connection, pod_id, to_ms(lease_s), events_per_lane
                )
                lanes = [row for row in rows if row["lane_id"] is not None]
                claimed += lanes
                count += len({row["lane_id"] for row in lanes})
                if count >= max_lanes:
                    after = max(lanes, key=lambda row: row["place"])["connection_id"]
                elif rows[0]["stopped_at"] is not None:
                    after = rows[0]["stopped_at"]
                else:
                    after = ""
                    if has_wrapped:
                        break
                    has_wrapped = True
        self._last_tenant = after
        return await collect_claims(self._keys, claimed)

    async def renew(self, pod_id: PodId, claims: Sequence[Claim], *, lease_s: float) -> Sequence[Claim]:
        """Extend the leases; returns the claims that are still this pod's."""
        async with self._database.driver() as connection:
            rows = await connection.fetch(
                RENEW, [each.lane_id for each in claims], [each.fence for each in claims], pod_id, to_ms(lease_s)
            )
        held = {row["lane_id"] for row in rows}
        return [claim for claim in claims if claim.lane_id in held]

    async def settle(
        self, settlements: Sequence[Settlement], *, lease_s: float, events_per_lane: int
    ) -> Sequence[Sequence[JournalledEvent] | None]:
        """Write outcomes under their fences, in one transaction, and return what comes next in each lane."""
        if has_lane_twice(settlements):
            return [
                (await self.settle([each], lease_s=lease_s, events_per_lane=events_per_lane))[0] for each in settlements
            ]
        async with self._database.driver() as connection, connection.transaction(isolation="read_committed"):
            locked = await connection.fetch(
                LOCK, [each.claim.lane_id for each in settlements], [each.claim.fence for each in settlements]
            )
            held = frozenset(row["lane_id"] for row in locked)
            kept = [each for each in settlements if each.claim.lane_id in held]
            rows = await self._settle(connection, kept, lease_s=lease_s, events_per_lane=events_per_lane)
        return await collect_next(self._keys, settlements, held, rows)

    async def _settle(
        self, connection: Any, settlements: Sequence[Settlement], *, lease_s: float, events_per_lane: int
    ) -> Sequence[Any]:
        if not settlements:
            return ()
        outcomes = [pair for each in settlements for pair in each.outcomes]
        waits = [get_wait_ms(each) for each in settlements]
        rows: Sequence[Any] = await connection.fetch(
            SETTLE,
            [event.id for event, _ in outcomes],
            [outcome.state.value for _, outcome in outcomes],
            [outcome.counts for _, outcome in outcomes],
            [to_ms(outcome.retry_after_s) for _, outcome in outcomes],
            [outcome.reason for _, outcome in outcomes],
            [render_detail(outcome) for _, outcome in outcomes],
            [each.claim.lane_id for each in settlements],
            [not each.release and wait is None for each, wait in zip(settlements, waits, strict=True)],
            waits,
            [bool(each.outcomes) for each in settlements],
            events_per_lane,
            to_ms(lease_s),
            [event.event_time for event, _ in outcomes],
        )
        return rows

    async def take_back(self) -> int:
        """Return 0: other pods may be at work."""
        return 0

    async def load_backlog(self) -> JournalBacklog:
        """Return what is unfinished."""
        async with self._database.driver() as connection:
            row = await connection.fetchrow(BACKLOG)
        return JournalBacklog(
            unfinished=row["unfinished"], oldest_age_s=max(0, row["oldest_age_ms"]) / 1000, dead=row["dead"]
        )

    async def delete_finished(self, *, done_before_s: float, dead_before_s: float, limit: int) -> int:
        """Delete up to `limit` events that ended longer ago than these ages in seconds; returns how many."""
        deleted = 0
        async with self._database.driver() as connection:
            for state, age_s in (("done", done_before_s), ("skipped", done_before_s), ("dead", dead_before_s)):
                # What is kept for less than a week does not wait for the end of its week.
                over_s = int(age_s) if age_s >= WEEK_S else -WEEK_S
                status = await connection.execute(DELETE_FINISHED, state, to_ms(age_s), limit - deleted, over_s)
                deleted += int(status.removeprefix("DELETE "))
        return deleted

    async def tend_weeks(self, *, done_before_s: float, dead_before_s: float) -> int:
        """Make the partitions of the weeks to come, and drop those that are over; returns how many were dropped."""
        async with self._database.driver() as connection:
            return await tend_weeks(connection, done_before_s=done_before_s, dead_before_s=dead_before_s)

    async def notify_work(self) -> None:
        """Wake the other pods."""
        self._tell_work()
        async with self._database.driver() as connection:
            await connection.execute("SELECT pg_notify($1, '')", WORK_CHANNEL)
