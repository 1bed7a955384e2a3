import asyncio
from collections.abc import Sequence

import anyio
import pytest

from slack_mcp.core.errors import SlackMcpError, StoreUnavailableError
from slack_mcp.store.rounds import MAX_ITEMS, Rounds

pytestmark = pytest.mark.anyio


class Database:
    """Doubles what it is asked; the test opens the gate for each round."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.begun = anyio.Event()
        self.gate = anyio.Event()
        self.error: SlackMcpError | None = None
        self.poison: int | None = None

    async def run(self, items: Sequence[int]) -> Sequence[int]:
        self.rounds.append(list(items))
        self.begun.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        if self.poison in items:
            raise ValueError("no database takes this")
        return [2 * item for item in items]


class Callers:
    """Ask for something each in a task of its own, the first of them before all others."""

    def __init__(self, rounds: Rounds[int, int]) -> None:
        self.rounds = rounds
        self.results: dict[int, int | str] = {}
        self.scopes: dict[int, anyio.CancelScope] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def ask(self, item: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks[item] = task
        with anyio.CancelScope() as self.scopes[item]:
            try:
                self.results[item] = await self.rounds.join(item)
            except (SlackMcpError, ValueError) as error:
                self.results[item] = str(error)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def callers(database: Database) -> Callers:
    return Callers(Rounds(database.run))


async def test_who_comes_alone_does_not_wait(database: Database) -> None:
    database.gate.set()
    rounds = Rounds(database.run)
    assert [await rounds.join(1), await rounds.join(2)] == [2, 4]
    assert database.rounds == [[1], [2]]


async def test_what_comes_during_a_round_is_done_in_the_next_one_together(database: Database, callers: Callers) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2, 3, 4):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            assert (database.rounds, callers.results) == ([[1]], {})
            database.gate.set()
    assert database.rounds == [[1], [2, 3, 4]]
    assert callers.results == {1: 2, 2: 4, 3: 6, 4: 8}


async def test_a_round_has_a_limit(database: Database, callers: Callers) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in range(2 * MAX_ITEMS + 2):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            database.gate.set()
    assert [len(items) for items in database.rounds] == [1, MAX_ITEMS, MAX_ITEMS, 1]
    assert callers.results == {item: 2 * item for item in range(2 * MAX_ITEMS + 2)}


async def test_an_error_of_the_database_is_told_to_all_of_its_round_and_to_nobody_else(
    database: Database, callers: Callers
) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2, 3):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            database.error = StoreUnavailableError("gone")
            database.gate.set()
    database.error = None
    assert callers.results == {1: "gone", 2: "gone", 3: "gone"}
    assert await callers.rounds.join(4) == 8


async def test_what_no_database_takes_fails_alone(database: Database, callers: Callers) -> None:
    database.poison = 3
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2, 3, 4):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            database.gate.set()
    assert database.rounds == [[1], [2, 3, 4], [2], [3], [4]]
    assert callers.results == {1: 2, 2: 4, 3: "no database takes this", 4: 8}


@pytest.mark.parametrize("poison", [1, 2])
async def test_it_fails_alone_whoever_does_the_round(database: Database, callers: Callers, poison: int) -> None:
    database.poison = poison
    database.gate.set()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2, 3):
                tasks.start_soon(callers.ask, item)
    assert callers.results == {1: 2, 2: 4, 3: 6} | {poison: "no database takes this"}


async def test_items_with_the_same_key_are_done_one_after_the_other_in_their_order(database: Database) -> None:
    rounds = Rounds(database.run, get_key=lambda item: item % 10)
    callers = Callers(rounds)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2, 12, 3, 22, 13, 4):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            database.gate.set()
    assert database.rounds == [[1], [2, 3, 4], [12, 13], [22]]
    assert len(callers.results) == 7


async def test_who_is_cancelled_before_a_round_begins_is_not_in_it(database: Database, callers: Callers) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2, 3):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            callers.scopes[2].cancel()
            await anyio.wait_all_tasks_blocked()
            database.gate.set()
    assert database.rounds == [[1], [3]]
    assert callers.results == {1: 2, 3: 6}


async def test_who_is_cancelled_when_the_next_round_is_his_hands_it_on(database: Database, callers: Callers) -> None:
    async def ask_and_cancel_the_next() -> None:
        await callers.ask(1)
        callers.tasks[2].cancel()  # by asyncio itself, at the end of the process: it has been told, and not gone on yet

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_and_cancel_the_next)
            for item in (2, 3):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            database.gate.set()
    assert database.rounds == [[1], [3]]
    assert callers.results == {1: 2, 3: 6}
    assert await callers.rounds.join(4) == 8


async def test_a_round_is_seen_through_when_the_one_who_does_it_is_cancelled(
    database: Database, callers: Callers
) -> None:
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(callers.ask, 1)
            await database.begun.wait()
            database.gate, opened = anyio.Event(), database.gate
            for item in (2, 3):
                tasks.start_soon(callers.ask, item)
            await anyio.wait_all_tasks_blocked()
            opened.set()
            await anyio.wait_all_tasks_blocked()
            assert database.rounds == [[1], [2, 3]]
            callers.scopes[2].cancel()
            await anyio.wait_all_tasks_blocked()
            assert callers.results == {1: 2}
            database.gate.set()
    assert callers.results[3] == 6


async def test_a_round_that_takes_too_long_is_an_unavailable_store(database: Database) -> None:
    callers = Callers(Rounds(database.run, timeout_s=0.01))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for item in (1, 2):
                tasks.start_soon(callers.ask, item)
    assert set(callers.results.values()) == {"The database did not answer within 0.01 s."}
