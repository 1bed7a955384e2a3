"""The Mesh agent over a fake port."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
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
from slack_mcp.ports.agent import AgentEvent, AgentFile, AgentImage, AgentMessage, AgentRequest, AgentTask, AgentText
from slack_mcp.ports.mesh import MeshTurn

CHANNEL = ChannelId("C1")
TS = Ts("1700000000.000100")
REQUEST = AgentRequest(
    event_id=EventId("Ev1"),
    channel_id=CHANNEL,
    thread_ts=TS,
    user_id=None,
    question="What now?",
    instructions="Be brief.",
)


def make_connection(connection_id: str = "conn_1", *, agent_id: str | None = "vir_1") -> Connection:
    return Connection(
        connection_id=ConnectionId(connection_id),
        organization_id="org_1",
        mesh_url="https://m.example",
        bot_token=Secret("xoxb"),
        signing_secret=Secret("s"),
        agent_id=agent_id,
    )


class Mesh:
    """Yields what it is given; an exception is raised in its place, an event is waited for."""

    def __init__(self, *script: Mapping[str, Any] | Exception | anyio.Event) -> None:
        self.script = script
        self.turns: list[tuple[str, MeshTurn]] = []
        self.is_closed = False
        self.deleted: list[str] = []
        self.deleting_error: Exception | None = None

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

    async def cancel_turn(self, connection: Connection, turn: MeshTurn) -> None:
        for item in self.script:
            if isinstance(item, Exception):
                raise item

    async def delete_thread(self, connection: Connection, thread_id: str) -> None:
        self.deleted.append(thread_id)
        if self.deleting_error is not None:
            raise self.deleting_error


async def hear(
    agent: MeshAgent, connection: Connection | None = None, *, final_only: bool = False
) -> Sequence[AgentEvent]:
    request = replace(REQUEST, final_only=final_only)
    return [event async for event in agent.stream_answer(connection or make_connection(), request)]


async def answer(agent: MeshAgent, connection: Connection | None = None, *, final_only: bool = False) -> Sequence[str]:
    events = await hear(agent, connection, final_only=final_only)
    return [event.text for event in events if isinstance(event, AgentText)]


@pytest.mark.anyio
async def test_final_answer_comes_in_one_piece_and_the_stream_is_closed_at_its_end() -> None:
    mesh = Mesh(start("m"), *SCRIPTS["tool"]("Seven."), anyio.Event())
    assert await answer(MeshAgent(mesh=mesh), final_only=True) == ["Seven."]
    assert mesh.is_closed


@pytest.mark.anyio
async def test_words_come_as_they_are_said_between_the_tools() -> None:
    mesh = Mesh(start("m"), *SCRIPTS["tool"]("Seven."), anyio.Event())
    events = [
        event.text if isinstance(event, AgentText) else getattr(event, "state", "")
        for event in await hear(MeshAgent(mesh=mesh))
    ]
    assert events == ["Let me ", "check. ", "in_progress", "complete", "\n\nSev", "en."]


@pytest.mark.anyio
async def test_tools_are_told_of_also_where_only_the_final_answer_counts() -> None:
    mesh = Mesh(start("m"), *SCRIPTS["talk"]("Seven."))
    events = await hear(MeshAgent(mesh=mesh), final_only=True)
    assert [type(event) for event in events] == [AgentTask] * 4 + [AgentFile, AgentText]


@pytest.mark.anyio
async def test_run_that_is_begun_anew_before_it_said_anything_goes_on() -> None:
    mesh = Mesh(start("m"), *step(*text(" ")), start("m2"), *step(*text("Seven.")), FINISH)
    assert "".join(await answer(MeshAgent(mesh=mesh))) == "Seven."


@pytest.mark.anyio
async def test_run_that_is_begun_anew_in_the_middle_of_its_answer_is_broken() -> None:
    mesh = Mesh(start("m"), *text("Half")[:2], start("m2"), *step(*text("Seven.")), FINISH)
    with pytest.raises(AgentStreamBrokenError, match="begun again"):
        await answer(MeshAgent(mesh=mesh))


@pytest.mark.anyio
async def test_task_is_told_whole_and_its_thread_deleted_whatever_came_of_it() -> None:
    mesh = Mesh(start("m"), *SCRIPTS["tool"]("Short."))
    agent, connection = MeshAgent(mesh=mesh), make_connection()
    assert await agent.complete(connection, task_id="t1", instructions="Sum up.", text="Long.") == "Short."
    ((_, turn),) = mesh.turns
    assert (turn.question, turn.system_prompt, turn.is_repeated) == ("Long.", "Sum up.", False)
    assert re.fullmatch(r"task-[0-9a-f]{32}", turn.thread_id)
    assert mesh.deleted == [turn.thread_id]
    mesh = Mesh(MeshUnavailableError("Mesh is away."))
    mesh.deleting_error = MeshRefusedError("Not allowed.")
    with pytest.raises(AgentUnavailableError):
        await MeshAgent(mesh=mesh).complete(connection, task_id="t1", instructions="Sum up.", text="Long.")
    assert mesh.deleted == [turn.thread_id]


@pytest.mark.anyio
@pytest.mark.parametrize("chunks", [[], [start("m"), *text("Half")[:2]]])
async def test_task_that_is_not_finished_is_broken(chunks: list[Mapping[str, Any]]) -> None:
    with pytest.raises(AgentStreamBrokenError):
        await MeshAgent(mesh=Mesh(*chunks)).complete(make_connection(), task_id="t", instructions="", text="Long.")


@pytest.mark.anyio
async def test_cancelling_says_of_an_agent_what_mesh_says() -> None:
    await MeshAgent(mesh=Mesh()).cancel(make_connection(), REQUEST)
    with pytest.raises(AgentUnavailableError):
        await MeshAgent(mesh=Mesh(MeshUnavailableError("away"))).cancel(make_connection(), REQUEST)


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


def test_turn_carries_what_mesh_does_not_know_and_no_history() -> None:
    image = AgentImage(name="a.png", mimetype="image/png", content=b"x")
    request = replace(
        REQUEST,
        history=[AgentMessage(role="user", text="old")],
        background=[AgentMessage(role="user", text="new"), AgentMessage(role="assistant", text="own")],
        images=[image],
        is_repeated=True,
    )
    turn = render_turn(make_connection(), request)
    assert (turn.agent_id, turn.question, turn.system_prompt) == ("vir_1", "What now?", "Be brief.")
    assert turn.message_id == f"{turn.thread_id}-Ev1"
    assert turn.background == ("new", "(You said:)\nown")
    assert turn.images == [image]
    assert turn.is_repeated


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
