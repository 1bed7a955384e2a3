"""The Mesh agent over a fake port."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import anyio
import pytest
from chunk_scripts import FINISH, SCRIPTS, start, step, text
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.agents.mesh import MeshAgent, make_thread_id, render_turn
from slack_mcp.core.errors import (
    AgentError,
    AgentNotConfiguredError,
    AgentRateLimitedError,
    AgentRefusedError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    AgentUnavailableError,
    MeshRefusedError,
    MeshUnavailableError,
    SlackMcpError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.ports.agent import AgentRequest
from slack_mcp.ports.mesh import MeshTurn

CHANNEL = ChannelId("C1")
TS = Ts("1700000000.000100")
REQUEST = AgentRequest(event_id=EventId("Ev1"), channel_id=CHANNEL, thread_ts=TS, user_id=None, question="What now?")


def make_connection(connection_id: str = "conn_1", *, agent_id: str | None = "vir_1") -> Connection:
    return Connection(
        connection_id=ConnectionId(connection_id),
        organization_id="org_1",
        mesh_url="https://m.example",
        bot_token=Secret("xoxb"),
        signing_secret=Secret("s"),
        agent_id=agent_id,
        system_prompt="Be brief.",
    )


class Mesh:
    """Yields what it is given; an exception is raised in its place, an event is waited for."""

    def __init__(self, *script: Mapping[str, Any] | Exception | anyio.Event) -> None:
        self.script = script
        self.turns: list[tuple[str, MeshTurn]] = []
        self.is_closed = False

    async def stream_turn(self, connection: Connection, turn: MeshTurn) -> AsyncGenerator[Mapping[str, Any], None]:
        self.turns.append((connection.connection_id, turn))
        try:
            for item in self.script:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, anyio.Event):
                    await item.wait()
                else:
                    yield item
        finally:
            self.is_closed = True


async def answer(agent: MeshAgent, connection: Connection | None = None) -> Sequence[str]:
    return [piece async for piece in agent.stream_answer(connection or make_connection(), REQUEST)]


@pytest.mark.anyio
async def test_answer_comes_in_one_piece_and_the_stream_is_closed_at_its_end() -> None:
    mesh = Mesh(start("m"), *SCRIPTS["tool"]("Seven."), anyio.Event())
    assert await answer(MeshAgent(mesh=mesh)) == ["Seven."]
    assert mesh.is_closed


@pytest.mark.anyio
async def test_wordless_end_yields_nothing() -> None:
    assert await answer(MeshAgent(mesh=Mesh(*SCRIPTS["silent"]("")))) == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MeshRefusedError("Mesh says no."), AgentRefusedError),
        (MeshUnavailableError("Mesh is away."), AgentUnavailableError),
        (AgentRateLimitedError(7), AgentRateLimitedError),
        (AgentStreamBrokenError("Broken."), AgentStreamBrokenError),
        (AgentNotConfiguredError("No key."), AgentNotConfiguredError),
    ],
)
async def test_every_failure_is_an_agents_error_with_the_same_words(
    error: SlackMcpError, expected: type[AgentError]
) -> None:
    with pytest.raises(expected, match=re.escape(str(error))):
        await answer(MeshAgent(mesh=Mesh(start("m"), error)))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["error", "abort", "ends"])
async def test_turn_without_an_answer_is_broken(name: str) -> None:
    mesh = Mesh(*SCRIPTS[name]("x"))
    with pytest.raises(AgentStreamBrokenError):
        await answer(MeshAgent(mesh=mesh))
    assert mesh.is_closed


@pytest.mark.anyio
async def test_silence_is_a_timeout_and_closes_the_stream() -> None:
    mesh = Mesh(start("m"), *text("Hm")[:1], anyio.Event())
    with pytest.raises(AgentTimeoutError), anyio.fail_after(5):
        await answer(MeshAgent(mesh=mesh, idle_timeout_s=0.01))
    assert mesh.is_closed


@pytest.mark.anyio
async def test_answer_that_is_too_long_is_broken() -> None:
    mesh = Mesh(*step(*text("x" * 11)), FINISH)
    with pytest.raises(AgentStreamBrokenError):
        await answer(MeshAgent(mesh=mesh, max_answer_chars=10))


@pytest.mark.anyio
async def test_cancellation_passes_and_closes_the_stream() -> None:
    mesh = Mesh(start("m"), anyio.Event())
    with anyio.move_on_after(0.01) as scope:
        await answer(MeshAgent(mesh=mesh))
    assert scope.cancelled_caught
    assert mesh.is_closed


@pytest.mark.anyio
async def test_connection_without_an_agent_says_what_to_choose() -> None:
    mesh = Mesh()
    with pytest.raises(AgentNotConfiguredError, match="choose one"):
        await answer(MeshAgent(mesh=mesh), make_connection(agent_id=None))
    assert not mesh.turns


def test_turn_carries_the_question_and_the_prompt_and_no_history() -> None:
    turn = render_turn(make_connection(), REQUEST)
    assert (turn.agent_id, turn.question, turn.system_prompt) == ("vir_1", "What now?", "Be brief.")
    assert turn.message_id == f"{turn.thread_id}-Ev1"


def test_same_slack_event_is_another_message_for_another_tenant() -> None:
    one, two = render_turn(make_connection("conn_1"), REQUEST), render_turn(make_connection("conn_2"), REQUEST)
    assert one.thread_id != two.thread_id
    assert one.message_id != two.message_id


slack_threads = st.tuples(st.text(), st.text(), st.text())


@given(slack_threads, slack_threads)
def test_thread_ids_are_safe_names_and_as_distinct_as_what_they_stand_for(
    one: tuple[str, str, str], two: tuple[str, str, str]
) -> None:
    ids = [make_thread_id(ConnectionId(c), ChannelId(channel), Ts(ts)) for c, channel, ts in (one, two)]
    assert re.fullmatch(r"slack-[0-9a-f]{32}", ids[0])
    if "\0" not in "".join(one + two):
        assert (ids[0] == ids[1]) == (one == two)
