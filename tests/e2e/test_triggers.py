"""A receiver that fails at times and pods that are killed: every event is told, and in order for each channel."""

import random
from itertools import groupby
from pathlib import Path

import anyio
import pytest
from processes import Fleet, make_workspace, open_fleet
from starlette.responses import Response
from trigger_fakes import Receiver, serve_receiver, verify_webhook

from slack_mcp.app import open_admin
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Trigger
from slack_mcp.simulator import Simulator, Workspace, serve

pytestmark = pytest.mark.anyio

CHANNELS = 4
MESSAGES = 50
KILLS = 3
FAILURES = 0.1
TIME_SCALE = 0.02
DELAYED_ATTEMPTS = 5


async def subscribe(fleet: Fleet, receiver: Receiver) -> Trigger:
    async with open_admin(fleet.settings) as admin, admin.open_subscriptions() as subscriptions:
        return await subscriptions.add(ConnectionId("conn_1"), "slack.message.received", f"{receiver.url}/hook", {})


async def tell(simulator: Simulator, workspace: Workspace, channel: str, said: list[str]) -> None:
    """Say one thing after the other in a channel, each as soon as the one before was acknowledged."""
    for number in range(MESSAGES):
        (envelope,) = workspace.say("U0", channel, f"number {number}").envelopes
        said.append(envelope["event_id"])
        for _ in range(DELAYED_ATTEMPTS):
            if (await simulator.deliver(workspace.team_id, envelope)).is_accepted:
                break
        else:
            raise AssertionError(envelope)


async def kill_at_times(fleet: Fleet, simulator: Simulator, receiver: Receiver, chance: random.Random) -> None:
    total = CHANNELS * MESSAGES
    for count in sorted(chance.sample(range(total // 10, total * 3 // 4), KILLS)):
        await simulator.changes.wait_until(lambda at=count: len(receiver.received) >= at)  # type: ignore[misc]
        pod = chance.choice(fleet.pods)
        await pod.kill()
        await fleet.restart(pod)


async def test_every_event_is_told_in_order_while_the_receiver_fails_and_pods_are_killed(
    kind: str, database_url: str, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - printed, so that a run can be repeated
    chance = random.Random(seed)  # noqa: S311
    print(f"\n{kind}: seed {seed}")
    workspace = make_workspace()
    channels = [
        workspace.add_channel(f"C{number}", f"channel{number}").channel_id for number in range(10, 10 + CHANNELS)
    ]
    simulator = Simulator(workspace, time_scale=TIME_SCALE, concurrency=CHANNELS)
    said: dict[str, list[str]] = {channel: [] for channel in channels}
    answers = [Response(status_code=500 if chance.random() < FAILURES else 200) for _ in range(CHANNELS * MESSAGES)]
    with anyio.fail_after(200):
        async with (
            serve(simulator) as address,
            serve_receiver(*answers) as receiver,
            open_fleet(
                tmp_path,
                database_url=database_url,
                slack_api_url=address.api_url,
                TRIGGER_ALLOW_PRIVATE_TARGETS="true",
                SLACK_MCP_LEASE_S="3",
                SLACK_MCP_LEASE_RENEW_S="1",
                SLACK_MCP_RETRY_BASE_S="0.05",
            ) as fleet,
        ):
            receiver.on_received.append(simulator.changes.notify)
            await fleet.connect(workspace)
            trigger = await subscribe(fleet, receiver)
            await fleet.add(2 if kind == "postgresql" else 1)
            simulator.deliverer.targets = fleet.urls
            async with anyio.create_task_group() as tasks:
                for channel in channels:
                    tasks.start_soon(tell, simulator, workspace, channel, said[channel])
                tasks.start_soon(kill_at_times, fleet, simulator, receiver, chance)
            # Each channel's last event, too, was taken.
            await simulator.changes.wait_until(lambda: all(ids[-1] in list_taken(receiver) for ids in said.values()))
            for pod in fleet.pods:
                assert await pod.stop() == 0
    for each in receiver.received:
        verify_webhook(trigger.secret.reveal(), each.headers, each.body)
    for channel, ids in said.items():
        told = [
            each.json["data"]["event_id"] for each in receiver.received if each.json["data"]["channel_id"] == channel
        ]
        # Whatever was told again was told again before anything that came after it.
        assert [event_id for event_id, _ in groupby(told)] == ids
    assert {each.headers["webhook-id"] for each in receiver.received} == {
        f"{event_id}:{trigger.trigger_id}" for ids in said.values() for event_id in ids
    }
    print(f"{len(receiver.received)} deliveries of {CHANNELS * MESSAGES} events, {KILLS} kills")


def list_taken(receiver: Receiver) -> set[str]:
    """Return the events that the receiver answered with a success."""
    return {each.json["data"]["event_id"] for each in receiver.received if each.status == 200}
