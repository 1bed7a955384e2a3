"""The kinds of events that can be subscribed to, and which of Slack's events is of which.

The names and the keys of the data are those that existing automations were made with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from slack_mcp.core.model import Connection
from slack_mcp.protocol.authors import SPOKEN_SUBTYPES, is_direct, is_named, is_of_bot, is_own
from slack_mcp.protocol.events import EventCallback

MESSAGE_RECEIVED: Final = "slack.message.received"
APP_MENTION: Final = "slack.app_mention"
REACTION_ADDED: Final = "slack.reaction.added"
CHANNEL_CREATED: Final = "slack.channel.created"
MEMBER_JOINED: Final = "slack.member.joined"

_EVENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "message": MESSAGE_RECEIVED,
        "app_mention": APP_MENTION,
        "reaction_added": REACTION_ADDED,
        "channel_created": CHANNEL_CREATED,
        "member_joined_channel": MEMBER_JOINED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A key of the data that a subscription may ask a value of; all values are strings.

    Attributes:
        values: the only values there are; empty means any.
    """

    description: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of event."""

    name: str
    description: str
    filters: Mapping[str, Filter] = field(default_factory=dict)


_HOW_TO_ANSWER: Final = (
    "The data has channel_id, user_name, text, reply_in_thread_ts, thread_messages (the thread so far) and "
    "reply_instruction. To answer: with thinking_message_ts, call SLACK_EDIT_MESSAGE with channel=channel_id and "
    "ts=thinking_message_ts; otherwise SLACK_REPLY_IN_THREAD with channel=channel_id and thread_ts=reply_in_thread_ts. "
    "With answered_by_bot the bot answers by itself: do not answer then."
)
_CHANNEL: Final = Filter(description="Id of the only channel, such as C0123456789. Empty: all.")
_USER: Final = Filter(description="Id of the only person, such as U0123456789. Empty: all.")

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                name=MESSAGE_RECEIVED,
                description=f"Somebody wrote in a channel, a group or a direct message. {_HOW_TO_ANSWER}",
                filters={
                    "channel_id": _CHANNEL,
                    "channel_type": Filter(
                        description="Only direct messages (im), group direct messages (mpim), private channels (group) "
                        "or public ones (channel). Empty: all.",
                        values=("im", "mpim", "group", "channel"),
                    ),
                    "user_id": _USER,
                },
            ),
            Kind(
                name=APP_MENTION,
                description=f"Somebody mentioned the bot in a channel. {_HOW_TO_ANSWER}",
                filters={"channel_id": _CHANNEL, "user_id": _USER},
            ),
            Kind(
                name=REACTION_ADDED,
                description="Somebody reacted to a message: item_ts is the message's, reaction the emoji's name.",
                filters={
                    "channel_id": _CHANNEL,
                    "user_id": _USER,
                    "reaction": Filter(description="Name of the only emoji, such as white_check_mark. Empty: all."),
                },
            ),
            Kind(name=CHANNEL_CREATED, description="A public channel was created."),
            Kind(
                name=MEMBER_JOINED,
                description="Somebody joined a channel that the bot is in.",
                filters={"channel_id": _CHANNEL, "user_id": _USER},
            ),
        )
    }
)

WITH_REPLY: Final = frozenset({MESSAGE_RECEIVED, APP_MENTION})
"""What can be answered in Slack."""


def find_kind(connection: Connection, event: EventCallback) -> str | None:
    """Return the kind of an event, None when nobody is told of it.

    What the bot itself and other bots do is not told: whoever answers it would be told of the answer, without an end.
    """
    kind = _EVENT_TYPES.get(event.event_type)
    if kind is None or is_own(connection, event) or is_of_bot(event):
        return None
    if kind in WITH_REPLY and event.subtype not in SPOKEN_SUBTYPES:
        return None
    # Slack sends a mention as app_mention and as message too, but not so in a direct message.
    if kind == MESSAGE_RECEIVED and not is_direct(event) and is_named(connection, event):
        return None
    return kind
