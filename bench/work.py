"""What happens behind the ack: how soon an event is picked up at idle, and how fast a backlog is worked off."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import anyio
import httpx2

from bench.acks import DATABASES
from bench.errors import BenchError
from bench.events import CHANNELS, Tenant, make_event
from bench.report import Row, make_latency_row
from bench.world import WORKED_MS, Deployment, World, get_connection_id
from slack_mcp.app.compose import make_sealer, open_store
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import PodId
from slack_mcp.core.model import Delivery
from slack_mcp.protocol.events import EventCallback, get_lane, parse_envelope
from slack_mcp.settings import Settings
from slack_mcp.simulator.signing import sign
from slack_mcp.store.open import open_journal

MakeEvent = Callable[[Tenant, str, int], dict[str, Any]]

IDLE_S: Final = 0.1
BATCH: Final = 500
OK: Final = 200


def measure_pickup(world: World, *, events: int) -> list[Row]:
    """Return the time from the 200 to the first Slack call, one mention at a time, answered by the echo.

    Workspaces and channels take turns: Slack lets a channel have a message a second, which the service keeps to.
    """
    rows = []
    for name, dialect in DATABASES.items():
        deployment = world.deploy(dialect, name="pickup")
        with (
            world.serve(deployment) as pod,
            httpx2.Client(base_url=world.simulator.url, trust_env=False) as simulator,
            httpx2.Client(base_url=pod.url, trust_env=False) as service,
        ):
            places = [
                (world.tenants[number % len(world.tenants)], f"CBENCH{number % CHANNELS}") for number in range(events)
            ]
            latencies_s = [_measure_one(deployment, *place, simulator, service) for place in places]
        rows.append(make_latency_row(f"pickup.{dialect}", f"200 to first Slack call, {name}", latencies_s))
    return rows


def _measure_one(
    deployment: Deployment, tenant: Tenant, channel: str, simulator: httpx2.Client, service: httpx2.Client
) -> float:
    mention = {"team_id": tenant.team_id, "user": "UANN", "channel": channel, "text": "<@UBOT> hello", "deliver": False}
    said = simulator.post("/control/say", json=mention).json()
    envelope = next(each for each in said["envelopes"] if each["event"]["type"] == "app_mention")
    body = json.dumps(envelope).encode()
    time.sleep(IDLE_S)
    earlier = len(_fetch_calls(simulator, tenant))
    headers = {"Content-Type": "application/json", **sign(body, tenant.secret, int(time.time()))}
    answer = service.post(tenant.path, content=body, headers=headers)
    answered_s = time.time()
    if answer.status_code != OK:
        raise BenchError(f"{deployment.dialect}: a mention got {answer.status_code}.")
    deployment.wait_until_drained()
    calls = _fetch_calls(simulator, tenant)[earlier:]
    if not calls:
        raise BenchError(f"{deployment.dialect}: a mention was handled without a call to Slack.")
    return float(calls[0]["at_s"]) - answered_s


def _fetch_calls(simulator: httpx2.Client, tenant: Tenant) -> list[dict[str, Any]]:
    answer = simulator.get("/control/calls", params={"list": "1", "team_id": tenant.team_id})
    calls: list[dict[str, Any]] = answer.json()["calls"]
    return calls


def measure_drain(world: World, *, events: int) -> list[Row]:
    """Return how many events a second one pod works off that lead to nothing, each in a lane of its own."""
    rows = []
    for name, dialect in DATABASES.items():
        deployment = world.deploy(dialect, name="drain")
        anyio.run(fill_journal, deployment.get_settings(), world.tenants, range(events), make_event)
        started_ms = int(time.time() * 1000)
        with world.serve(deployment):
            deployment.wait_until_drained()
        # Without the start of the process.
        rate = events / (deployment.fetch_number(WORKED_MS, started_ms) / 1000)
        rows.append(
            Row(key=f"drain.{dialect}", name=f"backlog of {events:,} worked off, {name}", values=[rate], unit="/s")
        )
    return rows


async def fill_journal(settings: Settings, tenants: list[Tenant], numbers: range, make: MakeEvent) -> None:
    """Journal events as a pod does, while none runs; `make` makes the envelope of each number."""
    clock = SystemClock()
    async with open_store(settings) as database:
        journal = open_journal(database, make_sealer(settings), PodId("bench"), clock=clock)
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            await journal.append([make_delivery(tenants[number % len(tenants)], number, make) for number in batch])


def make_delivery(tenant: Tenant, number: int, make: MakeEvent) -> Delivery:
    """Return an event as the webhook hands it to the journal."""
    body = json.dumps(make(tenant, f"EvDRAIN{number}", number)).encode()
    envelope = parse_envelope(body)
    assert isinstance(envelope, EventCallback)
    return Delivery(
        connection_id=get_connection_id(tenant),
        event_id=envelope.event_id,
        event_time=envelope.event_time,
        lane=get_lane(envelope),
        event_type=envelope.event_type,
        payload=body,
        retry_num=0,
        retry_reason=None,
    )
