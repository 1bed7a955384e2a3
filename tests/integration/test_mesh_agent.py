"""The Mesh agent against a fake Mesh of every generation, over loopback."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import httpx2
import pytest
from chunk_scripts import FINISH, PICTURE, text
from fake_mesh import FakeMesh
from starlette.responses import Response
from structlog.testing import capture_logs

from slack_mcp.agents.mesh import MeshAgent, make_thread_id
from slack_mcp.core.errors import (
    AgentError,
    AgentNotConfiguredError,
    AgentRateLimitedError,
    AgentRefusedError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    AgentUnavailableError,
)
from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.client import SELF_TOOLS
from slack_mcp.mesh.decopilot import Decopilot
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.ports.agent import (
    AgentEvent,
    AgentFile,
    AgentImage,
    AgentMessage,
    AgentRequest,
    AgentTask,
    AgentText,
    TaskState,
)
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

CHANNEL, TS = ChannelId("C1"), Ts("1700000000.000100")
THREAD_ID = make_thread_id(ConnectionId("conn_1"), CHANNEL, TS)
Serve = Callable[[FakeMesh], Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def serve(mesh: FakeMesh) -> FakeMesh:
            mesh.url = await stack.enter_async_context(serve_app(mesh.app))
            return mesh

        yield serve


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield http


def make_agent(http: httpx2.AsyncClient, *, idle_timeout_s: float = 5.0) -> MeshAgent:
    transport = MeshTransport(http=http, timeout_s=5, retry_pause_s=0)
    return MeshAgent(mesh=Decopilot(transport=transport, poll_s=0.01), idle_timeout_s=idle_timeout_s)


def make_connection(mesh: FakeMesh, connection_id: str = "conn_1", *, slug: str = "acme", **fields: Any) -> Connection:
    key = mesh.issue_key(slug=slug, user_id=f"user_of_{connection_id}", permissions={"self": list(SELF_TOOLS)})
    known: dict[str, Any] = {
        "mesh_api_key": Secret(key),
        "organization_slug": slug,
        "agent_id": "vir_1",
    }
    return Connection(
        connection_id=ConnectionId(connection_id),
        organization_id="org_1",
        mesh_url=mesh.url,
        bot_token=Secret("xoxb"),
        signing_secret=Secret("s"),
        **(known | fields),
    )


def make_request(question: str, *, event_id: str = "Ev1", final_only: bool = True, **fields: Any) -> AgentRequest:
    return AgentRequest(
        event_id=EventId(event_id),
        channel_id=CHANNEL,
        thread_ts=TS,
        user_id=None,
        question=question,
        final_only=final_only,
        **fields,
    )


async def hear(agent: MeshAgent, connection: Connection, question: str, **fields: Any) -> list[AgentEvent]:
    with anyio.fail_after(10):
        return [event async for event in agent.stream_answer(connection, make_request(question, **fields))]


async def ask(agent: MeshAgent, connection: Connection, question: str, **fields: Any) -> str:
    return join(await hear(agent, connection, question, **fields))


def join(events: Sequence[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, AgentText))


@pytest.mark.parametrize("generation", ["A", "B", "C"])
@pytest.mark.parametrize("script", ["ok", "tool"])
async def test_question_is_answered_by_every_generation(
    serve: Serve, http: httpx2.AsyncClient, generation: Any, script: str
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection = make_connection(mesh)
    answer = await ask(
        make_agent(http),
        connection,
        f"[[{script}]] Quantos são \ud83d\ude00?".encode("utf-16", "surrogatepass").decode("utf-16"),
        instructions="Be brief.",
    )
    assert answer == "Answer to: Quantos são 😀?"
    question = next(call.body for call in mesh.calls if "messages" in call.body)
    assert [message["role"] for message in question["messages"]] == ["system", "user"]
    assert question["messages"][0]["parts"] == [{"type": "text", "text": "Be brief."}]
    assert question["agent"] == {"id": "vir_1"}
    assert mesh.threads[THREAD_ID].agent_id == "vir_1"


@pytest.mark.parametrize(("generation", "probes"), [("A", 1), ("B", 1), ("C", 2)])
async def test_generation_is_probed_once_and_remembered(
    serve: Serve, http: httpx2.AsyncClient, generation: Any, probes: int
) -> None:
    mesh, agent = await serve(FakeMesh(generation=generation)), make_agent(http)
    connection = make_connection(mesh)
    with capture_logs() as logs:
        for number in (1, 2):
            await ask(agent, connection, "Hi", event_id=f"Ev{number}")
    assert mesh.count(f"threads/{THREAD_ID}/stream") == probes
    assert [log["generation"] for log in logs if log["event"] == "mesh.generation_found"] == [generation]


@pytest.mark.parametrize(("before", "after"), [("B", "C"), ("A", "C"), ("C", "B"), ("C", "A")])
async def test_mesh_that_was_upgraded_or_rolled_back_is_probed_again(
    serve: Serve, http: httpx2.AsyncClient, before: Any, after: Any
) -> None:
    mesh, agent = await serve(FakeMesh(generation=before)), make_agent(http)
    connection = make_connection(mesh)
    await ask(agent, connection, "Hi")
    mesh.generation = after
    assert await ask(agent, connection, "Again", event_id="Ev2") == "Answer to: Again"


async def test_mesh_without_any_known_way_refuses_and_is_not_remembered(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh, agent = await serve(FakeMesh(generation="B", slugs=["acme"])), make_agent(http)
    connection = make_connection(mesh, organization_slug="unknown")
    with pytest.raises(AgentRefusedError, match="none of the ways"):
        await ask(agent, connection, "Hi")
    assert await ask(agent, make_connection(mesh), "Hi") == "Answer to: Hi"


# Generation A names its model


@pytest.mark.parametrize(
    ("fields", "models"),
    [
        ({}, {"credentialId": "aik_1", "thinking": {"id": "model-1", "title": "model-1"}}),
        ({"model_id": "model-2"}, {"credentialId": "aik_1", "thinking": {"id": "model-2", "title": "model-2"}}),
        (
            {"model_provider_id": "aik_9", "model_id": "m"},
            {"credentialId": "aik_9", "thinking": {"id": "m", "title": "m"}},
        ),
        (
            {"model_provider_id": "conn_llm", "model_id": "model-2"},
            {"credentialId": "aik_1", "thinking": {"id": "model-2", "title": "model-2"}},
        ),
    ],
)
async def test_generation_a_is_told_the_model(
    serve: Serve, http: httpx2.AsyncClient, fields: dict[str, Any], models: dict[str, Any]
) -> None:
    mesh = await serve(FakeMesh(generation="A"))
    assert await ask(make_agent(http), make_connection(mesh, **fields), "Hi") == "Answer to: Hi"
    assert [call.body["models"] for call in mesh.calls if "models" in call.body] == [models]


async def test_model_that_mesh_does_not_have_says_what_to_do(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="A"))
    with pytest.raises(AgentNotConfiguredError, match="provider key"):
        await ask(make_agent(http), make_connection(mesh, model_id="unheard-of"), "Hi")


# What can go wrong

FAILURES: list[tuple[str, type[AgentError]]] = [
    ("error", AgentStreamBrokenError),
    ("abort", AgentStreamBrokenError),
    ("dies", AgentStreamBrokenError),
    ("garbage", AgentStreamBrokenError),
    ("huge", AgentStreamBrokenError),
    ("hangs", AgentTimeoutError),
    ("400", AgentRefusedError),
    ("401", AgentRefusedError),
    ("403", AgentRefusedError),
    ("429", AgentRateLimitedError),
    ("500", AgentUnavailableError),
    ("503", AgentUnavailableError),
    ("no-agent", AgentRefusedError),
]


@pytest.mark.parametrize("generation", ["A", "B", "C"])
@pytest.mark.parametrize(("script", "expected"), FAILURES)
async def test_failed_turn_is_one_of_the_agents_errors_and_quotes_nothing(
    serve: Serve, http: httpx2.AsyncClient, generation: Any, script: str, expected: type[AgentError]
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection = make_connection(mesh)
    agent = make_agent(http, idle_timeout_s=0.5 if script == "hangs" else 5.0)
    # C repeats a POST that had a server error, which is safe there.
    with capture_logs() as logs, pytest.raises(expected) as caught:
        await ask(agent, connection, f"[[{script}]] SECRET QUESTION")
    assert type(caught.value) is expected
    assert connection.mesh_api_key
    for seen in (str(caught.value), repr(logs)):
        assert "SECRET" not in seen
        assert connection.mesh_api_key.reveal() not in seen
    if isinstance(caught.value, AgentRateLimitedError):
        assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("script", ["ends", "page"])
@pytest.mark.parametrize("generation", ["A", "B"])
async def test_stream_that_ends_early_or_is_a_page_is_broken(
    serve: Serve, http: httpx2.AsyncClient, generation: Any, script: str
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    with pytest.raises(AgentStreamBrokenError):
        await ask(make_agent(http), make_connection(mesh), f"[[{script}]] Hi")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"agent_id": None}, "choose one"),
        ({"mesh_api_key": None}, "save its configuration"),
        ({"mesh_url": "nowhere"}, "save its configuration"),
        ({"organization_slug": None}, "slug"),
        ({"organization_slug": ".."}, "slug"),
    ],
)
async def test_connection_that_lacks_something_says_what_to_configure(
    http: httpx2.AsyncClient, fields: dict[str, Any], words: str
) -> None:
    mesh = FakeMesh()
    mesh.url = "http://127.0.0.1:1"
    connection = make_connection(mesh)
    given = {name: getattr(connection, name) for name in connection.__slots__}
    with pytest.raises(AgentNotConfiguredError, match=words):
        await ask(make_agent(http), Connection(**(given | fields)), "Hi")


async def test_mesh_that_is_down_is_unavailable(http: httpx2.AsyncClient) -> None:
    mesh = FakeMesh()
    async with serve_app(mesh.app) as mesh.url:
        pass
    with pytest.raises(AgentUnavailableError):
        await ask(make_agent(http), make_connection(mesh), "Hi")


async def test_refused_key_is_refused_before_anything_is_asked(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="C"))
    with pytest.raises(AgentRefusedError, match="save the connection's"):
        await ask(make_agent(http), make_connection(mesh, mesh_api_key=Secret("revoked")), "Hi")
    key = Secret(mesh.issue_key(permissions={"self": ["COLLECTION_THREAD_MESSAGES_LIST"]}))
    with pytest.raises(AgentRefusedError, match="Access denied"):
        await ask(make_agent(http), make_connection(mesh, mesh_api_key=key), "Hi")


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_thread_of_another_user_is_refused_for_good(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh, agent = await serve(FakeMesh(generation=generation)), make_agent(http)
    await ask(agent, make_connection(mesh), "Hi")
    other = Secret(mesh.issue_key(user_id="somebody_else"))
    with pytest.raises(AgentRefusedError):
        await ask(agent, make_connection(mesh, mesh_api_key=other), "Hi", event_id="Ev2")


async def test_thread_creation_is_repeated_after_a_server_error(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh())
    mesh.faults.append(Response(status_code=502))
    assert await ask(make_agent(http), make_connection(mesh), "Hi") == "Answer to: Hi"
    mesh.faults += [Response(status_code=502)] * 2
    with pytest.raises(AgentUnavailableError):
        await ask(make_agent(http), make_connection(mesh), "Hi", event_id="Ev2")


async def test_question_is_never_posted_twice_where_that_would_start_two_runs(
    serve: Serve, http: httpx2.AsyncClient
) -> None:
    mesh = await serve(FakeMesh(generation="B"))
    with pytest.raises(AgentUnavailableError):
        await ask(make_agent(http), make_connection(mesh), "[[503]] Hi")
    assert mesh.count("/decopilot/stream") == 1


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, AgentRefusedError), (403, AgentRefusedError), (429, AgentRateLimitedError), (503, AgentUnavailableError)],
)
async def test_tail_that_is_refused_is_not_taken_for_an_older_mesh(
    serve: Serve, http: httpx2.AsyncClient, status: int, expected: type[AgentError]
) -> None:
    mesh = await serve(FakeMesh(generation="B"))
    mesh.faults += [None, Response(status_code=status)]
    with pytest.raises(expected):
        await ask(make_agent(http), make_connection(mesh), "Hi")
    assert mesh.count("/decopilot/stream") == 0


async def test_memory_of_generations_is_bounded(serve: Serve, http: httpx2.AsyncClient) -> None:
    meshes = [await serve(FakeMesh(generation="B")) for _ in range(2)]
    transport = MeshTransport(http=http, timeout_s=5, retry_pause_s=0)
    agent = MeshAgent(mesh=Decopilot(transport=transport, memory_size=1))
    for mesh in [*meshes, *meshes]:
        await ask(agent, make_connection(mesh), "Hi")
    assert [mesh.count(f"threads/{THREAD_ID}/stream") for mesh in meshes] == [2, 2]


# The same question again


@pytest.mark.parametrize("generation", ["A", "B"])
async def test_question_asked_again_stands_once_in_the_history(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh, agent = await serve(FakeMesh(generation=generation)), make_agent(http)
    connection = make_connection(mesh)
    with pytest.raises(AgentStreamBrokenError):
        await ask(agent, connection, "[[dies]] Hi")
    assert await ask(agent, connection, "Hi") == "Answer to: Hi"
    questions = [message for message in mesh.threads[THREAD_ID].messages if message["role"] == "user"]
    assert [question["id"] for question in questions] == [f"{THREAD_ID}-Ev1"]


async def test_newest_mesh_answers_a_repeated_question_without_a_second_run(
    serve: Serve, http: httpx2.AsyncClient
) -> None:
    mesh, agent = await serve(FakeMesh(generation="C")), make_agent(http)
    connection = make_connection(mesh)
    for _ in range(2):
        assert await ask(agent, connection, "Hi") == "Answer to: Hi"
    assert mesh.count("/messages") == 1


async def test_run_whose_tail_broke_is_joined_again_and_earlier_runs_are_skipped(
    serve: Serve, http: httpx2.AsyncClient
) -> None:
    mesh, agent = await serve(FakeMesh(generation="C")), make_agent(http)
    connection = make_connection(mesh)
    assert await ask(agent, connection, "First") == "Answer to: First"
    with pytest.raises(AgentStreamBrokenError):
        await ask(agent, connection, "[[dies]] Second", event_id="Ev2")
    mesh.finish_run(THREAD_ID, "the second's own answer")
    mesh.threads[THREAD_ID].status = "in_progress"
    # The tail now replays the thread from the first run on.
    assert await ask(agent, connection, "Second", event_id="Ev2") == "the second's own answer"
    assert len([message for message in mesh.threads[THREAD_ID].messages if message["role"] == "user"]) == 2


async def test_run_that_failed_is_asked_again_under_another_id(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh, agent = await serve(FakeMesh(generation="C")), make_agent(http)
    connection = make_connection(mesh)
    for _ in range(2):
        with pytest.raises(AgentStreamBrokenError):
            await ask(agent, connection, "[[error]] Hi")
    assert await ask(agent, connection, "Hi") == "Answer to: Hi"
    ids = [message["id"] for message in mesh.threads[THREAD_ID].messages if message["role"] == "user"]
    assert ids == [f"{THREAD_ID}-Ev1", f"{THREAD_ID}-Ev1-1", f"{THREAD_ID}-Ev1-2"]


async def test_thread_that_is_busy_with_another_question_is_unavailable(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="C"))
    connection = make_connection(mesh)
    with pytest.raises(AgentTimeoutError):
        await ask(make_agent(http, idle_timeout_s=0.5), connection, "[[hangs]] First")
    with pytest.raises(AgentUnavailableError, match="busy"):
        await ask(make_agent(http), connection, "Second", event_id="Ev2")


async def test_post_that_had_a_server_error_is_repeated_under_the_same_id(
    serve: Serve, http: httpx2.AsyncClient
) -> None:
    mesh = await serve(FakeMesh(generation="C"))
    mesh.scripts += ["503"]
    assert await ask(make_agent(http), make_connection(mesh), "Hi") == "Answer to: Hi"
    ids = [call.body["messages"][-1]["id"] for call in mesh.calls if call.path.endswith("/messages")]
    assert ids == [f"{THREAD_ID}-Ev1"] * 2


# What is told while the agent works

TALK = "Let me check. \n\nAnd this.\n\nAnswer to: Hi\n\nhttps://files.example/report.pdf"
TOOLS = [
    ("call_1", "PROBE_ECHO", TaskState.IN_PROGRESS),
    ("call_1", "PROBE_ECHO", TaskState.COMPLETE),
    ("call_2", "PROBE_FAIL", TaskState.IN_PROGRESS),
    ("call_2", "PROBE_FAIL", TaskState.ERROR),
]


def list_tools(events: Sequence[AgentEvent]) -> list[tuple[str, str, TaskState]]:
    return [(event.task_id, event.title, event.state) for event in events if isinstance(event, AgentTask)]


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_words_tools_and_files_come_in_their_order(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    events = await hear(make_agent(http), make_connection(mesh), "[[talk]] Hi", final_only=False)
    assert join(events) == TALK
    assert list_tools(events) == TOOLS
    assert [event for event in events if isinstance(event, AgentFile)] == [
        AgentFile(name="file-1.png", mimetype="image/png", content=PICTURE)
    ]
    assert [type(event) for event in events[:3]] == [AgentText, AgentText, AgentTask]


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_what_mesh_has_not_heard_and_the_pictures_go_along_with_the_question(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    background = AgentMessage(role="user", text="Ben: hello"), AgentMessage(role="assistant", text="Hello Ben.")
    image = AgentImage(name="a.png", mimetype="image/png", content=b"abc")
    answer = await ask(make_agent(http), make_connection(mesh), "Hi", background=background, images=[image])
    assert answer == "Answer to: Hi"
    (message,) = next(call.body["messages"] for call in mesh.calls if "messages" in call.body)
    assert message["parts"] == [
        {"type": "text", "text": "Ben: hello"},
        {"type": "text", "text": "(You said:)\nHello Ben."},
        {"type": "text", "text": "Hi"},
        {"type": "file", "url": "data:image/png;base64,YWJj", "filename": "a.png", "mediaType": "image/png"},
    ]


# What an earlier run has left


@pytest.mark.parametrize("final_only", [True, False])
@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_answer_that_mesh_has_is_given_as_it_was_and_nothing_is_asked_again(
    serve: Serve, http: httpx2.AsyncClient, generation: Any, *, final_only: bool
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection = make_connection(mesh)
    live = await hear(make_agent(http), connection, "[[talk]] Hi", final_only=final_only)
    asked = count_questions(mesh)
    # A pod that knows nothing of this Mesh.
    again = await hear(make_agent(http), connection, "[[talk]] Hi", final_only=final_only, is_repeated=True)
    assert count_questions(mesh) == asked == 1
    assert join(again) == join(live)
    assert list_tools(again) == list_tools(live)
    assert [event for event in again if isinstance(event, AgentFile)] == [
        event for event in live if isinstance(event, AgentFile)
    ]


@pytest.mark.parametrize("has_tail", [True, False])
@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_run_that_goes_on_is_waited_for(
    serve: Serve, http: httpx2.AsyncClient, generation: Any, *, has_tail: bool
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection = make_connection(mesh)
    with pytest.raises(AgentTimeoutError):
        await ask(make_agent(http, idle_timeout_s=0.3), connection, "[[hangs]] Hi")
    mesh.has_tail = has_tail
    asked = count_questions(mesh)
    looks = mesh.count_tools()["COLLECTION_THREADS_CREATE"]
    outcome: list[str] = []

    async def ask_again() -> None:
        outcome.append(await ask(make_agent(http), connection, "[[hangs]] Hi", is_repeated=True, final_only=False))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_again)
            if has_tail:
                posts = 2 if generation == "C" else 0
                await mesh.wait_until(lambda: mesh.holding == 2 and mesh.count("/messages") >= posts)
            else:
                await mesh.wait_until(lambda: mesh.count_tools()["COLLECTION_THREADS_CREATE"] > looks + 4)
            mesh.go_on(THREAD_ID, *text("Answer to: Hi")[2:], FINISH)
            mesh.release.set()
    assert outcome == ["Answer to: Hi"]
    assert count_questions(mesh) == asked + (generation == "C")  # which takes a message id once


@pytest.mark.parametrize("generation", ["A", "B"])
async def test_run_that_failed_or_that_nobody_knows_is_asked_again(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection = make_connection(mesh)
    assert await ask(make_agent(http), connection, "Hi", is_repeated=True) == "Answer to: Hi"
    with pytest.raises(AgentStreamBrokenError):
        await ask(make_agent(http), connection, "[[error]] Yes", event_id="Ev2")
    assert await ask(make_agent(http), connection, "Yes", event_id="Ev2", is_repeated=True) == "Answer to: Yes"
    assert count_questions(mesh) == 3


@pytest.mark.parametrize("generation", ["A", "B"])
async def test_repeated_question_does_not_end_another_questions_run(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection = make_connection(mesh)
    with pytest.raises(AgentTimeoutError):
        await ask(make_agent(http, idle_timeout_s=0.3), connection, "[[hangs]] First")
    with pytest.raises(AgentUnavailableError, match="busy"):
        await ask(make_agent(http), connection, "Second", event_id="Ev2", is_repeated=True)


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_thread_that_a_picture_has_spoiled_is_good_again(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation, takes_files=False))
    connection, agent = make_connection(mesh), make_agent(http)
    image = AgentImage(name="a.png", mimetype="image/png", content=b"abc")
    assert await ask(agent, connection, "Before", event_id="Ev0") == "Answer to: Before"
    with pytest.raises(AgentStreamBrokenError):
        await ask(agent, connection, "What is this?", images=[image])
    if generation == "C":  # which keeps the question as it was asked first
        with pytest.raises(AgentStreamBrokenError):
            await ask(agent, connection, "What is this?", images=[image], is_repeated=True)
    again = await ask(agent, connection, "What is this?", images=[image], is_repeated=True)
    assert again.startswith("Answer to: What is this?\n\n(Pictures came")
    assert await ask(agent, connection, "What is this?", images=[image], is_repeated=True) == again
    # Later questions, also of pods that know nothing of it.
    assert await ask(make_agent(http), connection, "After", event_id="Ev2") == "Answer to: After"
    assert list(mesh.threads) == ([THREAD_ID, f"{THREAD_ID}-1"] if generation == "C" else [THREAD_ID])


async def test_conversation_whose_threads_are_all_spoiled_is_refused(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="C", takes_files=False))
    connection, agent = make_connection(mesh), make_agent(http)
    image = AgentImage(name="a.png", mimetype="image/png", content=b"abc")
    for number in range(10):
        with pytest.raises(AgentStreamBrokenError):
            await ask(agent, connection, "This?", event_id=f"Ev{number}", images=[image])
    with pytest.raises(AgentRefusedError, match="spoiled"):
        await ask(agent, connection, "And now?", event_id="Ev10")
    await agent.cancel(connection, make_request("And now?"))
    assert len(mesh.threads) == 5


async def test_run_is_cancelled_in_the_thread_that_took_the_place_of_a_spoiled_one(
    serve: Serve, http: httpx2.AsyncClient
) -> None:
    mesh = await serve(FakeMesh(generation="C", takes_files=False))
    connection, agent = make_connection(mesh), make_agent(http, idle_timeout_s=0.5)
    image = AgentImage(name="a.png", mimetype="image/png", content=b"abc")
    for event_id in ("Ev1", "Ev2"):
        with pytest.raises(AgentStreamBrokenError):
            await ask(agent, connection, "This?", event_id=event_id, images=[image])
    with pytest.raises(AgentTimeoutError):
        await ask(agent, connection, "[[hangs]] Hi", event_id="Ev3")
    await agent.cancel(connection, make_request("[[hangs]] Hi", event_id="Ev3"))
    assert mesh.threads[f"{THREAD_ID}-1"].status == "failed"


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_question_with_a_picture_that_was_stopped_spoils_nothing(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    connection, agent = make_connection(mesh), make_agent(http, idle_timeout_s=0.5)
    image = AgentImage(name="a.png", mimetype="image/png", content=b"abc")
    with pytest.raises(AgentTimeoutError):
        await ask(agent, connection, "[[hangs]] This?", images=[image])
    await agent.cancel(connection, make_request("[[hangs]] This?"))
    for number in (2, 3):
        assert await ask(agent, connection, "Hi", event_id=f"Ev{number}") == "Answer to: Hi"
    assert list(mesh.threads) == [THREAD_ID]


def count_questions(mesh: FakeMesh) -> int:
    """Return how many times an agent was asked; A refuses the first attempt, which names no model."""
    return sum(
        call.body.keys() >= ({"messages", "models"} if mesh.generation == "A" else {"messages"}) for call in mesh.calls
    )


# Small tasks, and the end of a run


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_task_is_done_in_a_thread_that_is_deleted_then(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh = await serve(FakeMesh(generation=generation))
    agent, connection = make_agent(http), make_connection(mesh)
    with anyio.fail_after(10):
        made = await agent.complete(connection, task_id="t1", instructions="Sum it up.", text="[[tool]] Much.")
    assert made == "Answer to: Much."
    assert mesh.threads == {}
    system, question = next(call.body["messages"] for call in mesh.calls if "messages" in call.body)
    assert (system["role"], system["parts"][0]["text"]) == ("system", "Sum it up.")
    assert question["id"].startswith("task-")


async def test_task_is_done_also_with_a_key_that_may_not_delete(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="C"))
    may = [tool for tool in SELF_TOOLS if tool != "COLLECTION_THREADS_DELETE"]
    key = Secret(mesh.issue_key(user_id="user_1", permissions={"self": may}))
    connection = make_connection(mesh, mesh_api_key=key)
    with anyio.fail_after(10):
        made = await make_agent(http).complete(connection, task_id="t1", instructions="Sum it up.", text="Much.")
    assert made == "Answer to: Much."
    assert len(mesh.threads) == 1


async def test_task_that_fails_is_an_agents_error_and_leaves_no_thread(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="B"))
    with pytest.raises(AgentStreamBrokenError), anyio.fail_after(10):
        await make_agent(http).complete(
            make_connection(mesh), task_id="t1", instructions="Sum it up.", text="[[error]] Much."
        )
    assert mesh.threads == {}


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_run_that_nobody_wants_any_more_is_cancelled(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh, agent = await serve(FakeMesh(generation=generation)), make_agent(http, idle_timeout_s=0.3)
    connection = make_connection(mesh)
    with pytest.raises(AgentTimeoutError):
        await ask(agent, connection, "[[hangs]] Hi")
    await agent.cancel(connection, make_request("[[hangs]] Hi"))
    assert mesh.threads[THREAD_ID].status == "failed"
    assert mesh.count(f"/cancel/{THREAD_ID}") == 1
    await agent.cancel(connection, make_request("Hi"))  # a second time there is nothing to end


async def test_cancelling_that_mesh_refuses_is_an_agents_error(serve: Serve, http: httpx2.AsyncClient) -> None:
    mesh = await serve(FakeMesh(generation="B"))
    connection = make_connection(mesh)
    mesh.faults.append(Response(status_code=404))
    await make_agent(http).cancel(connection, make_request("Hi"))
    mesh.faults.append(Response(status_code=403))
    with pytest.raises(AgentRefusedError):
        await make_agent(http).cancel(connection, make_request("Hi"))


# Without a tail the thread is looked at


@pytest.mark.parametrize(("script", "expected"), [("ok", None), ("error", AgentTimeoutError)])
async def test_thread_without_a_tail_is_polled(
    serve: Serve, http: httpx2.AsyncClient, script: str, expected: type[AgentError] | None
) -> None:
    mesh = await serve(FakeMesh(generation="C", has_tail=False))
    agent = make_agent(http, idle_timeout_s=0.5 if expected else 5)
    if expected is None:
        assert await ask(agent, make_connection(mesh), f"[[{script}]] Hi") == "Answer to: Hi"
    else:
        with pytest.raises(expected):
            await ask(agent, make_connection(mesh), f"[[{script}]] Hi")


@pytest.mark.parametrize("is_failing", [False, True])
async def test_run_that_takes_longer_than_the_idle_time_is_waited_for_while_mesh_says_it_works(
    serve: Serve, http: httpx2.AsyncClient, *, is_failing: bool
) -> None:
    mesh = await serve(FakeMesh(generation="C", has_tail=False))
    connection, agent = make_connection(mesh), make_agent(http, idle_timeout_s=0.5)
    outcome: list[str] = []

    async def ask_and_tell() -> None:
        try:
            outcome.append(await ask(agent, connection, "[[hangs]] Hi"))
        except AgentStreamBrokenError:
            outcome.append("broken")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_and_tell)
            await mesh.wait_until(lambda: mesh.count_tools()["COLLECTION_THREADS_CREATE"] >= 20)
            if is_failing:
                mesh.threads[THREAD_ID].status = "failed"
            else:
                mesh.finish_run(THREAD_ID, "At last.")
    assert outcome == (["broken"] if is_failing else ["At last."])


# Tenants


@pytest.mark.parametrize("generation", ["A", "B", "C"])
async def test_two_tenants_at_the_same_time_never_carry_each_others_key(
    serve: Serve, http: httpx2.AsyncClient, generation: Any
) -> None:
    mesh, agent = await serve(FakeMesh(generation=generation, slugs=["acme", "umbrella"])), make_agent(http)
    connections = [make_connection(mesh, f"conn_{slug}", slug=slug) for slug in mesh.slugs]
    answers: dict[str, str] = {}

    async def ask_for(connection: Connection) -> None:
        answer = await ask(agent, connection, f"[[waits]] from {connection.connection_id}")
        answers[connection.connection_id] = answer

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for connection in connections:
                tasks.start_soon(ask_for, connection)
            await mesh.wait_until(lambda: mesh.holding == 2)
            assert not answers
            mesh.release.set()
    for connection in connections:
        assert answers[connection.connection_id] == f"Answer to: from {connection.connection_id}"
        calls = [call for call in mesh.calls if call.path.startswith(f"/api/{connection.organization_slug}/")]
        assert connection.mesh_api_key
        assert {call.bearer for call in calls} == {connection.mesh_api_key.reveal()}
        assert any("messages" in call.body for call in calls)
    assert {call.cookie for call in mesh.calls} == {None}


async def test_fake_mesh_runs_as_a_process(http: httpx2.AsyncClient) -> None:
    command = [sys.executable, "tests/fake_mesh.py", "--port", "0", "--generation", "C", "--slug", "acme"]
    process = await anyio.open_process(command, stdin=DEVNULL, stdout=PIPE, stderr=None)
    try:
        assert process.stdout is not None
        with anyio.fail_after(20):
            line = json.loads(await process.stdout.receive())
        mesh = FakeMesh()
        mesh.url = line["url"]
        # The process knows no key of ours, but it believes its own secret.
        connection = make_connection(mesh, mesh_api_key=None, mesh_token=Secret(mesh.mint_token()))
        assert await ask(make_agent(http), connection, "Hi") == "Answer to: Hi"
    finally:
        process.terminate()
        await process.wait()
        await process.aclose()
