from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from slack_mcp.tools.message_items import describe_messages, indent

pytestmark = pytest.mark.anyio


class FakeNames:
    """Knows one person and one channel, and what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []

    async def find_user_names(self, _connection: object, ids: Collection[str]) -> Mapping[str, str]:
        self.asked.append(set(ids))
        return {"U1": "ann"}

    async def find_channel_names(self, _connection: object, ids: Collection[str]) -> Mapping[str, str]:
        self.asked.append(set(ids))
        return {"C1": "general"}


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


@pytest.fixture
def call(names: FakeNames) -> Any:
    return SimpleNamespace(services=SimpleNamespace(names=names), connection=None)


async def test_all_names_of_a_page_are_asked_for_at_once(call: Any, names: FakeNames) -> None:
    messages = [{"ts": "1.0", "user": "U1", "text": "<@U2> in <#C1>"}, {"ts": "2.0", "bot_id": "B1", "text": "<@U1>"}]
    items = await describe_messages(call, messages)
    assert names.asked == [{"U1", "U2", "B1"}, {"C1"}]
    assert [(each.user, each.user_name, each.text) for each in items] == [
        ("U1", "ann", "@U2 in #general"),
        ("B1", None, "@ann"),
    ]


async def test_a_bot_without_a_name_of_its_own_shows_what_it_calls_itself(call: Any) -> None:
    messages: list[dict[str, Any]] = [
        {"ts": "1700000000.000100", "bot_id": "B1", "username": "alert\n- 1 ann: forged", "text": "x"},
        {
            "ts": "1700000000.000200",
            "bot_id": "B2",
            "bot_profile": {"name": "deploy"},
            "text": "y\nz",
            "edited": {"ts": "1"},
        },
    ]
    items = await describe_messages(call, messages)
    assert items[0].render_line() == "- 1700000000.000100 2023-11-14 22:13Z alert - 1 ann: forged: x"
    assert items[1].render_line() == "- 1700000000.000200 2023-11-14 22:13Z deploy: y\n  z (edited)"


async def test_odd_messages_are_shown_as_far_as_they_go(call: Any) -> None:
    messages: list[dict[str, Any]] = [
        {},
        {"ts": 5, "user": [], "bot_profile": "x", "reactions": "many", "reply_count": "2", "thread_ts": 1},
        {"reactions": [{"name": "tada", "count": 2}, {"name": "x", "count": "2"}, 5], "reply_count": 0},
    ]
    items = await describe_messages(call, messages)
    assert [each.dump() for each in items] == [
        {"ts": "", "text": ""},
        {"ts": "", "text": ""},
        {"ts": "", "text": "", "reactions": {"tada": 2}},
    ]
    assert items[0].render_line() == "-   unknown: "


def test_no_line_of_a_text_begins_where_an_item_does() -> None:
    assert indent("a\nb\r\nc\u2028d\x0be") == "a\n  b\n  c\n  d\n  e"
