"""What an interaction needs before it is acknowledged, and where answers to it can be sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId
from slack_mcp.core.model import Connection


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
