"""Saving a connection: Slack says who the token is, and a replaced signing secret stays valid for a while."""

from dataclasses import replace

import structlog

from slack_mcp.connections.scopes import find_missing_scopes
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import TeamId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.slack import IdentityApis
from slack_mcp.ports.store import ConnectionStore

_log = structlog.get_logger(__name__)


class ConnectionSaver:
    """The one way to save a connection's credentials.

    Args:
        store: the database's connections.
        slack: asked whose the bot token is.
        clock: tells until when a replaced secret is accepted.
        signing_secret_overlap_s: how long that is, in seconds; 0 refuses it at once.
    """

    def __init__(
        self, *, store: ConnectionStore, slack: IdentityApis, clock: Clock, signing_secret_overlap_s: float
    ) -> None:
        self._store = store
        self._slack = slack
        self._clock = clock
        self._overlap_s = signing_secret_overlap_s

    async def save(self, connection: Connection) -> Connection:
        """Return the connection as saved, with what Slack says of its token.

        Nothing is stored when Slack refuses the token or does not answer.

        Raises:
            SlackApiError: one of its classes, as Slack's Web API raised it.
            StoreUnavailableError: the database.
        """
        return await self.store_identified(await self.identify(connection))

    async def identify(self, connection: Connection) -> Connection:
        """Return the connection with team, bot and app filled in; stores nothing.

        Source: https://docs.slack.dev/reference/methods/auth.test.

        Raises:
            SlackApiError: one of its classes.
            InvalidInputError: the user token is of another workspace.
        """
        identity = await self._slack.open(connection).fetch_identity()
        missing = find_missing_scopes(identity.scopes)
        if missing:
            # Mesh shows nobody what came of a save, so the log is where a half-installed app can be seen.
            _log.warning("connection.scopes_missing", connection_id=connection.connection_id, missing=missing)
        # A token may lack the scope that tells the app's id: the same bot is still of the same app.
        known_app_id = connection.api_app_id if connection.bot_user_id == identity.bot_user_id else None
        return replace(
            connection,
            bot_scopes=identity.scopes,
            user_scopes=await self._fetch_user_scopes(connection, identity.team_id),
            team_id=identity.team_id,
            team_name=identity.team_name,
            bot_user_id=identity.bot_user_id,
            bot_id=identity.bot_id,
            api_app_id=identity.api_app_id or known_app_id,
        )

    async def _fetch_user_scopes(self, connection: Connection, team_id: TeamId) -> frozenset[str] | None:
        """Return what the user token was granted; raises InvalidInputError when it is of another workspace."""
        if connection.user_token is None:
            return None
        identity = await self._slack.open_as_user(connection).fetch_identity()
        if identity.team_id != team_id:
            raise InvalidInputError("The user token is of another workspace than the bot token: nothing was saved.")
        return identity.scopes

    async def store_identified(self, connection: Connection) -> Connection:
        """Save what `identify` returned, and keep a replaced signing secret valid for the overlap.

        Raises:
            StoreUnavailableError: the database.
        """
        stored = await self._store.load_connection(connection.connection_id)
        previous, until_s = self._get_previous_secret(stored, connection)
        saved = await self._store.save_connection(
            replace(connection, previous_signing_secret=previous, previous_signing_secret_until_s=until_s)
        )
        _log.info(
            "connection.saved",
            connection_id=saved.connection_id,
            organization_id=saved.organization_id,
            team_id=saved.team_id,
            version=saved.version,
        )
        return saved

    def _get_previous_secret(
        self, stored: Connection | None, connection: Connection
    ) -> tuple[Secret, float] | tuple[None, None]:
        """Return the signing secret to accept beside the connection's own, and until when (unix seconds)."""
        if stored is None or not _is_same_app(stored, connection):
            return None, None
        now_s = self._clock.now_s()
        if stored.signing_secret != connection.signing_secret:
            return (stored.signing_secret, now_s + self._overlap_s) if self._overlap_s > 0 else (None, None)
        previous, until_s = stored.previous_signing_secret, stored.previous_signing_secret_until_s
        if previous is None or until_s is None or until_s <= now_s:
            return None, None
        return previous, until_s


def _is_same_app(stored: Connection, connection: Connection) -> bool:
    """Tell whether a changed secret may be a rotated one; another app's, or another workspace's, never is."""
    pairs = ((stored.team_id, connection.team_id), (stored.api_app_id, connection.api_app_id))
    return all(old is None or new is None or old == new for old, new in pairs)
