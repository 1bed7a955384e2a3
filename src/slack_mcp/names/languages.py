"""In which language the bot's own sentences are said to a person.

Slack tells a person's locale to whoever may read the workspace's people (`users:read`).
Source: https://docs.slack.dev/reference/methods/users.info.
"""

from typing import Final

import anyio
import structlog

from slack_mcp.cache import TtlCache
from slack_mcp.catalogue import choose_language
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SlackApiError
from slack_mcp.core.ids import ConnectionId, UserId
from slack_mcp.core.model import Connection
from slack_mcp.names.resolve import CachedNames

SCOPE: Final = "users:read"
LOOKUP_TIMEOUT_S: Final = 1.0
FAILED_TTL_S: Final = 600.0
MAX_FAILED: Final = 10_000

_log = structlog.get_logger(__name__)


class PersonalLanguages:
    """`ports.surfaces.Languages`.

    Args:
        names: know the people's locales.
        clock: for how long nobody is asked again for a connection that was refused.
    """

    def __init__(self, *, names: CachedNames, clock: Clock) -> None:
        self._names = names
        self._failed: TtlCache[ConnectionId, str] = TtlCache(clock=clock, max_entries=MAX_FAILED)

    async def find_language(self, connection: Connection, user_id: UserId | None) -> str:
        """Return the person's language where the catalogue has it, else the connection's."""
        locale = ""
        is_granted = connection.bot_scopes is None or SCOPE in connection.bot_scopes
        if user_id is not None and is_granted and not self._has_failed(connection.connection_id):
            try:
                with anyio.move_on_after(LOOKUP_TIMEOUT_S):
                    locale = await self._names.find_locale(connection, user_id)
            except SlackApiError as error:
                _log.info("language.not_found", connection_id=connection.connection_id, error=error.slack_error)
                self._failed.put(connection.connection_id, error.code, ttl_s=FAILED_TTL_S)
        return choose_language(locale) or connection.settings.language

    def _has_failed(self, connection_id: ConnectionId) -> bool:
        return self._failed.get(connection_id) is not None
