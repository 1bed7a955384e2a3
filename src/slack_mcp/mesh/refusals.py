"""Which connections Mesh refuses. It tells nobody that one was deleted there: refusals that do not end are the sign."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog

from slack_mcp.core.errors import MeshRefusedError, StoreError
from slack_mcp.core.model import Connection
from slack_mcp.ports.mesh import MeshAgents, MeshRefusals, MeshTurn

_log = structlog.get_logger(__name__)


class WatchedAgents:
    """Asks the agents, and has it remembered since when Mesh refuses a connection; implements `ports.mesh.MeshAgents`.

    Args:
        agents: asked.
        refusals: told of the first refusal, and of the first answer after it.
    """

    def __init__(self, *, agents: MeshAgents, refusals: MeshRefusals) -> None:
        self._agents = agents
        self._refusals = refusals

    async def stream_turn(self, connection: Connection, turn: MeshTurn) -> AsyncGenerator[Mapping[str, Any], None]:
        """Ask, and yield the run's chunks as they come; see `ports.mesh.MeshAgents.stream_turn`."""
        is_refused = connection.mesh_refused_since_ms is not None
        try:
            async with aclosing(self._agents.stream_turn(connection, turn)) as chunks:
                async for chunk in chunks:
                    if is_refused:
                        is_refused = False
                        _log.info("mesh.connection_accepted", connection_id=connection.connection_id)
                        await _save(self._refusals.clear_refusal, connection)
                    yield chunk
        except MeshRefusedError as error:
            # Without a key it was asked with the token of the last save, which is good for minutes only.
            if error.is_gone and not is_refused and connection.mesh_api_key is not None:
                _log.warning("mesh.connection_refused", connection_id=connection.connection_id)
                await _save(self._refusals.note_refusal, connection)
            raise

    async def cancel_turn(self, connection: Connection, turn: MeshTurn) -> None:
        """End the run that answers the turn; see `ports.mesh.MeshAgents.cancel_turn`."""
        await self._agents.cancel_turn(connection, turn)

    async def delete_thread(self, connection: Connection, thread_id: str) -> None:
        """Forget a thread; see `ports.mesh.MeshAgents.delete_thread`."""
        await self._agents.delete_thread(connection, thread_id)


async def _save(save: Callable[[Connection], Awaitable[None]], connection: Connection) -> None:
    """Save what is known of the connection; a failure is no reason to keep an answer, or a refusal, back."""
    try:
        await save(connection)
    except StoreError as error:
        _log.warning("mesh.refusal_not_saved", connection_id=connection.connection_id, code=error.code)
