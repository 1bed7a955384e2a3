"""What is known of the conversations with the assistant, in the database; see `ports.surfaces`."""

from typing import Any, Final

from sqlalchemy import select

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.store.database import Database
from slack_mcp.store.schema import threads

WHOLE: Final = Ts("")
"""Stands for a direct message as a whole, which is no thread."""
_MS: Final = 1000


class SqlAssistantMemory:
    """`ports.surfaces.AssistantMemory`.

    Args:
        database: where.
        clock: dates what is kept.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def save_viewed_channel(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, viewed_channel_id: ChannelId | None
    ) -> None:
        """Keep what the person looks at."""
        await self._save(connection_id, channel_id, thread_ts, viewed_channel_id=viewed_channel_id)

    async def is_greeted(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts | None) -> bool:
        """Tell whether the person was greeted in the thread, or anywhere in the direct message."""
        statement = select(threads.c.greeted_at_ms).where(
            threads.c.connection_id == connection_id,
            threads.c.channel_id == channel_id,
            threads.c.greeted_at_ms.is_not(None),
        )
        if thread_ts is not None:
            statement = statement.where(threads.c.thread_ts == thread_ts)
        async with self._database.reading() as database:
            return (await database.execute(statement.limit(1))).first() is not None

    async def save_greeted(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts | None) -> None:
        """Keep that the person was greeted."""
        await self._save(connection_id, channel_id, thread_ts or WHOLE, greeted_at_ms=self._now_ms())

    async def _save(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, **values: Any) -> None:
        # A thread is forgotten when it has been quiet for long. That somebody was greeted once is not.
        changes = values if thread_ts == WHOLE else values | {"updated_at_ms": self._now_ms()}
        statement = (
            self._database.insert(threads)
            .values(
                connection_id=connection_id,
                channel_id=channel_id,
                thread_ts=thread_ts,
                generation=0,
                reset_at_ms=0,
                **changes,
            )
            .on_conflict_do_update(index_elements=list(threads.primary_key), set_=changes)
        )
        async with self._database.transaction() as database:
            await database.execute(statement)

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)
