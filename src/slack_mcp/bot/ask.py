"""What a turn asks the agent: the question with its files and everything around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slack_mcp.bot.context import NO_FILES, ContextBuilder
from slack_mcp.core.model import Connection, Turn
from slack_mcp.ports.agent import AgentRequest
from slack_mcp.ports.attachments import Attachments
from slack_mcp.protocol.answers import mappings


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the agent is asked.

    Attributes:
        request: None when there is nothing to ask.
        notes: sentences for people on files that cannot be read; Slack mrkdwn.
    """

    request: AgentRequest | None
    notes: Sequence[str] = ()


class Questions:
    """Makes the requests; see `bot.handler.Requests`.

    Args:
        contexts: knows what was said.
        attachments: reads the files.
    """

    def __init__(self, *, contexts: ContextBuilder, attachments: Attachments) -> None:
        self._contexts = contexts
        self._attachments = attachments

    async def build(
        self,
        connection: Connection,
        turn: Turn,
        message: Mapping[str, Any],
        *,
        language: str,
        is_repeated: bool,
        is_elsewhere: bool = False,
    ) -> Asked:
        """Return what the agent is asked.

        Args:
            connection: whose bot is asked.
            turn: the question.
            message: the same as Slack's event has it.
            language: of what people are told of their files.
            is_repeated: an earlier run may have asked already.
            is_elsewhere: the answer will stand in another thread, of which the agent knows nothing.

        Raises:
            TokenRevokedError: nothing can be fetched any more.
            StoreUnavailableError: what was said could not be loaded or kept.
            SealingError: it cannot be opened.
        """
        attached = tuple(mappings(message.get("files")))
        files = await self._attachments.read(connection, attached, language=language) if attached else NO_FILES
        request = await self._contexts.build(
            connection, turn, message, files=files, is_repeated=is_repeated, is_elsewhere=is_elsewhere
        )
        return Asked(request=request, notes=files.notes)
