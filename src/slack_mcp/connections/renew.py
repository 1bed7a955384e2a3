"""Bot tokens that expire are replaced some time before they do, by one pod."""

from typing import Final

import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import SlackMcpError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.tokens import TokenApi, TokenStore

RENEW_INTERVAL_S: Final = 15.0
MAX_AT_ONCE: Final = 1_000

_log = structlog.get_logger(__name__)


class TokenRenewer:
    """Replaces the tokens that are due; every pod may do so at the same time.

    Args:
        store: locks, and keeps what Slack gives.
        slack: gives it.
        clock: tells what is due.
        ahead_s: how long before its end a token is replaced. Until then there is time to try again.
    """

    def __init__(self, *, store: TokenStore, slack: TokenApi, clock: Clock, ahead_s: float) -> None:
        self._store = store
        self._slack = slack
        self._clock = clock
        self._ahead_s = ahead_s

    async def renew_due(self) -> None:
        """Replace what is due; what fails is tried again the next time, and keeps nothing else back.

        Raises:
            StoreUnavailableError: the database.
        """
        before_s = self._clock.now_s() + self._ahead_s
        for connection_id in await self._store.list_expiring(before_s=before_s, limit=MAX_AT_ONCE):
            await self._renew(connection_id, before_s)

    async def _renew(self, connection_id: ConnectionId, before_s: float) -> None:
        try:
            is_renewed = await self._store.renew_token(connection_id, self._slack.renew, before_s=before_s)
        except StoreUnavailableError:
            raise
        except SlackMcpError as error:
            _log.warning("token.not_renewed", connection_id=connection_id, code=error.code, error=str(error))
            return
        if is_renewed:
            _log.info("token.renewed", connection_id=connection_id)
        elif is_renewed is False:
            # A pod may have died with the answer in its hands, or somebody used the token elsewhere.
            _log.error(
                "token.lost",
                connection_id=connection_id,
                error="Slack does not take the refresh token any more: install the app again, and save its new tokens.",
            )
