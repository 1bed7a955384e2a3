"""A connection whose key Mesh no longer takes: every process hears that it is gone, and that it is back."""

from pathlib import Path

import anyio.lowlevel
import pytest
from mesh_clients import get_text
from mesh_world import CONN, GENERAL, make_state, open_world

pytestmark = pytest.mark.anyio

GONE_DAYS = "0.000001"  # a tenth of a second
APP_TOOLS = ["MCP_CONFIGURATION", "ON_MCP_CONFIGURATION", "TRIGGER_LIST", "TRIGGER_CONFIGURE"]


@pytest.mark.parametrize("generation", ["B", "C"])
async def test_a_connection_that_mesh_refuses_is_switched_off_and_the_next_save_switches_it_on(
    generation: str, postgres_url: str, tmp_path: Path
) -> None:
    async with open_world(tmp_path, postgres_url, generation=generation, SLACK_MCP_MESH_GONE_DAYS=GONE_DAYS) as world:
        people, pod = world.people, world.pod
        await people.create(CONN, world.url)
        await people.save(CONN, make_state())
        world.mesh.api_keys.clear()
        world.say("<@U0BOT00> what now?")
        await pod.wait_until(lambda: bool(pod.find("mesh.connection_refused")))

        # The duty works once a minute, and at once on a pod that begins to lead.
        (other,) = await world.fleet.add()
        pod_id = other.find("pod.listening")[-1]["pod_id"]
        await world.fleet.fetch(f"UPDATE slack_duties SET holder = '{pod_id}'")  # noqa: S608
        await other.wait_until(lambda: bool(other.find("connection.gone")))
        while [tool["name"] for tool in await people.list_tools(CONN)] != APP_TOOLS:
            await anyio.lowlevel.checkpoint()
        refused = await people.call(CONN, "SLACK_SEND_MESSAGE", {"channel": GENERAL, "text": "canary"})
        assert refused["isError"]
        assert "save its configuration in Mesh" in get_text(refused)
        gone = await world.load()
        assert gone is not None
        assert gone.is_gone

        assert (await people.save(CONN, make_state()))["isError"] is False
        assert len(world.mesh.api_keys) == 1
        back = await world.load()
        assert back is not None
        assert (back.disabled, back.mesh_refused_since_ms) == (False, None)
        world.say("<@U0BOT00> and now?")
        await world.mesh.wait_until(lambda: any("messages" in call.body for call in world.mesh.calls))
