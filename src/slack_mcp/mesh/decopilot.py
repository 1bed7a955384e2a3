"""Questions to the agents that live in Mesh ("Decopilot").

Three generations of Mesh are in use, and none tells which it is, so the endpoints are tried, the newest first:

    C  GET  …/decopilot/threads/{id}/stream    a tail that stays open from run to run, and
       POST …/decopilot/threads/{id}/messages  beside it
    B  POST …/decopilot/stream                 the run's stream is the response
    A  the same, and the model must be named

Sources: https://github.com/decocms/studio, `apps/api/src/api/routes/decopilot/` (C), and
https://github.com/decocms/mesh, `apps/mesh/src/api/routes/decopilot/` (A, B).
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from enum import StrEnum
from typing import Any, Final

import httpx2
import structlog

from slack_mcp.core.errors import AgentNotConfiguredError, MeshRefusedError, SlackMcpError
from slack_mcp.core.model import Connection
from slack_mcp.mesh.access import MeshAccess, access_of
from slack_mcp.mesh.runs import RunStream
from slack_mcp.mesh.streaming import raise_for_refusal
from slack_mcp.mesh.tail import ThreadTail
from slack_mcp.mesh.threads import MeshThreads
from slack_mcp.mesh.transport import NOT_FOUND, MeshTransport
from slack_mcp.mesh.waiting import Chunks
from slack_mcp.ports.mesh import MeshTurn

_CONFLICT: Final = 409
_CREDENTIAL_PREFIX: Final = "aik_"

_log = structlog.get_logger(__name__)


class Generation(StrEnum):
    """How a Mesh wants to be asked."""

    C = "C"
    B = "B"
    A = "A"


class Decopilot:
    """Asks the agents of any generation; implements `ports.mesh.MeshAgents`.

    Which generation a Mesh is stays known by its URL, which is no tenant's own, until a question fails.

    Args:
        transport: the sockets.
        poll_s: seconds between two looks at a thread whose stream is not available.
        memory_size: of how many Meshes the generation is remembered.
    """

    def __init__(self, *, transport: MeshTransport, poll_s: float = 1.0, memory_size: int = 1024) -> None:
        self._transport = transport
        self._threads = MeshThreads(transport=transport)
        self._tail = ThreadTail(transport=transport, threads=self._threads, poll_s=poll_s)
        self._runs = RunStream(transport=transport, threads=self._threads, poll_s=poll_s)
        self._memory_size = memory_size
        self._generations: OrderedDict[str, Generation] = OrderedDict()

    async def stream_turn(self, connection: Connection, turn: MeshTurn) -> AsyncGenerator[Mapping[str, Any], None]:
        """Ask, and yield the run's chunks as they come; see `ports.mesh.MeshAgents.stream_turn`.

        Asked again with the same message id: C goes on with the run that there is, and so do A and B when they are told
        that it is a repetition; else these put an end to it and start afresh, with the question once in the history.
        """
        access = access_of(connection)
        agents_url = _get_agents_url(access)
        await self._threads.ensure_thread(access, turn)
        async with AsyncExitStack() as stack:
            try:
                opened = await self._open(connection, access, turn, agents_url, stack)
            except SlackMcpError:
                # What was known of this Mesh may be why: the next question tries all ways again.
                self._generations.pop(access.mesh_url, None)
                raise
            async for chunk in await stack.enter_async_context(aclosing(opened)):
                yield chunk

    async def cancel_turn(self, connection: Connection, turn: MeshTurn) -> None:
        """End the run that answers the turn; see `ports.mesh.MeshAgents.cancel_turn`."""
        access = access_of(connection)
        agents_url = _get_agents_url(access)
        thread_id = turn.thread_id
        if self._generations.get(access.mesh_url) is Generation.C:
            thread_id = await self._tail.find_thread(access, turn)
        answer = await self._transport.post(access, f"{agents_url}/cancel/{thread_id}", {}, is_repeatable=True)
        # Nothing is going on there any more, or never was.
        if not httpx2.codes.is_success(answer.status) and answer.status not in {NOT_FOUND, _CONFLICT}:
            raise_for_refusal(answer.status, answer.headers, answer.body)

    async def delete_thread(self, connection: Connection, thread_id: str) -> None:
        """Forget a thread; see `ports.mesh.MeshAgents.delete_thread`."""
        await self._threads.delete_thread(access_of(connection), thread_id)

    async def _open(
        self, connection: Connection, access: MeshAccess, turn: MeshTurn, agents_url: str, stack: AsyncExitStack
    ) -> Chunks:
        known = self._generations.get(access.mesh_url)
        for generation in sorted(Generation, key=lambda candidate: candidate is not known):
            if generation is Generation.C:
                chunks = await self._tail.open(access, turn, agents_url=agents_url, stack=stack)
            else:
                is_named = generation is Generation.A
                chunks = await self._open_run(
                    connection, access, turn, is_named=is_named, agents_url=agents_url, stack=stack
                )
            if chunks is not None:
                self._remember(access.mesh_url, generation)
                return chunks
        raise MeshRefusedError("This Mesh, or this organization in it, has none of the ways to ask an agent.")

    async def _open_run(
        self,
        connection: Connection,
        access: MeshAccess,
        turn: MeshTurn,
        *,
        is_named: bool,
        agents_url: str,
        stack: AsyncExitStack,
    ) -> Chunks | None:
        """Return the run's chunks; with `is_named` the model is named in any case."""
        if turn.is_repeated:
            recovered = await self._runs.recover(access, turn, agents_url=agents_url, stack=stack)
            if not isinstance(recovered, MeshTurn):
                return recovered
            turn = recovered
        models = await self._find_models(connection, access, is_needed=is_named)
        return await self._runs.open(access, turn, models, agents_url=agents_url, stack=stack)

    async def _find_models(self, connection: Connection, access: MeshAccess, *, is_needed: bool) -> dict[str, Any]:
        """Return the `models` of the body: the connection's choice, else Mesh's first where one is needed."""
        credential_id, model_id = connection.model_provider_id or "", connection.model_id
        if credential_id.startswith(_CREDENTIAL_PREFIX) and model_id:
            return _render_models(credential_id, model_id)
        if not is_needed:
            return {}
        keys = await self._list(access, "AI_PROVIDER_KEY_LIST", {}, "keys")
        for key in keys:
            listed = await self._list(access, "AI_PROVIDERS_LIST_MODELS", {"keyId": key.get("id")}, "models")
            ids = [model["modelId"] for model in listed if isinstance(model.get("modelId"), str)]
            if ids and (model_id is None or model_id in ids):
                return _render_models(str(key.get("id")), model_id or ids[0])
        raise AgentNotConfiguredError(
            "Mesh has no AI provider with this connection's model: add a provider key in Mesh's settings."
        )

    async def _list(
        self, access: MeshAccess, tool: str, arguments: Mapping[str, Any], name: str
    ) -> list[Mapping[str, Any]]:
        items = (await self._transport.call_tool(access, tool, arguments, is_repeatable=True)).get(name)
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    def _remember(self, mesh_url: str, generation: Generation) -> None:
        if self._generations.get(mesh_url) is not generation:
            _log.info("mesh.generation_found", mesh_url=mesh_url, generation=generation.value)
        self._generations[mesh_url] = generation
        self._generations.move_to_end(mesh_url)
        while len(self._generations) > self._memory_size:
            self._generations.popitem(last=False)


def _get_agents_url(access: MeshAccess) -> str:
    """Return the organization's `…/decopilot`; raises AgentNotConfiguredError."""
    organization_url = access.get_organization_url()
    if organization_url is None:
        raise AgentNotConfiguredError(
            "The slug of this connection's organization in Mesh is not known: save its configuration in Mesh again."
        )
    return f"{organization_url}/decopilot"


def _render_models(credential_id: str, model_id: str) -> dict[str, Any]:
    return {"models": {"credentialId": credential_id, "thinking": {"id": model_id, "title": model_id}}}
