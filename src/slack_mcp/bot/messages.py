"""The bot's messages of one turn in Slack."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from slack_mcp.core.errors import SlackRefusedError
from slack_mcp.core.ids import Ts
from slack_mcp.core.model import Turn
from slack_mcp.ports.slack import SlackApi

METADATA_TYPE: Final = "slack_mcp_answer"
"""Marks the bot's messages, so that a turn that runs again finds them.

Source: https://docs.slack.dev/messaging/message-metadata. Other apps of the channel can read it: it holds ids,
and a digest of the text that it stands beside.
"""

UNEDITABLE: Final = frozenset({"message_not_found", "edit_window_closed"})
"""Somebody deleted the message, or the workspace lets nobody edit one that is so old: an agent may take its time.

Source: https://docs.slack.dev/reference/methods/chat.update.
"""


class TurnMessages:
    """Posts each part of a turn's answer once, however often the turn runs.

    Part 0 is the placeholder and then the answer's first piece; part n is the answer's piece n.

    Args:
        api: the Web API of the turn's connection.
        turn: tells the channel, the thread and the event.
        may_exist: an earlier run may have posted already: look before posting.
    """

    def __init__(self, *, api: SlackApi, turn: Turn, may_exist: bool) -> None:
        self._api = api
        self._turn = turn
        self._may_exist = may_exist
        self._found: dict[int, Ts] | None = None
        self._digests: dict[Ts, str] = {}

    async def post_once(self, part: int, text: str) -> Ts:
        """Return the ts of the part's message, posted unless an earlier run has done so.

        Raises:
            SlackApiError: one of its classes.
        """
        ts = await self._find(part)
        if ts is not None:
            return ts
        return await self._api.post_message(
            self._turn.channel_id, text, thread_ts=self._turn.thread_ts, metadata=self._render_metadata(part)
        )

    async def show(self, text: str, ts: Ts | None) -> Ts:
        """Make part 0 show the text, and return the ts of the message that does.

        Args:
            text: what replaces whatever it showed.
            ts: the message, as far as known. One that was deleted, or is too old to be edited, is posted anew.

        Raises:
            SlackApiError: one of its classes.
        """
        if ts is not None and await self._replace(ts, text):
            return ts
        found = await self._find(0)
        # An earlier run may have posted this very text already, which then need not be edited.
        if found is not None and (
            self._digests[found] == _digest(text) or (found != ts and await self._replace(found, text))
        ):
            return found
        return await self._api.post_message(
            self._turn.channel_id, text, thread_ts=self._turn.thread_ts, metadata=self._render_metadata(0, text)
        )

    async def _replace(self, ts: Ts, text: str) -> bool:
        """Return False when there is no such message any more, or none that can be edited."""
        try:
            await self._api.update_message(self._turn.channel_id, ts, text, metadata=self._render_metadata(0))
        except SlackRefusedError as error:
            if error.slack_error not in UNEDITABLE:
                raise
            return False
        return True

    async def _find(self, part: int) -> Ts | None:
        """Return the part's message, None when no earlier run has posted it."""
        if not self._may_exist:
            return None
        if self._found is None:
            self._found = await self._fetch_parts()
        return self._found.get(part)

    async def _fetch_parts(self) -> dict[int, Ts]:
        turn = self._turn
        replies = await self._api.fetch_own_replies(turn.channel_id, turn.thread_ts, oldest=turn.message_ts)
        parts: dict[int, Ts] = {}
        for message in replies:
            part = self._read_part(message.metadata)
            if part is not None:
                parts[part] = message.ts
                self._digests[message.ts] = str(_read_payload(message.metadata).get("digest", ""))
        return parts

    def _render_metadata(self, part: int, text: str | None = None) -> Mapping[str, Any]:
        """Return what marks a message; with a text, also that it was posted with this one."""
        payload: dict[str, Any] = {"event_id": self._turn.event_id}
        if part:
            payload["part"] = part
        if text is not None:
            payload["digest"] = _digest(text)
        return {"event_type": METADATA_TYPE, "event_payload": payload}

    def _read_part(self, metadata: Mapping[str, Any] | None) -> int | None:
        payload = _read_payload(metadata)
        if payload.get("event_id") != self._turn.event_id:
            return None
        part = payload.get("part", 0)
        return part if isinstance(part, int) else None


def _read_payload(metadata: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the payload of our metadata, an empty one for anybody else's."""
    if metadata is None or metadata.get("event_type") != METADATA_TYPE:
        return {}
    payload = metadata.get("event_payload")
    return payload if isinstance(payload, Mapping) else {}


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
