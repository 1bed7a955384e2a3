"""Deliveries of events to the app's request URL: signed, in time, again when they failed.

Slack's rules: an answer within 3 s; three retries, almost at once, after a minute and after five; the reason in a
header; `x-slack-no-retry: 1` on a failed answer ends it; at most two redirects. https://docs.slack.dev/apis/events-api/
"""

import itertools
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

import anyio
import httpx2

from slack_mcp.core.clock import Clock
from slack_mcp.simulator.model import Json
from slack_mcp.simulator.signing import sign
from slack_mcp.simulator.workspace import Workspace

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

RETRY_DELAYS_S = (0.0, 60.0, 300.0)
TIMEOUT_S = 3.0
MOST_REDIRECTS = 2
_SUCCESS = range(200, 300)
Door = Literal["events", "commands", "interactive"]
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Slackbot 1.0 (simulated)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST of a delivery. `status` is None when there was no answer; `reason` is None when it was accepted."""

    number: int
    url: str
    at_s: float
    latency_s: float
    status: int | None
    reason: str | None
    body: bytes


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One event on its way to the app."""

    event_id: str
    team_id: str
    envelope: Json
    attempts: list[Attempt] = field(default_factory=list)
    is_over: bool = False

    @property
    def is_accepted(self) -> bool:
        """True once an attempt got a 2xx."""
        return bool(self.attempts) and self.attempts[-1].reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormAnswer:
    """What the app answered to a command or an interaction, which Slack sends once.

    Attributes:
        status: None when there was no answer within 3 s.
        reason: None when it was acknowledged; otherwise the person sees that it failed.
    """

    url: str
    status: int | None
    body: bytes
    took_s: float
    reason: str | None

    @property
    def is_acknowledged(self) -> bool:
        """True for a 2xx in time."""
        return self.reason is None


class Deliverer:
    """Sends event envelopes; use it inside `running()`.

    Args:
        targets: base URLs of the pods behind the load balancer, taken in turn for each attempt. May be replaced.
        time_scale: multiplies the retry delays: 0.001 makes Slack's five minutes 0.3 s.
        concurrency: how many requests are on their way at the same time.
        on_change: called after every attempt.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        targets: Sequence[str] = (),
        time_scale: float = 1.0,
        timeout_s: float = TIMEOUT_S,
        concurrency: int = 64,
        capacity: int = 100_000,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.targets = list(targets)
        self.time_scale = time_scale
        self.timeout_s = timeout_s
        self.deliveries: deque[Delivery] = deque(maxlen=capacity)
        self.pending = 0
        self._clock = clock
        self._concurrency = concurrency
        self._on_change = on_change
        self._turns = itertools.count()
        self._client: httpx2.AsyncClient | None = None
        self._tasks: TaskGroup | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver for as long as the context is open; what is still on its way at the end is given up."""
        limits = httpx2.Limits(max_connections=self._concurrency, max_keepalive_connections=self._concurrency)
        async with (
            httpx2.AsyncClient(
                limits=limits,
                timeout=httpx2.Timeout(self.timeout_s, pool=None),
                follow_redirects=True,
                max_redirects=MOST_REDIRECTS,
                trust_env=False,
            ) as client,
            anyio.create_task_group() as tasks,
        ):
            self._client, self._tasks = client, tasks
            self._limiter = anyio.CapacityLimiter(self._concurrency)
            try:
                yield
            finally:
                self._client = self._tasks = None
                tasks.cancel_scope.cancel()

    def has_target(self, workspace: Workspace) -> bool:
        """Whether there is anywhere to deliver this workspace's events to."""
        return bool(workspace.request_url or self.targets)

    def submit(self, workspace: Workspace, envelopes: Sequence[Json]) -> None:
        """Deliver envelopes in the background, in no particular order, as Slack does. Without a target: nothing."""
        if self._tasks is None or not self.has_target(workspace):
            return
        for envelope in envelopes:
            self._tasks.start_soon(self.deliver, workspace, envelope, name=f"deliver {envelope.get('event_id')}")

    async def deliver(self, workspace: Workspace, envelope: Json) -> Delivery:
        """Deliver one envelope, with retries, and return what became of it."""
        delivery = Delivery(event_id=str(envelope.get("event_id", "")), team_id=workspace.team_id, envelope=envelope)
        self.deliveries.append(delivery)
        self.pending += 1
        try:
            await self._try_until_accepted(workspace, delivery, json.dumps(envelope).encode())
        finally:
            self.pending -= 1
            delivery.is_over = True
            self._on_change()
        return delivery

    async def verify_url(self, workspace: Workspace, *, challenge: str = "challenge") -> httpx2.Response:
        """Send Slack's url_verification, signed, and return the app's answer.

        https://docs.slack.dev/reference/events/url_verification
        """
        body = {"type": "url_verification", "token": "deprecated-verification-token", "challenge": challenge}
        return await self.send(workspace, json.dumps(body).encode())

    async def send(
        self, workspace: Workspace, body: bytes, *, headers: dict[str, str] | None = None, url: str | None = None
    ) -> httpx2.Response:
        """POST a body once, whatever it is, and return the answer. `headers` replace the signature's.

        Raises:
            httpx2.TransportError: no answer.
            TimeoutError: none within `timeout_s`.
        """
        return await self._post_in_time(workspace, body, headers or {}, url or self.next_url(workspace))

    async def send_form(self, workspace: Workspace, door: Door, fields: Mapping[str, str]) -> FormAnswer:
        """POST a command or an interaction, signed, once, and return what came of it."""
        url = self.next_url(workspace, door)
        body = urlencode(fields).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        attempt, _ = await self._attempt(workspace, 0, body, headers, url)
        self._on_change()
        return FormAnswer(
            url=url, status=attempt.status, body=attempt.body, took_s=attempt.latency_s, reason=attempt.reason
        )

    def next_url(self, workspace: Workspace, door: Door = "events") -> str:
        """Return the URL of the next attempt. `request_url` names the events; the other doors are beside it."""
        if workspace.request_url is not None:
            return workspace.request_url.replace("/slack/events", f"/slack/{door}")
        if not self.targets:
            raise LookupError(f"no request URL for workspace {workspace.team_id}")
        base = self.targets[next(self._turns) % len(self.targets)]
        path = f"/slack/{door}" if workspace.connection_id is None else f"/slack/{door}/{workspace.connection_id}"
        return base.rstrip("/") + path

    async def _try_until_accepted(self, workspace: Workspace, delivery: Delivery, body: bytes) -> None:
        headers: dict[str, str] = {}
        for number, delay_s in enumerate((None, *RETRY_DELAYS_S)):
            if delay_s is not None:
                await anyio.sleep(delay_s * self.time_scale)
            attempt, may_retry = await self._attempt(workspace, number, body, headers, self.next_url(workspace))
            delivery.attempts.append(attempt)
            self._on_change()
            if attempt.reason is None or not may_retry:
                return
            headers = {"X-Slack-Retry-Num": str(number + 1), "X-Slack-Retry-Reason": attempt.reason}

    async def _attempt(
        self, workspace: Workspace, number: int, body: bytes, headers: dict[str, str], url: str
    ) -> tuple[Attempt, bool]:
        at_s, start_s = self._clock.now_s(), self._clock.monotonic_s()
        status: int | None = None
        reason: str | None = None
        answer, may_retry = b"", True
        try:
            response = await self._post_in_time(workspace, body, headers, url)
        except httpx2.HTTPError as error:
            reason = _reason_of(error)
        except TimeoutError:
            reason = "http_timeout"
        else:
            status, answer = response.status_code, response.content
            reason = None if status in _SUCCESS else "http_error"
            may_retry = response.headers.get("x-slack-no-retry") != "1"
        latency_s = self._clock.monotonic_s() - start_s
        return Attempt(
            number=number, url=url, at_s=at_s, latency_s=latency_s, status=status, reason=reason, body=answer
        ), may_retry

    async def _post_in_time(
        self, workspace: Workspace, body: bytes, headers: dict[str, str], url: str
    ) -> httpx2.Response:
        if self._client is None or self._limiter is None:
            raise RuntimeError("the deliverer is not running")
        # The wait for a free place is the simulator's own and does not count against the app's 3 s.
        async with self._limiter:
            signature = sign(body, workspace.signing_secret, int(self._clock.now_s()))
            with anyio.fail_after(self.timeout_s):
                return await self._client.post(url, content=body, headers=_HEADERS | signature | headers)


def _reason_of(error: httpx2.HTTPError) -> str:
    """Return Slack's word for why an attempt failed."""
    if isinstance(error, httpx2.TimeoutException):
        return "http_timeout"
    if isinstance(error, httpx2.TooManyRedirects):
        return "too_many_redirects"
    if isinstance(error, httpx2.TransportError):
        return "ssl_error" if _is_caused_by_tls(error) else "connection_failed"
    return "unknown_error"


def _is_caused_by_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
