"""A budget whose first place is lost goes on in the second, and no change of place gives a burst."""

from collections.abc import Sequence

import pytest
from budget_fakes import Bucket, FakeBuckets
from stepping_clock import SteppingClock

from slack_mcp.budget.fallback import BucketsWithFallback
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.budget import LeaseRequest

pytestmark = pytest.mark.anyio

ONE, OTHER = ConnectionId("conn_1"), ConnectionId("conn_2")
CAPACITY, PER_S = 10.0, 2.0


class Place(FakeBuckets):
    """Either place: can be emptied, and begin anew."""

    def __init__(self, clock: SteppingClock) -> None:
        super().__init__(clock)
        self._now = clock.monotonic_s

    async def begin(self) -> None:
        if self.is_gone:
            raise StoreUnavailableError("gone")
        await self.empty(list(self.buckets))  # type: ignore[arg-type]  # its keys are ids

    async def empty(self, keys: Sequence[tuple[ConnectionId, str]]) -> None:
        for key in keys:
            self.buckets[key] = Bucket(0.0, self._now())


class World:
    def __init__(self) -> None:
        self.clock = SteppingClock()
        self.fast, self.lasting = Place(self.clock), Place(self.clock)
        self.pods = [BucketsWithFallback(fast=self.fast, lasting=self.lasting, clock=self.clock) for _ in range(2)]

    async def ask(self, pod: int = 0, *, connection_id: ConnectionId = ONE, wanted: int = 100) -> int:
        request = LeaseRequest(connection_id=connection_id, bucket="b", capacity=CAPACITY, per_s=PER_S, wanted=wanted)
        return (await self.pods[pod].lease([request]))[0].granted


async def test_while_the_first_place_answers_the_second_is_not_asked() -> None:
    world = World()
    assert await world.ask() == CAPACITY
    assert world.lasting.buckets == {}


async def test_the_second_place_begins_empty_for_each_bucket() -> None:
    world = World()
    await world.ask()
    world.lasting.buckets["conn_1", "b"] = Bucket(CAPACITY, world.clock.monotonic_s())
    world.fast.is_gone = True
    assert await world.ask() == 0
    world.clock.time_s += 2
    assert await world.ask() == 2 * PER_S
    assert await world.ask(connection_id=OTHER) == 0


async def test_whoever_comes_back_begins_empty_too() -> None:
    world = World()
    world.fast.buckets["conn_1", "b"] = Bucket(0.0, world.clock.monotonic_s())
    world.fast.is_gone = True
    assert await world.ask() == 0
    world.clock.time_s += 5  # the lost bucket would have filled up meanwhile
    assert await world.ask() == 5 * PER_S
    world.fast.is_gone = False
    assert await world.ask() == 0
    world.clock.time_s += 1
    assert await world.ask() == PER_S


async def test_each_outage_begins_empty() -> None:
    world = World()
    for _ in range(2):
        world.fast.is_gone = True
        assert await world.ask() == 0
        world.clock.time_s += 3
        world.fast.is_gone = False
        assert await world.ask() == 0
        world.clock.time_s += 3


async def test_pods_that_do_not_agree_have_no_more_than_twice_the_rate() -> None:
    world = World()
    away = BucketsWithFallback(fast=Place(world.clock), lasting=world.lasting, clock=world.clock)
    away._fast.is_gone = True  # type: ignore[attr-defined]  # one pod alone has lost it
    world.pods[1] = away
    given = 0
    for _ in range(20):
        given += await world.ask(0) + await world.ask(1)
        world.clock.time_s += 1
    assert given <= CAPACITY + 2 * PER_S * 20
    assert given > CAPACITY + PER_S * 20, "they did not agree"


async def test_a_block_is_in_both_places_and_in_one_where_there_is_no_other() -> None:
    world = World()
    for is_gone in (False, True):
        world.fast.is_gone = is_gone
        await world.pods[0].block(ONE, f"b{is_gone}", for_s=30)
    assert [key[1] for key in world.fast.buckets] == ["bFalse"]
    assert [key[1] for key in world.lasting.buckets] == ["bFalse", "bTrue"]
    assert all(bucket.blocked_until_s for bucket in world.lasting.buckets.values())


async def test_when_both_are_gone_it_is_said() -> None:
    world = World()
    world.fast.is_gone = world.lasting.is_gone = True
    with pytest.raises(StoreUnavailableError):
        await world.ask()
