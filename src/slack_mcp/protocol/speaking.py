"""To whom and where the bot speaks: the rules that hold however it is asked.

They fail closed: where a list is set, whoever is not known is not on it.
"""

from enum import StrEnum

from slack_mcp.core.ids import ChannelId, UserId
from slack_mcp.core.model import Connection
from slack_mcp.protocol.authors import is_direct
from slack_mcp.protocol.events import EventCallback


class Refusal(StrEnum):
    """Why somebody is not answered."""

    CHANNEL_NOT_ALLOWED = "channel_not_allowed"
    USER_NOT_ALLOWED = "user_not_allowed"
    EXTERNAL_NOT_ALLOWED = "external_not_allowed"


def find_refusal(
    connection: Connection, *, channel_id: ChannelId | None, user_id: UserId | None, is_private: bool, is_external: bool
) -> Refusal | None:
    """Return why the bot does not speak to this person in this place, None when it does.

    Args:
        connection: whose bot it is.
        channel_id: where; None is in no list.
        user_id: who asks; None is in no list.
        is_private: whether it is a direct message, which no list of channels concerns.
        is_external: whether another organization hears it, or the person is of one.
    """
    settings, speaking = connection.settings, connection.settings.speaking
    if settings.allowed_channels and not is_private and channel_id not in settings.allowed_channels:
        return Refusal.CHANNEL_NOT_ALLOWED
    if is_external and not speaking.allow_external:
        return Refusal.EXTERNAL_NOT_ALLOWED
    return None if may_ask(connection, user_id) else Refusal.USER_NOT_ALLOWED


def may_ask(connection: Connection, user_id: UserId | None) -> bool:
    """Tell whether the bot speaks to a person, wherever that is. Who is denied is, also when allowed elsewhere."""
    speaking = connection.settings.speaking
    if user_id is None:
        return not (speaking.allowed_users or speaking.denied_users)
    return user_id not in speaking.denied_users and (not speaking.allowed_users or user_id in speaking.allowed_users)


def find_refusal_of(connection: Connection, event: EventCallback) -> Refusal | None:
    """Return why the bot does not speak to the author of a message there, None when it does."""
    return find_refusal(
        connection,
        channel_id=event.channel_id,
        user_id=event.user_id,
        is_private=is_direct(event),
        is_external=is_external(connection, event),
    )


def is_external(connection: Connection, event: EventCallback) -> bool:
    """Tell whether another organization hears what is said there, or its author is of one.

    Slack says the first in the envelope. The second it says by the author's workspace, which is another one also for a
    colleague in another workspace of the same organization: there the envelope alone decides.
    Source: https://docs.slack.dev/apis/slack-connect.
    """
    own = connection.team_id or event.team_id
    is_foreign = event.enterprise_id is None and event.user_team_id is not None and event.user_team_id != own
    return event.is_ext_shared or is_foreign
