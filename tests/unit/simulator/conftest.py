from collections.abc import AsyncIterator

import httpx2
import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Simulator, Workspace, build_app


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


def make_workspace(number: int, clock: SteppingClock) -> Workspace:
    workspace = Workspace(
        team_id=f"T{number}",
        bot_token=f"xoxb-{number}",
        signing_secret=f"secret-{number}",
        app_id=f"A{number}",
        bot_user_id=f"UBOT{number}",
        connection_id=f"conn_{number}",
        clock=clock,
    )
    workspace.add_user(f"UANN{number}", "ann")
    workspace.add_channel(f"C{number}", "general")
    return workspace


@pytest.fixture
def workspace(clock: SteppingClock) -> Workspace:
    return make_workspace(1, clock)


@pytest.fixture
def simulator(workspace: Workspace, clock: SteppingClock) -> Simulator:
    return Simulator(workspace, make_workspace(2, clock), clock=clock)


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=build_app(simulator))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
        yield client


@pytest.fixture
def bot(http: httpx2.AsyncClient) -> SimulatorClient:
    return SimulatorClient(http, "xoxb-1")


@pytest.fixture
def ann(http: httpx2.AsyncClient, workspace: Workspace) -> SimulatorClient:
    workspace.add_user_token("UANN1", "xoxp-ann")
    return SimulatorClient(http, "xoxp-ann")
