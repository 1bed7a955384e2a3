"""Whether an event is for the bot, and what it asks."""

from dataclasses import dataclass
from enum import StrEnum

from slack_mcp.core.ids import ChannelId, Ts, UserId
from slack_mcp.core.model import Connection
from slack_mcp.ports.store import TurnStore
from slack_mcp.protocol.authors import (
    BOT_SUBTYPE,
    SLACKBOT,
    SPOKEN_SUBTYPES,
    is_direct,
    is_named,
    is_of_bot,
    is_own,
    is_reply,
)
from slack_mcp.protocol.events import MESSAGE_TYPES, EventCallback
from slack_mcp.protocol.mrkdwn import clean, remove_mention, unescape
from slack_mcp.protocol.speaking import Refusal, find_refusal_of


class SkipReason(StrEnum):
    """Why an event is not answered, as the journal keeps it."""

    EVENT_TYPE = "event_type"
    OWN_MESSAGE = "own_message"
    OTHER_BOT = "other_bot"
    NOISE_SUBTYPE = "noise_subtype"
    CHANNEL_NOT_ALLOWED = Refusal.CHANNEL_NOT_ALLOWED
    USER_NOT_ALLOWED = Refusal.USER_NOT_ALLOWED
    EXTERNAL_NOT_ALLOWED = Refusal.EXTERNAL_NOT_ALLOWED
    NOT_FOR_US = "not_for_us"
    NO_WORDS = "no_words"
    DELETED = "deleted"
    TRIGGER_ONLY = "trigger_only"
    RATE_LIMITED_USER = "rate_limited_user"
    RATE_LIMITED_CHANNEL = "rate_limited_channel"
    RATE_LIMITED_BOT = "rate_limited_bot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A message that the bot is to answer.

    Attributes:
        message_ts: with the channel, the message's identity.
        thread_ts: the root of the thread that the answer belongs in; the message itself when it is in none.
        question: what the person wrote, without the mention; the mention alone when there was nothing else, and empty
            for a direct message without text, such as a file.
    """

    channel_id: ChannelId
    message_ts: Ts
    thread_ts: Ts
    user_id: UserId | None
    question: str


async def decide(connection: Connection, event: EventCallback, turns: TurnStore) -> Addressed | SkipReason:
    """Return what the bot is asked, or why it does not answer; arguments and errors are those of `find_addressed`."""
    if connection.settings.trigger_only:
        return find_reason_to_skip(connection, event) or SkipReason.TRIGGER_ONLY
    return await find_addressed(connection, event, turns)


async def find_addressed(connection: Connection, event: EventCallback, turns: TurnStore) -> Addressed | SkipReason:
    """Return what the bot is asked, whoever answers in its place, or why the event is not for it.

    Args:
        connection: whose bot it is.
        event: any event of the connection.
        turns: asked only about a reply in a thread, and only when the reply itself does not decide it.

    Raises:
        StoreUnavailableError: the question to the store.
    """
    reason = _find_reason(connection, event)
    if reason is not None or event.channel_id is None or event.ts is None:
        return reason or SkipReason.NOT_FOR_US
    if not is_direct(event) and not is_named(connection, event):
        if not await _takes_part(connection, event.channel_id, event, turns):
            return SkipReason.NOT_FOR_US
        if not event.text.strip():  # a picture passed on between people in a thread: nobody waits for an answer
            return SkipReason.NO_WORDS
    return Addressed(
        channel_id=event.channel_id,
        message_ts=event.ts,
        thread_ts=event.thread_ts or event.ts,
        user_id=event.user_id,
        question=_read_question(connection, event.text),
    )


def find_reason_to_skip(connection: Connection, event: EventCallback) -> SkipReason | None:
    """Return why the bot does not answer an event, when connection and event alone say so.

    Most of what Slack delivers ends here, so that it is asked before the event is given to anybody to work on.
    """
    reason = _find_reason(connection, event)
    return SkipReason.TRIGGER_ONLY if reason is None and connection.settings.trigger_only else reason


def _find_reason(connection: Connection, event: EventCallback) -> SkipReason | None:
    if event.event_type not in MESSAGE_TYPES:
        return SkipReason.EVENT_TYPE
    if is_own(connection, event):
        return SkipReason.OWN_MESSAGE
    if is_of_bot(event) and not _is_bot_heard(connection, event):
        return SkipReason.OTHER_BOT
    if event.subtype not in SPOKEN_SUBTYPES and not (event.subtype == BOT_SUBTYPE and is_of_bot(event)):
        return SkipReason.NOISE_SUBTYPE
    if not _may_be_for_bot(connection, event):
        return SkipReason.NOT_FOR_US
    refusal = find_refusal_of(connection, event)
    return None if refusal is None else SkipReason(refusal)


def _is_bot_heard(connection: Connection, event: EventCallback) -> bool:
    """Tell whether another bot's message may be answered: only one that names us. Slackbot only repeats people.

    Two bots that answer each other never stop: `bot.limits` ends that where bots are allowed at all.
    """
    return connection.settings.speaking.allow_bots and event.user_id != SLACKBOT and is_named(connection, event)


def _may_be_for_bot(connection: Connection, event: EventCallback) -> bool:
    """Tell whether the message is for the bot, or may be: whose thread a reply is in is not known here."""
    if event.channel_id is None or event.ts is None:  # a subtype whose shape Slack changed
        return False
    return is_reply(event) or is_direct(event) or is_named(connection, event)


async def _takes_part(connection: Connection, channel_id: ChannelId, event: EventCallback, turns: TurnStore) -> bool:
    """Tell whether the message is a reply in a thread that the bot began, or has answered in."""
    if event.thread_ts is None or not is_reply(event):
        return False
    if event.parent_user_id is not None and event.parent_user_id == connection.bot_user_id:
        return True
    return await turns.has_turn_in_thread(connection.connection_id, channel_id, event.thread_ts)


def _read_question(connection: Connection, text: str) -> str:
    """Return what the person wrote; of a bare mention, the mention: the agent then has something to greet."""
    rest = text if connection.bot_user_id is None else remove_mention(text, connection.bot_user_id)
    return clean(unescape(rest or text)).strip()
