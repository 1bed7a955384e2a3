"""Which handler works on an event, by the event's type."""

from collections.abc import Mapping

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import Claim, Connection, JournalledEvent, Outcome
from slack_mcp.ports.handler import EventHandler


class HandlerByType:
    """Hands each event to the one handler for its type; see `ports.handler.EventHandler`.

    Args:
        default: takes the types that no other handler takes.
        by_type: the others, by `JournalledEvent.event_type`.
    """

    def __init__(self, *, default: EventHandler, by_type: Mapping[str, EventHandler]) -> None:
        self._default = default
        self._by_type = dict(by_type)

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """Return how the work on the event ended."""
        return await self._find(event).handle(connection, event, claim)

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Let the event's handler tell that nothing will come of it."""
        await self._find(event).give_up(connection, event, claim, error)

    def _find(self, event: JournalledEvent) -> EventHandler:
        return self._by_type.get(event.event_type, self._default)
