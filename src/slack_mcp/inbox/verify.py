"""Who signed a request: a connection's app, or the one app that many workspaces share."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ConnectionNotFoundError, SignatureMismatchError
from slack_mcp.core.ids import ConnectionId, TeamId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.directory import Directory
from slack_mcp.protocol.signature import SigningKey, verify_signature

MAX_CANDIDATES: Final = 32
_UNKNOWN: Final = ConnectionId("(none of this workspace)")

_log = structlog.get_logger(__name__)


class SignedRequest(NamedTuple):
    """One POST from Slack, as it came.

    Attributes:
        timestamp: the bytes of X-Slack-Request-Timestamp, None when absent.
        signature: the bytes of X-Slack-Signature, None when absent.
        retry_num: X-Slack-Retry-Num, 0 for a first delivery.
        retry_reason: X-Slack-Retry-Reason, shortened.
    """

    timestamp: bytes | None
    signature: bytes | None
    body: bytes
    retry_num: int = 0
    retry_reason: str | None = None

    @property
    def signed_at_s(self) -> int:
        """The timestamp in unix seconds; raises ValueError when no check would take it."""
        return int(self.timestamp or b"")


class Verifier:
    """Finds the connection that a request is for, and proves that its app signed it.

    Args:
        shared_secret: the signing secret of the one app on the addresses without an id, for workspaces without a
            connection.
    """

    def __init__(self, *, directory: Directory, clock: Clock, shared_secret: Secret | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._shared_key = SigningKey(shared_secret.reveal().encode()) if shared_secret else None

    def check(self, connection: Connection, request: SignedRequest) -> None:
        """Return when the connection's app signed the request; raises DeliveryError."""
        keys = [SigningKey(connection.signing_secret.reveal().encode())]
        until_s = connection.previous_signing_secret_until_s
        if connection.previous_signing_secret and until_s is not None and self._clock.now_s() < until_s:
            keys.append(SigningKey(connection.previous_signing_secret.reveal().encode()))
        self._check(keys, request)

    async def find(self, connection_id: ConnectionId, request: SignedRequest) -> Connection:
        """Return the connection, whose app signed the request.

        Raises:
            ConnectionNotFoundError: nobody has this id.
            DeliveryError: not signed by this connection's app.
            StoreUnavailableError: Slack has to send it again.
        """
        connection = await self._directory.load(connection_id)
        try:
            self.check(connection, request)
        except SignatureMismatchError:
            # The secret may have been changed on another pod a moment ago.
            connection = await self._directory.reload(connection_id)
            self.check(connection, request)
        return connection

    async def find_shared(
        self, team_id: TeamId | None, api_app_id: str | None, request: SignedRequest
    ) -> Connection | None:
        """Return the connection of a request to an address without an id, None when its workspace has none.

        What an unverified body says only chooses the secret, with which all of it is then verified. A correctly signed
        request of a workspace without a connection is acknowledged: Slack would count refusals against the whole app.

        Raises:
            ConnectionNotFoundError: no connection, and no shared secret, can have signed it.
            DeliveryError: nobody who may have signed it did.
            StoreUnavailableError: Slack has to send it again.
        """
        connections = await self._directory.load_of_team(team_id, api_app_id) if team_id else ()
        signer = await self._find_signer(connections[:MAX_CANDIDATES], request)
        if signer is not None:
            return signer
        if self._shared_key is not None:
            self._check([self._shared_key], request)
            return self._find_for_app(connections, api_app_id)
        if connections:
            raise SignatureMismatchError
        raise ConnectionNotFoundError(_UNKNOWN)

    def _find_for_app(self, connections: Sequence[Connection], api_app_id: str | None) -> Connection | None:
        """Return the connection for what the app's own secret signed.

        A connection of the workspace may still have the app's old secret: the request is for it all the same.
        """
        found = [each for each in connections if each.api_app_id == api_app_id] or connections
        if len(found) > 1:
            _log.warning("delivery.ambiguous", connection_ids=[each.connection_id for each in found])
            raise SignatureMismatchError
        if not found:
            _log.info("delivery.without_connection", api_app_id=api_app_id)
        return next(iter(found), None)

    async def _find_signer(self, connections: Sequence[Connection], request: SignedRequest) -> Connection | None:
        """Return the connection with whose secret the request is signed, None when there is none."""
        for connection in connections:
            if self._is_signed_for(connection, request):
                return connection
        for connection in connections:
            try:
                fresh = await self._directory.reload(connection.connection_id)
            except ConnectionNotFoundError:
                continue
            if self._is_signed_for(fresh, request):
                return fresh
        return None

    def _is_signed_for(self, connection: Connection, request: SignedRequest) -> bool:
        try:
            self.check(connection, request)
        except SignatureMismatchError:
            return False
        return True

    def _check(self, keys: Sequence[SigningKey], request: SignedRequest) -> None:
        verify_signature(
            keys,
            timestamp=request.timestamp,
            signature=request.signature,
            body=request.body,
            now_s=self._clock.now_s(),
        )
