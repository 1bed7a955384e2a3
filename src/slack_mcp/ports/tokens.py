"""Bot tokens that expire, and are replaced before they do.

Source: https://docs.slack.dev/authentication/using-token-rotation.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedToken:
    """What Slack gives for a refresh token, which is of no use any more then.

    Attributes:
        expires_in_s: from now on, in seconds.
    """

    bot_token: Secret
    refresh_token: Secret
    expires_in_s: float


class TokenApi(Protocol):
    """Asks Slack for new tokens."""

    async def renew(self, connection: Connection) -> RenewedToken | None:
        """Return new tokens for the connection's refresh token; None when Slack does not know that one any more.

        What has begun is seen through, also when the caller is cancelled: Slack may have replaced the token.

        Raises:
            SlackApiError: one of its classes; the refresh token may still be good.
        """
        ...


class TokenStore(Protocol):
    """The tokens in the database. Every method may raise `StoreUnavailableError`."""

    async def list_expiring(self, *, before_s: float, limit: int) -> Sequence[ConnectionId]:
        """Return the connections whose token expires before this unix time, and can be replaced, soonest first."""
        ...

    async def renew_token(
        self,
        connection_id: ConnectionId,
        renew: Callable[[Connection], Awaitable[RenewedToken | None]],
        *,
        before_s: float,
    ) -> bool | None:
        """Have one connection's token replaced, by one process at a time, and announce it with the commit.

        Args:
            connection_id: whose token.
            renew: called with the connection as it is now, while nobody else can be at it; None is for good.
            before_s: nothing is done for a token that expires later: another process has replaced it.

        Returns:
            True when it was replaced; False when it cannot be, so that it is not tried again; None when there was
            nothing to do here.
        """
        ...
