from dataclasses import replace

import pytest
from bot_fakes import make_connection, make_turn
from hypothesis import given
from hypothesis import strategies as st
from stepping_clock import SteppingClock
from surface_fakes import FailingWeb
from tool_fakes import NoThreads

from slack_mcp.core.errors import MissingScopeError, SlackRefusedError, StoreUnavailableError
from slack_mcp.core.ids import ChannelId, ConnectionId, Ts
from slack_mcp.core.model import Turn
from slack_mcp.ports.threads import ThreadSummary
from slack_mcp.surfaces.titles import MAX_TITLE_CHARS, REFUSED_TTL_S, AssistantTitles, shorten

pytestmark = pytest.mark.anyio

METHOD = "assistant.threads.setTitle"


class Threads(NoThreads):
    """Remembers so many turns of every thread."""

    def __init__(self, turns: int | None = None) -> None:
        self.turns = turns
        self.error: Exception | None = None

    async def load_summary(
        self, connection_id: ConnectionId, channel_id: ChannelId, thread_ts: Ts
    ) -> ThreadSummary | None:
        if self.error is not None:
            raise self.error
        if self.turns is None:
            return None
        return ThreadSummary(turns=self.turns, last_activity_ms=1, generation=0)


class World:
    def __init__(self, turns: int | None = None) -> None:
        self.web, self.threads, self.clock = FailingWeb(), Threads(turns), SteppingClock()
        self.titles = AssistantTitles(slack=self.web, threads=self.threads, clock=self.clock)

    @property
    def named(self) -> list[dict[str, str]]:
        return self.web.list_calls(METHOD)


def make_question(question: str = "How do I deploy?", channel_id: str = "D1") -> Turn:
    """Return a question in a thread of the older pane."""
    return make_turn(channel_id=ChannelId(channel_id), question=question, thread_ts=Ts("1600000000.000100"))


@pytest.mark.parametrize("turns", [None, 0])
async def test_a_thread_is_named_after_its_first_question(turns: int | None) -> None:
    world = World(turns)
    turn = make_question()
    await world.titles.name(make_connection(), turn)
    assert world.named == [{"channel_id": "D1", "thread_ts": turn.thread_ts, "title": "How do I deploy?"}]


async def test_a_later_question_renames_nothing() -> None:
    world = World(turns=1)
    await world.titles.name(make_connection(), make_question())
    assert world.named == []


async def test_of_a_question_that_is_a_threads_root_nobody_asks_whether_it_is_the_first() -> None:
    world = World()
    world.threads.error = StoreUnavailableError("gone")
    turn = replace(make_question(), message_ts=Ts("1600000000.000100"))
    await world.titles.name(make_connection(), turn)
    assert len(world.named) == 1


async def test_a_channels_thread_a_question_without_words_and_an_app_without_the_scope_are_not_named() -> None:
    world = World()
    await world.titles.name(make_connection(), make_question(channel_id="C1"))
    await world.titles.name(make_connection(), make_question(" *** "))
    await world.titles.name(make_connection(bot_scopes=frozenset({"chat:write"})), make_question())
    assert world.web.calls == []
    await world.titles.name(make_connection(bot_scopes=frozenset({"assistant:write"})), make_question())
    assert len(world.named) == 1


async def test_a_scope_that_is_missing_is_asked_for_again_after_an_hour() -> None:
    world = World()
    world.web.errors[METHOD] = [MissingScopeError(METHOD, "assistant:write")]
    for _ in range(2):
        await world.titles.name(make_connection(), make_question())
    assert len(world.named) == 1
    await world.titles.name(make_connection(connection_id=ConnectionId("conn_2")), make_question())
    world.clock.time_s += REFUSED_TTL_S + 1
    await world.titles.name(make_connection(), make_question())
    assert len(world.named) == 3


async def test_what_fails_keeps_nobody_from_an_answer() -> None:
    world = World()
    world.web.errors[METHOD] = [SlackRefusedError(METHOD, "not_a_thread")]
    await world.titles.name(make_connection(), make_question())
    world.threads.error = StoreUnavailableError("gone")
    await world.titles.name(make_connection(), make_question())


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("*How* do I\n\n_deploy_ `x`?", "How do I deploy x?"),
        ("What is <https://example.com/a|this page> about?", "What is this page about?"),
        ("See <https://example.com>", "See https://example.com"),
        ("> quoted\n# heading", "quoted heading"),
        ("Is snake_case or C# _better_?", "Is snake_case or C# better?"),
        ("word " * 40, f"{'word ' * 15}word…"),
        ("x" * 100, f"{'x' * 80}…"),
        ("", ""),
    ],
)
def test_a_title_is_the_first_words_without_markup(question: str, title: str) -> None:
    assert shorten(question) == title


@given(st.text())
def test_a_title_is_one_short_line_whatever_was_asked(question: str) -> None:
    title = shorten(question)
    assert len(title) <= MAX_TITLE_CHARS + 1
    assert title == " ".join(title.split())
