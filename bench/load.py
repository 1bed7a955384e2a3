"""The load generator, a process of its own: reads a job from standard input and writes what it measured.

Each connection sends its next request as soon as the last one is answered. Requests are signed before the clock runs.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from typing import Any, Final, cast

import anyio
import httptools

from bench.events import Tenant, make_requests
from bench.mcp_requests import McpRequest, make_mcp_requests
from bench.stats import get_percentile

NS_PER_MS: Final = 1e6
ANSWER_TIMEOUT_S: Final = 20.0


class Replay:
    """One run: hands out the requests and keeps the answers.

    Args:
        seconds: after which no further request is sent.
        expected: what every answer has in it; empty when nobody needs to read them.
    """

    def __init__(self, requests: list[bytes], *, connections: int, seconds: float, expected: bytes = b"") -> None:
        self._requests = iter(requests)
        self.expected = expected
        self._seconds = seconds
        self._open = connections
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
        self._end_ns = self.started_ns + int(self._seconds * 1e9)

    def take(self, now_ns: int) -> bytes | None:
        """Return the next request, None when the time is over or there is none left."""
        return next(self._requests, None) if now_ns < self._end_ns else None

    def record(self, status: int, sent_ns: int, now_ns: int) -> None:
        """Keep one answer."""
        self.statuses[status] += 1
        self.latencies_ns.append(now_ns - sent_ns)
        self.last_ns = now_ns

    def leave(self, *, lost: bool) -> None:
        """Count one connection less."""
        self.lost += lost
        self._open -= 1
        if self._open == 0:
            self.finished.set()

    def render(self) -> dict[str, Any]:
        """Return the result as JSON."""
        elapsed_s = max(1, self.last_ns - self.started_ns) / 1e9
        answers = len(self.latencies_ns)
        return {
            "answers": answers,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "lost": self.lost,
            "unexpected": self.unexpected,
            "elapsed_s": elapsed_s,
            "rate": answers / elapsed_s,
            "p50_ms": get_percentile(self.latencies_ns, 50) / NS_PER_MS,
            "p99_ms": get_percentile(self.latencies_ns, 99) / NS_PER_MS,
            "max_ms": max(self.latencies_ns, default=0) / NS_PER_MS,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._parser = httptools.HttpResponseParser(self)
        self._sent_ns = 0
        self._is_waiting = False
        self._body = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def send_next(self) -> None:
        """Send the next request, or leave when there is none."""
        now_ns = time.perf_counter_ns()
        request = self._replay.take(now_ns)
        if request is None or self._transport is None:
            self._replay.leave(lost=False)
            return
        self._sent_ns, self._is_waiting = now_ns, True
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
        self._replay.record(self._parser.get_status_code(), self._sent_ns, time.perf_counter_ns())
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
        job: `{host, port, count, connections, seconds}`, with `{tenants, prefix}` for deliveries, or with
            `{mcp, keys, expected}` for requests to `/mcp`.
    """
    replay = Replay(
        make_job_requests(job),
        connections=job["connections"],
        seconds=job["seconds"],
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
    with anyio.fail_after(job["seconds"] + ANSWER_TIMEOUT_S):
        await replay.finished.wait()
    return replay.render()


def main() -> None:
    """Run the job on standard input."""
    job = json.load(sys.stdin)
    print(json.dumps(anyio.run(run, job, backend_options={"use_uvloop": True})))


if __name__ == "__main__":
    main()
