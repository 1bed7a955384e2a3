"""What the chaos test is made of: deliveries as Slack sends them, and the judgement on what came of them."""

import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import aiohttp
import anyio

from slack_mcp.simulator import Workspace, sign
from slack_mcp.simulator.model import Json

# https://docs.slack.dev/apis/events-api/#retries; after those come "delayed events", each hour, which a test cannot
# wait for: they come as the last retry does.
RETRY_DELAYS_S = (0.0, 60.0, 300.0)
TIMEOUT_S = 3.0
ACCEPTED = 200
UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST of a delivery; `answer` is the status, or why there was none: `refused` (nobody listens, or the pod died
    under it) or `timeout`."""

    url: str
    at_s: float
    latency_s: float
    answer: int | str


class Slack:
    """Delivers events until they are accepted, to the pods in turn whether they live or not.

    Args:
        urls: the pods' base URLs.
        time_scale: multiplies the waits before retries.
    """

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str], *, time_scale: float) -> None:
        self._http = http
        self._urls = itertools.cycle(urls)
        self._time_scale = time_scale
        self.attempts: list[Attempt] = []
        self.accepted: set[tuple[str, str]] = set()
        self.sent = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, urls: Sequence[str], *, time_scale: float) -> AsyncIterator[Self]:
        """Yield one with sockets of its own."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
            yield cls(http, urls, time_scale=time_scale)

    @property
    def pending(self) -> int:
        """How many events are not accepted yet."""
        return self.sent - len(self.accepted)

    async def deliver(self, workspace: Workspace, envelope: Json) -> None:
        """Return when the event is accepted."""
        self.sent += 1
        body = json.dumps(envelope).encode()
        waits_s = itertools.chain(RETRY_DELAYS_S, itertools.repeat(RETRY_DELAYS_S[-1]))
        headers: dict[str, str] = {}
        for number in itertools.count(1):
            if (await self.post(workspace, body, headers)).answer == ACCEPTED:
                self.accepted.add((str(workspace.connection_id), str(envelope["event_id"])))
                return
            await anyio.sleep(next(waits_s) * self._time_scale)
            headers = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": "http_error"}

    async def try_once(self, workspace: Workspace, envelope: Json) -> None:
        """Deliver an event one time, whatever the answer is."""
        await self.post(workspace, json.dumps(envelope).encode())

    async def post(self, workspace: Workspace, body: bytes, headers: Mapping[str, str] | None = None) -> Attempt:
        """Return how one attempt ended."""
        at_s, start_s = time.time(), time.monotonic()
        signature = sign(body, workspace.signing_secret, int(at_s))
        base_url = next(self._urls)
        url = f"{base_url}/slack/events/{workspace.connection_id}"
        answer: int | str
        try:
            async with self._http.post(
                url, data=body, headers={"Content-Type": "application/json", **signature, **(headers or {})}
            ) as response:
                await response.read()
                answer = response.status
        except TimeoutError:
            answer = "timeout"
        except aiohttp.ClientError:
            answer = "refused"
        attempt = Attempt(base_url, at_s, time.monotonic() - start_s, answer)
        self.attempts.append(attempt)
        return attempt


@dataclass(slots=True)
class Thread:
    """One lane: what was asked in it, in this order."""

    workspace: Workspace
    channel: str
    root: str
    asked: list[str] = field(default_factory=list)

    def list_shown(self) -> list[str]:
        """Return what the bot shows in it, in this order."""
        return [each.text for each in self.workspace.thread(self.channel, self.root) if each.bot_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How many answers are wrong, and how.

    Attributes:
        lost: questions that were asked and have no answer.
        doubled: answers beyond the first to the same question.
        out_of_order: answers that stand before that of an earlier question.
        strange: what the bot showed beside answers.
    """

    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    strange: int = 0

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            lost=self.lost + other.lost,
            doubled=self.doubled + other.doubled,
            out_of_order=self.out_of_order + other.out_of_order,
            strange=self.strange + other.strange,
        )


def judge(asked: Sequence[str], shown: Sequence[str]) -> Verdict:
    """Return what is wrong with the answers of one thread, in which every question is another and its own answer."""
    numbers = {text: number for number, text in enumerate(asked)}
    counts = Counter(text for text in shown if text in numbers)
    firsts = [numbers[text] for text in dict.fromkeys(shown) if text in numbers]
    return Verdict(
        lost=len(numbers) - len(counts),
        doubled=sum(counts.values()) - len(counts),
        out_of_order=sum(later < earlier for earlier, later in itertools.pairwise(firsts)),
        strange=sum(text not in numbers for text in shown),
    )


def judge_all(threads: Sequence[Thread]) -> Verdict:
    return sum((judge(thread.asked, thread.list_shown()) for thread in threads), Verdict())


def render_latencies(attempts: Sequence[Attempt]) -> str:
    """Return median, 99th percentile and maximum in words."""
    latencies_ms = sorted(1000 * attempt.latency_s for attempt in attempts)
    if not latencies_ms:
        return "none"
    p50, p99 = (latencies_ms[int(len(latencies_ms) * share)] for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, at most {latencies_ms[-1]:.0f} ms"


def count_outside(attempts: Sequence[Attempt], windows: Sequence[tuple[float, float]]) -> int:
    """Return how many attempts were wholly outside of all windows of time."""
    spans = [(attempt.at_s, attempt.at_s + attempt.latency_s) for attempt in attempts]
    return sum(not any(start <= ended and begun <= end for start, end in windows) for begun, ended in spans)


def make_chatter(workspace: Workspace, number: int) -> Json:
    """Return an event that is nothing to the bot: somebody writes in a channel."""
    ts = workspace.next_ts()
    return workspace.wrap(
        {
            "type": "message",
            "user": "U0",
            "channel": "C1",
            "channel_type": "channel",
            "ts": ts,
            "event_ts": ts,
            "team": workspace.team_id,
            "text": f"Shall we move release {number} to Thursday? The migration took longer than we thought.",
        }
    )


def plan_times(every_s: float, until_s: float) -> Iterator[float]:
    """Yield every multiple of a time that is before the end."""
    yield from itertools.takewhile(lambda time_s: time_s < until_s, itertools.count(every_s, every_s))
