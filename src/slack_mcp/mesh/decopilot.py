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

import structlog

from slack_mcp.core.errors import AgentNotConfiguredError, AgentStreamBrokenError, MeshRefusedError, SlackMcpError
from slack_mcp.core.model import Connection
from slack_mcp.mesh.access import MeshAccess, access_of
from slack_mcp.mesh.streaming import is_event_stream, raise_for_refusal, read_chunks
from slack_mcp.mesh.tail import Chunks, ThreadTail
from slack_mcp.mesh.threads import MeshThreads
from slack_mcp.mesh.transport import NOT_FOUND, MeshTransport
from slack_mcp.ports.mesh import MeshTurn

_BAD_REQUEST: Final = 400
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
        self._memory_size = memory_size
        self._generations: OrderedDict[str, Generation] = OrderedDict()

    async def stream_turn(self, connection: Connection, turn: MeshTurn) -> AsyncGenerator[Mapping[str, Any], None]:
        """Ask, and yield the run's chunks as they come; see `ports.mesh.MeshAgents.stream_turn`.

        Asked again with the same message id: C goes on with the run that there is, A and B put an end to it and start
        afresh, with the question once in the history.
        """
        access = access_of(connection)
        organization_url = access.get_organization_url()
        if organization_url is None:
            raise AgentNotConfiguredError(
                "The slug of this connection's organization in Mesh is not known: save its configuration in Mesh again."
            )
        await self._threads.ensure_thread(access, turn)
        async with AsyncExitStack() as stack:
            try:
                opened = await self._open(connection, access, turn, f"{organization_url}/decopilot", stack)
            except SlackMcpError:
                # What was known of this Mesh may be why: the next question tries all ways again.
                self._generations.pop(access.mesh_url, None)
                raise
            async for chunk in await stack.enter_async_context(aclosing(opened)):
                yield chunk

    async def _open(
        self, connection: Connection, access: MeshAccess, turn: MeshTurn, agents_url: str, stack: AsyncExitStack
    ) -> Chunks:
        known = self._generations.get(access.mesh_url)
        body = _render_body(turn)
        for generation in sorted(Generation, key=lambda candidate: candidate is not known):
            if generation is Generation.C:
                chunks = await self._tail.open(access, turn, body, agents_url=agents_url, stack=stack)
            else:
                models = await self._find_models(connection, access, is_needed=generation is Generation.A)
                request = body | models | {"thread_id": turn.thread_id}
                chunks = await self._open_run(access, request, f"{agents_url}/stream", stack)
            if chunks is not None:
                self._remember(access.mesh_url, generation)
                return chunks
        raise MeshRefusedError("This Mesh, or this organization in it, has none of the ways to ask an agent.")

    async def _open_run(
        self, access: MeshAccess, request: Mapping[str, Any], url: str, stack: AsyncExitStack
    ) -> Chunks | None:
        """Ask by one POST and return its stream; None when this Mesh has no such endpoint, or wants `models` too."""
        response = await stack.enter_async_context(self._transport.open_stream(access, "POST", url, request))
        if response.status_code == NOT_FOUND:
            await response.aclose()
            return None
        if not response.is_success:
            reason = await self._transport.read(response)
            if response.status_code == _BAD_REQUEST and b"models" in reason and "models" not in request:
                return None
            raise_for_refusal(response.status_code, response.headers, reason)
        if not is_event_stream(response):
            raise AgentStreamBrokenError("Mesh answered the question with something that is no stream.")
        return read_chunks(response)

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


def _render_body(turn: MeshTurn) -> dict[str, Any]:
    """Return the question in the form that all generations take: the newest refuses a key that it does not know."""
    system = [] if not turn.system_prompt else [{"role": "system", "parts": [_text(turn.system_prompt)]}]
    # The id makes a repeated question replace the first in the history of A and B.
    question = {"id": turn.message_id, "role": "user", "parts": [_text(turn.question)]}
    return {"messages": [*system, question], "agent": {"id": turn.agent_id}, "toolApprovalLevel": "auto"}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _render_models(credential_id: str, model_id: str) -> dict[str, Any]:
    return {"models": {"credentialId": credential_id, "thinking": {"id": model_id, "title": model_id}}}
