"""Triggers: who keeps them, and what the triggers need of the bot."""

from collections.abc import Callable, Iterable
from typing import Protocol

from slack_mcp.core.ids import ConnectionId, Ts
from slack_mcp.core.model import Claim, Connection, JournalledEvent, Trigger


class TriggerStore(Protocol):
    """The triggers of all connections. They are read with their connection: `Connection.triggers`."""

    async def update_triggers(
        self, connection_id: ConnectionId, change: Callable[[tuple[Trigger, ...]], Iterable[Trigger]]
    ) -> tuple[Trigger, ...]:
        """Replace a connection's triggers by what `change` makes of them, and return those that stand now, by id.

        Changes of one connection are made one after the other. One that changes something raises the connection's
        version and is announced with the commit, so that every pod hears of it.

        Raises:
            ConnectionNotFoundError: there is no such connection.
            SealingError: a secret does not open.
            StoreUnavailableError: the database.
        """
        ...


class AnsweringBot(Protocol):
    """The bot, as far as the triggers need it."""

    async def is_asked(self, connection: Connection, envelope: bytes) -> bool:
        """Tell whether the message of an envelope is for the bot; raises StoreUnavailableError."""
        ...

    async def place(self, connection: Connection, event: JournalledEvent, envelope: bytes, claim: Claim) -> Ts | None:
        """Return the ts of the placeholder under a message that is for the bot, posted unless it stands already.

        All events that are about one message share one. None for a message that is not for the bot, and where Slack
        lets the bot post none.

        Args:
            connection: whose bot it is.
            event: the event being worked on.
            envelope: Slack's, with the message that it is about.
            claim: every write to the store is made under it.

        Raises:
            SlackApiError: a class that may be tried again.
            TriggerUnavailableError: another event is about to post it.
            StoreError: one of its classes.
        """
        ...

    async def withdraw(
        self, connection: Connection, event: JournalledEvent, envelope: bytes, claim: Claim, *, may_speak: bool
    ) -> None:
        """Give up the event's part in the message's placeholder: nobody waits for it to be posted any more.

        Args:
            connection: whose bot it is.
            event: the event that is given up.
            envelope: Slack's, with the message that it is about.
            claim: every write to the store is made under it.
            may_speak: whether the placeholder, if it stands, is to say that no answer will come.

        Raises:
            SlackApiError, StoreError: one of their classes.
        """
        ...
