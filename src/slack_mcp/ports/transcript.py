"""What was said in the threads that the bot takes part in, kept by us from Slack's events.

Slack lets some apps read a conversation once a minute only (https://docs.slack.dev/changelog/2025/05/29/
rate-limit-changes-for-non-marketplace-apps), so that what an agent is told does not depend on reading it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadMessage:
    """One message of a thread.

    Attributes:
        user_id, bot_id: who wrote it, as far as Slack says.
        name: what a bot called itself there, None for a person.
        text: all that it says, in Slack's markup (`protocol.message_text.read_text`); empty when it was deleted.
        is_own: the connection's bot wrote it.
    """

    message_ts: Ts
    thread_ts: Ts
    user_id: UserId | None
    bot_id: str | None
    text: str
    name: str | None = None
    is_own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadAnswer:
    """What the bot was asked in a thread, and what it answered.

    Attributes:
        message_ts: of the question.
        answer: in Markdown, None where there is none (yet).
        parts: the bot's messages that show the answer, or what it said in its place.
        ended_at_ms: unix milliseconds since when nothing has happened to it.
    """

    message_ts: Ts
    user_id: UserId | None
    question: str
    answer: str | None
    parts: Sequence[Ts]
    ended_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What is kept of a thread, since it was last told to forget.

    Attributes:
        messages: the last ones before the question, oldest first.
        answers: the last ones before the question, oldest first.
        generation: how often the thread was reset.
        is_filled: what Slack had of the thread before the bot joined it is among the messages, or is to be forgotten.
        summary: of what was said until `summarized_until_ts`, None when there is none.
        viewed_channel_id: what the person looks at while they talk to the assistant.
    """

    messages: Sequence[ThreadMessage] = ()
    answers: Sequence[ThreadAnswer] = ()
    generation: int = 0
    is_filled: bool = False
    summary: str | None = None
    summarized_until_ts: Ts | None = None
    viewed_channel_id: ChannelId | None = None


class Transcript(Protocol):
    """The messages, sealed, for a time; see `TranscriptArchive`. Every method may raise `StoreUnavailableError`."""

    async def add_message(self, connection_id: ConnectionId, channel_id: ChannelId, message: ThreadMessage) -> None:
        """Keep a message, unless it is kept already: what is kept may have been edited since."""
        ...

    async def replace_text(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts, text: str) -> bool:
        """Let a message that is kept say something else, and forget a summary that tells of it.

        Args:
            connection_id: whose bot it is.
            channel_id: where.
            message_ts: of the message.
            text: in Slack's markup; empty for a message that was deleted.

        Returns:
            False when the message is not kept.
        """
        ...

    async def load_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, before_ts: Ts, limit: int
    ) -> Thread:
        """Return what was said in the thread before a message: the last `limit` messages, and as many answers."""
        ...

    async def fill_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, messages: Sequence[ThreadMessage]
    ) -> None:
        """Keep what Slack had of the thread, as `add_message` does, and note that this was done.

        A summary is forgotten: it does not tell of them.
        """
        ...

    async def save_summary(
        self,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        thread_ts: Ts,
        *,
        summary: str,
        until_ts: Ts,
        generation: int,
    ) -> None:
        """Keep a summary of the thread's messages until `until_ts`, unless the thread was reset in the meantime.

        Args:
            connection_id: whose bot it is.
            channel_id: where.
            thread_ts: the thread's root.
            summary: clear; the store seals it.
            until_ts: of the last message that it tells of.
            generation: of the thread, when its messages were loaded.
        """
        ...


class TranscriptArchive(Protocol):
    """What is kept of all connections, for those who delete it."""

    async def delete_messages(self, *, before_s: float, limit: int) -> int:
        """Delete up to `limit` messages that are older than `before_s` seconds; returns how many."""
        ...

    async def delete_threads(self, *, before_s: float, limit: int) -> int:
        """Forget the summaries of up to `limit` threads in which nothing new was noted for `before_s` seconds.

        How often a thread was reset is not forgotten: it is part of the name under which an agent of Mesh keeps it.
        Returns how many threads it were.
        """
        ...
