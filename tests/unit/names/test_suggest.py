from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from directory_fake import make_connection
from hypothesis import given
from hypothesis import strategies as st
from stepping_clock import SteppingClock
from tool_fakes import FakeWeb

from slack_mcp.core.errors import SlackUnavailableError
from slack_mcp.names.fetch import Known
from slack_mcp.names.resolve import CachedNames
from slack_mcp.names.suggest import LISTED_TTL_S, suggest_names
from slack_mcp.names.walk import MAX_PAGES
from slack_mcp.ports.names import NameChange, NameKind

pytestmark = pytest.mark.anyio

A, B = make_connection("conn_a"), make_connection("conn_b")
NAMES = st.text(alphabet="abcß-İ", min_size=1, max_size=6)


class SlowWeb(FakeWeb):
    """A workspace with as many pages of channels as are wanted, each of which is waited for."""

    def __init__(self, pages: int = 1) -> None:
        super().__init__()
        self.pages = pages
        self.error: Exception | None = None
        self.asked = anyio.Event()
        self.go_on = anyio.Event()
        self.go_on.set()

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        self.calls.append((method, arguments))
        self.asked.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        number = int(arguments["cursor"] or 0)
        following = str(number + 1) if number + 1 < self.pages else ""
        channel = {"id": f"C0PAGE{number}", "name": f"page-{number}"}
        return {"ok": True, "channels": [channel], "response_metadata": {"next_cursor": following}}


def make_names(web: FakeWeb) -> tuple[CachedNames, SteppingClock]:
    clock = SteppingClock()
    return CachedNames(slack=web, clock=clock), clock


async def suggest(names: CachedNames, text: str = "", connection: Any = A) -> list[str]:
    found = await names.suggest(connection, NameKind.CHANNEL, text, limit=100)
    return [each.name for each in found.first]


@given(names=st.lists(NAMES, max_size=20), text=NAMES, limit=st.integers(0, 25))
def test_what_is_suggested_holds_the_text_and_nothing_that_holds_it_is_left_out(
    names: list[str], text: str, limit: int
) -> None:
    known = [Known(id=f"C{n}", shown=name, names=frozenset({name.casefold()})) for n, name in enumerate(names)]
    found = suggest_names(known, text, limit=limit, is_complete=True)
    holds = [name for name in names if text.casefold() in name.casefold()]
    begins = [name for name in holds if name.casefold().startswith(text.casefold())]
    assert found.total == len(holds)
    assert len(found.first) == min(limit, len(holds))
    assert all(each.name in begins for each in found.first[: len(begins)])
    for each in found.first:
        assert each.is_clear is ([name.casefold() for name in names].count(each.name.casefold()) == 1)


async def test_those_who_ask_at_the_same_time_share_one_reading() -> None:
    web = SlowWeb(pages=3)
    names, _ = make_names(web)
    web.go_on = anyio.Event()
    answers: list[list[str]] = []

    async def ask() -> None:
        answers.append(await suggest(names))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
            await web.asked.wait()
            web.go_on.set()
    assert answers == [["page-0", "page-1", "page-2"]] * 5
    assert len(web.calls) == 3


async def test_those_who_wait_for_a_reading_that_fails_are_told_and_the_next_reads_again() -> None:
    web = SlowWeb()
    names, _ = make_names(web)
    web.go_on, web.error = anyio.Event(), SlackUnavailableError("conversations.list", "HTTP 503")
    failed = []

    async def ask() -> None:
        with pytest.raises(SlackUnavailableError):
            await suggest(names)
        failed.append(True)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await web.asked.wait()
            web.go_on.set()
    assert (len(failed), len(web.calls)) == (2, 1)
    web.error = None
    assert await suggest(names) == ["page-0"]


async def test_a_search_for_a_name_that_saw_the_whole_list_is_enough() -> None:
    web = SlowWeb(pages=2)
    names, _ = make_names(web)
    await names.resolve_channel(A, "#page-1")
    assert await suggest(names) == ["page-0", "page-1"]
    assert len(web.calls) == 2


async def test_a_search_that_stopped_on_the_way_is_not() -> None:
    web = SlowWeb(pages=2)
    names, _ = make_names(web)
    await names.resolve_channel(A, "#page-0")
    assert await suggest(names) == ["page-0", "page-1"]
    assert len(web.calls) == 3


async def test_the_list_is_read_again_after_its_time() -> None:
    web = SlowWeb()
    names, clock = make_names(web)
    for _ in range(2):
        await suggest(names)
    clock.time_s += LISTED_TTL_S + 1
    await suggest(names)
    assert len(web.calls) == 2


async def test_of_a_list_that_is_too_long_the_beginning_is_suggested_and_read_once() -> None:
    web = SlowWeb(pages=MAX_PAGES + 5)
    names, _ = make_names(web)
    for _ in range(2):
        found = await names.suggest(A, NameKind.CHANNEL, "page", limit=5)
        assert (len(found.first), found.total, found.is_complete) == (5, MAX_PAGES, False)
    assert len(web.calls) == MAX_PAGES


async def test_what_was_read_before_news_came_is_not_believed_and_read_again() -> None:
    web = SlowWeb()
    names, _ = make_names(web)
    web.go_on = anyio.Event()
    answers: list[list[str]] = []

    async def ask() -> None:
        answers.append(await suggest(names))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await web.asked.wait()
            names.forget(NameChange(connection_id=A.connection_id, kind=NameKind.CONNECTION))
            web.go_on.set()
    assert answers == [["page-0"]]
    assert len(web.calls) == 2
    names.clear()
    await suggest(names)
    assert len(web.calls) == 3


async def test_each_connection_is_read_on_its_own() -> None:
    web = SlowWeb()
    names, _ = make_names(web)
    await suggest(names, connection=A)
    await suggest(names, connection=B)
    assert len(web.calls) == 2
