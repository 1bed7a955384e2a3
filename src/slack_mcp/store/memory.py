"""What the bot is to forget, in the database; see `ports.interactions.ConversationMemory`."""

from sqlalchemy import literal, select

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.store.database import Database
from slack_mcp.store.schema import threads, turns


class SqlConversationMemory:
    """Marks threads as reset: each begins a new generation, and what was said before is not sent to the agent again."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def reset_channel(self, connection_id: ConnectionId, channel_id: ChannelId) -> int:
        """Forget all threads of the channel; returns how many there were."""
        now_ms = int(self._clock.now_s() * 1000)
        known = (
            select(turns.c.connection_id, turns.c.channel_id, turns.c.thread_ts, literal(1), literal(now_ms))
            .where(turns.c.connection_id == connection_id, turns.c.channel_id == channel_id)
            .distinct()
        )
        statement = (
            self._database.insert(threads)
            .from_select(["connection_id", "channel_id", "thread_ts", "generation", "reset_at_ms"], known)
            .on_conflict_do_update(
                index_elements=list(threads.primary_key),
                set_={"generation": threads.c.generation + 1, "reset_at_ms": now_ms},
            )
        )
        async with self._database.transaction() as database:
            return int((await database.execute(statement)).rowcount)
