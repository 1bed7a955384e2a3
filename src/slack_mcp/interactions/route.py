"""Which handler an interaction is for."""

from collections.abc import Sequence
from typing import Final, Protocol

from slack_mcp.core.errors import MalformedBodyError, SlackMcpError
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome
from slack_mcp.ports.handler import EventHandler
from slack_mcp.ports.interactions import InstantAnswer
from slack_mcp.protocol.interactions import BLOCK_SUGGESTION, Interaction, parse_form

UNKNOWN: Final = "unknown_interaction"


class InteractionHandler(EventHandler, Protocol):
    """Works on the interactions of its own buttons, forms and shortcuts."""

    def takes(self, interaction: Interaction) -> bool:
        """Tell whether the interaction is one of its own."""
        ...

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        """Return what the response says to one of its own; within about 2 s."""
        ...


class InteractionRouter:
    """Hands each interaction to the one handler that takes it; see `ports.handler.EventHandler`.

    Args:
        handlers: no two of them take the same.
    """

    def __init__(self, handlers: Sequence[InteractionHandler]) -> None:
        self._handlers = tuple(handlers)

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        """Return what the response says."""
        if interaction.kind == BLOCK_SUGGESTION:  # of a menu that is none of ours: there is nothing to choose from
            return InstantAnswer(body={"options": []}, is_journalled=False)
        handler = self._find(interaction)
        if handler is None:
            return InstantAnswer(skip_reason=UNKNOWN)
        return await handler.answer_now(connection, interaction)

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """Return how the work on the interaction ended."""
        handler = self._find_of(event)
        if handler is None:
            return Outcome(state=EventState.SKIPPED, reason=UNKNOWN)
        return await handler.handle(connection, event, claim)

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Let the interaction's handler tell that nothing will come of it."""
        handler = self._find_of(event)
        if handler is not None:
            await handler.give_up(connection, event, claim, error)

    def _find_of(self, event: JournalledEvent) -> InteractionHandler | None:
        try:
            form = parse_form(event.payload)
        except MalformedBodyError:
            return None
        return self._find(form) if isinstance(form, Interaction) else None

    def _find(self, interaction: Interaction) -> InteractionHandler | None:
        return next((each for each in self._handlers if each.takes(interaction)), None)
