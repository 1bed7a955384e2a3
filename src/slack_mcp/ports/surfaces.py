"""The assistant's surfaces: what people do there, and what is kept of it.

Every method of a store may raise `StoreUnavailableError`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.core.model import Connection, Turn


class StopRequests(Protocol):
    """Takes word that somebody wants no more of an answer."""

    async def request_stop(self, connection_id: ConnectionId, channel_id: ChannelId, ts: Ts) -> bool:
        """Have the answer stopped that a message shows, or that is on its way in a thread; False when there is none.

        Args:
            connection_id: whose bot answers.
            channel_id: where.
            ts: of one of the answer's messages, or of the thread's root.
        """
        ...


class Rating(StrEnum):
    """What somebody thinks of an answer."""

    GOOD = "good"
    BAD = "bad"


class Ratings(Protocol):
    """What people think of the answers: one rating of each person for each answer, the last one."""

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
        """Keep the rating with the answer, in place of the person's earlier one; False when it is no answer.

        Args:
            connection_id: whose bot answered.
            channel_id: where.
            thread_ts: the root of the thread that the answer stands in.
            ts: of one of the answer's messages.
            user_id: who rates.
            rating: what they think.
        """
        ...

    async def count_ratings(self, connection_id: ConnectionId | None, *, since_s: float) -> Mapping[Rating, int]:
        """Return how often each rating was given since `since_s` (unix seconds); of all connections with None."""
        ...


class RatingArchive(Protocol):
    """The ratings of all connections, for those who delete them."""

    async def delete_ratings(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` ratings that are older than `before_s` seconds; returns how many."""
        ...


class AssistantMemory(Protocol):
    """What is known of the conversations with the assistant, beside what was said in them.

    They are threads of a person's direct message with the bot, which is the channel.
    """

    async def save_viewed_channel(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, viewed_channel_id: ChannelId | None
    ) -> None:
        """Keep which channel the person has open beside the conversation; None is nothing that is known."""
        ...

    async def is_greeted(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts | None) -> bool:
        """Tell whether the person was greeted in the thread; without one, whether they were greeted at all."""
        ...

    async def save_greeted(self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts | None) -> None:
        """Keep that the person was greeted in the thread, or in the direct message as a whole."""
        ...


class Languages(Protocol):
    """In which language the bot's own sentences are said to a person."""

    async def find_language(self, connection: Connection, user_id: UserId | None) -> str:
        """Return the language of the person's own Slack where the catalogue has it, else the connection's.

        Never raises: what cannot be found out is as the connection has it.
        """
        ...


class ThreadTitles(Protocol):
    """Gives names to the assistant's threads."""

    async def name(self, connection: Connection, turn: Turn) -> None:
        """Let the thread be called by its first question, where Slack shows that; never raises."""
        ...
