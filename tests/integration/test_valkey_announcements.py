"""Pub/sub on a real Valkey: heard, lost, and heard again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest
import structlog
from ears import DEAF, LISTENING, WORK, Ears
from valkey import ValkeyServer
from valkey_pods import open_valkey_at

from slack_mcp.core.clock import SystemClock
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import ConnectionChange
from slack_mcp.ports.announcements import CHANNELS, CONNECTIONS_CHANNEL, Subscribers
from slack_mcp.ports.budget import BucketBlock
from slack_mcp.ports.names import NameChange, NameKind
from slack_mcp.valkey.announcements import Subscription, ValkeyAnnouncer
from slack_mcp.valkey.client import Valkey
from slack_mcp.valkey.outbox import Outbox

pytestmark = pytest.mark.anyio

CONN = ConnectionId("conn_1")
CHANGE = ConnectionChange(connection_id=CONN, version=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    valkey: Valkey
    outbox: Outbox
    announcer: ValkeyAnnouncer
    subscription: Subscription
    ears: Ears
    others: list[NameChange | BucketBlock]


@asynccontextmanager
async def run_pod(url: str, *, heartbeat_s: float = 60.0) -> AsyncIterator[Pod]:
    ears, others = Ears(), list[NameChange | BucketBlock]()
    async with ears.closing(), open_valkey_at(url) as valkey, anyio.create_task_group() as tasks:
        outbox = Outbox(valkey, clock=SystemClock())
        subscribers = Subscribers(
            on_change=ears.on_change,
            on_work=ears.on_work,
            on_listening=ears.on_listening,
            on_names=others.append,
            on_block=others.append,
        )
        subscription = Subscription(valkey, subscribers=subscribers, heartbeat_s=heartbeat_s, heartbeat_timeout_s=0.5)
        tasks.start_soon(outbox.run)
        tasks.start_soon(subscription.run)
        assert await ears.hear() == LISTENING
        yield Pod(
            valkey=valkey,
            outbox=outbox,
            announcer=ValkeyAnnouncer(outbox, prefix=valkey.prefix),
            subscription=subscription,
            ears=ears,
            others=others,
        )
        tasks.cancel_scope.cancel()


async def test_what_one_pod_tells_all_pods_hear_in_its_order(valkey_server: ValkeyServer) -> None:
    names = NameChange(connection_id=ConnectionId("ü" * 255), kind=NameKind.USER, id="U1")
    block = BucketBlock(connection_id=CONN, bucket="call:chat.update", for_s=2.5)
    async with run_pod(valkey_server.url) as a, run_pod(valkey_server.url) as b:
        a.announcer.tell_names(names)
        a.announcer.tell_block(block)
        a.announcer.tell_change(CHANGE)
        a.announcer.tell_change(ConnectionChange(connection_id=CONN, version=None))
        a.announcer.tell_work()
        for pod in (a, b):
            assert await pod.ears.hear() == CHANGE
            assert await pod.ears.hear() == ConnectionChange(connection_id=CONN, version=None)
            assert await pod.ears.hear() == WORK
            assert pod.others == [names, block]


async def test_deployments_with_other_prefixes_hear_nothing_of_each_other(valkey_server: ValkeyServer) -> None:
    async with run_pod(valkey_server.url) as pod:
        ValkeyAnnouncer(pod.outbox, prefix="other").tell_change(CHANGE)
        pod.announcer.tell_work()
        assert await pod.ears.hear() == WORK


async def test_whoever_loses_the_server_knows_that_it_hears_nothing_until_it_hears_again(
    valkey_server: ValkeyServer,
) -> None:
    async with run_pod(valkey_server.url) as pod:
        valkey_server.stop()
        assert await pod.ears.hear() == DEAF
        valkey_server.start()
        assert await pod.ears.hear() == LISTENING


async def test_what_is_worth_it_is_tried_again_until_the_server_is_back_and_the_rest_is_dropped(
    valkey_server: ValkeyServer,
) -> None:
    async with run_pod(valkey_server.url) as pod:
        valkey_server.stop()
        assert await pod.ears.hear() == DEAF
        pod.outbox.post(lambda redis: redis.rpush("heard", "dropped"))
        await pod.outbox.flush(timeout_s=30)
        pod.outbox.post(lambda redis: redis.rpush("heard", "told"), good_for_s=60)
        valkey_server.start()
        await pod.outbox.flush(timeout_s=30)
        heard = await pod.valkey.run(lambda redis: redis.lrange("heard", 0, -1))
        assert heard == [b"told"]


async def test_a_server_that_died_without_a_word_is_found_out_by_asking(valkey_server: ValkeyServer) -> None:
    async with run_pod(valkey_server.url, heartbeat_s=0.2) as pod:
        valkey_server.freeze()
        try:
            assert await pod.ears.hear() == DEAF
        finally:
            valkey_server.thaw()
        assert await pod.ears.hear() == LISTENING


async def test_a_quiet_server_that_answers_is_not_taken_for_dead(valkey_server: ValkeyServer) -> None:
    async with run_pod(valkey_server.url, heartbeat_s=0.01) as pod:

        async def count_pings() -> int:
            info = await pod.valkey.run(lambda redis: redis.info("commandstats"))
            return int(info.get("cmdstat_ping", {}).get("calls", 0))

        before = await count_pings()
        with anyio.fail_after(10):
            while await count_pings() < before + 5:
                await anyio.lowlevel.checkpoint()
        pod.announcer.tell_change(CHANGE)
        assert await pod.ears.hear() == CHANGE


@pytest.mark.parametrize("payload", ["", "{", "[]", "1", "{}", '{"connection_id": "conn_1"}'])
async def test_what_cannot_be_read_is_logged_and_passed_over(valkey_server: ValkeyServer, payload: str) -> None:
    with structlog.testing.capture_logs() as lines:
        async with run_pod(valkey_server.url) as pod:
            channel = f"{pod.valkey.prefix}:{CONNECTIONS_CHANNEL}"
            await pod.valkey.run(lambda redis: redis.publish(channel, payload))
            pod.announcer.tell_work()
            assert await pod.ears.hear() == WORK
    assert "subscription.unreadable" in [line["event"] for line in lines]


async def test_an_outbox_that_is_full_drops_what_comes_and_holds_up_nobody(valkey_server: ValkeyServer) -> None:
    async with open_valkey_at(valkey_server.url) as valkey:
        outbox = Outbox(valkey, clock=SystemClock(), max_waiting=3)
        for number in range(5):
            outbox.post(lambda redis, number=number: redis.rpush("heard", number))  # type: ignore[misc]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run)
            await outbox.flush(timeout_s=10)
            tasks.cancel_scope.cancel()
        assert await valkey.run(lambda redis: redis.lrange("heard", 0, -1)) == [b"0", b"1", b"2"]


async def test_the_subscription_is_to_all_that_pods_tell_each_other(valkey_server: ValkeyServer) -> None:
    async with run_pod(valkey_server.url) as pod:
        heard = await pod.valkey.run(lambda redis: redis.pubsub_channels())
        assert {str(name, "utf-8") for name in heard if isinstance(name, bytes)} == {
            f"{pod.valkey.prefix}:{channel}" for channel in CHANNELS
        }
