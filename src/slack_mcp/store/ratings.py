"""What people think of the answers, in the database; see `ports.surfaces`."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import delete, func, or_, select, tuple_

from slack_mcp.core.clock import Clock
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.ports.surfaces import Rating
from slack_mcp.store.database import Database
from slack_mcp.store.schema import ratings, turns

_MS: Final = 1000


class SqlRatings:
    """Two ports: `Ratings` and `RatingArchive`. A rating has the key of its turn, which is the question's message.

    Args:
        database: where.
        clock: dates the ratings.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def save_rating(
        self,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        thread_ts: Ts,
        ts: Ts,
        *,
        user_id: UserId,
        rating: Rating,
    ) -> bool:
        """Keep the rating with the turn whose answer the message shows; False when there is none."""
        rated = select(turns.c.message_ts).where(
            turns.c.connection_id == connection_id,
            turns.c.channel_id == channel_id,
            turns.c.thread_ts == thread_ts,
            turns.c.answer.is_not(None),
            # As JSON has it in the list.
            or_(turns.c.answer_ts == ts, turns.c.parts.contains(f'"{ts}"', autoescape=True)),
        )
        values = {"rating": rating.value, "rated_at_ms": self._now_ms()}
        async with self._database.transaction() as database:
            message_ts = (await database.execute(rated.limit(1))).scalar_one_or_none()
            if message_ts is None:
                return False
            statement = (
                self._database.insert(ratings)
                .values(
                    connection_id=connection_id,
                    channel_id=channel_id,
                    message_ts=message_ts,
                    user_id=user_id,
                    **values,
                )
                .on_conflict_do_update(index_elements=list(ratings.primary_key), set_=values)
            )
            await database.execute(statement)
        return True

    async def count_ratings(self, connection_id: ConnectionId | None, *, since_s: float) -> Mapping[Rating, int]:
        """Return how often each rating was given."""
        statement = (
            select(ratings.c.rating, func.count())
            .where(ratings.c.rated_at_ms >= int(since_s * _MS))
            .group_by(ratings.c.rating)
        )
        if connection_id is not None:
            statement = statement.where(ratings.c.connection_id == connection_id)
        async with self._database.reading() as database:
            counted = {str(rating): int(count) for rating, count in await database.execute(statement)}
        return {rating: counted.get(rating.value, 0) for rating in Rating}

    async def delete_ratings(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` old ratings; returns how many."""
        key = list(ratings.primary_key)
        old = (
            select(*key)
            .where(ratings.c.rated_at_ms <= self._now_ms() - int(before_s * _MS))
            .order_by(ratings.c.rated_at_ms)
            .limit(limit)
        )
        async with self._database.transaction() as database:
            return int((await database.execute(delete(ratings).where(tuple_(*key).in_(old)))).rowcount)

    def _now_ms(self) -> int:
        return int(self._clock.now_s() * _MS)
