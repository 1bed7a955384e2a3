from typing import cast

import pytest

from slack_mcp.agents.echo import EchoAgent
from slack_mcp.agents.registry import AgentRegistry
from slack_mcp.core.errors import AgentNotConfiguredError
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import AgentBackend, Connection, ConnectionSettings
from slack_mcp.core.secret import Secret
from slack_mcp.ports.agent import Agent, AgentRequest, AgentText


def make_connection(agent: AgentBackend | None) -> Connection:
    return Connection(
        connection_id=ConnectionId("conn_1"),
        organization_id="org_1",
        mesh_url="",
        bot_token=Secret("xoxb"),
        signing_secret=Secret("s"),
        settings=ConnectionSettings(agent=agent),
    )


def test_connections_choice_goes_before_the_default() -> None:
    echo: Agent = EchoAgent()
    other = cast("Agent", object())
    registry = AgentRegistry(agents={AgentBackend.ECHO: echo, AgentBackend.MESH: other}, default=AgentBackend.ECHO)
    assert registry.choose(make_connection(AgentBackend.MESH)) is other
    assert registry.choose(make_connection(None)) is echo


def test_nobody_to_answer_says_what_to_set() -> None:
    registry = AgentRegistry(agents={AgentBackend.ECHO: EchoAgent()}, default=None)
    with pytest.raises(AgentNotConfiguredError, match=r"echo, openai, mesh.*DEFAULT_AGENT"):
        registry.choose(make_connection(None))


@pytest.mark.parametrize(
    ("backend", "words"),
    [(AgentBackend.OPENAI, "OPENAI_MODEL"), (AgentBackend.MESH, "in Mesh"), (AgentBackend.ECHO, "left out")],
)
def test_agent_that_is_not_set_up_says_what_to_set(backend: AgentBackend, words: str) -> None:
    with pytest.raises(AgentNotConfiguredError, match=words):
        AgentRegistry(agents={}, default=None).choose(make_connection(backend))


@pytest.mark.anyio
async def test_echo_answers_with_the_question_unchanged() -> None:
    request = AgentRequest(
        event_id=EventId("Ev1"), channel_id=ChannelId("C1"), thread_ts=Ts("1.0"), user_id=None, question=" *hi* <@U1> "
    )
    agent, connection = EchoAgent(), make_connection(None)
    events = [event async for event in agent.stream_answer(connection, request)]
    assert events == [AgentText(text=" *hi* <@U1> ")]
    await agent.cancel(connection, request)


@pytest.mark.anyio
async def test_echo_is_no_model_and_makes_nothing_of_a_text() -> None:
    made = await EchoAgent().complete(make_connection(None), task_id="t", instructions="Sum it up.", text="Much.")
    assert made == ""
