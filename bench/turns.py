"""From an event to the finished answer, with an agent and a Slack that take no time themselves."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import anyio
import httpx2

from bench.acks import DATABASES
from bench.errors import BenchError
from bench.events import FIRST_TS, Tenant, make_event
from bench.processes import Child, run_child
from bench.report import Row, make_latency_row
from bench.work import fill_journal
from bench.world import WORKED_MS, World
from slack_mcp.simulator.signing import sign

OK: Final = 200
FIRST_SINGLE: Final = 1_000_000
IDLE_S: Final = 0.05
TIMEOUT_S: Final = 30.0
# Slack itself lets a workspace have a message a second in a channel, and twenty streams in a minute.
WITHOUT_SLACKS_LIMITS: Final = {"SLACK_BUDGET": "false"}


def measure_turns(world: World, *, turns: int, singles: int) -> list[Row]:
    """Return answers a second of a backlog of mentions, how long one takes, and when its first text shows."""
    rows = []
    numbers = iter(range(FIRST_SINGLE, FIRST_SINGLE + 3 * singles))
    with run_child("null peers", ["-m", "bench.null_peers"], log=world.make_log("peers")) as peers:
        peers.url = peers.wait_for("url")
        for name, dialect in DATABASES.items():
            deployment = world.deploy(dialect, name="turns", environment=make_environment(peers))
            anyio.run(fill_journal, deployment.get_settings(), world.tenants, range(turns), make_mention)
            started_ms = int(time.time() * 1000)
            with world.serve(deployment) as pod:
                deployment.wait_until_drained()
                duration_s = deployment.fetch_number(WORKED_MS, started_ms) / 1000
                single = [
                    mark.ended_s - mark.sent_s for mark in ask_singly(world, peers, pod, islice(numbers, singles))
                ]
            answered = deployment.fetch_number("SELECT count(*) FROM slack_turns WHERE answer IS NOT NULL")
            check_answers(answered, turns + singles)
            rows.append(
                Row(
                    key=f"answers.{dialect}",
                    name=f"event to answer, {name}, {turns:,} waiting",
                    values=[turns / duration_s],
                    unit="/s",
                )
            )
            rows.append(
                make_latency_row(f"answers.{dialect}.single", f"event to answer, {name}, one at a time", single)
            )
        model = {"DEFAULT_AGENT": "openai", "OPENAI_BASE_URL": f"{peers.url}/v1", "OPENAI_MODEL": "m"}
        deployment = world.deploy("postgresql", name="streams", environment={**make_environment(peers), **model})
        with world.serve(deployment) as pod:
            shown = [mark.shown_s - mark.token_s for mark in ask_singly(world, peers, pod, numbers)]
        rows.append(make_latency_row("answers.first-text", "first token to first text shown", shown))
    return rows


def make_environment(peers: Child) -> Mapping[str, str]:
    """Return what the pods read: everything goes to the peers."""
    return {"SLACK_API_URL": f"{peers.url}/api/", **WITHOUT_SLACKS_LIMITS}


def make_mention(tenant: Tenant, event_id: str, number: int) -> dict[str, Any]:
    """Return the envelope of a mention; its text holds the message's ts."""
    envelope = make_event(tenant, event_id, number)
    event = envelope["event"]
    text = f"<@UBOT> what about {event['ts']}?"
    return {**envelope, "event": {**event, "type": "app_mention", "text": text, "blocks": []}}


def check_answers(answered: int, asked: int) -> None:
    """Raise BenchError unless every question has an answer."""
    if answered != asked:
        raise BenchError(f"{asked} mentions and {answered} answers.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """When what happened to one mention, unix seconds; `token_s` is 0 where no model was asked."""

    sent_s: float
    token_s: float
    shown_s: float
    ended_s: float


def ask_singly(world: World, peers: Child, pod: Child, numbers: Iterable[int]) -> Iterator[Mark]:
    """Yield the marks of one mention after the other; a number is that of the message."""
    tenant = world.tenants[0]
    with httpx2.Client(base_url=pod.url, trust_env=False) as service, open_marks(peers) as marks:
        for number in numbers:
            ts = f"{FIRST_TS + number}.000100"
            body = json.dumps(make_mention(tenant, f"EvSINGLE{number}", number)).encode()
            time.sleep(IDLE_S)
            sent_s = time.time()
            headers = {"Content-Type": "application/json", **sign(body, tenant.secret, int(sent_s))}
            if service.post(tenant.path, content=body, headers=headers).status_code != OK:
                raise BenchError("A mention was not taken.")
            found = wait_for_end(marks, ts)
            yield Mark(
                sent_s=sent_s,
                token_s=found["token"].get(ts, 0.0),
                shown_s=found["shown"][ts],
                ended_s=found["ended"][ts],
            )


@contextmanager
def open_marks(peers: Child) -> Iterator[httpx2.Client]:
    """Yield the way to ask the peers what they heard."""
    with httpx2.Client(base_url=peers.url, trust_env=False) as client:
        yield client


def wait_for_end(marks: httpx2.Client, ts: str) -> dict[str, dict[str, float]]:
    """Return the marks as soon as the answer to a message has ended; raises BenchError."""
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        found: dict[str, dict[str, float]] = marks.get("/marks").json()
        if ts in found["ended"]:
            return found
        time.sleep(IDLE_S)
    raise BenchError("A mention was not answered in time.")
