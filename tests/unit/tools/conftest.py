import pytest
from configuration_fakes import FakeConnectionStore, FakeMeshApi, FakeSlack, FakeTokens, make_claims, make_configurator
from tool_fakes import make_services

from slack_mcp.tools.call import Services


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
    return make_services(
        configurator=make_configurator(store, slack, FakeMeshApi()), public_url="https://slack.example"
    )
