"""The bounded map with a time to live."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from stepping_clock import SteppingClock

from slack_mcp.cache import TtlCache

ROOM = 3


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def cache(clock: SteppingClock) -> TtlCache[str, int]:
    return TtlCache(clock=clock, max_entries=ROOM)


def test_value_is_there_until_its_time_is_over(cache: TtlCache[str, int], clock: SteppingClock) -> None:
    cache.put("a", 1, ttl_s=10)
    clock.time_s += 9.999
    assert cache.get("a") == 1
    clock.time_s += 0.001
    assert cache.get("a") is None
    assert len(cache) == 0


def test_looking_at_a_value_does_not_lengthen_its_life(cache: TtlCache[str, int], clock: SteppingClock) -> None:
    cache.put("a", 1, ttl_s=10)
    for _ in range(10):
        cache.get("a")
        clock.time_s += 1
    assert cache.get("a") is None


def test_value_put_again_lives_anew(cache: TtlCache[str, int], clock: SteppingClock) -> None:
    cache.put("a", 1, ttl_s=10)
    clock.time_s += 9
    cache.put("a", 2, ttl_s=5)
    clock.time_s += 4
    assert cache.get("a") == 2
    clock.time_s += 1
    assert cache.get("a") is None


def test_the_one_not_used_for_longest_makes_room(cache: TtlCache[str, int]) -> None:
    for number, key in enumerate("abc"):
        cache.put(key, number, ttl_s=10)
    cache.get("a")
    cache.put("b", 7, ttl_s=10)
    cache.put("d", 4, ttl_s=10)
    assert [cache.get(key) for key in "abcd"] == [0, 7, None, 4]


def test_dropped_and_cleared_values_are_gone(cache: TtlCache[str, int]) -> None:
    for key in "abc":
        cache.put(key, 1, ttl_s=10)
    cache.drop("a")
    cache.drop("unknown")
    assert [cache.get(key) for key in "abc"] == [None, 1, 1]
    cache.clear()
    assert [cache.get(key) for key in "abc"] == [None] * 3
    assert len(cache) == 0


class CacheAgainstDict(RuleBasedStateMachine):
    """The cache may forget; it never invents, never mixes keys up, and never outgrows its room."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = SteppingClock()
        self.cache: TtlCache[str, Any] = TtlCache(clock=self.clock, max_entries=ROOM)
        self.model: dict[str, tuple[float, Any]] = {}
        self.used: list[str] = []

    def use(self, key: str) -> None:
        self.used = [each for each in self.used if each != key] + [key]

    @rule(key=st.sampled_from("abcdef"), value=st.integers(), ttl_s=st.integers(1, 5))
    def put(self, key: str, value: int, ttl_s: int) -> None:
        self.cache.put(key, (key, value), ttl_s=ttl_s)
        self.model[key] = (self.clock.time_s + ttl_s, (key, value))
        self.use(key)

    @rule(key=st.sampled_from("abcdef"))
    def get(self, key: str) -> None:
        found = self.cache.get(key)
        ends_s, value = self.model.get(key, (0.0, None))
        is_recent = key in self.used[-ROOM:]
        if ends_s > self.clock.time_s and is_recent:
            assert found == value
        elif ends_s <= self.clock.time_s:
            assert found is None
        else:
            assert found in {None, value}
        if found is not None:
            self.use(key)

    @rule(key=st.sampled_from("abcdef"))
    def drop(self, key: str) -> None:
        self.cache.drop(key)
        self.model.pop(key, None)

    @rule(keys=st.sets(st.sampled_from("abcdef")))
    def select(self, keys: set[str]) -> None:
        found = self.cache.select(lambda key: key in keys)
        for key, value in found:
            assert key in keys
            assert self.model[key][0] > self.clock.time_s
            assert self.model[key][1] == (key, value)
        assert {key for key in self.used[-ROOM:] if key in keys and key in self.model} <= {key for key, _ in found} | {
            key for key, (ends_s, _) in self.model.items() if ends_s <= self.clock.time_s
        }

    @rule(seconds=st.integers(1, 5))
    def wait(self, seconds: int) -> None:
        self.clock.time_s += seconds

    @invariant()
    def has_room(self) -> None:
        assert len(self.cache) <= ROOM


TestCacheAgainstDict = CacheAgainstDict.TestCase
TestCacheAgainstDict.settings = settings(max_examples=50)
