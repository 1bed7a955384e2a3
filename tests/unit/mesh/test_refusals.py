"""What is remembered of the refusals of Mesh, over fakes."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from store_samples import make_connection

from slack_mcp.core.errors import MeshRefusedError, MeshUnavailableError, SlackMcpError, StoreUnavailableError
from slack_mcp.core.model import Connection
from slack_mcp.mesh.refusals import WatchedAgents
from slack_mcp.ports.mesh import MeshTurn

pytestmark = pytest.mark.anyio

TURN = MeshTurn(thread_id="t", message_id="m", agent_id="vir_1", question="?")
GONE = MeshRefusedError("Nobody knows this key.", is_gone=True)
HEALTHY = make_connection(disabled=False, mesh_refused_since_ms=None)
REFUSED = make_connection(disabled=False, mesh_refused_since_ms=1)


class Agents:
    """Yields what it is given; an exception is raised in its place."""

    def __init__(self, *script: Mapping[str, Any] | Exception) -> None:
        self.script = script
        self.is_closed = False
        self.told: list[object] = []

    async def stream_turn(self, connection: Connection, turn: MeshTurn) -> AsyncGenerator[Mapping[str, Any], None]:
        assert turn is TURN
        try:
            for item in self.script:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.is_closed = True

    async def cancel_turn(self, connection: Connection, turn: MeshTurn) -> None:
        self.told.append(turn)

    async def delete_thread(self, connection: Connection, thread_id: str) -> None:
        self.told.append(thread_id)


class Refusals:
    """Keeps what it is told, and with `error` fails after that."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[tuple[str, Connection]] = []
        self.error = error

    async def note_refusal(self, connection: Connection) -> None:
        self._keep("noted", connection)

    async def clear_refusal(self, connection: Connection) -> None:
        self._keep("cleared", connection)

    def _keep(self, what: str, connection: Connection) -> None:
        self.told.append((what, connection))
        if self.error:
            raise self.error


async def ask(agents: Agents, refusals: Refusals, connection: Connection) -> list[Mapping[str, Any]]:
    watched = WatchedAgents(agents=agents, refusals=refusals)
    return [chunk async for chunk in watched.stream_turn(connection, TURN)]


async def test_first_refusal_is_noted_and_raised() -> None:
    refusals = Refusals()
    with pytest.raises(MeshRefusedError, match="Nobody knows"):
        await ask(Agents(GONE), refusals, HEALTHY)
    assert refusals.told == [("noted", HEALTHY)]


@pytest.mark.parametrize(
    ("connection", "error"),
    [
        (REFUSED, GONE),
        (make_connection(disabled=False, mesh_refused_since_ms=None, mesh_api_key=None), GONE),
        (HEALTHY, MeshRefusedError("This model is not allowed.")),
        (HEALTHY, MeshUnavailableError("Away.")),
    ],
    ids=["known already", "a token that has expired", "not of the connection", "no answer"],
)
async def test_nothing_else_is_noted(connection: Connection, error: SlackMcpError) -> None:
    refusals = Refusals()
    with pytest.raises(type(error)):
        await ask(Agents(error), refusals, connection)
    assert refusals.told == []


async def test_first_chunk_after_refusals_clears_them_once() -> None:
    refusals = Refusals()
    assert await ask(Agents({"type": "start"}, {"type": "finish"}), refusals, REFUSED) == [
        {"type": "start"},
        {"type": "finish"},
    ]
    assert refusals.told == [("cleared", REFUSED)]


async def test_answer_without_a_refusal_before_it_costs_nothing() -> None:
    refusals = Refusals()
    await ask(Agents({"type": "start"}), refusals, HEALTHY)
    assert refusals.told == []


async def test_answer_and_refusal_are_handed_on_when_they_cannot_be_saved() -> None:
    refusals = Refusals(StoreUnavailableError("down"))
    assert await ask(Agents({"type": "start"}), refusals, REFUSED) == [{"type": "start"}]
    with pytest.raises(MeshRefusedError):
        await ask(Agents(GONE), refusals, HEALTHY)
    assert [what for what, _ in refusals.told] == ["cleared", "noted"]


async def test_closing_it_closes_what_it_watches() -> None:
    agents = Agents({"type": "start"}, {"type": "finish"})
    stream = WatchedAgents(agents=agents, refusals=Refusals()).stream_turn(HEALTHY, TURN)
    await anext(stream)
    await stream.aclose()
    assert agents.is_closed


async def test_what_is_no_question_passes() -> None:
    agents = Agents()
    watched = WatchedAgents(agents=agents, refusals=Refusals())
    await watched.cancel_turn(HEALTHY, TURN)
    await watched.delete_thread(HEALTHY, "t")
    assert agents.told == [TURN, "t"]
