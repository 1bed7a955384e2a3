"""Whoever works on a journalled event."""

from typing import Protocol

from slack_mcp.core.errors import SlackMcpError
from slack_mcp.core.model import Claim, Connection, JournalledEvent, Outcome


class EventHandler(Protocol):
    """Does what an event asks for. Called under a claim on the event's lane, and cancelled when the claim is lost."""

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:
        """Work on the event and return DONE or SKIPPED; the same event may come again and must not act twice.

        Raises:
            SlackMcpError: the dispatcher waits or gives up, by the error's `retryable`.
        """
        ...

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Tell whoever waits that nothing will come of the event any more, as far as that is still possible.

        Called once, before the event is recorded as dead. Raises SlackMcpError, which is logged and changes nothing.
        """
        ...
