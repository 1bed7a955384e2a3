"""Fixtures for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from postgres import Postgres, run_postgres
from valkey import ValkeyServer, run_valkey

# A busy machine is no failure: how long something takes is measured in the benchmark.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run, started by the first test that needs it."""
    with run_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A migrated database of this test's own, as `DATABASE_URL` takes it."""
    with postgres.database(migrated=True) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> Iterator[str]:
    """A database of this test's own without any table, as `DATABASE_URL` takes it."""
    with postgres.database(migrated=False) as url:
        yield url


@pytest.fixture
def valkey_server() -> Iterator[ValkeyServer]:
    """A Valkey of this test's own: it is there in some hundredths of a second."""
    with run_valkey() as server:
        yield server
