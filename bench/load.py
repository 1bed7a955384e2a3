"""The load generator, a process of its own: reads a job from standard input and writes what it measured.

Either each connection sends its next request as soon as the last one is answered (a closed loop), or requests are sent
at a fixed rate whatever the answers do (an open loop). There the latency counts from the moment in which a request was
to be sent, also when no connection was free then: a stall counts for all that it held up. Requests are signed before
the clock runs.
"""

import asyncio
import gc
import json
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import anyio
import httptools

from bench.events import Tenant, make_requests
from bench.mcp_requests import McpRequest, make_mcp_requests
from bench.stats import get_percentiles

NS_PER_MS: Final = 1e6
NS_PER_S: Final = 1e9
ANSWER_TIMEOUT_S: Final = 20.0


class Sender(Protocol):
    """What sends a request, one at a time."""

    def send(self, request: bytes, since_ns: int) -> None:
        """Send it; its latency counts from `since_ns`."""
        ...


class Replay:
    """One run: hands out the requests and keeps the answers.

    Args:
        requests: each is sent once at most.
        connections: how many senders there are.
        seconds: after which no further request is sent; of no meaning in an open loop, which sends all.
        rate: requests per second of an open loop; None is a closed one.
        expected: what every answer has in it; empty when nobody needs to read them.
    """

    def __init__(
        self,
        requests: Sequence[bytes],
        *,
        connections: int,
        seconds: float,
        rate: float | None = None,
        expected: bytes = b"",
    ) -> None:
        self._requests = requests
        self._next = 0
        self.expected = expected
        self._seconds = seconds
        self._rate = rate
        self._open = connections
        self._resting: deque[Sender] = deque()
        self._end_ns = 0
        self.started_ns = self.last_ns = 0
        self.latencies_ns: list[int] = []
        self.statuses: Counter[int] = Counter()
        self.lost = 0
        self.unexpected = 0
        self.finished = anyio.Event()

    def start(self) -> None:
        """Let the clock run."""
        self.started_ns = time.perf_counter_ns()
        self._end_ns = self.started_ns + int(self._seconds * NS_PER_S)

    def get_due_ns(self, number: int) -> int:
        """Return when a request is to be sent in an open loop."""
        assert self._rate is not None
        return self.started_ns + int(number / self._rate * NS_PER_S)

    def take(self, now_ns: int) -> tuple[bytes, int] | None:
        """Return the next request and since when its latency counts, None when none is to be sent now."""
        if self._next == len(self._requests):
            return None
        since_ns = now_ns if self._rate is None else self.get_due_ns(self._next)
        if since_ns > now_ns or (self._rate is None and now_ns >= self._end_ns):
            return None
        self._next += 1
        return self._requests[self._next - 1], since_ns

    def rest(self, sender: Sender) -> None:
        """Take note of a sender for which there is nothing to send now: it waits, or leaves if nothing will come."""
        if self._rate is None or self._next == len(self._requests):
            self.leave(lost=False)
        else:
            self._resting.append(sender)

    def pump(self, now_ns: int) -> None:
        """Let those who rest send what is due, and leave behind the last request. In an open loop only."""
        while self._resting and (taken := self.take(now_ns)) is not None:
            self._resting.popleft().send(*taken)
        if self._next == len(self._requests):
            while self._resting:
                self._resting.popleft()
                self.leave(lost=False)

    def record(self, status: int, since_ns: int, now_ns: int) -> None:
        """Keep one answer."""
        self.statuses[status] += 1
        self.latencies_ns.append(now_ns - since_ns)
        self.last_ns = now_ns

    def leave(self, *, lost: bool) -> None:
        """Count one connection less."""
        self.lost += lost
        self._open -= 1
        if self._open == 0:
            self.finished.set()

    def render(self) -> dict[str, Any]:
        """Return the result as JSON."""
        elapsed_s = max(1, self.last_ns - self.started_ns) / NS_PER_S
        answers = len(self.latencies_ns)
        return {
            "answers": answers,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "lost": self.lost,
            "unexpected": self.unexpected,
            "elapsed_s": elapsed_s,
            "rate": answers / elapsed_s,
            "latencies_ms": get_percentiles([each / NS_PER_MS for each in self.latencies_ns]),
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._parser = httptools.HttpResponseParser(self)
        self._since_ns = 0
        self._is_waiting = False
        self._body = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def send_next(self) -> None:
        """Send the next request, or rest."""
        taken = self._replay.take(time.perf_counter_ns())
        if taken is None or self._transport is None:
            self._replay.rest(self)
        else:
            self.send(*taken)

    def send(self, request: bytes, since_ns: int) -> None:
        """Send a request."""
        self._since_ns, self._is_waiting = since_ns, True
        if self._transport is None:
            self._is_waiting = False
            self._replay.leave(lost=True)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Called by the parser with a part of an answer."""
        if self._replay.expected:
            self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser at the end of an answer."""
        self._replay.record(self._parser.get_status_code(), self._since_ns, time.perf_counter_ns())
        if self._replay.expected:
            self._replay.unexpected += self._replay.expected not in self._body
            self._body = b""
        self._is_waiting = False
        self.send_next()

    def connection_lost(self, _error: Exception | None) -> None:
        """Leave, if an answer was still to come."""
        self._transport = None
        if self._is_waiting:
            self._is_waiting = False
            self._replay.leave(lost=True)


def keep_time(replay: Replay, count: int, loop: asyncio.AbstractEventLoop) -> None:
    """Wake the event loop whenever one of `count` requests is due. In a thread: the loop's timers count whole ms."""
    for number in range(count):
        time.sleep(max(0, replay.get_due_ns(number) - time.perf_counter_ns()) / NS_PER_S)
        if replay.finished.is_set():
            return
        loop.call_soon_threadsafe(lambda: replay.pump(time.perf_counter_ns()))


def make_job_requests(job: dict[str, Any]) -> list[bytes]:
    """Return the requests that a job asks for."""
    host = f"{job['host']}:{job['port']}"
    if "mcp" in job:
        request = McpRequest(**job["mcp"])
        return make_mcp_requests(request, keys=job["keys"], host=host, count=job["count"])
    tenants = [Tenant(**each) for each in job["tenants"]]
    return make_requests(tenants, prefix=job["prefix"], count=job["count"], host=host, timestamp=int(time.time()))


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Return what one job measured.

    Args:
        job: `{host, port, count, connections, seconds}`, with `rate` for an open loop (`count` is then that of all
            requests), with `{tenants, prefix}` for deliveries, or with `{mcp, keys, expected}` for requests to `/mcp`.
    """
    requests = make_job_requests(job)
    rate: float | None = job.get("rate")
    replay = Replay(
        requests,
        connections=job["connections"],
        seconds=job["seconds"],
        rate=rate,
        expected=job.get("expected", "").encode(),
    )
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(replay), job["host"], job["port"]))[1]
        for _ in range(job["connections"])
    ]
    gc.collect()
    gc.disable()
    replay.start()
    for connection in connections:
        connection.send_next()
    if rate is not None:
        threading.Thread(target=keep_time, args=(replay, len(requests), loop), daemon=True).start()
    with anyio.fail_after(job["seconds"] + ANSWER_TIMEOUT_S):
        await replay.finished.wait()
    return replay.render()


def main() -> None:
    """Run the job on standard input."""
    job = json.load(sys.stdin)
    print(json.dumps(anyio.run(run, job, backend_options={"use_uvloop": True})))


if __name__ == "__main__":
    main()
