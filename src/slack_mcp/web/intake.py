"""One delivery, from path, headers and body to status, headers and body: for whoever has read the request."""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote

import anyio
import structlog

from slack_mcp.core.errors import (
    BodyTooLargeError,
    ConnectionNotFoundError,
    MalformedBodyError,
    SlackMcpError,
    StoreUnavailableError,
)
from slack_mcp.core.ids import ConnectionId
from slack_mcp.inbox.receive import Receiver
from slack_mcp.inbox.verify import SignedRequest
from slack_mcp.ports.metrics import NoteAnswer, ignore_answer
from slack_mcp.web.problems import get_status, render_problem

# Slack waits 3 s, and takes a 503 for a reason to come again; what it gets too late it counts as no answer at all:
# https://docs.slack.dev/apis/events-api/#responding
ANSWER_TIMEOUT_S: Final = 2.2
MAX_ID_CHARS: Final = 200
MAX_REASON_CHARS: Final = 40
MAX_RETRY_DIGITS: Final = 3

JSON: Final = (b"content-type", b"application/json")
TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
# For what will be refused again; the secret of one that does not match may have been saved until Slack comes again:
# https://docs.slack.dev/apis/events-api/#retries
NO_RETRY: Final = (b"x-slack-no-retry", b"1")
INSTANCE_HEADER: Final = b"x-slack-mcp-instance"

_log = structlog.get_logger(__name__)


class Answer(NamedTuple):
    """What is answered, and the word under which it is counted: `accepted`, or why it is something else."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    outcome: str = "accepted"


ACCEPTED: Final = Answer(200, (TEXT,), b"")
REPEATED: Final = Answer(200, (TEXT,), b"", "duplicate")


class Intake:
    """Hands deliveries to the receiver and puts into HTTP what comes of them.

    Args:
        receiver: takes them.
        instance: tells whoever proves to know a signing secret, with the answer to a challenge, which process answered.

    Attributes:
        note: hears of each answer, from whoever gives it.
    """

    def __init__(self, receiver: Receiver, *, instance: str = "", note: NoteAnswer = ignore_answer) -> None:
        self._receiver = receiver
        self._challenged: Final = (TEXT, (INSTANCE_HEADER, instance.encode("ascii")))
        self.note = note

    def begin(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> asyncio.Future[bool] | None:
        """Return the commit that a 200 has to wait for; None when `take` has to see to the delivery.

        Raises:
            OverloadedError: Slack has to send it again.
        """
        return self._receiver.begin(ConnectionId(name), make_request(headers, body)) if is_id(name) else None

    async def take(self, name: str, headers: Mapping[bytes, bytes], body: bytes) -> Answer:
        """Return the answer to a delivery.

        Args:
            name: what stands in the path behind `/slack/events/`; empty for the address that all workspaces share.
            headers: by name in lower case.
            body: the raw bytes.
        """
        request = make_request(headers, body)
        try:
            with anyio.fail_after(ANSWER_TIMEOUT_S):
                if not name:
                    receipt = await self._receiver.receive_shared(request)
                elif is_id(name):
                    receipt = await self._receiver.receive(ConnectionId(name), request)
                else:
                    return refuse(ConnectionNotFoundError(ConnectionId(name)), name)
        except SlackMcpError as error:
            return refuse(error, name)
        except TimeoutError:
            return refuse(make_late_error(), name)
        shown = self._challenged if receipt.challenge else (TEXT,)
        return Answer(200, shown, receipt.challenge.encode(), receipt.outcome.value)


def refuse(error: SlackMcpError, name: str) -> Answer:
    """Return the answer for an error, and log it."""
    status = get_status(error)
    _log.warning(
        "delivery.refused",
        connection_id=name[:MAX_ID_CHARS],
        code=error.code,
        status=status,
        skew_s=getattr(error, "skew_s", None),
    )
    is_final = isinstance(error, BodyTooLargeError | MalformedBodyError | ConnectionNotFoundError)
    return Answer(status, (JSON, NO_RETRY) if is_final else (JSON,), render_problem(error), error.code)


def make_late_error() -> StoreUnavailableError:
    """Return the error for what could not be answered in time."""
    return StoreUnavailableError(f"The database did not answer within {ANSWER_TIMEOUT_S:g} s.")


def is_id(name: str) -> bool:
    """Tell whether a path segment can be a connection's id at all."""
    return 0 < len(name) <= MAX_ID_CHARS and name.isprintable() and "/" not in name and unquote(name) == name


def make_request(headers: Mapping[bytes, bytes], body: bytes) -> SignedRequest:
    """Return the signed request that the headers speak of; what they say of retries is not signed."""
    retry_num = headers.get(b"x-slack-retry-num", b"")
    reason = headers.get(b"x-slack-retry-reason")
    return SignedRequest(
        timestamp=headers.get(b"x-slack-request-timestamp"),
        signature=headers.get(b"x-slack-signature"),
        body=body,
        retry_num=int(retry_num) if retry_num.isdigit() and len(retry_num) <= MAX_RETRY_DIGITS else 0,
        retry_reason=_render_reason(reason) if reason else None,
    )


def _render_reason(reason: bytes) -> str:
    """Return the reason as one of Slack's words would look."""
    word = reason[:MAX_REASON_CHARS].decode("ascii", "replace")
    return word if word.replace("_", "").isalnum() and word.isascii() else "unreadable"
