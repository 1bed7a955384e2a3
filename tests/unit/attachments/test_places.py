"""A busy connection waits, and leaves room."""

import anyio
import pytest

from slack_mcp.attachments.places import Places
from slack_mcp.core.ids import ConnectionId

pytestmark = pytest.mark.anyio

BUSY, OTHER, THIRD = ConnectionId("busy"), ConnectionId("other"), ConnectionId("third")


async def test_a_busy_connection_leaves_room_and_all_together_wait_at_the_limit() -> None:
    places = Places(total=3, per_connection=2)
    inside: list[ConnectionId] = []
    release = anyio.Event()

    async def visit(connection_id: ConnectionId) -> None:
        async with places.take(connection_id):
            inside.append(connection_id)
            await release.wait()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for connection_id in (BUSY, BUSY, BUSY, OTHER, THIRD):
                tasks.start_soon(visit, connection_id)
            await anyio.wait_all_tasks_blocked()
            assert sorted(inside) == [BUSY, BUSY, OTHER]
            release.set()
    assert sorted(inside) == [BUSY, BUSY, BUSY, OTHER, THIRD]
    assert not places._taken


async def test_whoever_is_cancelled_gives_the_place_back() -> None:
    places = Places(total=1, per_connection=1)
    with anyio.fail_after(5):
        for _ in range(3):
            with anyio.move_on_after(0):
                async with places.take(BUSY):
                    await anyio.sleep_forever()
        async with places.take(OTHER):
            assert places._taken == {OTHER: 1}
