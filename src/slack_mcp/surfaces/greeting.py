"""The words that begin a conversation with the assistant: said once, however often the event comes."""

from typing import Final

from slack_mcp.catalogue import Sentence, render_sentence
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection, JournalledEvent
from slack_mcp.ports.interactions import FindMarked
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import AssistantMemory
from slack_mcp.protocol.mrkdwn import clean

METADATA_TYPE: Final = "slack_mcp_greeting"


class Greeter:
    """Greets people.

    Args:
        slack: makes the Web API of a connection.
        memory: knows who was greeted.
        find_marked: finds the greeting of an earlier run.
    """

    def __init__(self, *, slack: SlackWebs, memory: AssistantMemory, find_marked: FindMarked) -> None:
        self._slack = slack
        self._memory = memory
        self._find_marked = find_marked

    async def greet(
        self,
        connection: Connection,
        event: JournalledEvent,
        channel_id: ChannelId,
        *,
        thread_ts: Ts | None,
        language: str,
    ) -> bool:
        """Greet the person, unless that was done; returns whether it was done now.

        Args:
            connection: whose assistant it is.
            event: what tells that the person is there.
            channel_id: their direct message with the bot.
            thread_ts: the conversation that begins; None for the direct message as a whole.
            language: of the greeting, where the connection has none of its own.

        Raises:
            SlackApiError: one of its classes.
            StoreUnavailableError: nobody knows whether they were greeted, or will know that they were.
        """
        if await self._memory.is_greeted(connection.connection_id, channel_id, thread_ts):
            return False
        web = self._slack.open(connection)
        found = None
        if event.redone:
            mark = (METADATA_TYPE, "event_id", str(event.event_id))
            since_s = event.received_at_ms / 1000
            found = await self._find_marked(web, connection, channel_id, mark, thread_ts=thread_ts, since_s=since_s)
        if found is None:
            await web.write(
                "chat.postMessage",
                channel=channel_id,
                thread_ts=thread_ts,
                text=clean(connection.settings.greeting or "") or render_sentence(language, Sentence.GREETING),
                metadata={"event_type": METADATA_TYPE, "event_payload": {"event_id": event.event_id}},
                unfurl_links=False,
                unfurl_media=False,
            )
        await self._memory.save_greeted(connection.connection_id, channel_id, thread_ts)
        return True
