"""The OpenAI agent against a fake server over loopback."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
import httpx2
import pytest
from fake_openai import FakeOpenAi
from structlog.testing import capture_logs

from slack_mcp.agents.openai import build_openai_agent
from slack_mcp.agents.openai_chat import OpenAiAgent
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
from slack_mcp.ports.agent import AgentImage, AgentMessage, AgentRequest, AgentText
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

KEY = "sk-a-key-that-must-not-be-seen"


@pytest.fixture
def fake() -> FakeOpenAi:
    return FakeOpenAi()


@pytest.fixture
async def base_url(fake: FakeOpenAi) -> AsyncIterator[str]:
    async with serve_app(fake.app) as url:
        yield f"{url}/v1"


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield http


@pytest.fixture
def agent(http: httpx2.AsyncClient, base_url: str) -> OpenAiAgent:
    return make_agent(http, base_url)


def make_agent(
    http: httpx2.AsyncClient,
    base_url: str,
    *,
    key: str | None = KEY,
    model: str | None = "model-1",
    idle_timeout_s: float = 5.0,
) -> OpenAiAgent:
    return build_openai_agent(
        http=http,
        api_key=Secret(key) if key else None,
        base_url=base_url,
        default_model=model,
        idle_timeout_s=idle_timeout_s,
    )


def make_connection(connection_id: str = "conn_1", **fields: Any) -> Connection:
    return Connection(
        connection_id=ConnectionId(connection_id),
        organization_id="org_1",
        mesh_url="",
        bot_token=Secret("xoxb"),
        signing_secret=Secret("s"),
        **fields,
    )


def make_request(question: str, *history: AgentMessage, **fields: Any) -> AgentRequest:
    return AgentRequest(
        event_id=EventId("Ev1"),
        channel_id=ChannelId("C1"),
        thread_ts=Ts("1.0"),
        user_id=None,
        question=question,
        history=history,
        **fields,
    )


async def ask(agent: OpenAiAgent, question: str, connection: Connection | None = None) -> list[str]:
    with anyio.fail_after(10):
        events = [event async for event in agent.stream_answer(connection or make_connection(), make_request(question))]
    return [event.text for event in events if isinstance(event, AgentText)]


async def test_answer_comes_in_pieces_as_the_model_writes(agent: OpenAiAgent) -> None:
    pieces = await ask(agent, "Quantos são 😀?")
    assert len(pieces) == 2
    assert "".join(pieces) == "Answer to: Quantos são 😀?"


async def test_instructions_history_and_question_are_sent_in_order(agent: OpenAiAgent, fake: FakeOpenAi) -> None:
    said = AgentMessage(role="user", text="One?"), AgentMessage(role="assistant", text="One.")
    request = make_request("Two?", *said, instructions="Be brief.")
    assert [event async for event in agent.stream_answer(make_connection(), request)]
    ((bearer, headers, body),) = fake.requests
    assert bearer == KEY
    assert body == {
        "model": "model-1",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "One."},
            {"role": "user", "content": "Two?"},
        ],
    }
    assert "conn_1" not in repr(headers)


async def test_pictures_go_along_with_the_question(agent: OpenAiAgent, fake: FakeOpenAi) -> None:
    image = AgentImage(name="a.png", mimetype="image/png", content=b"abc")
    events = [event async for event in agent.stream_answer(make_connection(), make_request("What?", images=[image]))]
    assert "".join(event.text for event in events if isinstance(event, AgentText)) == "Answer to: What?"
    (message,) = fake.requests[0][2]["messages"]
    assert message["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}},
    ]


async def complete(agent: OpenAiAgent, text: str, connection: Connection | None = None) -> str:
    with anyio.fail_after(10):
        return await agent.complete(connection or make_connection(), task_id="t", instructions="Sum it up.", text=text)


async def test_task_is_one_call_without_a_stream(agent: OpenAiAgent, fake: FakeOpenAi) -> None:
    assert await complete(agent, "Much \ud83d text.", make_connection(model_id="model-9")) == "Answer to: Much ? text."
    assert fake.requests[0][2] == {
        "model": "model-9",
        "messages": [
            {"role": "system", "content": "Sum it up."},
            {"role": "user", "content": "Much ? text."},
        ],
    }


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("400", AgentRefusedError),
        ("429", AgentRateLimitedError),
        ("503", AgentUnavailableError),
        ("deaf", AgentTimeoutError),
        ("no-chunk", AgentStreamBrokenError),
        ("no-choices", AgentStreamBrokenError),
        ("ends", AgentStreamBrokenError),
        ("huge", AgentStreamBrokenError),
    ],
)
async def test_failed_task_is_one_of_the_agents_errors(
    http: httpx2.AsyncClient, base_url: str, script: str, expected: type[AgentError]
) -> None:
    agent = make_agent(http, base_url, idle_timeout_s=0.5 if expected is AgentTimeoutError else 5.0)
    with pytest.raises(expected) as caught:
        await complete(agent, f"[[{script}]] SECRET")
    assert "SECRET" not in str(caught.value)


async def test_stopping_needs_no_word_to_the_model(agent: OpenAiAgent, fake: FakeOpenAi) -> None:
    await agent.cancel(make_connection(), make_request("Hi"))
    assert not fake.requests


async def test_lone_surrogates_do_not_stop_a_question(agent: OpenAiAgent) -> None:
    assert "".join(await ask(agent, "odd \ud83d text")) == "Answer to: odd ? text"


async def test_model_of_the_connection_goes_before_the_default(agent: OpenAiAgent, fake: FakeOpenAi) -> None:
    await ask(agent, "Hi", make_connection(model_id="model-9"))
    assert fake.requests[0][2]["model"] == "model-9"


async def test_without_any_model_the_setting_is_named(
    http: httpx2.AsyncClient, base_url: str, fake: FakeOpenAi
) -> None:
    with pytest.raises(AgentNotConfiguredError, match="OPENAI_MODEL"):
        await ask(make_agent(http, base_url, model=None), "Hi")
    assert not fake.requests


async def test_environment_sets_nothing_behind_the_settings_back(
    monkeypatch: pytest.MonkeyPatch, http: httpx2.AsyncClient, base_url: str, fake: FakeOpenAi
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, "http://from-the-environment.example")
    await ask(make_agent(http, base_url, key=None), "Hi")
    ((bearer, headers, _),) = fake.requests
    assert bearer == "none"
    assert "from-the-environment" not in repr(headers)


FAILURES: list[tuple[str, type[AgentError]]] = [
    ("400", AgentRefusedError),
    ("401", AgentRefusedError),
    ("403", AgentRefusedError),
    ("404", AgentRefusedError),
    ("429", AgentRateLimitedError),
    ("429-bare", AgentRateLimitedError),
    ("429-quota", AgentRefusedError),
    ("500", AgentUnavailableError),
    ("503", AgentUnavailableError),
    ("hangs", AgentTimeoutError),
    ("deaf", AgentTimeoutError),
    ("dies", AgentStreamBrokenError),
    ("ends", AgentStreamBrokenError),
    ("garbage", AgentStreamBrokenError),
    ("no-chunk", AgentStreamBrokenError),
    ("no-choices", AgentStreamBrokenError),
    ("no-utf8", AgentStreamBrokenError),
    ("error", AgentStreamBrokenError),
    ("huge", AgentStreamBrokenError),
    ("filtered", AgentRefusedError),
]


@pytest.mark.parametrize(("script", "expected"), FAILURES)
async def test_failed_turn_is_one_of_the_agents_errors_asked_once_and_quotes_nothing(
    http: httpx2.AsyncClient, base_url: str, fake: FakeOpenAi, script: str, expected: type[AgentError]
) -> None:
    agent = make_agent(http, base_url, idle_timeout_s=0.5 if expected is AgentTimeoutError else 5.0)
    with capture_logs() as logs, pytest.raises(expected) as caught:
        await ask(agent, f"[[{script}]] SECRET QUESTION")
    assert type(caught.value) is expected
    assert len(fake.requests) == 1
    for seen in (str(caught.value), repr(logs)):
        assert "SECRET" not in seen
        assert KEY not in seen
    if isinstance(caught.value, AgentRateLimitedError):
        assert caught.value.retry_after_s == (7 if script == "429" else 10)


async def test_server_that_is_down_is_unavailable(http: httpx2.AsyncClient, fake: FakeOpenAi) -> None:
    async with serve_app(fake.app) as url:
        pass
    with pytest.raises(AgentUnavailableError):
        await ask(make_agent(http, f"{url}/v1"), "Hi")


async def test_cancellation_and_an_early_end_pass_and_leave_the_agent_usable(agent: OpenAiAgent) -> None:
    async with aclosing(agent.stream_answer(make_connection(), make_request("First"))) as events:  # type: ignore[type-var]
        assert isinstance(await anext(events), AgentText)
    with anyio.move_on_after(0.3) as scope:
        await ask(agent, "[[hangs]] Second")
    assert scope.cancelled_caught
    assert "".join(await ask(agent, "Third")) == "Answer to: Third"


async def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, http: httpx2.AsyncClient) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(AgentNotConfiguredError, match=r"slack-mcp\[openai\]"):
        make_agent(http, "http://127.0.0.1:1/v1")


async def test_fake_openai_runs_as_a_process(http: httpx2.AsyncClient) -> None:
    command = [sys.executable, "tests/fake_openai.py", "--port", "0"]
    process = await anyio.open_process(command, stdin=DEVNULL, stdout=PIPE, stderr=None)
    try:
        assert process.stdout is not None
        with anyio.fail_after(20):
            line = json.loads(await process.stdout.receive())
        assert "".join(await ask(make_agent(http, line["base_url"]), "Hi")) == "Answer to: Hi"
    finally:
        process.terminate()
        await process.wait()
        await process.aclose()
