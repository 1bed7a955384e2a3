"""The assistant's pane, the older one and the newer: greeting, suggested prompts, and what the person looks at.

The older pane tells of each conversation that begins. In the newer one, conversations are the threads of a direct
message, and what tells of the person is that they open it; what they look at is said beside each of their messages.
Source: https://docs.slack.dev/ai/migrating-to-agent-messaging.
"""

from typing import Any

import structlog

from slack_mcp.core.errors import MissingScopeError, SlackRefusedError
from slack_mcp.core.ids import ChannelId, Ts
from slack_mcp.core.model import Connection, JournalledEvent
from slack_mcp.ports.slack import SlackWebs
from slack_mcp.ports.surfaces import AssistantMemory, Languages
from slack_mcp.protocol.events import EventCallback
from slack_mcp.surfaces.greeting import Greeter
from slack_mcp.surfaces.prompts import Prompts

_log = structlog.get_logger(__name__)


class AssistantPane:
    """Receives people in the assistant's pane.

    Args:
        slack: makes the Web API of a connection.
        memory: keeps what people look at.
        greeter: greets them.
        prompts: chooses what they are offered.
        languages: in which language.
    """

    def __init__(
        self, *, slack: SlackWebs, memory: AssistantMemory, greeter: Greeter, prompts: Prompts, languages: Languages
    ) -> None:
        self._slack = slack
        self._memory = memory
        self._greeter = greeter
        self._prompts = prompts
        self._languages = languages

    async def begin_thread(self, connection: Connection, event: JournalledEvent, started: EventCallback) -> str:
        """Receive somebody who begins a conversation in the older pane; returns how it ended.

        Raises:
            SlackApiError: it may work later.
            StoreUnavailableError: the same.
        """
        if started.channel_id is None or started.thread_ts is None:
            return "no_thread"
        await self._memory.save_viewed_channel(
            connection.connection_id, started.channel_id, started.thread_ts, started.viewed_channel_id
        )
        language = await self._languages.find_language(connection, started.user_id)
        await self._greeter.greet(connection, event, started.channel_id, thread_ts=started.thread_ts, language=language)
        await self._offer(connection, started, started.channel_id, thread_ts=started.thread_ts, language=language)
        return "assistant_started"

    async def change_context(self, connection: Connection, changed: EventCallback) -> str:
        """Note what somebody looks at beside a conversation in the older pane; raises what `begin_thread` does."""
        if changed.channel_id is None or changed.thread_ts is None:
            return "no_thread"
        await self._memory.save_viewed_channel(
            connection.connection_id, changed.channel_id, changed.thread_ts, changed.viewed_channel_id
        )
        if _has_prompts_of_channels(connection):
            language = await self._languages.find_language(connection, changed.user_id)
            await self._offer(connection, changed, changed.channel_id, thread_ts=changed.thread_ts, language=language)
        return "context_noted"

    async def open_messages(self, connection: Connection, event: JournalledEvent, opened: EventCallback) -> str:
        """Receive somebody who opens the direct message of the newer pane, once; raises what `begin_thread` does."""
        if opened.channel_id is None:
            return "no_channel"
        language = await self._languages.find_language(connection, opened.user_id)
        if await self._greeter.greet(connection, event, opened.channel_id, thread_ts=None, language=language):
            await self._offer(connection, opened, opened.channel_id, thread_ts=None, language=language)
            return "assistant_greeted"
        return "greeted_before"

    async def change_app_context(self, connection: Connection, changed: EventCallback) -> str:
        """Offer what fits what somebody looks at now, beside the newer pane; raises what `begin_thread` does."""
        if changed.channel_id is None or not _has_prompts_of_channels(connection):
            return "no_prompts_of_channels"
        language = await self._languages.find_language(connection, changed.user_id)
        await self._offer(connection, changed, changed.channel_id, thread_ts=None, language=language)
        return "prompts_offered"

    async def _offer(
        self,
        connection: Connection,
        event: EventCallback,
        channel_id: ChannelId,
        *,
        thread_ts: Ts | None,
        language: str,
    ) -> None:
        """Set the prompts. Under the newer pane no thread may be named: Slack would ignore the call."""
        prompts = await self._prompts.choose(connection, event.viewed_channel_id, language)
        shown: list[dict[str, Any]] = [{"title": each.title, "message": each.message} for each in prompts]
        try:
            await self._slack.open(connection).write(
                "assistant.threads.setSuggestedPrompts", channel_id=channel_id, thread_ts=thread_ts, prompts=shown
            )
        except (SlackRefusedError, MissingScopeError) as error:
            _log.info("prompts.refused", connection_id=connection.connection_id, error=error.slack_error)


def _has_prompts_of_channels(connection: Connection) -> bool:
    return any(each.suggested_prompts for each in connection.settings.channels.values())
