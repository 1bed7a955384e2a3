"""What an interaction needs before it is acknowledged, and where answers to it can be sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.core.model import Connection, JournalledEvent
from slack_mcp.ports.slack import SlackWeb


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantAnswer:
    """What is said in the response itself.

    Attributes:
        body: the JSON to answer with; None answers with nothing, which acknowledges.
        skip_reason: why nothing is left to do later; None when there is, or may be.
        is_journalled: False when not even a trace is to be kept.
    """

    body: Mapping[str, Any] | None = None
    skip_reason: str | None = None
    is_journalled: bool = True


class ResponseUrls(Protocol):
    """Posts to the `response_url` of a command or a click.

    Source: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses.
    """

    async def post(self, connection: Connection, url: str, body: Mapping[str, Any]) -> None:
        """Post one answer: at most five for each address, within 30 minutes.

        Args:
            connection: for whom; nothing of it is sent.
            url: as Slack gave it.
            body: `text`, `response_type`, `replace_original` and the like.

        Raises:
            SlackRefusedError: the address is used up, expired, or none of Slack's.
            SlackApiError: another of its classes.
        """
        ...


class ConversationMemory(Protocol):
    """What the bot remembers of a conversation."""

    async def reset_channel(self, connection_id: ConnectionId, channel_id: ChannelId) -> int:
        """Forget what was said in all threads of the channel; returns how many threads there were.

        Raises:
            StoreUnavailableError: nothing was changed.
        """
        ...


class PersonalReplies(Protocol):
    """Tells one person something that nobody else sees."""

    async def tell(
        self,
        connection: Connection,
        event: JournalledEvent,
        text: str,
        *,
        user_id: UserId,
        channel_id: ChannelId | None,
        response_url: str | None,
        thread_ts: Ts | None = None,
    ) -> None:
        """Tell the person. Where Slack lets nothing be told, that is logged, and no error.

        Args:
            connection: whose bot tells it.
            event: the command, click or form that it answers.
            text: in Slack's markup.
            user_id: the person.
            channel_id: where they are, None when that is not known.
            response_url: of the command, click or form.
            thread_ts: the root of the thread that they are in, None for the channel itself.

        Raises:
            SlackApiError: it may work later.
        """
        ...


class FindMarked(Protocol):
    """Finds a message of the bot's by the metadata that it was posted with."""

    async def __call__(
        self,
        web: SlackWeb,
        connection: Connection,
        channel_id: ChannelId,
        mark: tuple[str, str, str],
        *,
        thread_ts: Ts | None,
        since_s: float,
    ) -> Ts | None:
        """Return the message's ts, None when there is none.

        Args:
            web: of the connection.
            connection: whose bot posted it.
            channel_id: where.
            mark: the metadata's event_type, a key of its event_payload, and the value.
            thread_ts: the thread to look in, None for the channel itself.
            since_s: unix seconds before which it was not posted.

        Raises:
            SlackApiError: nobody could look.
        """
        ...
