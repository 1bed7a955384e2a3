"""Names of channels and people, and what they stand for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from slack_mcp.core.ids import ChannelId, ConnectionId, UserId
from slack_mcp.core.model import Connection


class NameKind(StrEnum):
    """What has a name, and the connection, which stands for all that is cached of it: names and configuration."""

    CHANNEL = "channel"
    USER = "user"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameChange:
    """What is not to be believed any more, on any pod.

    Attributes:
        id: the channel's or the person's; empty for CONNECTION.
    """

    connection_id: ConnectionId
    kind: NameKind
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A channel or a person whose name somebody may be about to type.

    Attributes:
        name: as Slack shows it, without `#` or `@`.
        is_clear: nobody else has this name.
    """

    id: str
    name: str
    is_clear: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """The first suggestions.

    Attributes:
        total: how many there are, those beyond `first` included.
        is_complete: whether every name of the workspace was looked at.
    """

    first: Sequence[Suggestion]
    total: int
    is_complete: bool


class NameAnnouncer(Protocol):
    """Tells of what is not to be believed any more."""

    async def announce(self, change: NameChange) -> None:
        """Tell this pod at once and the others as soon as the database has it; raises StoreUnavailableError."""
        ...


class Names(Protocol):
    """Names of a connection's workspace, from a bounded cache that Slack's events keep true.

    Nothing is read ahead: a name costs a call when somebody asks for it first. The lookups raise SlackApiError; what
    only decorates an answer (`find_…`) never does, and leaves out what could not be found.
    """

    async def resolve_channel(self, connection: Connection, text: str) -> ChannelId:
        """Return the channel that is meant by an id, `#name`, `name`, a link to it or `<#C…|name>`.

        Raises:
            InvalidInputError: there is none, or none that the bot can see; the message says what to try.
        """
        ...

    async def resolve_user(self, connection: Connection, text: str) -> UserId:
        """Return the user that is meant by an id, `@name` (handle or display name), an e-mail, a link or `<@U…>`.

        Raises:
            InvalidInputError: there is none, or several have this display name.
        """
        ...

    async def find_user_names(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, str]:
        """Return the display name of each user that could be found, by id; bots (`B…`) too."""
        ...

    async def find_channel_names(self, connection: Connection, channel_ids: Collection[str]) -> Mapping[str, str]:
        """Return the name without `#` of each channel that could be found, by id."""
        ...

    async def suggest(self, connection: Connection, kind: NameKind, text: str, *, limit: int) -> Suggestions:
        """Return the names of channels (archived ones not) or people that begin with the text, then those that hold it.

        Args:
            connection: whose workspace it is.
            kind: CHANNEL or USER.
            text: what was typed so far, in upper or lower case, with or without `#` or `@`.
            limit: most to return.

        Raises:
            SlackApiError: the names had to be read, and Slack did not say.
        """
        ...
