"""From a signed form to a journalled command or interaction: verify, parse, answer what cannot wait, journal."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import structlog

from slack_mcp.core.ids import ConnectionId, EventId
from slack_mcp.core.model import Connection, Delivery
from slack_mcp.inbox.verify import SignedRequest, Verifier
from slack_mcp.ports.interactions import InstantAnswer
from slack_mcp.protocol.interactions import Form, Interaction, SslCheck, parse_form, peek_form_routing

COMMAND: Final = "slash_command"
INTERACTION: Final = "interaction"

_log = structlog.get_logger(__name__)


class FormReceiver:
    """Takes slash commands and interactions.

    Args:
        verifier: finds the connection, and proves the signature.
        journal: puts a delivery into the next commit; the result is there when it is durable, and True when it was not
            journalled before.
        wake: called after something new was journalled that there is work in.
        answer_now: says what the response has to say, within about 2 s.
    """

    def __init__(
        self,
        *,
        verifier: Verifier,
        journal: Callable[[Delivery], Future[bool]],
        wake: Callable[[], None],
        answer_now: Callable[[Connection, Interaction], Awaitable[InstantAnswer]],
    ) -> None:
        self._verifier = verifier
        self._journal = journal
        self._wake = wake
        self._answer_now = answer_now

    async def receive(self, connection_id: ConnectionId, request: SignedRequest) -> Mapping[str, Any] | None:
        """Return the JSON to answer with, or None; the command or interaction is durable then.

        Raises:
            ConnectionNotFoundError: nobody has this id.
            DeliveryError: not signed by this connection's app, or no form of Slack's.
            StoreUnavailableError, OverloadedError: it was not taken, and the person has to try again.
        """
        return await self._take(await self._verifier.find(connection_id, request), request)

    async def receive_shared(self, request: SignedRequest) -> Mapping[str, Any] | None:
        """Return what `receive` does, for one app in many workspaces: the form says for whom it is."""
        team_id, api_app_id = peek_form_routing(request.body)
        connection = await self._verifier.find_shared(team_id, api_app_id, request)
        if connection is None:
            parse_form(request.body)  # what is no form is refused here too
            return None
        return await self._take(connection, request)

    async def _take(self, connection: Connection, request: SignedRequest) -> Mapping[str, Any] | None:
        form = parse_form(request.body)
        if isinstance(form, SslCheck):
            return None
        answer = await self._answer_now(connection, form) if isinstance(form, Interaction) else InstantAnswer()
        event_id = make_event_id(request)
        if answer.is_journalled:
            is_new = await self._journal(
                Delivery(
                    connection_id=connection.connection_id,
                    event_id=event_id,
                    event_time=request.signed_at_s,  # part of the id
                    lane=get_form_lane(form),
                    event_type=INTERACTION if isinstance(form, Interaction) else COMMAND,
                    payload=request.body,
                    skip_reason=answer.skip_reason,
                )
            )
            if is_new and answer.skip_reason is None:
                self._wake()
        _log.debug(
            "form.taken",
            connection_id=connection.connection_id,
            event_id=event_id,
            kind=form.kind if isinstance(form, Interaction) else COMMAND,
            skip_reason=answer.skip_reason,
        )
        return answer.body


def make_event_id(request: SignedRequest) -> EventId:
    """Return the id that Slack does not give: what was signed is the same only when it is sent again."""
    digest = sha256(b"%b:%b" % (request.timestamp or b"", request.body)).hexdigest()
    return EventId(f"Fm{digest[:40]}")


def get_form_lane(form: Form) -> str:
    """Return the lane: one person's clicks keep their order, and so do one person's commands in one channel.

    A form that was sent belongs to no channel, and has to come after the clicks before it.
    """
    if isinstance(form, Interaction):
        return f"click:{form.user_id}"
    return "-" if isinstance(form, SslCheck) else f"command:{form.channel_id}:{form.user_id}"
