"""A pod in the list of those that serve."""

from pathlib import Path

import anyio
import pytest

from slack_mcp import __version__
from slack_mcp.app.presence import open_presence
from slack_mcp.core.clock import SystemClock
from slack_mcp.core.errors import StoreUnavailableError
from slack_mcp.core.ids import PodId
from slack_mcp.ports.pods import SeenPod
from slack_mcp.store.database import open_database
from slack_mcp.store.migrate import Migrations
from slack_mcp.store.pods import SqlPods
from slack_mcp.store.url import parse_database_url

pytestmark = pytest.mark.anyio

POD = PodId("host-1-abc")


async def test_a_pod_is_listed_while_it_runs_and_forgotten_at_its_end(tmp_path: Path) -> None:
    url = parse_database_url(f"sqlite:{tmp_path / 'slack.db'}", data_dir=tmp_path)
    await Migrations(url).up()
    async with open_database(url) as database:
        pods = SqlPods(database, clock=SystemClock())
        async with open_presence(pods, POD) as (presence, duty), anyio.create_task_group() as tasks:
            tasks.start_soon(duty.run)
            seen = await wait_for_pods(pods)
            assert [each.presence for each in seen] == [presence]
            assert presence.version == __version__
            tasks.cancel_scope.cancel()
        assert await pods.list_pods() == []


async def wait_for_pods(pods: SqlPods) -> list[SeenPod]:
    with anyio.fail_after(5):
        while not (seen := list(await pods.list_pods())):
            await anyio.lowlevel.checkpoint()
    return seen


class LostPods(SqlPods):
    """The database is gone."""

    def __init__(self) -> None:
        self.asked = 0

    async def forget(self, pod_id: PodId) -> None:
        self.asked += 1
        raise StoreUnavailableError("gone")


async def test_a_pod_that_cannot_say_goodbye_ends_all_the_same() -> None:
    pods = LostPods()
    async with open_presence(pods, POD) as (presence, _duty):
        pass
    assert pods.asked == 1
    assert len(presence.instance) == 16
