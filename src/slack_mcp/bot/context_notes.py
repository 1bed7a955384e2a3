"""What Slack's events say in the threads that the bot takes part in is noted, whether it is for the bot or not."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from slack_mcp.bot.addressed import Addressed, SkipReason
from slack_mcp.bot.context_lines import KEPT_SUBTYPES, MAX_MESSAGE_CHARS, read_message
from slack_mcp.core.errors import MalformedBodyError
from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Claim, Connection, JournalledEvent
from slack_mcp.ports.store import TurnStore
from slack_mcp.ports.transcript import Transcript
from slack_mcp.protocol.answers import text
from slack_mcp.protocol.authors import is_direct, is_named, is_own, is_reply
from slack_mcp.protocol.events import EDIT_SUBTYPES, MESSAGE_TYPES, EventCallback, parse_envelope, read_event
from slack_mcp.protocol.message_text import read_text
from slack_mcp.protocol.mrkdwn import clean
from slack_mcp.protocol.speaking import Refusal, find_refusal_of

_DELETED: Final = frozenset({"message_deleted", "tombstone"})
_SHOWN: Final = ("text", "blocks", "attachments", "files")


def may_be_remembered(connection: Connection, event: EventCallback) -> bool:
    """Tell whether an event that the bot does not answer may belong to a conversation of its own.

    Asked before the event is given to anybody to work on, so that the answer is no for whatever stands at the top of a
    channel. It is yes for what is said in a thread, for edits in one and in direct messages, and for the edit of a
    mention, which may be on its way to an agent.

    Args:
        connection: whose bot it is.
        event: any event of the connection.
    """
    if not _may_be_heard(connection, event):
        return False
    if event.subtype in EDIT_SUBTYPES:
        return event.thread_ts is not None or is_direct(event) or is_named(connection, event)
    return event.subtype in KEPT_SUBTYPES and is_reply(event)


class ThreadNotes:
    """Notes what is said.

    Args:
        transcript: keeps it.
        turns: tell which threads the bot takes part in.
    """

    def __init__(self, *, transcript: Transcript, turns: TurnStore) -> None:
        self._transcript = transcript
        self._turns = turns

    async def hear(
        self, connection: Connection, event: EventCallback, message: Mapping[str, Any], decision: Addressed | SkipReason
    ) -> None:
        """Note a message, or the edit of one, if it belongs to a conversation of the bot's.

        Args:
            connection: whose bot it is.
            event: the event.
            message: the same as Slack sent it (`read_event`).
            decision: whether the bot answers it.

        Raises:
            StoreUnavailableError: it could not be noted.
        """
        if event.channel_id is None or event.ts is None or not _may_be_heard(connection, event):
            return
        if event.subtype in EDIT_SUBTYPES:
            shown = clean(read_text(_read_edited(message) or {}))[:MAX_MESSAGE_CHARS]
            await self._transcript.replace_text(connection.connection_id, event.channel_id, event.ts, shown)
        elif isinstance(decision, Addressed) or await self._takes_part(connection, event.channel_id, event, decision):
            said = read_message(connection, message, thread_ts=event.thread_ts or event.ts)
            if said is not None:
                await self._transcript.add_message(connection.connection_id, event.channel_id, said)

    async def _takes_part(
        self, connection: Connection, channel_id: ChannelId, event: EventCallback, decision: SkipReason
    ) -> bool:
        """Tell whether the message is a reply in a thread of the bot's."""
        if decision == SkipReason.NO_WORDS:
            return True
        if decision == SkipReason.NOT_FOR_US or event.thread_ts is None or not is_reply(event):
            return False
        return await self._turns.has_turn_in_thread(connection.connection_id, channel_id, event.thread_ts)


def correct(
    event: JournalledEvent, envelope: EventCallback, message: Mapping[str, Any], claim: Claim
) -> tuple[EventCallback, Mapping[str, Any]] | None:
    """Return a message as it stands after the edits that are waiting behind it, None when it was deleted.

    Args:
        event: of the message.
        envelope: the same, parsed.
        message: the same as Slack sent it.
        claim: what else is to be done in the lane.
    """
    for later in claim.events:
        if later.id <= event.id or later.event_type not in MESSAGE_TYPES:
            continue
        edit = _parse_edit(later)
        if edit is None or (edit.channel_id, edit.ts) != (envelope.channel_id, envelope.ts):
            continue
        edited = _read_edited(read_event(later.payload))
        if edited is None:
            return None
        message = {**{name: value for name, value in message.items() if name not in _SHOWN}, **edited}
        envelope = msgspec.structs.replace(envelope, text=edit.text)
    return envelope, message


def _parse_edit(event: JournalledEvent) -> EventCallback | None:
    try:
        envelope = parse_envelope(event.payload)
    except MalformedBodyError:
        return None
    is_edit = isinstance(envelope, EventCallback) and envelope.subtype in EDIT_SUBTYPES
    return envelope if is_edit and isinstance(envelope, EventCallback) else None


def _read_edited(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what an edited message shows now, None when it was deleted.

    The root of a thread that is deleted stays as a tombstone.
    Source: https://docs.slack.dev/reference/events/message/message_changed.
    """
    inner = message.get("message")
    if text(message, "subtype") in _DELETED or not isinstance(inner, Mapping) or text(inner, "subtype") in _DELETED:
        return None
    return {name: inner[name] for name in _SHOWN if name in inner}


def _may_be_heard(connection: Connection, event: EventCallback) -> bool:
    """Tell whether the bot listens there, and to others than itself."""
    return (
        event.event_type in MESSAGE_TYPES
        and not connection.settings.trigger_only
        and not is_own(connection, event)
        # Whoever is not answered is still heard; where the bot must not be, it hears nothing.
        and find_refusal_of(connection, event) in (None, Refusal.USER_NOT_ALLOWED)
    )
