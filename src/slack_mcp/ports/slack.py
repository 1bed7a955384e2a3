"""Slack's Web API, as far as the service uses it. Source: https://docs.slack.dev/reference/methods.

Every method raises the classes under `SlackApiError`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from slack_mcp.core.ids import ChannelId, TeamId, Ts, UserId
from slack_mcp.core.model import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackIdentity:
    """What auth.test (and bots.info, where the scope allows it) says of a bot token.

    Attributes:
        scopes: what the token was granted, from the X-OAuth-Scopes header; None when Slack did not send it.
    """

    team_id: TeamId
    team_name: str
    bot_user_id: UserId
    bot_id: str | None
    api_app_id: str | None
    scopes: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackMessage:
    """A message as read back from a thread."""

    ts: Ts
    text: str
    user_id: UserId | None
    bot_id: str | None
    metadata: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackFile:
    """A downloaded file.

    Attributes:
        mimetype: as the server of the file names it, without parameters.
    """

    content: bytes
    mimetype: str


class SlackApi(Protocol):
    """The Web API with one token of one connection."""

    async def fetch_identity(self) -> SlackIdentity:
        """Return who the token is."""
        ...

    async def post_message(
        self, channel_id: ChannelId, text: str, *, thread_ts: Ts | None, metadata: Mapping[str, Any] | None = None
    ) -> Ts:
        """Post and return the message's ts. Links and media do not unfurl."""
        ...

    async def update_message(
        self, channel_id: ChannelId, ts: Ts, text: str, *, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Replace the text of one of the bot's own messages."""
        ...

    async def fetch_own_replies(self, channel_id: ChannelId, thread_ts: Ts, *, oldest: Ts) -> Sequence[SlackMessage]:
        """Return the bot's own messages of the thread from `oldest` on, with their metadata, oldest first."""
        ...


class SlackApis(Protocol):
    """Makes the Web API of one connection. Nothing is shared between connections but sockets."""

    def open(self, connection: Connection) -> SlackApi:
        """Return the API that carries this connection's bot token, and no other."""
        ...

    def open_as_user(self, connection: Connection) -> SlackApi:
        """Return the API that carries this connection's user token, and no other; raises UserTokenMissingError."""
        ...


class SlackWeb(Protocol):
    """Any method of the Web API, with one token of one connection."""

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the `ok: true` answer of a method that changes nothing. Arguments that are None are left out."""
        ...

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the `ok: true` answer of a method that changes something; once begun, it is seen through.

        Arguments that are None are left out.
        """
        ...

    async def upload(self, upload_url: str, content: bytes) -> None:
        """Send a file's bytes to the address that files.getUploadURLExternal gave."""
        ...

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        """Return the bytes behind a file's url_private.

        Raises:
            InvalidInputError: it is no address of Slack's files, or the file is larger than `max_bytes`.
        """
        ...


class SlackWebs(Protocol):
    """Makes the Web API of one connection, for whoever calls many methods."""

    def open(self, connection: Connection) -> SlackWeb:
        """Return the API that carries this connection's bot token, and no other."""
        ...

    def open_as_user(self, connection: Connection) -> SlackWeb:
        """Return the API that carries this connection's user token, and no other.

        Raises:
            UserTokenMissingError: the connection has none.
        """
        ...
