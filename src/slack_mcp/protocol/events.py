"""Slack's event envelopes, read just as far as routing and answering need.

Source: https://docs.slack.dev/apis/events-api and https://docs.slack.dev/reference/events.

Messages are read strictly. Of every other event only the envelope and the event's type are required: Slack adds kinds
and changes shapes, and a correctly signed event that nobody here understands is still acknowledged.
"""

from typing import Any, Final, TypeAlias

import msgspec

from slack_mcp.core.errors import MalformedBodyError
from slack_mcp.core.ids import ChannelId, EventId, TeamId, Ts, UserId
from slack_mcp.core.model import UNDATED

MESSAGE_TYPES: Final = frozenset({"message", "app_mention"})
EDIT_SUBTYPES: Final = frozenset({"message_changed", "message_deleted"})
STOP_EVENTS: Final = frozenset({"agent_session_stopped", "message_stream_stopped"})
"""Somebody wants no more of an answer; the second is the older name of the first.

Source: https://docs.slack.dev/reference/events/agent_session_stopped.
"""
PANE_EVENTS: Final = frozenset({"assistant_thread_started", "assistant_thread_context_changed"})
"""Somebody opened the assistant's pane, or looks at something else beside it.

Source: https://docs.slack.dev/reference/events/assistant_thread_started.
"""

CHANNEL_ENTITY: Final = "slack#/types/channel_id"

# Ids and types become index columns and log values, so they are held to what Slack sends: short and plain. One
# tenant's NUL or 1 MiB "id" would otherwise fail the commit that it shares with other tenants.
MAX_WORD_CHARS: Final = 128

# The weeks that `store.weeks` keeps have room for all events that are younger.
MAX_EVENT_AGE_S: Final = 7 * 86_400


class UrlVerification(msgspec.Struct, frozen=True, kw_only=True):
    """Slack asks whether this address is ours. Source: https://docs.slack.dev/reference/events/url_verification.

    Attributes:
        challenge: to be sent back as it is.
    """

    challenge: str


class AppRateLimited(msgspec.Struct, frozen=True, kw_only=True):
    """Slack holds events back. Source: https://docs.slack.dev/reference/events/app_rate_limited.

    Attributes:
        minute_rate_limited: the unix seconds of the minute, None when Slack did not say.
    """

    team_id: TeamId | None
    api_app_id: str | None
    minute_rate_limited: int | None


class OtherEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """Correctly signed and of no interest: acknowledged, nothing is stored."""

    envelope_type: str


class EventCallback(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    Attributes:
        team_id: the workspace it was delivered for; an organization's id when Slack names no workspace.
        enterprise_id: the organization that the app is installed in, None for a workspace that stands alone.
        event_type: `event.type`, such as `app_mention`.
        event_time: when Slack dispatched it first, unix seconds; `UNDATED` when it does not say.
        channel_id: `event.channel`, also where Slack sends an object, or the channel of the item reacted to.
        user_id, bot_id, app_id: the author, as far as Slack says; of the message that was edited or deleted.
        ts: of the message; for an edit or deletion, of the message that was edited or deleted; for a reaction, of the
            message reacted to.
        thread_ts: the root of the thread that `ts` is in, None outside of a thread.
        parent_user_id: who wrote the thread's root.
        channel_type: `channel`, `group`, `im` or `mpim`, on messages.
        text: of a message, as Slack escapes it, and as it was edited; empty when there is none.
        is_ext_shared: it happened where another organization is present too.
        user_team_id: the workspace that the author of a message belongs to, as far as Slack says.
        viewed_channel_id: the channel that the person has open beside the conversation with the assistant.
        tab: of the app's home, `home` or `messages`.
    """

    team_id: TeamId | None
    enterprise_id: str | None = None
    api_app_id: str | None = None
    event_id: EventId
    event_type: str
    event_time: int = UNDATED
    subtype: str | None = None
    channel_id: ChannelId | None = None
    user_id: UserId | None = None
    bot_id: str | None = None
    app_id: str | None = None
    ts: Ts | None = None
    thread_ts: Ts | None = None
    parent_user_id: UserId | None = None
    channel_type: str | None = None
    text: str = ""
    is_ext_shared: bool = False
    user_team_id: TeamId | None = None
    viewed_channel_id: ChannelId | None = None
    tab: str | None = None


Envelope: TypeAlias = UrlVerification | EventCallback | AppRateLimited | OtherEnvelope


class _Authorization(msgspec.Struct):
    team_id: Any = None
    enterprise_id: Any = None


class _WireEvent(msgspec.Struct):
    type: str
    subtype: Any = None
    channel: Any = None
    channel_id: Any = None
    user: Any = None
    bot_id: Any = None
    app_id: Any = None
    ts: Any = None
    deleted_ts: Any = None
    thread_ts: Any = None
    parent_user_id: Any = None
    channel_type: Any = None
    text: Any = None
    item: Any = None
    message: Any = None
    previous_message: Any = None
    user_team: Any = None
    source_team: Any = None
    team: Any = None
    tab: Any = None
    assistant_thread: Any = None
    app_context: Any = None
    context: Any = None


class _WireEnvelope(msgspec.Struct):
    type: str
    challenge: Any = None
    team_id: Any = None
    enterprise_id: Any = None
    context_team_id: Any = None
    api_app_id: Any = None
    event_id: Any = None
    event_time: Any = None
    event: _WireEvent | None = None
    authorizations: list[_Authorization] | None = None
    minute_rate_limited: Any = None
    is_ext_shared_channel: Any = None


class _Routing(msgspec.Struct):
    team_id: Any = None
    enterprise_id: Any = None
    context_team_id: Any = None
    api_app_id: Any = None
    authorizations: Any = None


_ENVELOPE: Final = msgspec.json.Decoder(_WireEnvelope)
_ROUTING: Final = msgspec.json.Decoder(_Routing)


def parse_envelope(body: bytes) -> Envelope:
    """Return what a verified body says.

    Raises:
        MalformedBodyError: not UTF-8, not JSON, not an object, nested absurdly deep, or a required field is missing or
            of the wrong type. The message names the field and shows nothing of the content.
    """
    wire = _decode(body)
    match wire.type:
        case "event_callback":
            return _read_event_callback(wire)
        case "url_verification":
            if not isinstance(wire.challenge, str):
                raise _missing("challenge")
            return UrlVerification(challenge=wire.challenge)
        case "app_rate_limited":
            minute = wire.minute_rate_limited
            return AppRateLimited(
                team_id=_read_team_id(wire),
                api_app_id=_word(wire.api_app_id),
                minute_rate_limited=minute if type(minute) is int else None,
            )
        case _:
            return OtherEnvelope(envelope_type=_word(wire.type) or "unreadable")


def read_event(body: bytes) -> dict[str, Any]:
    """Return the event of a body that was parsed before as Slack sent it, empty when there is none."""
    event = msgspec.json.decode(body, type=dict[str, Any]).get("event")
    return event if isinstance(event, dict) else {}


def peek_routing(body: bytes) -> tuple[TeamId | None, str | None]:
    """Return (team_id, api_app_id) as an unverified body claims them, each None when it says nothing usable.

    Good for nothing but choosing the secret with which the body is then verified; never raises.
    """
    try:
        wire = _ROUTING.decode(body)
    except (ValueError, RecursionError):
        return None, None
    return _read_team_id(wire), _word(wire.api_app_id)


def date_event(event: EventCallback, signed_at_s: int) -> EventCallback:
    """Return the event with a time that can be believed, or none.

    Slack attempts to deliver an event for a day at most, and says the same time in each attempt. Tenants sign their own
    bodies, and may say anything: what cannot be true counts as no time, in each attempt, so that it is still one event.

    Args:
        event: of a verified body.
        signed_at_s: the timestamp that was signed with it, unix seconds.

    Source: https://docs.slack.dev/apis/events-api.
    """
    if abs(event.event_time - signed_at_s) <= MAX_EVENT_AGE_S or event.event_time == UNDATED:
        return event
    return msgspec.structs.replace(event, event_time=UNDATED)


def find_viewed_channel(context: Any) -> ChannelId | None:
    """Return the first channel among what a person looks at, beside a message or an event of the assistant's pane.

    Args:
        context: `app_context` of a message, or `context` of an event: the most relevant comes first.

    Source: https://docs.slack.dev/reference/events/app_context_changed.
    """
    entities = context.get("entities") if isinstance(context, dict) else None
    for entity in entities if isinstance(entities, list) else ():
        if isinstance(entity, dict) and entity.get("type") == CHANNEL_ENTITY:
            named = _word(entity.get("value"))
            if named is not None:
                return ChannelId(named)
    return None


def get_lane(event: EventCallback) -> str:
    """Return the lane in which the event is worked on: channel and thread root, else channel and event type.

    Whatever concerns one thread (messages, edits, deletions, a reaction to its root) shares a lane and keeps its order.
    What must not wait until a thread's answer is written has a lane of its own.
    """
    root = event.thread_ts or event.ts
    if event.event_type in STOP_EVENTS:
        return f"stop:{event.channel_id or '-'}:{root or '-'}"
    if event.event_type in PANE_EVENTS:
        return f"pane:{event.channel_id or '-'}:{root or '-'}"
    return f"{event.channel_id or '-'}:{(event.channel_id and root) or event.event_type}"


def _decode(body: bytes) -> _WireEnvelope:
    try:
        str(body, "utf-8")  # the decoder does not look into the strings that it skips
        return _ENVELOPE.decode(body)
    except UnicodeDecodeError:
        raise MalformedBodyError("The body is not UTF-8.") from None
    except RecursionError:
        raise MalformedBodyError("The body is nested too deep.") from None
    except msgspec.ValidationError as error:
        raise MalformedBodyError(f"The body is not a Slack envelope: {error}.") from None
    except msgspec.DecodeError:
        raise MalformedBodyError("The body is not JSON.") from None


def _read_event_callback(wire: _WireEnvelope) -> EventCallback:
    event = wire.event
    if event is None:
        raise _missing("event")
    event_id = _word(wire.event_id)
    if event_id is None:
        raise _missing("event_id")
    event_type = _word(event.type)
    if event_type is None:
        raise _missing("event.type")
    subtype = _word(event.subtype)
    if event_type in MESSAGE_TYPES and subtype is None:
        _check_message(event)
    pane = _find_pane(event)
    ts, thread_ts = _read_root(event, subtype, pane)
    user_id, bot_id, app_id, text = _read_said(event, subtype, pane)
    return EventCallback(
        team_id=_read_team_id(wire),
        enterprise_id=_read_enterprise_id(wire),
        api_app_id=_word(wire.api_app_id),
        event_id=EventId(event_id),
        event_type=event_type,
        event_time=wire.event_time if type(wire.event_time) is int else UNDATED,
        subtype=subtype,
        channel_id=_read_channel_id(event, pane),
        user_id=user_id,
        bot_id=bot_id,
        app_id=app_id,
        ts=ts,
        thread_ts=thread_ts,
        parent_user_id=_user(event.parent_user_id),
        channel_type=_word(event.channel_type),
        text=text,
        # Anything but a plain no: what keeps words inside the organization must not depend on how Slack spells it.
        is_ext_shared=wire.is_ext_shared_channel not in (None, False),
        user_team_id=_read_user_team_id(event),
        viewed_channel_id=_read_viewed_channel_id(event, pane),
        tab=_word(event.tab),
    )


def _check_message(event: _WireEvent) -> None:
    """Raise for a message that has no place; whatever else cannot be read is as good as absent."""
    if _word(event.channel) is None:
        raise _missing("event.channel")
    if _word(event.ts) is None:
        raise _missing("event.ts")


def _find_pane(event: _WireEvent) -> dict[str, Any] | None:
    """Return what an event of the assistant's pane is about: messages have something else by the same name."""
    is_pane = event.type in PANE_EVENTS and isinstance(event.assistant_thread, dict)
    return event.assistant_thread if is_pane else None


def _read_root(event: _WireEvent, subtype: str | None, pane: dict[str, Any] | None) -> tuple[Ts | None, Ts | None]:
    """Return (ts, thread_ts) of the message that the event is about."""
    if subtype in EDIT_SUBTYPES:
        for inner in (event.message, event.previous_message):
            if isinstance(inner, dict) and _word(inner.get("ts")) is not None:
                return _ts(inner["ts"]), _ts(inner.get("thread_ts"))
        return _ts(event.deleted_ts), None
    if event.ts is None and isinstance(event.item, dict):
        return _ts(event.item.get("ts")), None
    if pane is not None:
        return None, _ts(pane.get("thread_ts"))
    return _ts(event.ts), _ts(event.thread_ts)


def _read_said(
    event: _WireEvent, subtype: str | None, pane: dict[str, Any] | None
) -> tuple[UserId | None, str | None, str | None, str]:
    """Return (user_id, bot_id, app_id, text) of the message that the event is about; an edit names nobody itself."""
    user, bot_id, app_id, text = event.user, event.bot_id, event.app_id, event.text
    if subtype in EDIT_SUBTYPES:
        inner = event.message if isinstance(event.message, dict) else event.previous_message
        if isinstance(inner, dict):
            user, bot_id, app_id, text = (inner.get(name) for name in ("user", "bot_id", "app_id", "text"))
    if pane is not None:
        user = pane.get("user_id")
    return _user(user), _word(bot_id), _word(app_id), text if isinstance(text, str) else ""


def _read_channel_id(event: _WireEvent, pane: dict[str, Any] | None) -> ChannelId | None:
    in_pane = None if pane is None else pane.get("channel_id")
    for value in (event.channel, event.channel_id, event.item, in_pane):
        found = value
        if isinstance(value, dict):  # channel_created, channel_rename: an object; reaction_added: an item in a channel
            found = value.get("channel") if value is event.item else value.get("id")
        word = _word(found)
        if word is not None:
            return ChannelId(word)
    return None


def _read_viewed_channel_id(event: _WireEvent, pane: dict[str, Any] | None) -> ChannelId | None:
    """Return the channel that the person looks at, in the older pane's words or in the newer ones.

    Source of the older: https://docs.slack.dev/reference/events/assistant_thread_context_changed.
    """
    if pane is not None:
        context = pane.get("context")
        named = _word(context.get("channel_id")) if isinstance(context, dict) else None
        return None if named is None else ChannelId(named)
    if event.app_context is None and event.context is None:
        return None
    return find_viewed_channel(event.app_context) or find_viewed_channel(event.context)


def _read_team_id(wire: _WireEnvelope | _Routing) -> TeamId | None:
    """Return the workspace; for an organization-wide event that names none, the organization."""
    named = _word(wire.team_id)
    if named is not None:
        return TeamId(named)
    candidates: list[Any] = []
    first = wire.authorizations[0] if isinstance(wire.authorizations, list) and wire.authorizations else None
    if isinstance(first, dict):
        candidates += [first.get("team_id"), wire.context_team_id, wire.enterprise_id, first.get("enterprise_id")]
    elif isinstance(first, _Authorization):
        candidates += [first.team_id, wire.context_team_id, wire.enterprise_id, first.enterprise_id]
    else:
        candidates += [wire.context_team_id, wire.enterprise_id]
    return next((TeamId(word) for value in candidates if (word := _word(value)) is not None), None)


def _read_enterprise_id(wire: _WireEnvelope) -> str | None:
    """Return the installation's organization. Where workspaces meet, the envelope itself may name the other one."""
    return _word(wire.authorizations[0].enterprise_id if wire.authorizations else wire.enterprise_id)


def _read_user_team_id(event: _WireEvent) -> TeamId | None:
    """Return the author's workspace: `team` is it as well, and the first two are there only where workspaces meet.

    Source: https://docs.slack.dev/enterprise/developing-for-enterprise-orgs.
    """
    word = _word(event.user_team) or _word(event.source_team) or _word(event.team)
    return None if word is None else TeamId(word)


def _word(value: Any) -> str | None:
    """Return the value when it is short, printable ASCII without blanks."""
    if value is None:  # most fields of most events are absent
        return None
    if isinstance(value, str) and 0 < len(value) <= MAX_WORD_CHARS and value.isascii() and value.isprintable():
        return None if " " in value else value
    return None


def _ts(value: Any) -> Ts | None:
    word = _word(value)
    return None if word is None else Ts(word)


def _user(value: Any) -> UserId | None:
    """Return the user's id; user_change and team_join send the whole user."""
    word = _word(value.get("id") if isinstance(value, dict) else value)
    return None if word is None else UserId(word)


def _missing(field: str) -> MalformedBodyError:
    return MalformedBodyError(f"The field {field} is missing or not of the expected type.")
