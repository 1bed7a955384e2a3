"""Which handler an interaction is for."""

from collections.abc import Sequence
from typing import Final, Protocol

from slack_mcp.core.errors import MalformedBodyError, SlackMcpError
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome
from slack_mcp.ports.interactions import InstantAnswer
from slack_mcp.protocol.interactions import BLOCK_SUGGESTION, Interaction, parse_form
from slack_mcp.protocol.places import is_elsewhere

UNKNOWN: Final = "unknown_interaction"
OTHER_WORKSPACE: Final = "other_workspace"


class InteractionHandler(Protocol):
    """Works on the interactions of its own buttons, forms and shortcuts, in the connection's own workspace."""

    def takes(self, interaction: Interaction) -> bool:
        """Tell whether the interaction is one of its own."""
        ...

    async def answer_now(self, connection: Connection, interaction: Interaction) -> InstantAnswer:
        """Return what the response says to one of its own; within about 2 s."""
        ...

    async def handle(self, connection: Connection, event: JournalledEvent, interaction: Interaction) -> Outcome:
        """Do what one of its own asks for and return how it ended; the same event may come again.

        Raises:
            SlackMcpError: it may be done later, by the error's `retryable`.
        """
        ...

    async def give_up(self, connection: Connection, event: JournalledEvent, interaction: Interaction) -> None:
        """Tell whoever waits that nothing will come of it; raises SlackMcpError."""
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
        if is_elsewhere(connection, interaction.team_id, interaction.enterprise_id):
            return InstantAnswer(skip_reason=OTHER_WORKSPACE)
        return await handler.answer_now(connection, interaction)

    async def handle(self, connection: Connection, event: JournalledEvent, _claim: Claim) -> Outcome:
        """Return how the work on the interaction ended."""
        interaction = _parse(event)
        handler = self._find(interaction)
        if interaction is None or handler is None:
            return Outcome(state=EventState.SKIPPED, reason=UNKNOWN)
        if is_elsewhere(connection, interaction.team_id, interaction.enterprise_id):
            return Outcome(state=EventState.SKIPPED, reason=OTHER_WORKSPACE)
        return await handler.handle(connection, event, interaction)

    async def give_up(
        self, connection: Connection, event: JournalledEvent, _claim: Claim, _error: SlackMcpError
    ) -> None:
        """Let the interaction's handler tell that nothing will come of it."""
        interaction = _parse(event)
        handler = self._find(interaction)
        if interaction is not None and handler is not None:
            await handler.give_up(connection, event, interaction)

    def _find(self, interaction: Interaction | None) -> InteractionHandler | None:
        if interaction is None:
            return None
        return next((each for each in self._handlers if each.takes(interaction)), None)


def _parse(event: JournalledEvent) -> Interaction | None:
    try:
        form = parse_form(event.payload)
    except MalformedBodyError:
        return None
    return form if isinstance(form, Interaction) else None
