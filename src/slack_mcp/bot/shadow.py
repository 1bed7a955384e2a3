"""Answers that an operator wants to see in another channel, without anything changing where the question was asked."""

from collections.abc import Mapping
from typing import Any, Final

from slack_mcp.bot.addressed import Addressed
from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection, JournalledEvent, Turn, TurnState
from slack_mcp.ports.slack import SlackWeb, SlackWebs
from slack_mcp.ports.store import TurnStore

METADATA_TYPE: Final = "slack_mcp_shadow"
# Slack's limit for apps that may read least: https://docs.slack.dev/reference/methods/conversations.history
_LOOKED_AT: Final = 15


class Shadows:
    """Opens a thread for each question: its root is the bot's message with a link to the question.

    Args:
        turns: keeps the turns.
        slack: makes the Web API of the connection.
    """

    def __init__(self, *, turns: TurnStore, slack: SlackWebs) -> None:
        self._turns = turns
        self._slack = slack

    async def begin(
        self, connection: Connection, event: JournalledEvent, addressed: Addressed, channel_id: ChannelId
    ) -> Turn:
        """Return the turn of a question that is answered in a channel, under a root that is posted once.

        Raises:
            SlackApiError: one of its classes.
            StoreUnavailableError: it could not be kept.
        """
        known = await self._turns.load_turn(connection.connection_id, channel_id, addressed.message_ts)
        if known is not None:
            return known
        return await self._turns.begin_turn(
            Turn(
                connection_id=connection.connection_id,
                channel_id=channel_id,
                message_ts=addressed.message_ts,
                thread_ts=await self._open_thread(connection, event, addressed, channel_id),
                event_id=event.event_id,
                user_id=addressed.user_id,
                state=TurnState.STARTED,
                question=addressed.question,
            )
        )

    async def _open_thread(
        self, connection: Connection, event: JournalledEvent, addressed: Addressed, channel_id: ChannelId
    ) -> Ts:
        """Return the root, which an earlier run may have posted."""
        web = self._slack.open(connection)
        if event.redone:
            found = await _find_root(web, event, channel_id)
            if found is not None:
                return found
        link = await web.read("chat.getPermalink", channel=addressed.channel_id, message_ts=addressed.message_ts)
        text = render_sentence(
            connection.settings.language, Sentence.SHADOW, link=f"<{link.get('permalink')}|#{addressed.message_ts}>"
        )
        answer = await web.write(
            "chat.postMessage",
            channel=channel_id,
            text=text,
            metadata={"event_type": METADATA_TYPE, "event_payload": {"event_id": event.event_id}},
            unfurl_links=False,
            unfurl_media=False,
        )
        return Ts(str(answer.get("ts")))


async def _find_root(web: SlackWeb, event: JournalledEvent, channel_id: ChannelId) -> Ts | None:
    """Return the root among the channel's last messages; the run that posted it was a moment ago."""
    answer = await web.read("conversations.history", channel=channel_id, limit=_LOOKED_AT, include_all_metadata=True)
    for message in answer.get("messages") or ():
        if _read_mark(message) == event.event_id:
            return Ts(str(message["ts"]))
    return None


def _read_mark(message: Any) -> Any:
    metadata = message.get("metadata") if isinstance(message, Mapping) else None
    if not isinstance(metadata, Mapping) or metadata.get("event_type") != METADATA_TYPE:
        return None
    payload = metadata.get("event_payload")
    return payload.get("event_id") if isinstance(payload, Mapping) else None
