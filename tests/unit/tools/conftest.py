import pytest
from configuration_fakes import FakeConnectionStore, FakeMeshApi, FakeSlack, FakeTokens, make_claims
from stepping_clock import SteppingClock

from slack_mcp.connections.configure import Configurator
from slack_mcp.connections.save import ConnectionSaver
from slack_mcp.tools.tool import Services


@pytest.fixture
def store() -> FakeConnectionStore:
    return FakeConnectionStore()


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens({"token-a": make_claims("conn_a"), "token-b": make_claims("conn_b")})


@pytest.fixture
def services(store: FakeConnectionStore, slack: FakeSlack) -> Services:
    saver = ConnectionSaver(store=store, slack=slack, clock=SteppingClock(), signing_secret_overlap_s=60)
    configurator = Configurator(store=store, saver=saver, mesh_api=FakeMeshApi())
    return Services(configurator=configurator, public_url="https://slack.example")
