"""A transcript in memory, and a workspace with one thread, for tests of what an agent is told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from slack_mcp.core.errors import RateLimitedError, SlackApiError, SlackRefusedError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts, UserId
from slack_mcp.core.model import Connection
from slack_mcp.ports.names import NameKind, Suggestions
from slack_mcp.ports.slack import SlackFile
from slack_mcp.ports.transcript import Thread, ThreadAnswer, ThreadMessage

Key = tuple[str, str, str]


class FakeTranscript:
    """`ports.transcript.Transcript`; `answers` and `state` are what the turns and resets of a thread would leave."""

    def __init__(self) -> None:
        self.messages: dict[Key, ThreadMessage] = {}
        self.answers: dict[Key, list[ThreadAnswer]] = {}
        self.state: dict[Key, Thread] = {}
        self.summaries: list[str] = []

    async def add_message(self, connection_id: ConnectionId, channel_id: ChannelId, message: ThreadMessage) -> None:
        self.messages.setdefault((connection_id, channel_id, message.message_ts), message)

    async def replace_text(self, connection_id: ConnectionId, channel_id: ChannelId, message_ts: Ts, text: str) -> bool:
        key = (connection_id, channel_id, message_ts)
        standing = self.messages.get(key)
        if standing is None:
            return False
        self.messages[key] = replace(standing, text=text)
        return True

    async def load_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, *, before_ts: Ts, limit: int
    ) -> Thread:
        key = (connection_id, channel_id, thread_ts)
        said = [
            message
            for (owner, place, _), message in sorted(self.messages.items())
            if (owner, place, message.thread_ts) == key and message.message_ts < before_ts
        ]
        answers = [each for each in self.answers.get(key, ()) if each.message_ts < before_ts]
        return replace(self.state.get(key, Thread()), messages=tuple(said[-limit:]), answers=tuple(answers[-limit:]))

    async def fill_thread(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts, messages: Sequence[ThreadMessage]
    ) -> None:
        for message in messages:
            await self.add_message(connection_id, channel_id, message)
        key = (connection_id, channel_id, thread_ts)
        self.state[key] = replace(self.state.get(key, Thread()), is_filled=True, summary=None, summarized_until_ts=None)

    async def save_summary(
        self,
        connection_id: ConnectionId,
        channel_id: ChannelId,
        thread_ts: Ts,
        *,
        summary: str,
        until_ts: Ts,
        generation: int,
    ) -> None:
        key = (connection_id, channel_id, thread_ts)
        standing = self.state.get(key, Thread())
        if standing.generation == generation:
            self.summaries.append(summary)
            self.state[key] = replace(standing, summary=summary, summarized_until_ts=until_ts)


class FakeNames:
    """`ports.names.Names` that knows some people and channels, of every connection."""

    def __init__(self, users: Mapping[str, str] | None = None, channels: Mapping[str, str] | None = None) -> None:
        self.users = users or {}
        self.channels = channels or {}
        self.asked: set[str] = set()

    async def resolve_channel(self, connection: Connection, text: str) -> ChannelId:
        raise NotImplementedError

    async def resolve_user(self, connection: Connection, text: str) -> UserId:
        raise NotImplementedError

    async def find_user_names(self, connection: Connection, user_ids: Collection[str]) -> Mapping[str, str]:
        self.asked.update(user_ids)
        return {each: self.users[each] for each in user_ids if each in self.users}

    async def find_channel_names(self, connection: Connection, channel_ids: Collection[str]) -> Mapping[str, str]:
        return {each: self.channels[each] for each in channel_ids if each in self.channels}

    async def suggest(self, connection: Connection, kind: NameKind, text: str, *, limit: int) -> Suggestions:
        raise NotImplementedError


class ThreadSlack:
    """`ports.slack.SlackWebs` of a workspace with one thread, of which a page shows `page_size` replies at most.

    `errors` are raised in place of the next answers, None lets one pass.
    """

    def __init__(self, messages: Sequence[Mapping[str, Any]] = (), *, page_size: int = 1_000) -> None:
        self.messages = list(messages)
        self.page_size = page_size
        self.calls: list[Mapping[str, Any]] = []
        self.errors: list[SlackApiError | None] = []
        self.opened_for: list[ConnectionId] = []

    def open(self, connection: Connection) -> "ThreadSlack":
        self.opened_for.append(connection.connection_id)
        return self

    def open_as_user(self, connection: Connection) -> "ThreadSlack":
        raise NotImplementedError

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        assert method == "conversations.replies"
        self.calls.append(arguments)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        if not self.messages:
            raise SlackRefusedError(method, "thread_not_found")
        root, *replies = [each for each in self.messages if each["ts"] < arguments["latest"]]
        start = int(arguments.get("cursor") or 0)
        end = start + min(self.page_size, arguments["limit"])
        following = str(end) if end < len(replies) else ""
        return {"messages": [root, *replies[start:end]], "response_metadata": {"next_cursor": following}}

    async def write(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        raise NotImplementedError

    async def upload(self, upload_url: str, content: bytes) -> None:
        raise NotImplementedError

    async def download(self, url: str, *, max_bytes: int) -> SlackFile:
        raise NotImplementedError


def make_rate_limit() -> RateLimitedError:
    return RateLimitedError("conversations.replies", 30)
