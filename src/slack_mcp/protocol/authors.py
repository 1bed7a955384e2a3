"""Who wrote a message and where, as far as connection and event alone say it.

Sources: https://docs.slack.dev/reference/events/app_mention and https://docs.slack.dev/reference/events/message, whose
subtypes say what kind of message it is.
"""

from typing import Final

from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import Connection
from slack_mcp.protocol.events import EventCallback
from slack_mcp.protocol.mrkdwn import is_mentioned

SPOKEN_SUBTYPES: Final = frozenset({None, "file_share", "thread_broadcast", "me_message"})
"""Something that a person said; every other subtype tells of an edit, a join or the like."""

BOT_SUBTYPE: Final = "bot_message"
"""Something that a bot of the older kind said. Source: https://docs.slack.dev/reference/events/message/bot_message."""

SLACKBOT: Final = UserId("USLACKBOT")


def is_own(connection: Connection, event: EventCallback) -> bool:
    """Tell whether this app did it. A connection may not know its app; the envelope always names it."""
    return (
        (event.bot_id is not None and event.bot_id == connection.bot_id)
        or (event.user_id is not None and event.user_id == connection.bot_user_id)
        or (event.app_id is not None and event.app_id in (connection.api_app_id, event.api_app_id))
    )


def is_of_bot(event: EventCallback) -> bool:
    """Tell whether some bot did it."""
    return event.bot_id is not None or event.user_id == SLACKBOT


def is_direct(event: EventCallback) -> bool:
    """Tell whether it happened in a direct message."""
    return event.channel_type == "im" or (event.channel_id is not None and is_direct_channel(event.channel_id))


def is_direct_channel(channel_id: ChannelId) -> bool:
    """Tell whether a channel is a direct message: https://docs.slack.dev/apis/web-api/using-the-conversations-api."""
    return channel_id.startswith("D")


def is_reply(event: EventCallback) -> bool:
    """Tell whether the message stands in a thread, and is not its root."""
    return event.thread_ts is not None and event.thread_ts != event.ts


def is_named(connection: Connection, event: EventCallback) -> bool:
    """Tell whether the message names the connection's bot."""
    return event.event_type == "app_mention" or (
        connection.bot_user_id is not None and is_mentioned(event.text, connection.bot_user_id)
    )
