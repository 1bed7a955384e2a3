"""The wait for the next piece of an answer."""

from collections.abc import AsyncIterator
from typing import Final, TypeVar

import anyio

from slack_mcp.core.errors import AgentTimeoutError

IDLE_TIMEOUT_S: Final = 120.0  # an agent's tool may take minutes, in which nothing is heard of it

Piece = TypeVar("Piece")


async def next_in_time(pieces: AsyncIterator[Piece], idle_timeout_s: float) -> Piece | None:
    """Return the next piece, or None when there are no more.

    Raises:
        AgentTimeoutError: nothing came for `idle_timeout_s` seconds.
    """
    try:
        with anyio.fail_after(idle_timeout_s):
            return await anext(pieces, None)
    except TimeoutError as error:
        raise AgentTimeoutError(f"The agent was silent for {idle_timeout_s:.0f} s.") from error
