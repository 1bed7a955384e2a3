"""From signed bytes to a journalled event: verify, parse, journal. The caller answers 200 when this returns."""

import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import ConnectionNotFoundError, SignatureMismatchError, SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, Delivery
from slack_mcp.core.secret import Secret
from slack_mcp.ports.directory import Directory
from slack_mcp.protocol.events import (
    AppRateLimited,
    EventCallback,
    UrlVerification,
    get_lane,
    parse_envelope,
    peek_routing,
)
from slack_mcp.protocol.signature import SigningKey, verify_signature

MAX_CANDIDATES: Final = 32
_UNKNOWN: Final = ConnectionId("(none of this workspace)")

_log = structlog.get_logger(__name__)
_level = logging.getLogger(__name__)  # asked for each delivery, and much faster than the one that writes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
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


class Receiver:
    """Takes deliveries.

    Args:
        journal: puts a delivery into the next commit; the result is there when it is durable, and True when it was not
            journalled before.
        wake: called after something new was journalled that there is work in.
        triage: says why there is nothing to do for an event, when that is plain at once; None when there may be.
        shared_secret: the signing secret of the one app on `/slack/events`, for workspaces without a connection.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        journal: Callable[[Delivery], Future[bool]],
        wake: Callable[[], None],
        triage: Callable[[Connection, EventCallback], str | None],
        clock: Clock,
        shared_secret: Secret | None = None,
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._wake = wake
        self._triage = triage
        self._clock = clock
        self._shared_key = SigningKey(shared_secret.reveal().encode()) if shared_secret else None

    def begin(self, connection_id: ConnectionId, request: SignedRequest) -> Future[bool] | None:
        """Return the commit of an event for which nothing else has to be waited for; its end is when 200 may be said.

        None when the connection is not in memory, and for whatever is no rightly signed event that can be journalled
        now: nothing was done then, and `receive` takes it or says what is wrong.
        """
        connection = self._directory.get(connection_id)
        if connection is None:
            return None
        try:
            self._verify(connection, request)
            event = parse_envelope(request.body)
            return self._journal_event(connection, event, request) if isinstance(event, EventCallback) else None
        except SlackMcpError:
            return None

    async def receive(self, connection_id: ConnectionId, request: SignedRequest) -> str | None:
        """Return the challenge to answer with, or None; the event is durable then.

        Raises:
            ConnectionNotFoundError: nobody has this id.
            DeliveryError: not signed by this connection's app, or no Slack envelope.
            StoreUnavailableError, OverloadedError: Slack has to send it again.
        """
        connection = await self._directory.load(connection_id)
        try:
            self._verify(connection, request)
        except SignatureMismatchError:
            # The secret may have been changed on another pod a moment ago.
            connection = await self._directory.reload(connection_id)
            self._verify(connection, request)
        return await self._take(connection, request)

    async def receive_shared(self, request: SignedRequest) -> str | None:
        """Return what `receive` does, for one app in many workspaces: its envelope says for whom it is.

        What the envelope says only chooses the secret, with which all of it is then verified. A correctly signed
        delivery of a workspace without a connection is acknowledged: Slack would count refusals against the whole app.
        """
        team_id, api_app_id = peek_routing(request.body)
        connections = await self._directory.load_of_team(team_id, api_app_id) if team_id else ()
        signer = await self._find_signer(connections[:MAX_CANDIDATES], request)
        if signer is not None:
            return await self._take(signer, request)
        if self._shared_key is not None:
            self._check([self._shared_key], request)
            return await self._take_for_app(connections, api_app_id, request)
        if connections:
            raise SignatureMismatchError
        raise ConnectionNotFoundError(_UNKNOWN)

    async def _take_for_app(
        self, connections: Sequence[Connection], api_app_id: str | None, request: SignedRequest
    ) -> str | None:
        """Return what `receive` does for a delivery that the app's own secret signed.

        A connection of the workspace may still have the app's old secret: the event is for it all the same.
        """
        found = [each for each in connections if each.api_app_id == api_app_id] or connections
        if len(found) == 1:
            return await self._take(found[0], request)
        if found:
            _log.warning("delivery.ambiguous", connection_ids=[each.connection_id for each in found])
            raise SignatureMismatchError
        envelope = parse_envelope(request.body)
        if isinstance(envelope, UrlVerification):
            return envelope.challenge
        _log.info("delivery.without_connection", api_app_id=api_app_id)
        return None

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
            self._verify(connection, request)
        except SignatureMismatchError:
            return False
        return True

    def _verify(self, connection: Connection, request: SignedRequest) -> None:
        keys = [SigningKey(connection.signing_secret.reveal().encode())]
        until_s = connection.previous_signing_secret_until_s
        if connection.previous_signing_secret and until_s is not None and self._clock.now_s() < until_s:
            keys.append(SigningKey(connection.previous_signing_secret.reveal().encode()))
        self._check(keys, request)

    def _check(self, keys: Sequence[SigningKey], request: SignedRequest) -> None:
        verify_signature(
            keys,
            timestamp=request.timestamp,
            signature=request.signature,
            body=request.body,
            now_s=self._clock.now_s(),
        )

    async def _take(self, connection: Connection, request: SignedRequest) -> str | None:
        envelope = parse_envelope(request.body)
        if isinstance(envelope, UrlVerification):
            return envelope.challenge
        if isinstance(envelope, EventCallback):
            await self._journal_event(connection, envelope, request)
        elif isinstance(envelope, AppRateLimited):
            _log.warning(
                "delivery.app_rate_limited",
                connection_id=connection.connection_id,
                minute=envelope.minute_rate_limited,
            )
        return None

    def _journal_event(self, connection: Connection, event: EventCallback, request: SignedRequest) -> Future[bool]:
        skip_reason = self._triage(connection, event)
        commit = self._journal(
            Delivery(
                connection_id=connection.connection_id,
                event_id=event.event_id,
                lane=get_lane(event),
                event_type=event.event_type,
                payload=request.body,
                retry_num=request.retry_num,
                retry_reason=request.retry_reason,
                skip_reason=skip_reason,
            )
        )
        if skip_reason is None:
            commit.add_done_callback(self._wake_if_new)
        if _level.isEnabledFor(logging.DEBUG):
            _log.debug(
                "delivery.taken",
                connection_id=connection.connection_id,
                event_id=event.event_id,
                event_type=event.event_type,
                retry_num=request.retry_num,
                skip_reason=skip_reason,
            )
        return commit

    def _wake_if_new(self, commit: Future[bool]) -> None:
        # A caller that has left does not take its event back.
        if commit.cancelled() or (commit.exception() is None and commit.result()):
            self._wake()
