"""Looking for a name in the whole of a workspace's list."""

from typing import Final

import anyio

from slack_mcp.core.errors import InvalidInputError, SlackApiError
from slack_mcp.core.model import Connection
from slack_mcp.names.fetch import Known, fetch_page
from slack_mcp.names.kept import Reading
from slack_mcp.ports.names import NameKind
from slack_mcp.ports.slack import SlackWeb

MAX_PAGES: Final = 20
MAX_NAMESAKES: Final = 5


class Walk:
    """One way through the list, shared by all who look for a name in it.

    Args:
        api: with the connection's bot token.
        connection: whose workspace it is.
        kind: channels or people.

    Attributes:
        ended: set when it is over, in whatever way.
        error: what Slack answered in place of the list; it says nothing about any name.
        is_complete: the whole list was seen.
        is_too_long: as much was seen as is ever looked at.
    """

    def __init__(self, api: SlackWeb, connection: Connection, kind: NameKind) -> None:
        self.connection = connection
        self.kind = kind
        self.ended = anyio.Event()
        self.error: SlackApiError | None = None
        self.is_complete = False
        self.is_too_long = False
        self._api = api
        self._found: dict[str, list[str]] = {}

    async def run(self, name: str, reading: Reading) -> None:
        """Walk until the name is found, or to the end; raises SlackApiError."""
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            entries, cursor = await fetch_page(self._api, self.connection, self.kind, cursor)
            for known in entries:
                self._see(known, reading)
            self.is_complete = cursor is None
            if self.has_answer(name):
                break
        else:
            self.is_too_long = True
        if self.is_complete:
            self._keep_ids(reading)
            if name not in self._found:
                reading.keep_missing(self.kind, name)

    @property
    def is_over(self) -> bool:
        """Whether another walk would see nothing more."""
        return self.is_complete or self.is_too_long

    def has_answer(self, name: str) -> bool:
        """Tell whether nothing more would come of another walk for this name.

        A channel's name is a channel's alone, so that the first is the one; several people may have one name.
        """
        return self.is_over or (self.kind is NameKind.CHANNEL and name in self._found)

    def get(self, name: str) -> str | None:
        """Return the id behind a name, None when there is none.

        Raises:
            InvalidInputError: several have it, or not all could be looked at.
        """
        ids = self._found.get(name, ())
        if len(ids) > 1:
            listed = ", ".join(ids[:MAX_NAMESAKES])
            raise InvalidInputError(f"Several are called {name!r} ({listed}): give the id of the one that is meant.")
        if self.is_too_long and not (ids and self.kind is NameKind.CHANNEL):
            hint = "an id or a link" if self.kind is NameKind.CHANNEL else "an id or an e-mail"
            raise InvalidInputError(f"The workspace is too large to look {name!r} up in it: give {hint}.")
        return ids[0] if ids else None

    def _see(self, known: Known, reading: Reading) -> None:
        reading.keep(self.kind, known)
        for name in known.names:
            ids = self._found.setdefault(name, [])
            if known.id not in ids:  # what changes between two pages may be on both
                ids.append(known.id)
            if self.kind is NameKind.CHANNEL:
                reading.keep_id(self.kind, name, known.id)

    def _keep_ids(self, reading: Reading) -> None:
        """Keep the names that only one has."""
        if self.kind is NameKind.USER:
            for name, ids in self._found.items():
                if len(ids) == 1:
                    reading.keep_id(self.kind, name, ids[0])
