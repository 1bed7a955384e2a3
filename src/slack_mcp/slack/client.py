"""Slack's Web API over the vendor's SDK. Source: https://docs.slack.dev/apis/web-api/.

Connections share sockets and nothing else: every `SlackWebApi` has an SDK client of its own with one token in it, and
the shared session keeps no cookies.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, Final, NamedTuple, Self, TypeAlias

import aiohttp
import anyio
import anyio.lowlevel
import msgspec
import structlog
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from slack_mcp.core.errors import (
    MissingScopeError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
    UserTokenMissingError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId, TeamId, Ts, UserId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.flights import Flight, SingleFlight
from slack_mcp.ports.budget import CallBudget, FreeBudget, Urgency
from slack_mcp.ports.metrics import NoteCall, ignore_call
from slack_mcp.ports.slack import Observe, SlackFile, SlackIdentity, SlackMessage
from slack_mcp.protocol.answers import get_cursor
from slack_mcp.slack.errors import render_unreadable, translate_failure
from slack_mcp.slack.files import SlackFiles
from slack_mcp.slack.renew import SlackTokenApi

# Less than what is left of a lease when work on it has to stop: a call that has left is over before another pod looks.
CALL_TIMEOUT_S: Final = 5.0
FILE_TIMEOUT_S: Final = 60.0
MAX_SOCKETS: Final = 100
REPLIES_PER_PAGE: Final = 200
MAX_PAGES: Final = 50

UNLIMITED: Final = FreeBudget()

_log = structlog.get_logger(__name__)


class ReadKey(NamedTuple):
    """What makes two reads the same: the token and all arguments, and that neither has to wait for longer."""

    connection_id: ConnectionId
    token: Secret
    urgency: Urgency
    method: str
    arguments: bytes


Reads: TypeAlias = SingleFlight[ReadKey, Mapping[str, Any]]


class SlackWebApis:
    """Makes the Web API of one connection; `open_slack_apis` makes this.

    Args:
        session: the sockets, which all connections share.
        base_url: Slack's Web API, ends with `/`.
        call_timeout_s: the longest time for one call, waiting for a free socket included.
        file_timeout_s: the longest time for the bytes of one file.
        budget: lets the calls pass; each waits for it as long again as for Slack.
        note_call: hears how each call ended.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        base_url: str,
        call_timeout_s: float = CALL_TIMEOUT_S,
        file_timeout_s: float = FILE_TIMEOUT_S,
        budget: CallBudget = UNLIMITED,
        note_call: NoteCall = ignore_call,
    ) -> None:
        self._session = session
        self._note_call = note_call
        self._base_url = base_url
        self._call_timeout_s = call_timeout_s
        self._file_timeout_s = file_timeout_s
        self._budget = budget
        self._urgency = Urgency.PERSON
        self._max_wait_s = call_timeout_s
        self._reads: Reads = SingleFlight()
        # At debug the SDK logs whole requests and answers; our own line says all that anyone may know.
        self._sdk_log = logging.getLogger(f"{__name__}.sdk")
        self._sdk_log.setLevel(logging.INFO)

    def for_batch(self, *, max_wait_s: float | None = None) -> Self:
        """Return the same for work that nobody waits for: its calls let those of people go first.

        Args:
            max_wait_s: how long a call waits for its turn, None as long as any; then it is not made.
        """
        apis = copy(self)
        apis._urgency = Urgency.BATCH  # noqa: SLF001 - a copy of this one
        if max_wait_s is not None:
            apis._max_wait_s = max_wait_s  # noqa: SLF001 - the same
        return apis

    def open_tokens(self, *, client_id: str | None, client_secret: Secret | None) -> SlackTokenApi:
        """Return what replaces tokens that expire; the app's credentials are for connections without their own."""
        return SlackTokenApi(
            session=self._session,
            base_url=self._base_url,
            call_timeout_s=self._call_timeout_s,
            client_id=client_id,
            client_secret=client_secret,
        )

    def open(self, connection: Connection, *, observe: Observe | None = None) -> "SlackWebApi":
        """Return the API that carries this connection's bot token, and no other."""
        return self._open(connection, connection.bot_token, observe)

    def open_as_user(self, connection: Connection) -> "SlackWebApi":
        """Return the API that carries this connection's user token, and no other; raises UserTokenMissingError."""
        if connection.user_token is None:
            raise UserTokenMissingError
        return self._open(connection, connection.user_token)

    def _open(self, connection: Connection, token: Secret, observe: Observe | None = None) -> "SlackWebApi":
        client = AsyncWebClient(
            token=token.reveal(),
            base_url=self._base_url,
            session=self._session,
            logger=self._sdk_log,
            # A message posted again after a lost answer stands there twice; the journal retries and looks first.
            retry_handlers=[],
        )
        client.proxy = None  # the SDK takes one from the environment, which only the settings may read
        files = SlackFiles(
            session=self._session, base_url=self._base_url, token=token, call_timeout_s=self._file_timeout_s
        )
        return SlackWebApi(
            connection=connection,
            token=token,
            client=client,
            files=files,
            call_timeout_s=self._call_timeout_s,
            budget=self._budget,
            urgency=self._urgency,
            max_wait_s=self._max_wait_s,
            reads=self._reads,
            note_call=self._note_call,
            observe=observe,
        )


class SlackWebApi:
    """The Web API with one token; see `ports.slack.SlackApi` and `ports.slack.SlackWeb`."""

    def __init__(
        self,
        *,
        connection: Connection,
        token: Secret,
        client: AsyncWebClient,
        files: SlackFiles,
        call_timeout_s: float,
        budget: CallBudget,
        urgency: Urgency,
        max_wait_s: float,
        reads: Reads,
        note_call: NoteCall = ignore_call,
        observe: Observe | None = None,
    ) -> None:
        self._note_call = note_call
        self._observe = observe
        self._connection = connection
        self._token = token
        self._client = client
        self._files = files
        self._call_timeout_s = call_timeout_s
        self._budget = budget
        self._urgency = urgency
        self._max_wait_s = max_wait_s
        self._reads = reads

    async def fetch_identity(self) -> SlackIdentity:
        """Return who the token is. Source: https://docs.slack.dev/reference/methods/auth.test."""
        answer = await self._call("auth.test", params={})
        bot_id = _read_text(answer.get("bot_id"))
        # For an organization's token Slack names the organization (E…) in place of the workspace.
        team_id, user_id = (_read_text(answer.get(name)) for name in ("team_id", "user_id"))
        if team_id is None or user_id is None:
            raise render_unreadable("auth.test")
        return SlackIdentity(
            team_id=TeamId(team_id),
            team_name=_read_text(answer.get("team")) or "",
            bot_user_id=UserId(user_id),
            bot_id=bot_id,
            api_app_id=None if bot_id is None else await self._fetch_app_id(bot_id),
            scopes=_read_scopes(answer.headers),
        )

    async def post_message(
        self,
        channel_id: ChannelId,
        text: str,
        *,
        thread_ts: Ts | None,
        metadata: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] | None = None,
    ) -> Ts:
        """Post and return the message's ts. Source: https://docs.slack.dev/reference/methods/chat.postMessage."""
        answer = await self.write(
            "chat.postMessage",
            channel=channel_id,
            text=text,
            blocks=blocks,
            thread_ts=thread_ts,
            metadata=metadata,
            unfurl_links=False,
            unfurl_media=False,
            link_names=False,
        )
        return _read_ts("chat.postMessage", answer)

    async def update_message(
        self,
        channel_id: ChannelId,
        ts: Ts,
        text: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        blocks: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Replace what a message shows. Source: https://docs.slack.dev/reference/methods/chat.update."""
        await self.write(
            "chat.update", channel=channel_id, ts=ts, text=text, blocks=blocks, metadata=metadata, link_names=False
        )

    async def delete_message(self, channel_id: ChannelId, ts: Ts) -> None:
        """Delete a message. Source: https://docs.slack.dev/reference/methods/chat.delete."""
        await self.write("chat.delete", channel=channel_id, ts=ts)

    async def start_stream(
        self,
        channel_id: ChannelId,
        chunks: Sequence[Mapping[str, Any]],
        *,
        thread_ts: Ts,
        recipient_user_id: UserId | None,
        recipient_team_id: TeamId | None,
    ) -> Ts:
        """Begin a stream and return its ts. Source: https://docs.slack.dev/reference/methods/chat.startStream."""
        answer = await self.write(
            "chat.startStream",
            channel=channel_id,
            chunks=chunks,
            thread_ts=thread_ts,
            recipient_user_id=recipient_user_id,
            recipient_team_id=recipient_team_id,
        )
        return _read_ts("chat.startStream", answer)

    async def append_stream(self, channel_id: ChannelId, ts: Ts, chunks: Sequence[Mapping[str, Any]]) -> None:
        """Append to a stream. Source: https://docs.slack.dev/reference/methods/chat.appendStream."""
        await self.write("chat.appendStream", channel=channel_id, ts=ts, chunks=chunks)

    async def stop_stream(
        self,
        channel_id: ChannelId,
        ts: Ts,
        *,
        chunks: Sequence[Mapping[str, Any]] = (),
        blocks: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """End a stream. Source: https://docs.slack.dev/reference/methods/chat.stopStream."""
        await self.write(
            "chat.stopStream",
            channel=channel_id,
            ts=ts,
            chunks=chunks or None,
            blocks=blocks or None,
            metadata=metadata,
        )

    async def set_status(self, channel_id: ChannelId, thread_ts: Ts, status: str, loading: Sequence[str] = ()) -> None:
        """Show that the bot is at work.

        Source: https://docs.slack.dev/reference/methods/assistant.threads.setStatus.
        """
        await self.write(
            "assistant.threads.setStatus",
            channel_id=channel_id,
            thread_ts=thread_ts,
            status=status,
            loading_messages=loading or None,
        )

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the answer of a method that changes nothing; who asks for the same at the same moment shares it."""
        params = _drop_none(arguments)
        key = ReadKey(
            self._connection.connection_id,
            self._token,
            self._urgency,
            method,
            msgspec.json.encode(params, order="deterministic"),
        )

        async def fetch(_key: ReadKey, flight: Flight[Mapping[str, Any]]) -> None:
            flight.result = _get_data(await self._call(method, params=params))

        return await self._reads.join_or_start(key, fetch)

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Return the answer of a method that changes something."""
        try:
            return _get_data(await self._call(method, json=_drop_none(arguments)))
        finally:
            # Whoever reads after this sees what it did: no reading that began before is good enough.
            self._reads.detach_where(lambda key: key.connection_id == self._connection.connection_id)

    async def upload(self, upload_url: str, content: bytes) -> None:
        """Send a file's bytes to where Slack said."""
        await self._files.upload(upload_url, content)

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        """Return the bytes of a file."""
        return await self._files.download(url, max_bytes=max_bytes)

    async def fetch_own_replies(self, channel_id: ChannelId, thread_ts: Ts, *, oldest: Ts) -> Sequence[SlackMessage]:
        """Return the bot's own messages of the thread from `oldest` on, none when there is no such thread.

        Source: https://docs.slack.dev/reference/methods/conversations.replies.
        """
        own = await self._fetch_own_ids()
        found: dict[Ts, SlackMessage] = {}
        params: dict[str, Any] = {
            "channel": channel_id,
            "ts": thread_ts,
            "oldest": oldest,
            "inclusive": True,
            "include_all_metadata": True,
            "limit": REPLIES_PER_PAGE,
        }
        for _ in range(MAX_PAGES):
            try:
                answer = await self._call("conversations.replies", params=params)
            except SlackRefusedError as error:
                if error.slack_error == "thread_not_found":
                    return ()
                raise
            for message in _read_messages(answer):
                # Every page is headed by the thread's root, older than `oldest` or not. A ts has ten digits, a point
                # and six digits, so that text order is time order.
                if message["ts"] >= oldest and any(message.get(name) in own for name in ("user", "bot_id", "app_id")):
                    found[Ts(message["ts"])] = _read_message(message)
            cursor = get_cursor(_get_data(answer))
            if cursor is None:
                return tuple(found.values())
            params = params | {"cursor": cursor}
        raise SlackUnavailableError("conversations.replies", "too_many_pages")

    async def _fetch_own_ids(self) -> Sequence[str]:
        """Return the ids by which Slack marks this bot's messages."""
        known = (self._connection.bot_user_id, self._connection.bot_id, self._connection.api_app_id)
        if not any(known):
            answer = await self._call("auth.test", params={})
            known = (answer.get("user_id"), answer.get("bot_id"), None)
        return [each for each in known if each]

    async def _fetch_app_id(self, bot_id: str) -> str | None:
        """Return the bot's app, None where the token may not ask.

        Source: https://docs.slack.dev/reference/methods/bots.info.
        """
        try:
            answer = await self._call("bots.info", params={"bot": bot_id})
        except MissingScopeError:
            return None
        bot = answer.get("bot")
        return _read_text(bot.get("app_id")) if isinstance(bot, dict) else None

    async def _call(
        self, method: str, *, json: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> AsyncSlackResponse:
        """Return Slack's `ok: true` answer. With `json` it is a write, which ends even when the caller is cancelled.

        Raises:
            SlackApiError: one of its classes.
        """
        arguments = json if json is not None else params or {}
        await self._budget.take(
            self._connection,
            method,
            arguments.get("channel"),
            urgency=self._urgency,
            max_wait_s=self._max_wait_s,
        )
        # A caller that may not write any more (its lease is lost) must not begin to; one that has begun must see it
        # through, since Slack may act on a request that was hung up on, and the next pod would post beside it.
        await anyio.lowlevel.checkpoint_if_cancelled()
        started_s = anyio.current_time()
        failure: SlackApiError | None = None
        try:
            with anyio.fail_after(self._call_timeout_s, shield=json is not None):
                answer = await self._client.api_call(
                    method, http_verb="GET" if json is None else "POST", json=json, params=params
                )
        # Beside its own errors and the network's, the SDK lets those of its decoding through: ValueError for bytes that
        # are no text, RecursionError for JSON without an end, AttributeError for an answer that is no JSON object.
        except (SlackClientError, aiohttp.ClientError, OSError, ValueError, RecursionError, AttributeError) as error:
            failure = translate_failure(method, error)
        duration_s = anyio.current_time() - started_s
        _log.debug(
            "slack.called",
            connection_id=self._connection.connection_id,
            method=method,
            error=None if failure is None else failure.slack_error,
            duration_ms=round(1000 * duration_s, 1),
        )
        self._note_call(method, "ok" if failure is None else failure.code, duration_s)
        if self._observe is not None:
            self._observe(method, None if failure is None else failure.slack_error)
        # Raised out here, so that the SDK's error, which holds the token and the text, is not kept as its context.
        if isinstance(failure, RateLimitedError):
            await self._budget.hold_back(self._connection, method, failure.retry_after_s)
        else:
            await self._budget.finish(self._connection, method)
        if failure is not None:
            raise failure
        if not isinstance(answer.data, dict):
            raise render_unreadable(method)
        return answer


@asynccontextmanager
async def open_slack_apis(
    *,
    base_url: str,
    call_timeout_s: float = CALL_TIMEOUT_S,
    max_sockets: int = MAX_SOCKETS,
    budget: CallBudget = UNLIMITED,
    note_call: NoteCall = ignore_call,
) -> AsyncIterator[SlackWebApis]:
    """Yield the Web APIs of all connections, and close their sockets at the end.

    Args:
        base_url: Slack's Web API, ends with `/`.
        call_timeout_s: the longest time for one call.
        max_sockets: how many calls may be under way at once.
        budget: lets the calls pass; without one they all do.
        note_call: hears how each call ended.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=max_sockets),
        # A cookie that Slack sets for one workspace must not be sent with another's token.
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # every call has a deadline of its own
        trust_env=False,
    ) as session:
        yield SlackWebApis(
            session=session, base_url=base_url, call_timeout_s=call_timeout_s, budget=budget, note_call=note_call
        )


def _drop_none(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _get_data(answer: AsyncSlackResponse) -> Mapping[str, Any]:
    data = answer.data
    return data if isinstance(data, dict) else {}


def _read_ts(method: str, answer: Mapping[str, Any]) -> Ts:
    ts = _read_text(answer.get("ts"))
    if ts is None:
        raise render_unreadable(method)
    return Ts(ts)


def _read_scopes(headers: Mapping[str, str]) -> frozenset[str] | None:
    """Return what the token was granted. Source: https://docs.slack.dev/authentication/installing-with-oauth."""
    granted = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), None)
    return None if granted is None else frozenset(scope for each in granted.split(",") if (scope := each.strip()))


def _read_messages(answer: AsyncSlackResponse) -> Sequence[dict[str, Any]]:
    messages = answer.get("messages")
    if not isinstance(messages, list):
        raise render_unreadable("conversations.replies")
    return [each for each in messages if isinstance(each, dict) and isinstance(each.get("ts"), str)]


def _read_message(message: Mapping[str, Any]) -> SlackMessage:
    user_id, metadata = _read_text(message.get("user")), message.get("metadata")
    return SlackMessage(
        ts=Ts(message["ts"]),
        text=_read_text(message.get("text")) or "",
        user_id=None if user_id is None else UserId(user_id),
        bot_id=_read_text(message.get("bot_id")),
        metadata=metadata if isinstance(metadata, dict) else None,
    )


def _read_text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
