"""The bytes of files, against a simulated Slack and against servers that answer what Slack must not be asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from bot_fakes import make_connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from slack_mcp.core.errors import (
    InvalidInputError,
    RateLimitedError,
    SlackApiError,
    SlackRefusedError,
    SlackUnavailableError,
)
from slack_mcp.core.secret import Secret
from slack_mcp.simulator.file_server import LOGIN_PAGE
from slack_mcp.simulator.server import serve_app
from slack_mcp.slack.client import SlackWebApi, SlackWebApis, open_slack_apis

pytestmark = pytest.mark.anyio

Answering = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def open_server(answer: Answering, *, file_timeout_s: float = 5.0) -> AsyncIterator[tuple[SlackWebApi, str]]:
    """Yield the Web API and the address of a server that answers everything in one way."""

    async def app(scope: object, receive: object, send: object) -> None:
        request = Request(scope, receive)  # type: ignore[arg-type]
        await (await answer(request))(scope, receive, send)  # type: ignore[arg-type]

    async with serve_app(app) as address, open_slack_apis(base_url=f"{address}/api/") as apis:
        limited = SlackWebApis(
            session=apis._session,
            base_url=f"{address}/api/",
            file_timeout_s=file_timeout_s,
        )
        yield limited.open(make_connection(bot_token=Secret("xoxb-canary"))), address


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/files-pri/T1-F1/a.txt",
        "https://slack.com.evil.example/a",
        "https://slack.com@evil.example/a",
        "https://evilslack.com/a",
        "http://files.slack.com/a",
        "file:///etc/passwd",
        "//files.slack.com/a",
        "https://[not-an-address/a",
        "",
    ],
)
async def test_a_token_goes_to_no_other_host(url: str) -> None:
    async def answer(_request: Request) -> Response:
        raise AssertionError("called")

    async with open_server(answer) as (api, _):
        with pytest.raises(InvalidInputError, match="kept by Slack"):
            await api.download(url, max_bytes=10)
        with pytest.raises(InvalidInputError, match="kept by Slack"):
            await api.upload(url, b"a")


async def test_a_redirect_to_another_host_is_not_followed() -> None:
    heard = []

    async def elsewhere(request: Request) -> Response:
        heard.append(request.headers.get("authorization"))
        return PlainTextResponse("stolen")

    async with open_server(elsewhere) as (_, other):

        async def answer(_request: Request) -> Response:
            return RedirectResponse(f"{other}/a")

        async with open_server(answer) as (api, address):
            with pytest.raises(InvalidInputError, match="kept by Slack"):
                await api.download(f"{address}/files-pri/T1-F1/a.txt", max_bytes=10)
    assert heard == []


async def test_a_redirect_on_the_same_host_keeps_the_token() -> None:
    async def answer(request: Request) -> Response:
        if request.url.path == "/a":
            return RedirectResponse("/b", status_code=307)
        return PlainTextResponse(request.headers["authorization"])

    async with open_server(answer) as (api, address):
        file = await api.download(f"{address}/a", max_bytes=100)
    assert (file.content, file.mimetype) == (b"Bearer xoxb-canary", "text/plain")


async def test_a_circle_of_redirects_ends() -> None:
    async def answer(_request: Request) -> Response:
        return RedirectResponse("/a")

    async with open_server(answer) as (api, address):
        with pytest.raises(SlackUnavailableError, match="too_many_redirects"):
            await api.download(f"{address}/a", max_bytes=100)


@pytest.mark.parametrize(
    "response",
    [
        HTMLResponse(LOGIN_PAGE),
        HTMLResponse("<!DOCTYPE html><html><body data-signin='1'>"),
        HTMLResponse("<html><head><title>Slack</title>"),
        HTMLResponse("<title>Login | Slack</title>"),
        RedirectResponse("/?redir=%2Ffiles-pri%2FT1-F1%2Fa.txt"),
        RedirectResponse("/signin?redir=%2F"),
    ],
)
async def test_the_page_that_asks_to_sign_in_is_no_file(response: Response) -> None:
    async def answer(_request: Request) -> Response:
        return response

    async with open_server(answer) as (api, address):
        with pytest.raises(SlackRefusedError, match="file_not_readable"):
            await api.download(f"{address}/files-pri/T1-F1/a.txt", max_bytes=1_000)


async def test_a_page_that_somebody_uploaded_is_a_file() -> None:
    page = "<!DOCTYPE html><title>How we sign in</title><p>Slack</p>"

    async def answer(_request: Request) -> Response:
        return HTMLResponse(page)

    async with open_server(answer) as (api, address):
        assert (await api.download(f"{address}/a.html", max_bytes=1_000)).content == page.encode()


async def test_a_file_may_be_as_large_as_was_said_and_no_larger() -> None:
    async def answer(_request: Request) -> Response:
        return Response(b"a" * 100_000)

    async with open_server(answer) as (api, address):
        assert len((await api.download(f"{address}/a", max_bytes=100_000)).content) == 100_000
        with pytest.raises(InvalidInputError, match="larger than 99999 bytes"):
            await api.download(f"{address}/a", max_bytes=99_999)


@pytest.mark.parametrize(
    ("status", "expected"), [(404, SlackUnavailableError), (500, SlackUnavailableError), (429, RateLimitedError)]
)
async def test_an_answer_without_the_file_is_an_error(status: int, expected: type[SlackApiError]) -> None:
    async def answer(_request: Request) -> Response:
        return PlainTextResponse("no", status_code=status, headers={"Retry-After": "3"})

    async with open_server(answer) as (api, address):
        with pytest.raises(expected):
            await api.download(f"{address}/a", max_bytes=10)
        with pytest.raises(expected):
            await api.upload(f"{address}/a", b"a")


async def test_an_upload_carries_the_bytes_and_no_token() -> None:
    heard = []

    async def answer(request: Request) -> Response:
        heard.append((await request.body(), request.headers.get("authorization")))
        return PlainTextResponse("OK")

    async with open_server(answer) as (api, address):
        await api.upload(f"{address}/upload/v1/a", b"bytes")
    assert heard == [(b"bytes", None)]


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    async def answer(_request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with open_server(answer, file_timeout_s=0.05) as (api, address):
        with anyio.fail_after(5):
            with pytest.raises(SlackUnavailableError, match="in time"):
                await api.download(f"{address}/a", max_bytes=10)
            with pytest.raises(SlackUnavailableError, match="in time"):
                await api.upload(f"{address}/a", b"a")


async def test_an_upload_that_is_cancelled_ends_at_once() -> None:
    begun = anyio.Event()

    async def answer(_request: Request) -> Response:
        begun.set()
        await anyio.sleep_forever()
        raise AssertionError

    async with open_server(answer) as (api, address):
        with anyio.fail_after(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(api.upload, f"{address}/a", b"a")
                await begun.wait()
                tasks.cancel_scope.cancel()
