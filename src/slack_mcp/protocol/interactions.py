"""Slack's slash commands and interactions, read just as far as routing and answering need.

Sources: https://docs.slack.dev/interactivity/implementing-slash-commands and
https://docs.slack.dev/reference/interaction-payloads.

Both arrive as form fields. Unknown kinds are kept by their name: a correctly signed one that nobody here understands is
acknowledged all the same.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from slack_mcp.core.errors import MalformedBodyError
from slack_mcp.core.ids import ChannelId, TeamId, Ts, UserId
from slack_mcp.protocol.answers import string
from slack_mcp.protocol.events import MAX_WORD_CHARS

MAX_FIELDS: Final = 64
MAX_URL_CHARS: Final = 2_000
MAX_METADATA_CHARS: Final = 3_000  # https://docs.slack.dev/reference/views/modal-views: private_metadata

BLOCK_ACTIONS: Final = "block_actions"
BLOCK_SUGGESTION: Final = "block_suggestion"
VIEW_SUBMISSION: Final = "view_submission"
MESSAGE_ACTION: Final = "message_action"
"""A shortcut in a message's menu: https://docs.slack.dev/reference/interaction-payloads/shortcuts-interaction-payload."""


class SslCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Slack looks whether the address answers: nothing is to be done."""


class SlashCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody typed a command of the app.

    Attributes:
        command: as it was typed, such as `/slack-mcp`.
        text: what stood behind it, as Slack escapes it.
        response_url: takes answers for 30 minutes, five at most.
    """

    team_id: TeamId | None
    enterprise_id: str | None = None
    api_app_id: str | None = None
    channel_id: ChannelId
    user_id: UserId
    command: str
    text: str = ""
    response_url: str | None = None
    trigger_id: str | None = None


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody clicked a button, sent a form, or used a shortcut.

    Attributes:
        kind: Slack's own word, such as `block_actions`.
        channel_id, message_ts: the message that was clicked in, or whose menu was used; None for a form.
        thread_ts: the root of the thread that the message is in, None outside of a thread.
        message: the message itself, empty where Slack does not send it.
        trigger_id: opens one form, within 3 s.
        action_id, value: of the first thing that was clicked.
        callback_id: of the form, or of the shortcut.
        private_metadata: what was given to the form when it was opened.
        inputs: what was typed into the form, by block id.
    """

    kind: str
    team_id: TeamId | None
    enterprise_id: str | None = None
    api_app_id: str | None = None
    user_id: UserId
    channel_id: ChannelId | None = None
    message_ts: Ts | None = None
    thread_ts: Ts | None = None
    message: Mapping[str, Any] = MappingProxyType({})
    trigger_id: str | None = None
    response_url: str | None = None
    action_id: str | None = None
    value: str | None = None
    callback_id: str | None = None
    private_metadata: str = ""
    inputs: Mapping[str, str] = MappingProxyType({})


Form: TypeAlias = SlashCommand | Interaction | SslCheck


class _WireInteraction(msgspec.Struct):
    type: str
    user: Any = None
    team: Any = None
    enterprise: Any = None
    api_app_id: Any = None
    channel: Any = None
    container: Any = None
    message: Any = None
    trigger_id: Any = None
    response_url: Any = None
    response_urls: Any = None
    actions: Any = None
    action_id: Any = None
    callback_id: Any = None
    view: Any = None


class _Routing(msgspec.Struct):
    team: Any = None
    enterprise: Any = None
    api_app_id: Any = None
    view: Any = None


_INTERACTION: Final = msgspec.json.Decoder(_WireInteraction)
_ROUTING: Final = msgspec.json.Decoder(_Routing)


def parse_form(body: bytes) -> Form:
    """Return what a verified form body says.

    Raises:
        MalformedBodyError: not a form of UTF-8 text, a payload that is no JSON object, or a required field is missing.
            The message names the field and shows nothing of the content.
    """
    fields = _read_fields(body)
    if "payload" in fields:
        return _read_interaction(fields["payload"])
    if "command" in fields:
        return _read_command(fields)
    if fields.get("ssl_check") == "1":
        return SslCheck()
    raise MalformedBodyError("The body is neither a slash command nor an interaction.")


def peek_form_routing(body: bytes) -> tuple[TeamId | None, str | None]:
    """Return (team_id, api_app_id) as an unverified body claims them, each None when it says nothing usable.

    Good for nothing but choosing the secret with which the body is then verified; never raises.
    """
    try:
        fields = _read_fields(body)
        if "payload" not in fields:
            return _find_team(fields.get("team_id"), fields.get("enterprise_id")), word(fields.get("api_app_id"))
        wire = _ROUTING.decode(fields["payload"])
    except (MalformedBodyError, ValueError, RecursionError):
        return None, None
    return _read_team(wire) or _find_team(_get(wire.enterprise, "id")), word(wire.api_app_id)


def word(value: Any) -> str | None:
    """Return the value when it is short, printable ASCII without blanks: what may be a column and a log value."""
    if isinstance(value, str) and 0 < len(value) <= MAX_WORD_CHARS and value.isascii() and value.isprintable():
        return None if " " in value else value
    return None


def _read_fields(body: bytes) -> dict[str, str]:
    """Return the form's fields, of one that comes twice the first."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, encoding="utf-8", errors="strict"
        )
    except ValueError:
        raise MalformedBodyError("The body is not a form of UTF-8 text.") from None
    return dict(reversed(pairs))


def _read_command(fields: Mapping[str, str]) -> SlashCommand:
    return SlashCommand(
        team_id=_find_team(fields.get("team_id")),
        enterprise_id=word(fields.get("enterprise_id")),
        api_app_id=word(fields.get("api_app_id")),
        channel_id=ChannelId(_require(fields.get("channel_id"), "channel_id")),
        user_id=UserId(_require(fields.get("user_id"), "user_id")),
        command=fields["command"][:MAX_WORD_CHARS],
        text=fields.get("text", ""),
        response_url=_url(fields.get("response_url")),
        trigger_id=word(fields.get("trigger_id")),
    )


def _read_interaction(payload: str) -> Interaction:
    try:
        wire = _INTERACTION.decode(payload)
    except RecursionError:
        raise MalformedBodyError("The payload is nested too deep.") from None
    except msgspec.ValidationError as error:
        raise MalformedBodyError(f"The payload is not an interaction: {error}.") from None
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise MalformedBodyError("The payload is not JSON.") from None
    action = wire.actions[0] if isinstance(wire.actions, list) and wire.actions else None
    channel_id = word(_get(wire.channel, "id")) or word(_get(wire.container, "channel_id"))
    message_ts = word(_get(wire.container, "message_ts")) or word(_get(wire.message, "ts"))
    thread_ts = word(_get(wire.container, "thread_ts")) or word(_get(wire.message, "thread_ts"))
    return Interaction(
        kind=word(wire.type) or "unreadable",
        team_id=_read_team(wire),
        enterprise_id=word(_get(wire.enterprise, "id")),
        api_app_id=word(wire.api_app_id),
        user_id=UserId(_require(_get(wire.user, "id"), "user.id")),
        channel_id=None if channel_id is None else ChannelId(channel_id),
        message_ts=None if message_ts is None else Ts(message_ts),
        thread_ts=None if thread_ts is None else Ts(thread_ts),
        message=wire.message if isinstance(wire.message, dict) else {},
        trigger_id=word(wire.trigger_id),
        response_url=_url(wire.response_url) or _url(_get(_first(wire.response_urls), "response_url")),
        action_id=word(_get(action, "action_id")) or word(wire.action_id),
        value=word(_get(action, "value")),
        callback_id=word(_get(wire.view, "callback_id")) or word(wire.callback_id),
        private_metadata=string(_get(wire.view, "private_metadata"))[:MAX_METADATA_CHARS],
        inputs=_read_inputs(wire.view),
    )


def _read_inputs(view: Any) -> Mapping[str, str]:
    """Return the typed text of each block. Source: https://docs.slack.dev/reference/views/modal-views, `state`."""
    values = _get(_get(view, "state"), "values")
    if not isinstance(values, dict):
        return MappingProxyType({})
    return {
        str(block_id): string(_get(next(iter(elements.values())), "value"))
        for block_id, elements in values.items()
        if isinstance(elements, dict) and elements
    }


def _read_team(wire: _WireInteraction | _Routing) -> TeamId | None:
    """Return the workspace that the app is installed in, None for one that is installed in a whole organization.

    In a channel that is shared with another company, `team` may be the other company's, and a form says which the
    app's is: https://docs.slack.dev/reference/interaction-payloads/view-interactions-payload.
    """
    return _find_team(_get(wire.view, "app_installed_team_id"), _get(wire.team, "id"))


def _find_team(*candidates: Any) -> TeamId | None:
    return next((TeamId(found) for each in candidates if (found := word(each)) is not None), None)


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _url(value: Any) -> str | None:
    if isinstance(value, str) and 0 < len(value) <= MAX_URL_CHARS and value.isascii() and value.isprintable():
        return value
    return None


def _require(value: Any, field: str) -> str:
    found = word(value)
    if found is None:
        raise MalformedBodyError(f"The field {field} is missing or not of the expected type.")
    return found
