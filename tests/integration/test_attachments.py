"""Hostile files from a hostile Slack, opened in the real worker: each ends in one line and bounded memory."""

import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attachment_fakes import (
    FakeWeb,
    attach,
    make_docx,
    make_docx_bomb,
    make_entity_docx,
    make_image,
    make_lying_docx_bomb,
    make_pdf,
    make_pdf_bomb,
    make_png_bomb,
    make_zip,
)
from directory_fake import make_connection
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from slack_mcp.attachments import sandbox as sandbox_module
from slack_mcp.attachments.files import SlackAttachments
from slack_mcp.attachments.formats import Format
from slack_mcp.attachments.outcomes import Reason
from slack_mcp.attachments.reader import MAX_IMAGES
from slack_mcp.attachments.sandbox import Sandbox, WorkerLimits
from slack_mcp.ports.attachments import FileKind, ReadFiles
from slack_mcp.simulator.server import serve_app
from slack_mcp.slack.client import open_slack_apis

pytestmark = pytest.mark.anyio

MAX_TEXT = 500_000
MB = 1024 * 1024


async def read(web: FakeWeb, *files: dict[str, Any]) -> ReadFiles:
    return await SlackAttachments(webs=web, transcribers=[]).read(make_connection(), files, language="en")


async def test_each_kind_of_file_is_read_by_what_its_bytes_are() -> None:
    web = FakeWeb()
    files = [
        attach(web, make_pdf(["one", "two"]), name="a.txt", mimetype="text/plain"),
        attach(web, make_docx("words"), name="b.png", mimetype="image/png"),
        attach(web, make_image(3_000, 1_000), name="c.pdf", mimetype="application/pdf"),
        attach(web, b"<h1>head</h1>", name="d", mode="quip", served_as="text/html"),
    ]
    found = await read(web, *files)
    assert found.notes == ()
    assert [(each.name, each.kind, each.text.strip()) for each in found.texts] == [
        ("a.txt", FileKind.PDF, "one\n\ntwo"),
        ("b.png", FileKind.DOCX, "words"),
        ("d", FileKind.TEXT, "# head"),
    ]
    assert [(each.name, each.mimetype) for each in found.images] == [("c.pdf", "image/png")]


async def test_images_beyond_the_limit_are_not_looked_at() -> None:
    web = FakeWeb()
    found = await read(web, *(attach(web, make_image(), name=f"{n}.png") for n in range(MAX_IMAGES + 1)))
    assert len(found.images) == MAX_IMAGES
    assert found.notes == (f"I did not look at `{MAX_IMAGES}.png`: there are too many images.",)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(make_docx_bomb, "takes more memory or time", id="zip bomb"),
        pytest.param(make_lying_docx_bomb, "is damaged", id="zip bomb that lies"),
        pytest.param(make_entity_docx, "is damaged", id="billion laughs"),
        pytest.param(lambda: make_zip({"a.zip": make_zip({"b": b""})}), "do not know this kind", id="zip in a zip"),
        pytest.param(lambda: make_docx()[:500], "is damaged", id="broken document"),
        pytest.param(lambda: make_zip({"word/document.xml": b"<w:p>"}), "is damaged", id="document of one part"),
        pytest.param(make_png_bomb, "takes more memory or time", id="image bomb"),
        pytest.param(make_pdf_bomb, "takes more memory or time", id="pdf bomb"),
        pytest.param(lambda: b"%PDF-1.7\n" + b"1 0 obj <<" * 10_000, "is damaged", id="broken pdf"),
        pytest.param(lambda: make_pdf(password="x"), "protected by a password", id="locked pdf"),
    ],
)
async def test_a_hostile_file_is_one_line_and_the_next_one_is_read(make: Callable[[], bytes], said: str) -> None:
    web = FakeWeb()
    with anyio.fail_after(60):
        found = await read(web, attach(web, make(), name="evil"), attach(web, b"canary", name="good"))
    assert [each.text for each in found.texts] == ["canary"]
    assert len(found.notes) == 1
    assert "`evil`" in found.notes[0]
    assert said in found.notes[0]


async def test_of_a_pdf_with_a_thousand_pages_the_first_ones_are_read() -> None:
    web = FakeWeb()
    found = await read(web, attach(web, make_pdf(["page"] * 1_000), name="book.pdf"))
    (said,) = found.texts
    assert said.is_cut
    assert 0 < said.text.count("page") < 1_000
    assert found.notes == ("I read only a part of `book.pdf`.",)


async def test_a_file_that_takes_too_long_is_killed() -> None:
    slow = Sandbox(limits=WorkerLimits(wall_s=0.01))
    parsed = await slow.parse(Format.PDF, make_pdf(), max_text_bytes=MAX_TEXT)
    assert (parsed.text, parsed.reason) == ("", Reason.TOO_COSTLY)


async def test_a_file_that_takes_too_much_memory_is_not_read() -> None:
    small = Sandbox(limits=WorkerLimits(memory_bytes=150 * MB))
    parsed = await small.parse(Format.IMAGE, make_image(7_000, 7_000), max_text_bytes=MAX_TEXT)
    assert (parsed.picture, parsed.reason) == (None, Reason.TOO_COSTLY)


def test_the_worker_stays_below_its_limit_and_knows_nothing_of_the_service(tmp_path: Path) -> None:
    # Asked of a process that is small itself: what a child inherits until it becomes the worker would count too.
    bombs = {"image": make_png_bomb(7_000), "pdf": make_pdf_bomb(), "docx": make_docx_bomb(19_000_000)}
    for kind, content in bombs.items():
        (tmp_path / kind).write_bytes(content)
    script = (
        "import resource, subprocess, sys\n"
        f"for kind in {list(bombs)!r}:\n"
        f"    with open({str(tmp_path)!r} + '/' + kind, 'rb') as bomb:\n"
        f"        subprocess.run([sys.executable, '-P', '-m', 'slack_mcp.attachments.worker', kind, '{768 * MB}', '10',"
        f" '{MAX_TEXT}'], stdin=bomb, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)  # noqa: S603 - our own
    kib = int(done.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kib * 1024 < 768 * MB


async def test_a_large_file_costs_the_service_little_more_than_its_bytes() -> None:
    web = FakeWeb()
    file = attach(web, make_pdf_bomb(), name="evil.pdf")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await read(web, file)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 100 * MB


def test_nothing_that_a_worker_says_beside_the_agreed_is_believed() -> None:
    lines = [b"[1]", b'{"reason": "<!channel>"}', b'{"text": 7}', b'{"image": "%", "mimetype": "image/png"}', b"\xff"]
    lines += [b'{"image": "QQ==", "mimetype": "text/html"}', b'{"text": "words"}', b"[" * 100_000]
    parsed = sandbox_module._read(b"\n".join(lines), 0)
    assert (parsed.text, parsed.picture, parsed.reason) == ("words", None, Reason.CUT)


Answering = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def open_slack(answer: Answering) -> AsyncIterator[tuple[SlackAttachments, str]]:
    """Yield the attachments of a Slack whose files are served by the test, and its address."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await answer(Request(scope, receive)))(scope, receive, send)

    async with serve_app(app) as address, open_slack_apis(base_url=f"{address}/api/") as apis:
        yield SlackAttachments(webs=apis, transcribers=[], max_file_bytes=100_000), address


async def read_one(attachments: SlackAttachments, url: str, **fields: Any) -> ReadFiles:
    file = {"name": "a.txt", "mimetype": "text/plain", "url_private": url} | fields
    return await attachments.read(make_connection(), [file], language="en")


async def test_a_file_that_is_larger_than_it_says_is_not_read_to_its_end() -> None:
    sent = 0

    async def pour() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            await anyio.lowlevel.checkpoint()
            sent += 65_536
            yield bytes(65_536)

    async def answer(_request: Request) -> Response:
        return StreamingResponse(pour())

    async with open_slack(answer) as (attachments, address):
        found = await read_one(attachments, f"{address}/a", size=10)
    assert len(found.notes) == 1
    assert sent < 20 * MB


async def test_a_length_that_is_too_large_is_refused_by_its_header() -> None:
    async def answer(_request: Request) -> Response:
        return StreamingResponse(iter([b""]), headers={"Content-Length": "2000000000"})

    async with open_slack(answer) as (attachments, address):
        found = await read_one(attachments, f"{address}/a", size=10)
    assert found.notes[0].startswith("I cannot read `a.txt`")


async def test_a_redirect_to_another_host_gets_no_token_and_is_one_line() -> None:
    heard = []

    async def elsewhere(request: Request) -> Response:
        heard.append(request)
        return Response(b"stolen")

    async with open_slack(elsewhere) as (_, other):

        async def answer(_request: Request) -> Response:
            return RedirectResponse(f"{other}/a")

        async with open_slack(answer) as (attachments, address):
            found = await read_one(attachments, f"{address}/a")
    assert heard == []
    assert (len(found.notes), found.texts) == (1, ())


async def test_the_page_that_asks_to_sign_in_is_one_line() -> None:
    async def answer(_request: Request) -> Response:
        return HTMLResponse("<html><head><title>Slack</title></head><body data-signin>")

    async with open_slack(answer) as (attachments, address):
        found = await read_one(attachments, f"{address}/a")
    assert found.texts == ()
    assert "Slack does not let me fetch it" in found.notes[0]
