"""The bot's messages of one turn in Slack: found again, posted once, made to show what they have to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from slack_mcp.core.errors import SlackRefusedError, SlackUnavailableError
from slack_mcp.core.ids import Ts
from slack_mcp.core.model import Turn
from slack_mcp.ports.slack import SlackApi, SlackMessage

METADATA_TYPE: Final = "slack_mcp_answer"
"""Marks the bot's messages, so that a turn that runs again finds them.

Source: https://docs.slack.dev/messaging/message-metadata. Other apps of the channel can read it: it holds ids,
and a digest of the text that it stands beside.
"""

UNEDITABLE: Final = frozenset({"message_not_found", "edit_window_closed"})
"""Somebody deleted the message, or the workspace lets nobody edit one that is so old: an agent may take its time.

Source: https://docs.slack.dev/reference/methods/chat.update.
"""

STREAMING: Final = "streaming_state_conflict"
"""The message is a stream that nobody has ended. Source: the same page."""

BLOCKS_REFUSED: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
GONE: Final = frozenset({"message_not_found", "cant_delete_message"})

_OPENING_CHARS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one message shows.

    Attributes:
        text: in Slack's markup, at most 4 000 characters; what stands in notifications, and where blocks are refused.
        blocks: the same as people see it, and what stands below.
    """

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()

    @property
    def digest(self) -> str:
        """A few characters that tell one text, and what stands below it, from another."""
        return sha256(repr((self.text, len(self.blocks))).encode()).hexdigest()[:16]


class TurnMessages:
    """Shows each part of a turn's answer in one message, however often the turn runs.

    Part 0 is the placeholder and then the answer's first piece; part n is the answer's piece n.

    Args:
        api: the Web API of the turn's connection.
        turn: tells the channel, the thread and the event, and which messages an earlier run has noted.
        may_exist: an earlier run may have posted already: look before posting.
    """

    def __init__(self, *, api: SlackApi, turn: Turn, may_exist: bool) -> None:
        self._api = api
        self._turn = turn
        self._may_exist = may_exist
        self._found: dict[int, SlackMessage] | None = None
        self._replies: Sequence[SlackMessage] = ()

    @property
    def is_certain(self) -> bool:
        """Whether nobody has posted anything that was not told."""
        return not self._may_exist

    def expect_more(self) -> None:
        """Note that a message may have been posted without an answer of Slack's that says so."""
        self._may_exist, self._found = True, None

    async def find_opened(self, opening: str, known: Sequence[Ts]) -> Ts | None:
        """Return the stream that was opened with these words and is not known yet, None when there is none.

        One that runs carries no mark yet, and the bot's tools may post into the same thread, without a mark too: so it
        has to begin with the same words.
        """
        await self._find(0)
        wanted = _fold(opening)[:_OPENING_CHARS]
        for message in self._replies:
            if message.ts <= self._turn.message_ts or message.ts in known or message.metadata is not None:
                continue
            shown = _fold(message.text)[:_OPENING_CHARS]
            if shown == wanted[: len(shown)] and (shown or not message.text.strip()):
                return message.ts
        return None

    async def show(self, part: int, content: Content, ts: Ts | None, *, is_streaming: bool = False) -> Ts:
        """Make a part show the content, and return the ts of the message that does.

        Args:
            part: its number.
            content: what replaces whatever it showed.
            ts: the message, as far as known. One that was deleted, or is too old to be edited, is posted anew.
            is_streaming: it is a stream that nobody has ended.

        Raises:
            SlackApiError: one of its classes.
        """
        if ts is not None and is_streaming:
            await self._end_stream(ts)
        if ts is not None and await self._replace(part, ts, content):
            return ts
        found = await self._find(part)
        # An earlier run may have shown this very text already, which then need not be edited.
        if found is not None and (
            _read_payload(found.metadata).get("digest") == content.digest
            or (found.ts != ts and await self._replace(part, found.ts, content))
        ):
            return found.ts
        return await self._post(part, content)

    async def find_beyond(self, count: int) -> Sequence[Ts]:
        """Return the messages that are marked as parts behind the first so many, where there may be any."""
        await self._find(count)
        return [message.ts for part, message in (self._found or {}).items() if part >= count]

    async def remove(self, ts: Ts) -> None:
        """Delete a message that shows nothing of the answer; raises SlackApiError."""
        try:
            await self._api.delete_message(self._turn.channel_id, ts)
        except SlackRefusedError as error:
            if error.slack_error not in GONE:
                raise

    def render_metadata(self, part: int, content: Content) -> Mapping[str, Any]:
        """Return what marks a part that shows the content."""
        payload: dict[str, Any] = {"event_id": self._turn.event_id, "digest": content.digest}
        if part:
            payload["part"] = part
        return {"event_type": METADATA_TYPE, "event_payload": payload}

    async def _post(self, part: int, content: Content) -> Ts:
        try:
            return await self._post_blocks_or_text(part, content)
        except SlackUnavailableError:
            self.expect_more()
            raise

    async def _post_blocks_or_text(self, part: int, content: Content) -> Ts:
        channel_id, thread_ts = self._turn.channel_id, self._turn.thread_ts
        metadata = self.render_metadata(part, content)
        if content.blocks:
            try:
                return await self._api.post_message(
                    channel_id, content.text, thread_ts=thread_ts, metadata=metadata, blocks=content.blocks
                )
            except SlackRefusedError as error:
                if error.slack_error not in BLOCKS_REFUSED:
                    raise
        return await self._api.post_message(channel_id, content.text, thread_ts=thread_ts, metadata=metadata)

    async def _replace(self, part: int, ts: Ts, content: Content) -> bool:
        """Return False when there is no such message any more, or none that can be edited."""
        try:
            await self._update(part, ts, content)
        except SlackRefusedError as error:
            if error.slack_error in UNEDITABLE:
                return False
            if error.slack_error != STREAMING:
                raise
            await self._end_stream(ts)
            await self._update(part, ts, content)
        return True

    async def _update(self, part: int, ts: Ts, content: Content) -> None:
        channel_id, metadata = self._turn.channel_id, self.render_metadata(part, content)
        if content.blocks:
            try:
                await self._api.update_message(channel_id, ts, content.text, metadata=metadata, blocks=content.blocks)
            except SlackRefusedError as error:
                if error.slack_error not in BLOCKS_REFUSED:
                    raise
            else:
                return
        await self._api.update_message(channel_id, ts, content.text, metadata=metadata)

    async def _end_stream(self, ts: Ts) -> None:
        """End what an earlier run left streaming; where it has ended in the meantime, all is well."""
        try:
            await self._api.stop_stream(self._turn.channel_id, ts)
        except SlackRefusedError:
            return

    async def _find(self, part: int) -> SlackMessage | None:
        """Return the part's message, None when no earlier run has marked one."""
        if not self._may_exist:
            return None
        if self._found is None:
            self._found = await self._fetch_parts()
        return self._found.get(part)

    async def _fetch_parts(self) -> dict[int, SlackMessage]:
        turn = self._turn
        replies = await self._api.fetch_own_replies(turn.channel_id, turn.thread_ts, oldest=turn.message_ts)
        parts: dict[int, SlackMessage] = {}
        for message in replies:
            part = self._read_part(message.metadata)
            if part is not None:
                parts[part] = message
        self._replies = replies
        return parts

    def _read_part(self, metadata: Mapping[str, Any] | None) -> int | None:
        payload = _read_payload(metadata)
        if payload.get("event_id") != self._turn.event_id:
            return None
        part = payload.get("part", 0)
        return part if isinstance(part, int) else None


def _fold(text: str) -> str:
    """Return what stays the same of a text when Slack turns its Markdown into markup of its own."""
    return "".join(filter(str.isalnum, text)).casefold()


def _read_payload(metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the payload of our metadata, an empty one for anybody else's."""
    if metadata is None or metadata.get("event_type") != METADATA_TYPE:
        return {}
    payload = metadata.get("event_payload")
    return payload if isinstance(payload, Mapping) else {}
