"""The page that gives out files, through Starlette and without sockets."""

from collections.abc import Sequence

import httpx2
import pytest
from starlette.applications import Starlette
from stepping_clock import SteppingClock

from slack_mcp.attachments.temp_files import SignedTempFiles
from slack_mcp.core.errors import AgentNotConfiguredError, StoreUnavailableError
from slack_mcp.core.ids import ConnectionId
from slack_mcp.ports.attachments import TempFile
from slack_mcp.protocol.temp_links import make_file_id, render_link
from slack_mcp.web.temp_files import TempFilePages

pytestmark = pytest.mark.anyio

CONN = ConnectionId("conn_1")
KEYS = [b"k" * 32]
FILE = TempFile(name='a"b\r\n<é>.mp3', mimetype="audio/mpeg", content=b"canary")


class MemoryTempFiles:
    """Keeps files, and counts the looks at them."""

    def __init__(self) -> None:
        self.files: dict[str, TempFile] = {}
        self.looks = 0
        self.is_down = False

    async def add_temp_file(self, connection_id: ConnectionId, file: TempFile, *, ttl_s: float) -> str:
        file_id = make_file_id()
        self.files[file_id] = file
        return file_id

    async def load_temp_file(self, file_id: str) -> TempFile | None:
        self.looks += 1
        if self.is_down:
            raise StoreUnavailableError("down")
        return self.files.get(file_id)

    async def remove_temp_file(self, connection_id: ConnectionId, file_id: str) -> None:
        self.files.pop(file_id, None)

    async def delete_expired(self, *, limit: int) -> int:
        return 0


@pytest.fixture
def store() -> MemoryTempFiles:
    return MemoryTempFiles()


@pytest.fixture
def clock() -> SteppingClock:
    return SteppingClock()


def make_temp_files(
    store: MemoryTempFiles, clock: SteppingClock, *, url: str | None = "https://bot.example"
) -> SignedTempFiles:
    return SignedTempFiles(store=store, clock=clock, public_url=url, keys=KEYS, ttl_s=60)


async def get(
    url: str, store: MemoryTempFiles, clock: SteppingClock, *, keys: Sequence[bytes] = KEYS, method: str = "GET"
) -> httpx2.Response:
    app = Starlette(routes=TempFilePages(store=store, keys=keys, clock=clock).routes())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as http:
        return await http.request(method, url)


async def test_whoever_has_the_link_gets_the_file_until_its_end(store: MemoryTempFiles, clock: SteppingClock) -> None:
    _, url = await make_temp_files(store, clock).publish(CONN, FILE)
    answer = await get(url, store, clock)
    assert (answer.status_code, answer.content) == (200, b"canary")
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%22b%3C%C3%A9%3E.mp3"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"
    clock.time_s += 60
    assert (await get(url, store, clock)).status_code == 404


async def test_a_type_that_a_browser_would_show_is_not_named(store: MemoryTempFiles, clock: SteppingClock) -> None:
    page = TempFile(name="a.html", mimetype="text/html", content=b"<script>")
    _, url = await make_temp_files(store, clock).publish(CONN, page)
    answer = await get(url, store, clock)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_everything_wrong_has_the_same_answer_and_a_forged_link_costs_no_look(
    store: MemoryTempFiles, clock: SteppingClock
) -> None:
    file_id, url = await make_temp_files(store, clock).publish(CONN, FILE)
    unknown = render_link("https://bot.example", make_file_id(), expires_s=int(clock.time_s) + 60, keys=KEYS)
    forged = [
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace("expires=18", "expires=19"),
        url.partition("?")[0],
        render_link("https://bot.example", file_id, expires_s=int(clock.time_s) + 60, keys=[b"x" * 32]),
        "https://bot.example/temp-files/canary",
    ]
    answers = [await get(each, store, clock) for each in forged]
    assert store.looks == 0
    answers.append(await get(unknown, store, clock))
    assert {(each.status_code, each.content) for each in answers} == {(404, b'{"error": "not_found"}')}
    assert len({tuple(sorted(each.headers.items())) for each in answers}) == 1


async def test_a_withdrawn_file_is_gone(store: MemoryTempFiles, clock: SteppingClock) -> None:
    temp_files = make_temp_files(store, clock)
    file_id, url = await temp_files.publish(CONN, FILE)
    await temp_files.withdraw(CONN, file_id)
    assert (await get(url, store, clock)).status_code == 404


async def test_a_database_that_is_down_is_no_missing_file(store: MemoryTempFiles, clock: SteppingClock) -> None:
    _, url = await make_temp_files(store, clock).publish(CONN, FILE)
    store.is_down = True
    assert (await get(url, store, clock)).status_code == 503


async def test_files_are_only_given_out(store: MemoryTempFiles, clock: SteppingClock) -> None:
    _, url = await make_temp_files(store, clock).publish(CONN, FILE)
    assert (await get(url, store, clock, method="DELETE")).status_code == 405


async def test_without_a_public_url_nothing_is_published(store: MemoryTempFiles, clock: SteppingClock) -> None:
    with pytest.raises(AgentNotConfiguredError, match="PUBLIC_URL"):
        await make_temp_files(store, clock, url=None).publish(CONN, FILE)
    assert store.files == {}
