import pytest
from configuration_fakes import FakeConnectionStore, FakeSlack


@pytest.fixture
def store() -> FakeConnectionStore:
    return FakeConnectionStore()


@pytest.fixture
def slack() -> FakeSlack:
    return FakeSlack()
