"""From signed bytes to a journalled event: verify, parse, journal. The caller answers 200 when this returns."""

import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import structlog

from slack_mcp.core.errors import OverloadedError, SlackMcpError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection, Delivery
from slack_mcp.inbox.verify import SignedRequest, Verifier
from slack_mcp.ports.directory import Directory
from slack_mcp.protocol.events import (
    AppRateLimited,
    EventCallback,
    UrlVerification,
    date_event,
    get_lane,
    parse_envelope,
    peek_routing,
)
from slack_mcp.protocol.trace_ids import make_trace_ids

_log = structlog.get_logger(__name__)
_level = logging.getLogger(__name__)  # asked for each delivery, and much faster than the one that writes


class Taken(StrEnum):
    """What a delivery was that is answered with 200."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CHALLENGE = "challenge"
    APP_RATE_LIMITED = "app_rate_limited"
    NOBODYS = "nobodys"


class Receipt(NamedTuple):
    """What became of a delivery.

    Attributes:
        challenge: what to answer with; empty for all but `url_verification`.
    """

    outcome: Taken
    challenge: str = ""


_ACCEPTED: Final = Receipt(Taken.ACCEPTED)


class Receiver:
    """Takes deliveries.

    Args:
        verifier: finds the connection, and proves the signature.
        journal: puts a delivery into the next commit; the result is there when it is durable, and True when it was not
            journalled before.
        wake: called after something new was journalled that there is work in.
        triage: says why there is nothing to do for an event, when that is plain at once; None when there may be.
        plan: what is to be journalled beside an event and its body, of a connection that has triggers.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        verifier: Verifier,
        journal: Callable[[Delivery], Future[bool]],
        wake: Callable[[], None],
        triage: Callable[[Connection, EventCallback], str | None],
        plan: Callable[[Connection, EventCallback, bytes], Sequence[Delivery]] = lambda *_: (),
    ) -> None:
        self._directory = directory
        self._journal = journal
        self._wake = wake
        self._triage = triage
        self._plan = plan
        self._verifier = verifier

    def begin(self, connection_id: ConnectionId, request: SignedRequest) -> Future[bool] | None:
        """Return the commit of an event for which nothing else has to be waited for; its end is when 200 may be said.

        None when the connection is not in memory, and for whatever is no rightly signed event that can be journalled
        now: nothing was done then, and `receive` takes it or says what is wrong.

        Raises:
            OverloadedError: Slack has to send it again.
        """
        connection = self._directory.get(connection_id)
        if connection is None:
            return None
        try:
            self._verifier.check(connection, request)
            event = parse_envelope(request.body)
            return self._journal_event(connection, event, request) if isinstance(event, EventCallback) else None
        except OverloadedError:
            raise  # to look at it all once more would be the last thing that helps
        except SlackMcpError:
            return None

    async def receive(self, connection_id: ConnectionId, request: SignedRequest) -> Receipt:
        """Return what to answer with; the event is durable then.

        Raises:
            ConnectionNotFoundError: nobody has this id.
            DeliveryError: not signed by this connection's app, or no Slack envelope.
            StoreUnavailableError, OverloadedError: Slack has to send it again.
        """
        return await self._take(await self._verifier.find(connection_id, request), request)

    async def receive_shared(self, request: SignedRequest) -> Receipt:
        """Return what `receive` does, for one app in many workspaces: its envelope says for whom it is.

        A correctly signed delivery of a workspace without a connection is acknowledged: Slack would count refusals
        against the whole app.
        """
        team_id, api_app_id = peek_routing(request.body)
        connection = await self._verifier.find_shared(team_id, api_app_id, request)
        if connection is not None:
            return await self._take(connection, request)
        envelope = parse_envelope(request.body)
        if isinstance(envelope, UrlVerification):
            return Receipt(Taken.CHALLENGE, envelope.challenge)
        return Receipt(Taken.NOBODYS)

    async def _take(self, connection: Connection, request: SignedRequest) -> Receipt:
        envelope = parse_envelope(request.body)
        if isinstance(envelope, UrlVerification):
            return Receipt(Taken.CHALLENGE, envelope.challenge)
        if isinstance(envelope, EventCallback):
            is_new = await self._journal_event(connection, envelope, request)
            return _ACCEPTED if is_new else Receipt(Taken.DUPLICATE)
        if isinstance(envelope, AppRateLimited):
            _log.warning(
                "delivery.app_rate_limited",
                connection_id=connection.connection_id,
                minute=envelope.minute_rate_limited,
            )
            return Receipt(Taken.APP_RATE_LIMITED)
        return _ACCEPTED

    def _journal_event(self, connection: Connection, event: EventCallback, request: SignedRequest) -> Future[bool]:
        event = date_event(event, request.signed_at_s)
        skip_reason = self._triage(connection, event)
        commit = self._journal(
            Delivery(
                connection_id=connection.connection_id,
                event_id=event.event_id,
                event_time=event.event_time,
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
                trace_id=make_trace_ids(connection.connection_id, event.event_id).trace_id,
            )
        return self._journal_planned(connection, event, request.body, commit) if connection.triggers else commit

    def _journal_planned(
        self, connection: Connection, event: EventCallback, body: bytes, commit: Future[bool]
    ) -> Future[bool]:
        """Return the end of the event's commit and of those of what is journalled beside it."""
        commits = [commit]
        try:
            for delivery in self._plan(connection, event, body):
                commits.append(self._journal(delivery))
                commits[-1].add_done_callback(self._wake_if_new)
        except SlackMcpError:
            _join(commits)  # Slack is told to come again, and finds some of it journalled
            raise
        return _join(commits) if len(commits) > 1 else commit

    def _wake_if_new(self, commit: Future[bool]) -> None:
        # A caller that has left does not take its event back.
        if commit.cancelled() or (commit.exception() is None and commit.result()):
            self._wake()


def _join(commits: Sequence[Future[bool]]) -> Future[bool]:
    """Return what ends with the last of them: as one that failed, else with whether any of them was new."""
    joined: Future[bool] = commits[0].get_loop().create_future()
    left = len(commits)

    def note(_commit: Future[bool]) -> None:
        nonlocal left
        left -= 1
        if left:
            return
        ended = [each for each in commits if not each.cancelled()]
        errors = [error for each in ended if (error := each.exception()) is not None]
        if joined.done():  # the caller has left
            return
        if errors:
            joined.set_exception(errors[0])
            joined.exception()  # told to whoever waits; nobody has to
        else:
            joined.set_result(any(each.result() for each in ended))

    for commit in commits:
        commit.add_done_callback(note)
    return joined
