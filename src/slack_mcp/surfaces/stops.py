"""Stopping an answer that is being written.

Whoever sees an answer may stop it, not only who asked: in a channel it is everybody's, and nobody loses what stands
there already.
"""

from typing import Final

import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import MissingScopeError, SlackRefusedError
from slack_mcp.core.model import Connection, JournalledEvent
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import StopRequests
from slack_mcp.protocol.events import EventCallback

STOPPED: Final = "stop_requested"
NOTHING_TO_STOP: Final = "nothing_to_stop"
MAX_AGE_S: Final = 60.0
"""An older stop was for an answer that has ended since; the thread may have another by now."""

_log = structlog.get_logger(__name__)


class Stops:
    """Hears of Slack's own stop button.

    Args:
        requests: takes word of it.
        slack: makes the Web API of a connection.
        clock: for the age of an event.
    """

    def __init__(self, *, requests: StopRequests, slack: SlackWebs, clock: Clock) -> None:
        self._requests = requests
        self._slack = slack
        self._clock = clock

    async def stop(self, connection: Connection, event: JournalledEvent, stopped: EventCallback) -> str:
        """Have the thread's answer stopped, and say so to Slack; returns how it ended.

        Slack shows that the agent is at work until the app says otherwise.
        Source: https://docs.slack.dev/reference/events/agent_session_stopped.

        Raises:
            StoreUnavailableError: nobody could be told.
            SlackApiError: it may work later.
        """
        root = stopped.thread_ts or stopped.ts
        if stopped.channel_id is None or root is None:
            return "no_thread"
        is_stopped = False
        if self._clock.now_s() - event.received_at_ms / 1000 <= MAX_AGE_S:
            is_stopped = await self._requests.request_stop(connection.connection_id, stopped.channel_id, root)
        try:
            await self._slack.open(connection).write(
                "agents.sessions.setStatus", channel_id=stopped.channel_id, thread_ts=root, status="active"
            )
        except (SlackRefusedError, MissingScopeError) as error:
            _log.info("session.status_refused", connection_id=connection.connection_id, error=error.slack_error)
        return STOPPED if is_stopped else NOTHING_TO_STOP
