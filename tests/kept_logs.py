"""The log as it was before something in the process configured it anew."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def putting_logs_back() -> Iterator[None]:
    """Send the log where it went before, whatever was configured meanwhile."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("uvicorn.access").disabled = False
        structlog.reset_defaults()
