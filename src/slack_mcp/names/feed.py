"""Slack's news of channels and people: what was known of them is dropped, on every pod."""

from typing import Any, Final

import msgspec

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome
from slack_mcp.ports.names import NameAnnouncer, NameChange, NameKind

CHANNEL_EVENTS: Final = frozenset(
    {
        "channel_archive",
        "channel_created",
        "channel_deleted",
        "channel_id_changed",
        "channel_rename",
        "channel_unarchive",
        "group_archive",
        "group_deleted",
        "group_rename",
        "group_unarchive",
    }
)
USER_EVENTS: Final = frozenset({"team_join", "user_change", "user_profile_changed"})
NAME_EVENTS: Final = CHANNEL_EVENTS | USER_EVENTS
"""The events that `NameFeed` works on: https://docs.slack.dev/reference/events."""
MAX_ID_CHARS: Final = 64


class _Event(msgspec.Struct):
    type: str
    channel: Any = None
    user: Any = None
    old_channel_id: Any = None
    new_channel_id: Any = None


class _Envelope(msgspec.Struct):
    event: _Event


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


class NameFeed:
    """Works on `NAME_EVENTS`; see `ports.handler.EventHandler`. To forget twice does no harm.

    Args:
        announcer: tells every pod, this one included: the event is worked on by one of them.
    """

    def __init__(self, *, announcer: NameAnnouncer) -> None:
        self._announcer = announcer

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:  # noqa: ARG002
        """Have the names forgotten that the event is about.

        Raises:
            StoreUnavailableError: the other pods could not be told; the event is worked on again.
        """
        changes = read_changes(connection, event.payload)
        for change in changes:
            await self._announcer.announce(change)
        if not changes:
            return Outcome(state=EventState.SKIPPED, reason="names_no_news")
        return Outcome(state=EventState.DONE, reason="names_forgotten")

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Do nothing: the names are old until their time is over, and nobody waits for an answer."""


def read_changes(connection: Connection, payload: bytes) -> tuple[NameChange, ...]:
    """Return whose names an event's body gives news of, none when it cannot be read."""
    try:
        event = _ENVELOPE.decode(payload).event
    except (ValueError, RecursionError):
        return ()
    named: tuple[Any, ...] = ()
    kind = NameKind.USER
    if event.type in CHANNEL_EVENTS:
        kind, named = NameKind.CHANNEL, (event.channel, event.old_channel_id, event.new_channel_id)
    elif event.type in USER_EVENTS:
        named = (event.user,)
    ids = (each.get("id") if isinstance(each, dict) else each for each in named)
    return tuple(
        NameChange(connection_id=connection.connection_id, kind=kind, id=each)
        for each in ids
        if isinstance(each, str) and 0 < len(each) <= MAX_ID_CHARS and each.isascii() and each.isalnum()
    )
