"""Readings of the same thing at the same moment are one, and nobody is hurt by another's end."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from slack_mcp.core.errors import SlackUnavailableError
from slack_mcp.flights import Flight, SingleFlight

pytestmark = pytest.mark.anyio


class Source:
    """Gives the number of the reading, when the test lets it."""

    def __init__(self, *, fails: bool = False) -> None:
        self.count = 0
        self.gate = anyio.Event()
        self._fails = fails

    async def fetch(self, _key: str, flight: Flight[int]) -> None:
        self.count += 1
        number = self.count
        await self.gate.wait()
        if self._fails:
            raise SlackUnavailableError("users.info", "timeout")
        flight.result = number


async def read_all(
    flights: SingleFlight[str, int], fetch: Callable[[str, Flight[int]], Awaitable[None]], keys: str, gate: anyio.Event
) -> list[int]:
    """Return what those who read these keys at the same moment get."""
    results: list[int] = []

    async def read(key: str) -> None:
        results.append(await flights.join_or_start(key, fetch))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(read, key)
            await anyio.wait_all_tasks_blocked()
            gate.set()
    return results


async def test_the_same_key_is_read_once_and_another_beside_it() -> None:
    source, flights = Source(), SingleFlight[str, int]()
    assert sorted(await read_all(flights, source.fetch, "aaab", source.gate)) == [1, 1, 1, 2]
    assert await flights.join_or_start("a", source.fetch) == 3, "what has ended is not joined"


async def test_all_who_wait_get_the_error() -> None:
    source, flights = Source(fails=True), SingleFlight[str, int]()
    failures: list[SlackUnavailableError] = []

    async def read() -> None:
        with pytest.raises(SlackUnavailableError) as failure:
            await flights.join_or_start("a", source.fetch)
        failures.append(failure.value)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            source.gate.set()
    assert (len(failures), source.count) == (3, 1)


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_the_cancellation_of_one_is_not_that_of_the_others(cancelled: int) -> None:
    source, flights = Source(), SingleFlight[str, int]()
    scopes = [anyio.CancelScope() for _ in range(3)]
    results: list[int] = []

    async def read(scope: anyio.CancelScope) -> None:
        with scope:
            results.append(await flights.join_or_start("a", source.fetch))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for scope in scopes:
                tasks.start_soon(read, scope)
            await anyio.wait_all_tasks_blocked()
            scopes[cancelled].cancel()
            await anyio.wait_all_tasks_blocked()
            source.gate.set()
    assert results == [2, 2] if cancelled == 0 else results == [1, 1]


async def test_a_detached_reading_is_not_joined_and_ends_well_for_those_who_wait() -> None:
    source, flights = Source(), SingleFlight[str, int]()
    results: list[int] = []

    async def read(key: str) -> None:
        results.append(await flights.join_or_start(key, source.fetch))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, "a")
            tasks.start_soon(read, "b")
            await anyio.wait_all_tasks_blocked()
            flights.detach_where(lambda key: key == "a")
            tasks.start_soon(read, "a")
            tasks.start_soon(read, "b")
            await anyio.wait_all_tasks_blocked()
            source.gate.set()
    assert (sorted(results), source.count) == ([1, 2, 2, 3], 3)
