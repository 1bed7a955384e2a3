"""The two databases that a story is told on."""

from pathlib import Path

import pytest


@pytest.fixture(params=["postgresql", "sqlite"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("postgres_url")) if kind == "postgresql" else f"sqlite:{tmp_path}/slack.db"
