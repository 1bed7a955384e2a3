"""Recordings that are written down by a model's server and by a connection in Mesh, over loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import httpx2
import pytest
from directory_fake import make_connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from slack_mcp.agents.transcription import OpenAiTranscriber
from slack_mcp.core.errors import (
    AgentNotConfiguredError,
    AgentRateLimitedError,
    AgentRefusedError,
    AgentStreamBrokenError,
    AgentTimeoutError,
    AgentUnavailableError,
    MeshRefusedError,
    MeshUnavailableError,
    SlackMcpError,
    StoreUnavailableError,
)
from slack_mcp.core.ids import ConnectionId
from slack_mcp.core.model import Connection
from slack_mcp.core.secret import Secret
from slack_mcp.mesh.transport import MeshTransport
from slack_mcp.mesh.whisper import MeshTranscriber
from slack_mcp.ports.attachments import Audio, TempFile, Transcriber
from slack_mcp.simulator.server import serve_app

pytestmark = pytest.mark.anyio

KEY = "sk-canary-key"
AUDIO = Audio(name="canary name.txt", mimetype="audio/mp4", content=b"\0\0\0 ftypM4A words")
Answering = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def serve(answer: Answering) -> AsyncIterator[tuple[str, httpx2.AsyncClient]]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    async with serve_app(app) as address, httpx2.AsyncClient(trust_env=False) as http:
        yield address, http


async def listen(transcriber: Transcriber, connection: Connection, fails: type[SlackMcpError] | None) -> str:
    if fails is None:
        return await transcriber.transcribe(connection, AUDIO)
    with pytest.raises(fails) as caught:
        await transcriber.transcribe(connection, AUDIO)
    return str(caught.value)


async def hear(
    answer: Answering, *, key: str | None = KEY, timeout_s: float = 5.0, fails: type[SlackMcpError] | None = None
) -> str:
    """Return the words, or the error's if it is to fail."""
    async with serve(answer) as (address, http):
        transcriber = OpenAiTranscriber(
            http=http,
            model="whisper-1",
            api_key=None if key is None else Secret(key),
            base_url=f"{address}/v1/",
            timeout_s=timeout_s,
        )
        assert transcriber.serves(make_connection())
        return await listen(transcriber, make_connection(), fails)


async def test_the_server_of_a_model_gets_the_bytes_and_nothing_of_the_name() -> None:
    heard = []

    async def answer(request: Request) -> Response:
        async with request.form() as form:
            upload: Any = form["file"]
            heard.append((request.url.path, request.headers.get("authorization"), form["model"]))
            heard.append((upload.filename, upload.content_type, await upload.read()))
        return JSONResponse({"text": "canary words"})

    assert await hear(answer) == "canary words"
    assert heard == [
        ("/v1/audio/transcriptions", f"Bearer {KEY}", "whisper-1"),
        ("recording.m4a", "audio/mp4", AUDIO.content),
    ]


async def test_a_server_that_asks_for_no_key_gets_none() -> None:
    async def answer(request: Request) -> Response:
        assert "authorization" not in request.headers
        return JSONResponse({"text": ""})

    assert await hear(answer, key=None) == ""


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (JSONResponse({"error": "canary words"}, 400), AgentRefusedError),
        (JSONResponse({}, 401), AgentRefusedError),
        (JSONResponse({}, 307, headers={"Location": "http://127.0.0.1:9/"}), AgentUnavailableError),
        (JSONResponse({}, 429, headers={"Retry-After": "7"}), AgentRateLimitedError),
        (JSONResponse({}, 503), AgentUnavailableError),
        (JSONResponse({"text": 7}), AgentStreamBrokenError),
        (JSONResponse(["text"]), AgentStreamBrokenError),
        (HTMLResponse("canary words"), AgentStreamBrokenError),
        (Response(bytes(5_000_000)), AgentStreamBrokenError),
    ],
)
async def test_whatever_a_server_answers_instead_is_one_of_our_errors(
    response: Response, expected: type[SlackMcpError]
) -> None:
    async def answer(request: Request) -> Response:
        await request.body()
        return response

    assert "canary" not in await hear(answer, fails=expected)


async def test_a_server_that_does_not_answer_is_left() -> None:
    async def answer(request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    assert await hear(answer, timeout_s=0.2, fails=AgentTimeoutError)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        absent = OpenAiTranscriber(http=http, model="m", api_key=None, base_url="http://127.0.0.1:9/v1")
        with pytest.raises(AgentUnavailableError):
            await absent.transcribe(make_connection(), AUDIO)


@pytest.mark.parametrize("key", ["canary\nkey", "canary-ção"])
async def test_a_key_that_cannot_be_sent_is_not_told(key: str) -> None:
    async def answer(_request: Request) -> Response:
        raise AssertionError

    assert "canary" not in await hear(answer, key=key, fails=AgentRefusedError)


@dataclass
class FakeTempFiles:
    """Publishes under a made-up link."""

    published: dict[str, TempFile] = field(default_factory=dict)
    error: SlackMcpError | None = None

    async def publish(self, connection_id: ConnectionId, file: TempFile) -> tuple[str, str]:
        if self.error is not None:
            raise self.error
        self.published["file_1"] = file
        return "file_1", "https://bot.example/temp-files/file_1?signature=canary"

    async def withdraw(self, connection_id: ConnectionId, file_id: str) -> None:
        if isinstance(self.error, StoreUnavailableError):
            raise self.error
        del self.published[file_id]


def make_mesh_connection(url: str, **changes: Any) -> Connection:
    connection = make_connection()
    settings = replace(connection.settings, whisper_id="conn_whisper/1")
    fields: dict[str, Any] = {"mesh_url": url, "mesh_api_key": Secret(KEY), "organization_slug": "acme"}
    return replace(connection, settings=settings, **(fields | changes))


async def ask_mesh(
    answer: Answering,
    *,
    temp_files: FakeTempFiles | None = None,
    fails: type[SlackMcpError] | None = None,
    **changes: Any,
) -> str:
    files = temp_files or FakeTempFiles()
    async with serve(answer) as (address, http):
        transport = MeshTransport(http=http, timeout_s=5, retry_pause_s=0)
        transcriber = MeshTranscriber(transport=transport, temp_files=files)
        return await listen(transcriber, make_mesh_connection(address, **changes), fails)


def render_result(**result: Any) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": 1, "result": result})


@pytest.mark.parametrize(
    "result",
    [
        {"structuredContent": {"text": "canary words"}, "content": []},
        {"content": [{"type": "text", "text": '{"text": "canary words"}'}]},
        {"content": [{"type": "text", "text": "canary words"}]},
    ],
)
async def test_the_tool_in_mesh_gets_a_link_that_is_good_until_it_has_answered(result: dict[str, Any]) -> None:
    files = FakeTempFiles()
    calls = []

    async def answer(request: Request) -> Response:
        calls.append((request.url.path, request.headers["authorization"], (await request.json())["params"]))
        assert files.published["file_1"].content == AUDIO.content
        return render_result(**result)

    assert await ask_mesh(answer, temp_files=files) == "canary words"
    arguments = {"audioUrl": "https://bot.example/temp-files/file_1?signature=canary"}
    parameters = {"name": "TRANSCRIBE_AUDIO", "arguments": arguments}
    assert calls == [("/api/acme/mcp/conn_whisper/1", f"Bearer {KEY}", parameters)]
    assert files.published == {}


@pytest.mark.parametrize("slug", ["acme", None])
async def test_an_older_mesh_has_the_tool_at_its_older_address(slug: str | None) -> None:
    async def answer(request: Request) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "Not found"}, 404)
        assert request.url.path == "/mcp/conn_whisper/1"
        return render_result(structuredContent={"text": "words"})

    assert await ask_mesh(answer, organization_slug=slug) == "words"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (JSONResponse({}, 401), MeshRefusedError),
        (JSONResponse({}, 404), MeshRefusedError),
        (JSONResponse({}, 503), MeshUnavailableError),
        (HTMLResponse("<html>"), MeshRefusedError),
        (JSONResponse({"error": {"message": "canary"}}), MeshRefusedError),
        (render_result(isError=True, content=[{"type": "text", "text": "canary"}]), MeshRefusedError),
        (render_result(structuredContent={"error": True, "text": "canary"}), MeshRefusedError),
        (render_result(content=[]), MeshRefusedError),
        (render_result(content=["canary"]), MeshRefusedError),
    ],
)
async def test_a_tool_that_fails_in_mesh_is_one_of_our_errors_and_the_link_ends(
    response: Response, expected: type[SlackMcpError]
) -> None:
    async def answer(_request: Request) -> Response:
        return response

    files = FakeTempFiles()
    assert "canary" not in await ask_mesh(answer, temp_files=files, fails=expected)
    assert files.published == {}


async def test_a_link_that_cannot_be_withdrawn_does_not_lose_the_words() -> None:
    files = FakeTempFiles()

    async def answer(_request: Request) -> Response:
        files.error = StoreUnavailableError("down")
        return render_result(structuredContent={"text": "words"})

    assert await ask_mesh(answer, temp_files=files) == "words"


async def test_without_a_public_url_mesh_is_not_asked() -> None:
    async def answer(_request: Request) -> Response:
        raise AssertionError

    files = FakeTempFiles(error=AgentNotConfiguredError("PUBLIC_URL"))
    assert await ask_mesh(answer, temp_files=files, fails=AgentNotConfiguredError) == "PUBLIC_URL"


async def test_only_a_connection_that_names_a_whisper_and_has_a_key_is_served() -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        transcriber = MeshTranscriber(transport=MeshTransport(http=http), temp_files=FakeTempFiles())
    connection = make_mesh_connection("https://mesh.example")
    assert transcriber.serves(connection)
    assert not transcriber.serves(replace(connection, mesh_api_key=None))
    assert not transcriber.serves(make_connection())
