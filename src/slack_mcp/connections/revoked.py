"""Slack's word that an app was uninstalled, or that tokens were revoked: what belonged to them goes.

The two come in any order, and late ones come after the app was installed anew. So Slack is asked whether the token that
is stored still works before anything is destroyed.
Sources: https://docs.slack.dev/reference/events/app_uninstalled and
https://docs.slack.dev/reference/events/tokens_revoked.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from slack_mcp.core.errors import (
    ConnectionNotFoundError,
    SlackMcpError,
    SlackUnavailableError,
    StoreUnavailableError,
    TokenRevokedError,
)
from slack_mcp.core.model import Claim, Connection, EventState, JournalledEvent, Outcome
from slack_mcp.ports.audit import AuditLog
from slack_mcp.ports.directory import Directory
from slack_mcp.ports.installation import InstallationStore
from slack_mcp.ports.slack import IdentityApi, IdentityApis
from slack_mcp.protocol.events import read_event

APP_UNINSTALLED: Final = "app_uninstalled"
TOKENS_REVOKED: Final = "tokens_revoked"
REVOCATION_EVENTS: Final = frozenset({APP_UNINSTALLED, TOKENS_REVOKED})
"""The events that `RevocationHandler` works on, also those of a connection that is disabled."""
MAX_ATTEMPTS: Final = 5
TOKEN_EXPIRED: Final = "token_expired"  # noqa: S105 - Slack's word
DISCONNECTED: Final = "disconnected"
USER_TOKEN_FORGOTTEN: Final = "user_token_forgotten"  # noqa: S105 - a reason

_log = structlog.get_logger(__name__)


class RevocationHandler:
    """Works on `REVOCATION_EVENTS`; see `ports.handler.EventHandler`. To work on one twice does no harm.

    Args:
        directory: reads a connection again that was changed meanwhile.
        store: destroys.
        slack: asked whether a token still works.
        audit: keeps what was done, and that it was Slack's doing.
    """

    def __init__(self, *, directory: Directory, store: InstallationStore, slack: IdentityApis, audit: AuditLog) -> None:
        self._directory = directory
        self._store = store
        self._slack = slack
        self._audit = audit

    async def handle(self, connection: Connection, event: JournalledEvent, claim: Claim) -> Outcome:  # noqa: ARG002
        """Disconnect the connection, or forget its user token, if Slack takes the token back.

        Raises:
            SlackApiError: Slack did not say whether the token works.
            StoreUnavailableError: the database, or a connection that changes all the time.
        """
        is_bots, is_users = _read_tokens(connection, event)
        if is_bots:
            outcome = await self._while_unchanged(connection, event, self._disconnect)
            if outcome.state is EventState.DONE or not is_users:
                return outcome
        if is_users:
            return await self._while_unchanged(connection, event, self._drop_user_token)
        return Outcome(state=EventState.SKIPPED, reason="no_token_of_ours")

    async def give_up(self, connection: Connection, event: JournalledEvent, claim: Claim, error: SlackMcpError) -> None:
        """Do nothing: nobody waits for an answer."""

    async def _while_unchanged(
        self,
        connection: Connection,
        event: JournalledEvent,
        act: Callable[[Connection, JournalledEvent], Awaitable[Outcome | None]],
    ) -> Outcome:
        """Return what `act` does, with the connection as it is then: it returns None when that was another one."""
        current = connection
        for _ in range(MAX_ATTEMPTS):
            outcome = await act(current, event)
            if outcome is not None:
                return outcome
            try:
                current = await self._directory.reload(connection.connection_id)
            except ConnectionNotFoundError:
                return Outcome(state=EventState.SKIPPED, reason="connection_removed")
        raise StoreUnavailableError("The connection changes all the time.")

    async def _disconnect(self, connection: Connection, event: JournalledEvent) -> Outcome | None:
        if connection.is_disconnected:
            return Outcome(state=EventState.SKIPPED, reason="connection_disabled")
        if await _works(connection, self._slack.open(connection)):
            return Outcome(state=EventState.SKIPPED, reason="token_still_valid")
        if not await self._store.disconnect(connection):
            return None
        await self._note(connection, event, "connection.disconnected")
        return Outcome(state=EventState.DONE, reason=DISCONNECTED)

    async def _drop_user_token(self, connection: Connection, event: JournalledEvent) -> Outcome | None:
        if connection.user_token is None:
            return Outcome(state=EventState.SKIPPED, reason="no_token_of_ours")
        if await _works(connection, self._slack.open_as_user(connection)):
            return Outcome(state=EventState.SKIPPED, reason="token_still_valid")
        if not await self._store.drop_user_token(connection):
            return None
        await self._note(connection, event, "connection.user_token_revoked")
        return Outcome(state=EventState.DONE, reason=USER_TOKEN_FORGOTTEN)

    async def _note(self, connection: Connection, event: JournalledEvent, name: str) -> None:
        connection_id = connection.connection_id
        _log.warning(name, connection_id=connection_id, team_id=connection.team_id, event_id=event.event_id)
        entry = await self._audit.begin(connection_id, actor="slack", tool=event.event_type)
        await self._audit.finish(connection_id, entry, target=connection.team_id, result="ok")


async def _works(connection: Connection, api: IdentityApi) -> bool:
    """Ask Slack whether a token is still good.

    Raises:
        SlackUnavailableError: it has expired, and is about to be replaced: only then it can be told.
    """
    try:
        await api.fetch_identity()
    except TokenRevokedError as error:
        if error.slack_error == TOKEN_EXPIRED and connection.refresh_token is not None:
            raise SlackUnavailableError(error.method, TOKEN_EXPIRED) from error
        return False
    return True


def _read_tokens(connection: Connection, event: JournalledEvent) -> tuple[bool, bool]:
    """Return whether the event is about the bot's token, and whether about users'.

    It names the holders of the tokens by their ids, and never a token.
    """
    if event.event_type == APP_UNINSTALLED:
        return True, False
    tokens = read_event(event.payload).get("tokens")
    bots, users = _read_ids(tokens, "bot"), _read_ids(tokens, "oauth")
    is_bots = bool(bots) and (connection.bot_user_id is None or connection.bot_user_id in bots)
    return is_bots, bool(users)


def _read_ids(tokens: Any, kind: str) -> list[Any]:
    ids = tokens.get(kind) if isinstance(tokens, dict) else None
    return ids if isinstance(ids, list) else []
