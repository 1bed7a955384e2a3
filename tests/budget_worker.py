"""One pod that calls Slack as often as the shared budget lets it; `python budget_worker.py DATABASE_URL PLAN`.

The plan is JSON: `factor`, `callers`, `length_s` and, where the pod is to hear a 429, `block_at_s` and `block_for_s`;
`valkey_url` where the budget is in Valkey, and `marks_s`, at which it prints a line; times are seconds from the
beginning. Prints that it is ready, begins with the first line that it reads, and prints when
each call started, and when its block was known to the database, as unix times in one JSON object.
"""

import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog
from budget_fakes import open_call_budget
from directory_fake import make_connection
from valkey_pods import open_valkey_at

from slack_mcp.budget.fallback import BucketsWithFallback
from slack_mcp.budget.shared import SharedBudget
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import RateLimitedError
from slack_mcp.ports.budget import Buckets, Urgency
from slack_mcp.store.buckets import SqlBuckets
from slack_mcp.store.database import Database, open_database
from slack_mcp.store.url import parse_database_url
from slack_mcp.valkey.buckets import ValkeyBuckets

METHOD = "chat.update"


@asynccontextmanager
async def open_buckets(database: Database, valkey_url: str | None) -> AsyncIterator[Buckets]:
    clock = SystemClock()
    buckets = SqlBuckets(database, clock=clock)
    if valkey_url is None:
        yield buckets
        return
    async with open_valkey_at(valkey_url) as valkey:
        yield BucketsWithFallback(fast=ValkeyBuckets(valkey), lasting=buckets, clock=clock)


async def work(url: str, plan: dict[str, Any]) -> None:
    clock = SystemClock()
    starts_s: list[float] = []
    blocked_s: float | None = None
    async with (
        open_database(parse_database_url(url, data_dir=Path())) as database,
        open_buckets(database, plan.get("valkey_url")) as buckets,
    ):
        await database.ping()
        say("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)
        begun_s = time.time()
        async with (
            open_call_budget(buckets=buckets, clock=clock, factor=plan["factor"]) as budget,
            anyio.create_task_group() as tasks,
        ):
            for number in range(plan["callers"]):
                urgency = Urgency.BATCH if number % 4 == 3 else Urgency.PERSON
                tasks.start_soon(call, budget, begun_s + plan["length_s"], urgency, starts_s)
            for mark_s in plan.get("marks_s", ()):
                await anyio.sleep(begun_s + mark_s - time.time())
                say("mark")
            if "block_at_s" in plan:
                await anyio.sleep(plan["block_at_s"])
                await budget.hold_back(make_connection(), METHOD, plan["block_for_s"])
                blocked_s = time.time()
    say(json.dumps({"starts_s": starts_s, "blocked_s": blocked_s}))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def call(budget: SharedBudget, until_s: float, urgency: Urgency, starts_s: list[float]) -> None:
    while (left_s := until_s - time.time()) > 0:
        try:
            await budget.take(make_connection(), METHOD, "C1", urgency=urgency, max_wait_s=min(left_s, 0.3))
        except RateLimitedError as error:
            await anyio.sleep(min(error.retry_after_s, 0.05))
            continue
        starts_s.append(time.time())


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    anyio.run(work, sys.argv[1], json.loads(sys.argv[2]))
