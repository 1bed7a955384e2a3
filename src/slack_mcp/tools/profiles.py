"""What people say of themselves, and whether they are there."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import Field

from slack_mcp.core.errors import SlackApiError
from slack_mcp.protocol.answers import number, text
from slack_mcp.tools.call import Call
from slack_mcp.tools.fields import UserText, render_ms
from slack_mcp.tools.needs import Needs
from slack_mcp.tools.tool import Arguments, Result, Tool

MAX_FIELDS: Final = 50

_log = structlog.get_logger(__name__)


class WhomArguments(Arguments):
    """Whom."""

    user_id: UserText


class ProfileField(Result):
    """A field that the workspace added to its profiles."""

    label: str
    value: str


class Profile(Result):
    """What somebody says of themselves."""

    user_id: str
    real_name: str | None = None
    display_name: str | None = None
    title: str | None = None
    pronouns: str | None = None
    phone: str | None = None
    email: str | None = None
    status_text: str | None = None
    status_emoji: str | None = None
    status_expiration: int | None = Field(default=None, description="Unix seconds.")
    fields: list[ProfileField] | None = None


class ProfileResult(Result):
    """What somebody says of themselves."""

    profile: Profile


class PresenceResult(Result):
    """Whether somebody is there."""

    user_id: str
    presence: str = Field(description="active or away.")
    is_do_not_disturb: bool | None = Field(
        default=None, description="Whether notifications are held back; absent when not known."
    )
    do_not_disturb_until: str | None = Field(default=None, description="ISO 8601, UTC.")


async def _get_profile(call: Call, arguments: WhomArguments) -> ProfileResult:
    user_id = await call.resolve_user(arguments.user_id)
    answer = await call.bot.read("users.profile.get", user=user_id)
    profile = answer.get("profile") or {}
    labels = await _fetch_labels(call) if profile.get("fields") else {}
    names = ("real_name", "display_name", "title", "pronouns", "phone", "email", "status_text", "status_emoji")
    return ProfileResult(
        profile=Profile(
            user_id=user_id,
            status_expiration=number(profile, "status_expiration") or None,
            fields=read_fields(profile, labels) or None,
            **{name: text(profile, name) or None for name in names},
        )
    )


async def _fetch_labels(call: Call) -> Mapping[str, str]:
    """Return what the workspace calls its fields, nothing when Slack does not say: ids do instead.

    Slack asks for this in place of `include_labels`: https://docs.slack.dev/reference/methods/users.profile.get.
    """
    try:
        profile = (await call.bot.read("team.profile.get")).get("profile")
    except SlackApiError as error:
        _log.debug("profile.without_labels", connection_id=call.connection.connection_id, error=error.slack_error)
        return {}
    listed = profile.get("fields") if isinstance(profile, Mapping) else None
    return {text(each, "id"): text(each, "label") for each in listed} if isinstance(listed, list) else {}


def read_fields(profile: Mapping[str, Any], labels: Mapping[str, str]) -> list[ProfileField]:
    """Return the workspace's own fields of a profile.

    Args:
        profile: as users.profile.get has it.
        labels: what each is called, by id.
    """
    fields = profile.get("fields")
    if not isinstance(fields, Mapping):
        return []
    values: Sequence[tuple[str, str]] = [(name, text(each, "value")) for name, each in fields.items()]
    return [ProfileField(label=labels.get(name) or name, value=value) for name, value in values[:MAX_FIELDS] if value]


async def _get_presence(call: Call, arguments: WhomArguments) -> PresenceResult:
    user_id = await call.resolve_user(arguments.user_id)
    answer = await call.bot.read("users.getPresence", user=user_id)
    is_silent, until = await _fetch_do_not_disturb(call, user_id)
    return PresenceResult(
        user_id=user_id,
        presence=text(answer, "presence"),
        is_do_not_disturb=is_silent,
        do_not_disturb_until=until,
    )


async def _fetch_do_not_disturb(call: Call, user_id: str) -> tuple[bool | None, str | None]:
    """Return (whether notifications are held back, until when); (None, None) where the token may not know."""
    scopes = call.connection.bot_scopes
    if scopes is not None and "dnd:read" not in scopes:
        return None, None
    try:
        answer = await call.bot.read("dnd.info", user=user_id)
    except SlackApiError as error:
        _log.debug("presence.without_dnd", connection_id=call.connection.connection_id, error=error.slack_error)
        return None, None
    start_s, end_s = number(answer, "next_dnd_start_ts") or 0, number(answer, "next_dnd_end_ts") or 0
    is_silent = answer.get("dnd_enabled") is True and start_s <= call.services.clock.now_s() < end_s
    return is_silent, render_ms(end_s * 1000) if is_silent else None


TOOLS: Final = (
    Tool(
        name="SLACK_GET_USER_PROFILE",
        title="Get a person's profile",
        description="Returns what a person says of themselves: title, status, pronouns, the workspace's own fields.",
        arguments=WhomArguments,
        result=ProfileResult,
        run=_get_profile,
        needs=Needs(bot=("users.profile:read",)),
    ),
    Tool(
        name="SLACK_GET_PRESENCE",
        title="Get a person's presence",
        description="Tells whether a person is active or away, and does not want to be disturbed.",
        arguments=WhomArguments,
        result=PresenceResult,
        run=_get_presence,
        needs=Needs(bot=("users:read",)),
    ),
)
