"""Commands with fakes behind them."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from command_fakes import Commands


@pytest.fixture
def commands() -> Iterator[Commands]:
    """The commands send the log to the standard error of their run, which is closed at its end: put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield Commands()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("uvicorn.access").disabled = False
        structlog.reset_defaults()
