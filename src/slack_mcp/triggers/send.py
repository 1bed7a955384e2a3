"""One POST to a trigger's receiver, and what its answer means."""

import ssl
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import anyio
import httpx2
import structlog

from slack_mcp import __version__
from slack_mcp.core.clock import Clock
from slack_mcp.core.errors import TriggerRateLimitedError, TriggerRefusedError, TriggerUnavailableError
from slack_mcp.core.model import Trigger
from slack_mcp.protocol.retry_after import parse_retry_after
from slack_mcp.triggers.data import render_body
from slack_mcp.triggers.sign import render_headers
from slack_mcp.triggers.target import Target, Targets

TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 3.0
READ_TIMEOUT_S: Final = 1.0  # of an answer's body, which nobody needs
MAX_ANSWER_BYTES: Final = 65_536
MAX_SOCKETS: Final = 100
_SUCCESSES: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
_REFUSALS: Final = range(400, 500)
_UNAUTHORIZED: Final = 401
_GONE: Final = 410
_TOO_LARGE: Final = 413
_TOO_MANY: Final = 429

_log = structlog.get_logger(__name__)


class TriggerSender:
    """Sends; `open_sender` makes this.

    Args:
        mesh: sockets to Mesh.
        subscribers: sockets to everybody else, none of which is kept for a second delivery: an address is checked
            whenever it is connected to.
        targets: says where a subscriber is.
        clock: for the signatures.
        timeout_s: the longest time for one delivery.
    """

    def __init__(
        self,
        *,
        mesh: httpx2.AsyncClient,
        subscribers: httpx2.AsyncClient,
        targets: Targets,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._mesh = mesh
        self._subscribers = subscribers
        self._targets = targets
        self._clock = clock
        self._timeout_s = timeout_s

    async def send_to_mesh(self, trigger: Trigger, data: Mapping[str, Any]) -> int:
        """Tell Mesh, and return the status of its answer.

        Source: `api/routes/trigger-callback.ts` of Mesh, https://github.com/decocms/studio.

        Raises:
            TriggerRefusedError: Mesh refused this delivery, or (`is_gone`) does not know the token any more.
            TriggerRateLimitedError, TriggerUnavailableError: it may be tried again.
        """
        body = render_body({"type": trigger.event_type, "data": data})
        headers = {"Authorization": f"Bearer {trigger.secret.reveal()}"}
        with _mapping_failures(), anyio.fail_after(self._timeout_s):
            status, told = await self._post(self._mesh, httpx2.URL(trigger.url), body, headers)
        if status == _UNAUTHORIZED:
            raise TriggerRefusedError("Mesh does not know the callback token any more (HTTP 401).", is_gone=True)
        if status in _REFUSALS and status != _TOO_MANY:
            raise TriggerRefusedError(f"Mesh refused the delivery with HTTP {status}.")
        _check(status, told)
        return status

    async def send_to_subscriber(
        self, trigger: Trigger, data: Mapping[str, Any], *, message_id: str, timestamp: str
    ) -> int:
        """Tell a subscriber, and return the status of its answer.

        What it answers otherwise is tried again, as https://www.standardwebhooks.com asks for.

        Raises:
            TriggerRefusedError: its address is not allowed, or it takes no body of this size, redirects, or is gone
                (410, `is_gone`).
            TriggerRateLimitedError, TriggerUnavailableError: it may be tried again.
        """
        body = render_body({"id": message_id, "type": trigger.event_type, "timestamp": timestamp, "data": data})
        target = await self._targets.find(trigger.url)
        now_s = int(self._clock.now_s())
        signed = render_headers(trigger.secret, message_id=message_id, timestamp_s=now_s, body=body)
        # The name stays in the Host header and in the TLS handshake, which is verified against it.
        headers = {**signed, "Host": target.url.netloc.decode("ascii")}
        extensions = {"sni_hostname": target.url.raw_host.decode("ascii")}
        with _mapping_failures(), anyio.fail_after(self._timeout_s):
            status, told = await self._post_to_any(target, body, headers, extensions)
        if status == _GONE:
            raise TriggerRefusedError("The receiver is gone (HTTP 410).", is_gone=True)
        if status == _TOO_LARGE:
            raise TriggerRefusedError("The receiver takes no delivery of this size (HTTP 413).")
        _check(status, told)
        return status

    async def _post_to_any(
        self, target: Target, body: bytes, headers: Mapping[str, str], extensions: Mapping[str, Any]
    ) -> tuple[int, httpx2.Headers]:
        """Return what the first address answers that can be connected to."""
        *others, last = target.addresses
        for address in others:
            try:
                return await self._post(
                    self._subscribers, target.url.copy_with(host=address), body, headers, extensions
                )
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                _log.debug("trigger.address_skipped", address=address)
        return await self._post(self._subscribers, target.url.copy_with(host=last), body, headers, extensions)

    async def _post(
        self,
        http: httpx2.AsyncClient,
        url: httpx2.URL,
        body: bytes,
        headers: Mapping[str, str],
        extensions: Mapping[str, Any] | None = None,
    ) -> tuple[int, httpx2.Headers]:
        """Return status and headers; of the answer's body no more is read than lets the socket be used again."""
        own = {
            "Content-Type": "application/json",
            "User-Agent": f"slack-mcp/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        request = http.build_request(
            "POST",
            url,
            content=body,
            headers={**own, **headers},
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            extensions=dict(extensions or {}),
        )
        # A cookie that one tenant's receiver set would otherwise travel with the next tenant's delivery.
        request.headers.pop("Cookie", None)
        response = await http.send(request, stream=True, follow_redirects=False)
        http.cookies.clear()
        try:
            # The status is what counts, and that came whole.
            with suppress(httpx2.HTTPError), anyio.move_on_after(READ_TIMEOUT_S):
                size = 0
                async for piece in response.aiter_raw():
                    size += len(piece)
                    if size > MAX_ANSWER_BYTES:
                        break
        finally:
            await response.aclose()
        return response.status_code, response.headers


@asynccontextmanager
async def open_sender(
    *, targets: Targets, clock: Clock, timeout_s: float = TIMEOUT_S, tls: ssl.SSLContext | None = None
) -> AsyncIterator[TriggerSender]:
    """Yield the sender, and close its sockets at the end; `tls` may be shared with other clients."""
    tls = tls or httpx2.create_ssl_context(trust_env=False)
    limits = httpx2.Limits(max_connections=MAX_SOCKETS, max_keepalive_connections=0)
    async with (
        httpx2.AsyncClient(verify=tls, trust_env=False, limits=httpx2.Limits(max_connections=MAX_SOCKETS)) as mesh,
        httpx2.AsyncClient(verify=tls, trust_env=False, limits=limits) as subscribers,
    ):
        yield TriggerSender(mesh=mesh, subscribers=subscribers, targets=targets, clock=clock, timeout_s=timeout_s)


def _check(status: int, headers: Mapping[str, str]) -> None:
    """Return for a success; raise what every other status means."""
    if status in _SUCCESSES:
        return
    if status in _REDIRECTS:
        raise TriggerRefusedError(f"The receiver redirects (HTTP {status}), which is not followed: save its new URL.")
    if status == _TOO_MANY:
        raise TriggerRateLimitedError(parse_retry_after(headers.get("retry-after")))
    raise TriggerUnavailableError(f"The receiver answered with HTTP {status}.")


@contextmanager
def _mapping_failures() -> Generator[None, None, None]:
    """Turn a network failure or a passed deadline into TriggerUnavailableError."""
    try:
        yield
    except TimeoutError as error:
        raise TriggerUnavailableError("The trigger's receiver did not answer in time.") from error
    except (httpx2.LocalProtocolError, httpx2.InvalidURL, ValueError):
        # The cause quotes the header, and with it the token.
        raise TriggerRefusedError("The receiver cannot be called: its URL or its token is malformed.") from None
    except httpx2.HTTPError as error:
        raise TriggerUnavailableError("The trigger's receiver cannot be reached, or broke off its answer.") from error
