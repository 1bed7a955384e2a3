"""Files that somebody outside may fetch for a while, under links that this service signs."""

from collections.abc import Sequence
from typing import Final

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import AgentNotConfiguredError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.attachments import TempFile, TempFileStore
from slack_mcp.protocol.temp_links import render_link

TTL_S: Final = 600.0


class SignedTempFiles:
    """`ports.attachments.TempFiles`.

    Args:
        store: keeps the files for all pods.
        clock: for the end of the links.
        public_url: where this service is reached from outside; None when nobody has said.
        keys: sign the links, see `protocol.temp_links`.
        ttl_s: how long a link is good.
    """

    def __init__(
        self, *, store: TempFileStore, clock: Clock, public_url: str | None, keys: Sequence[bytes], ttl_s: float = TTL_S
    ) -> None:
        self._store = store
        self._clock = clock
        self._public_url = public_url
        self._keys = tuple(keys)
        self._ttl_s = ttl_s

    async def publish(self, connection_id: ConnectionId, file: TempFile) -> tuple[str, str]:
        """Keep the file, and return its id and its link.

        Raises:
            AgentNotConfiguredError: `PUBLIC_URL` is not set.
            StoreError: one of its classes.
        """
        if self._public_url is None:
            raise AgentNotConfiguredError(
                "Whoever writes down recordings fetches them here: set PUBLIC_URL to where this service is reached."
            )
        file_id = await self._store.add_temp_file(connection_id, file, ttl_s=self._ttl_s)
        expires_s = int(self._clock.now_s() + self._ttl_s)
        return file_id, render_link(self._public_url, file_id, expires_s=expires_s, keys=self._keys)

    async def withdraw(self, connection_id: ConnectionId, file_id: str) -> None:
        """Delete the file; raises StoreError."""
        await self._store.remove_temp_file(connection_id, file_id)
