"""Slack's Web API, as far as the service uses it. Source: https://docs.slack.dev/reference/methods.

Every method raises the classes under `SlackApiError`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

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


class IdentityApi(Protocol):
    """Tells who a token is, and needs no more."""

    async def fetch_identity(self) -> SlackIdentity:
        """Return who the token is."""
        ...


class IdentityApis(Protocol):
    """Asks about the tokens of one connection."""

    def open(self, connection: Connection) -> IdentityApi:
        """Return the API that carries this connection's bot token, and no other."""
        ...

    def open_as_user(self, connection: Connection) -> IdentityApi:
        """Return the API that carries this connection's user token, and no other; raises UserTokenMissingError."""
        ...


class SlackApi(IdentityApi, Protocol):
    """The Web API with one token of one connection."""

    async def post_message(
        self,
        channel_id: ChannelId,
        text: str,
        *,
        thread_ts: Ts | None,
        metadata: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] | None = None,
    ) -> Ts:
        """Post and return the message's ts. Links and media do not unfurl.

        Args:
            channel_id: where.
            text: in Slack's markup; with blocks, what is shown where they cannot be.
            thread_ts: the thread's root, None for the top of the channel.
            metadata: ids that other apps may read.
            blocks: what is shown.
        """
        ...

    async def update_message(
        self,
        channel_id: ChannelId,
        ts: Ts,
        text: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Replace what one of the bot's own messages shows: also its blocks, with none where none are given."""
        ...

    async def delete_message(self, channel_id: ChannelId, ts: Ts) -> None:
        """Delete one of the bot's own messages."""
        ...

    async def start_stream(
        self,
        channel_id: ChannelId,
        chunks: Sequence[Mapping[str, Any]],
        *,
        thread_ts: Ts,
        recipient_user_id: UserId | None,
        recipient_team_id: TeamId | None,
    ) -> Ts:
        """Begin a message that is written while it is shown, and return its ts.

        Args:
            channel_id: where.
            chunks: what it shows first: `markdown_text` and `task_update` chunks.
            thread_ts: the thread's root.
            recipient_user_id: who asked; Slack wants it outside of direct messages.
            recipient_team_id: the workspace of that person; Slack wants it too.
        """
        ...

    async def append_stream(self, channel_id: ChannelId, ts: Ts, chunks: Sequence[Mapping[str, Any]]) -> None:
        """Append to such a message. What a lost answer leaves open cannot be found out: it may stand there."""
        ...

    async def stop_stream(
        self,
        channel_id: ChannelId,
        ts: Ts,
        *,
        chunks: Sequence[Mapping[str, Any]] = (),
        blocks: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """End such a message, with last chunks, and with blocks that stand below its text."""
        ...

    async def set_status(self, channel_id: ChannelId, thread_ts: Ts, status: str, loading: Sequence[str] = ()) -> None:
        """Show in the thread that the bot is at work, for two minutes or until it posts; an empty status takes it away.

        Args:
            channel_id: where.
            thread_ts: the thread's root.
            status: what stands behind the bot's name, such as `is thinking…`.
            loading: at most 10 sentences that take turns.
        """
        ...

    async def fetch_own_replies(self, channel_id: ChannelId, thread_ts: Ts, *, oldest: Ts) -> Sequence[SlackMessage]:
        """Return the bot's own messages of the thread from `oldest` on, with their metadata, oldest first."""
        ...


Observe: TypeAlias = Callable[[str, str | None], None]
"""Is told of each call: the method, and the error code that came back or None."""


class SlackApis(Protocol):
    """Makes the Web API of one connection. Nothing is shared between connections but sockets."""

    def open(self, connection: Connection, *, observe: Observe | None = None) -> SlackApi:
        """Return the API that carries this connection's bot token, and no other."""
        ...

    def open_as_user(self, connection: Connection) -> SlackApi:
        """Return the API that carries this connection's user token, and no other; raises UserTokenMissingError."""
        ...


class SlackWeb(Protocol):
    """Any method of the Web API, with one token of one connection."""

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the `ok: true` answer of a method that changes nothing. Arguments that are None are left out.

        Those who ask for the same at the same moment are given one answer: nobody may change it.
        """
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
