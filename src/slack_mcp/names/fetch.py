"""What Slack says of names: one channel or person, or a page of the workspace's list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from slack_mcp.core.model import Connection
from slack_mcp.ports.names import NameKind
from slack_mcp.ports.slack import SlackWeb
from slack_mcp.protocol.answers import get_cursor, text

PAGE: Final = 1_000
# The kinds of channels that have names, and what lists them: https://docs.slack.dev/reference/methods/conversations.list
_CHANNEL_TYPES: Final = (("public_channel", "channels:read"), ("private_channel", "groups:read"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A channel or a person.

    Attributes:
        shown: the name that Slack shows; empty where there is none, as for a direct message.
        names: those by which it is found, casefolded; none for somebody who was deactivated.
        email: casefolded; empty where the token may not see it.
        locale: of a person's Slack, such as `pt-BR`; None where nobody asked for it, empty where Slack does not say.
        is_archived: of a channel.
    """

    id: str
    shown: str
    names: frozenset[str] = frozenset()
    email: str = ""
    locale: str | None = None
    is_archived: bool = False


Page = tuple[Sequence[Known], str | None]
"""What one page lists, and the cursor of the next."""


def choose_types(connection: Connection) -> str:
    """Return the kinds of channels that the bot token may list; all where Slack did not tell its scopes."""
    granted = connection.bot_scopes
    types = [kind for kind, scope in _CHANNEL_TYPES if granted is None or scope in granted]
    return ",".join(types or [kind for kind, _ in _CHANNEL_TYPES])  # with neither, Slack says which scope is missing


async def fetch_page(api: SlackWeb, connection: Connection, kind: NameKind, cursor: str | None) -> Page:
    """Return a page of the workspace's channels or people; raises SlackApiError.

    Sources: https://docs.slack.dev/reference/methods/conversations.list and users.list.
    """
    if kind is NameKind.CHANNEL:
        answer = await api.read(
            "conversations.list", types=choose_types(connection), limit=PAGE, cursor=cursor, exclude_archived=False
        )
        entries = [read_channel(each) for each in _list(answer, "channels")]
    else:
        answer = await api.read("users.list", limit=PAGE, cursor=cursor, include_locale=True)
        entries = [read_user(each) for each in _list(answer, "members")]
    return [each for each in entries if each is not None], get_cursor(answer)


async def fetch_one(api: SlackWeb, kind: NameKind, of_id: str) -> Known | None:
    """Return one channel, person or bot (`B…`), None for an answer without one; raises SlackApiError.

    Sources: https://docs.slack.dev/reference/methods/conversations.info, users.info and bots.info.
    """
    if kind is NameKind.CHANNEL:
        return read_channel((await api.read("conversations.info", channel=of_id)).get("channel"))
    if of_id.startswith("B"):
        name = text((await api.read("bots.info", bot=of_id)).get("bot"), "name")
        return Known(id=of_id, shown=name)
    user = (await api.read("users.info", user=of_id, include_locale=True)).get("user")
    known = read_user(user)
    return None if known is None else replace(known, locale=known.locale or "")


async def fetch_by_email(api: SlackWeb, email: str) -> Known | None:
    """Return a person; raises SlackApiError: https://docs.slack.dev/reference/methods/users.lookupByEmail."""
    return read_user((await api.read("users.lookupByEmail", email=email)).get("user"))


def read_channel(channel: Any) -> Known | None:
    """Return a channel: https://docs.slack.dev/reference/objects/conversation-object."""
    of_id, name = text(channel, "id"), text(channel, "name")
    if not of_id:
        return None
    return Known(
        id=of_id,
        shown=name,
        names=frozenset({name.casefold()} if name else ()),
        is_archived=channel.get("is_archived") is True,
    )


def read_user(user: Any) -> Known | None:
    """Return a person: https://docs.slack.dev/reference/objects/user-object."""
    of_id = text(user, "id")
    if not of_id:
        return None
    profile = user.get("profile")
    handle, display = text(user, "name"), text(profile, "display_name")
    real = text(user, "real_name") or text(profile, "real_name")
    names = frozenset(name.casefold() for name in (handle, display, real) if name)
    is_here = not user.get("deleted")
    return Known(
        id=of_id,
        shown=display or real or handle,
        names=names if is_here else frozenset(),
        email=text(profile, "email").casefold() if is_here else "",
        locale=text(user, "locale") or None,
    )


def _list(source: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = source.get(name)
    return value if isinstance(value, list) else ()
