"""The database, as the rooms see it. Every method may raise `StoreUnavailableError`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, PodId, TeamId, Ts
from slack_mcp.core.model import (
    Claim,
    Connection,
    Delivery,
    JournalBacklog,
    JournalledEvent,
    Settlement,
    Turn,
)


class ConnectionStore(Protocol):
    """Connections as the database has them; secrets are sealed on the way in and opened on the way out."""

    async def load_connection(self, connection_id: ConnectionId) -> Connection | None:
        """Return the connection, or None when there is none with this id."""
        ...

    async def load_connection_ids_of_team(self, team_id: TeamId) -> Sequence[tuple[ConnectionId, str | None]]:
        """Return (connection_id, api_app_id or None) of each connection of a workspace."""
        ...

    async def list_connections(self) -> Sequence[Connection]:
        """Return all connections, by id."""
        ...

    async def count_connections(self) -> tuple[int, int]:
        """Return (connections, connections that hold a Mesh API key)."""
        ...

    async def save_connection(self, connection: Connection) -> Connection:
        """Insert or replace the connection, raise its version by one, and announce the change with the commit.

        Returns the connection as saved, with its new version and times.
        """
        ...

    async def remove_connection(self, connection_id: ConnectionId) -> bool:
        """Delete the connection, its turns and its secrets, and announce it. False when there was none.

        Unfinished events stay in the journal: each ends as skipped when it is claimed.
        """
        ...


class Journal(Protocol):
    """The journal of events, and the claims on its lanes."""

    async def append(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Write the deliveries in one transaction; True for each that is new, False for each already journalled.

        When this returns, the events are durable and their lanes can be claimed. Those with a `skip_reason` have ended.
        """
        ...

    async def claim(
        self, pod_id: PodId, *, max_lanes: int, lanes_per_connection: int, lease_s: float, events_per_lane: int
    ) -> Sequence[Claim]:
        """Claim up to `max_lanes` lanes that are due and free, or whose lease has run out.

        A connection never holds more than about `lanes_per_connection` lanes over all pods, so that a busy tenant
        leaves room for the others.
        """
        ...

    async def renew(self, pod_id: PodId, claims: Sequence[Claim], *, lease_s: float) -> Sequence[Claim]:
        """Extend the leases; returns the claims that are still this pod's. The missing ones are lost."""
        ...

    async def settle(
        self, settlements: Sequence[Settlement], *, lease_s: float, events_per_lane: int
    ) -> Sequence[Sequence[JournalledEvent] | None]:
        """Write outcomes under their fences, in one transaction.

        Returns, for each settlement: the lane's next events (the lane stays claimed), or an empty sequence when the
        lane was given back (it had no more work due), or None when the lease was lost and nothing was written.
        """
        ...

    async def take_back(self) -> int:
        """Free the lanes that an earlier process died with, where no other process can be at work; returns how many.

        With several pods nobody can know, and nothing is done: leases decide.
        """
        ...

    async def load_backlog(self) -> JournalBacklog:
        """Return what is unfinished."""
        ...

    async def delete_finished(self, *, done_before_s: float, dead_before_s: float, limit: int) -> int:
        """Delete up to `limit` events that ended longer ago than the ages given in seconds; returns how many.

        What will be dropped with its week is left for that, a week at most.
        """
        ...

    async def tend_weeks(self, *, done_before_s: float, dead_before_s: float) -> int:
        """Make room for the time ahead, and drop what is over week by week, where the table is kept by weeks.

        Args:
            done_before_s: as for `delete_finished`, which deletes what is not dropped.
            dead_before_s: as well.

        Returns:
            How many weeks were dropped.
        """
        ...

    async def notify_work(self) -> None:
        """Wake the other pods: there is more due than this pod can take."""
        ...


class TurnStore(Protocol):
    """The turns: which message is answered by which event, and how far the answer has come."""

    async def begin_turn(self, turn: Turn) -> Turn:
        """Insert the turn unless the message has one already; returns the one that stands."""
        ...

    async def load_turn(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> Turn | None:
        """Return the message's turn, None when it has none."""
        ...

    async def save_turn(self, turn: Turn, claim: Claim) -> None:
        """Store how far the turn has come: everything but what was asked, and whether it is to be stopped.

        Raises:
            LeaseLostError: the lane belongs to another pod now; nothing was written.
        """
        ...

    async def is_stop_requested(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> bool:
        """Tell whether somebody wants no more of the answer to the message."""
        ...

    async def has_turn(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts) -> bool:
        """Tell whether a turn was begun for the message."""
        ...

    async def has_turn_in_thread(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> bool:
        """Tell whether the bot takes part in this thread."""
        ...

    async def has_notice_in_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, notice: str
    ) -> bool:
        """Tell whether the bot has already given this notice in the thread."""
        ...

    async def load_history(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, limit: int, max_age_s: float
    ) -> Sequence[Turn]:
        """Return the thread's last answered turns, oldest first.

        A thread that was reset, or silent for longer than `max_age_s`, starts afresh: turns before it are left out.
        """
        ...

    async def load_generation(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts) -> int:
        """Return how often the thread was reset."""
        ...


class TurnArchive(Protocol):
    """All turns of all connections, for those who count and delete them."""

    async def count_turns(self) -> int:
        """Return how many turns are kept, as far as they can be counted quickly."""
        ...

    async def delete_turns(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` turns that nothing has happened to for `before_s` seconds; returns how many."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCondition:
    """How the database stands.

    Attributes:
        is_read_only: it takes no writes, as a server does that is no primary any more.
        now_s: its clock, unix seconds; None where it has none of its own.
    """

    is_read_only: bool
    now_s: float | None


class StoreHealth(Protocol):
    """What the health routes ask of the database."""

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        ...

    async def load_condition(self) -> StoreCondition:
        """Return how the database stands, as soon as it answers."""
        ...

    async def load_schema_revision(self) -> Mapping[str, str | None]:
        """Return {"current": …, "head": …}."""
        ...

    @property
    def listening(self) -> bool:
        """Whether changes announced by other pods are being heard."""
        ...
