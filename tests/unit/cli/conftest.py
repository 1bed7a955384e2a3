"""Commands with fakes behind them."""

import pytest
from command_fakes import Commands


@pytest.fixture
def commands() -> Commands:
    """Commands on an empty database."""
    return Commands()
