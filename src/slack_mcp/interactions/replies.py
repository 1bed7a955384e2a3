"""Telling one person something that nobody else sees."""

from typing import Final

import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SlackRefusedError
from slack_mcp.core.ids import ChannelId, Ts, UserId
from slack_mcp.core.model import Connection, JournalledEvent
from slack_mcp.ports.interactions import ResponseUrls
from slack_mcp.ports.slack import SlackWebs

# Slack's limits are 30 minutes and five uses: https://docs.slack.dev/interactivity/handling-user-interaction
MAX_AGE_S: Final = 29 * 60.0
MAX_ATTEMPTS: Final = 4

_log = structlog.get_logger(__name__)


class Replies:
    """`ports.interactions.PersonalReplies`.

    Tells by the event's `response_url` while that is good, and else by an ephemeral message. The first works where the
    bot is no member; the second for as long as it is one.
    """

    def __init__(self, *, response_urls: ResponseUrls, slack: SlackWebs, clock: Clock) -> None:
        self._response_urls = response_urls
        self._slack = slack
        self._clock = clock

    async def tell(
        self,
        connection: Connection,
        event: JournalledEvent,
        text: str,
        *,
        user_id: UserId,
        channel_id: ChannelId | None,
        response_url: str | None,
        thread_ts: Ts | None = None,
    ) -> None:
        """Tell the person. Where Slack lets nothing be told, that is logged, and no error; see the port."""
        age_s = self._clock.now_s() - event.received_at_ms / 1000
        if response_url is not None and age_s < MAX_AGE_S and event.attempts < MAX_ATTEMPTS:
            body = {"response_type": "ephemeral", "replace_original": False, "text": text}
            if thread_ts is not None:
                body["thread_ts"] = thread_ts
            try:
                await self._response_urls.post(connection, response_url, body)
            except SlackRefusedError as error:
                _log.info("reply.url_refused", connection_id=connection.connection_id, error=error.slack_error)
            else:
                return
        if channel_id is None:
            _log.info("reply.not_told", connection_id=connection.connection_id, event_id=event.event_id)
            return
        try:
            await self._slack.open(connection).write(
                "chat.postEphemeral", channel=channel_id, user=user_id, text=text, thread_ts=thread_ts
            )
        except SlackRefusedError as error:
            _log.info(
                "reply.not_told",
                connection_id=connection.connection_id,
                event_id=event.event_id,
                error=error.slack_error,
            )
