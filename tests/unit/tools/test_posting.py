from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.protocol.mrkdwn import escape
from slack_mcp.tools.posting import check_mentions, check_reply_broadcast

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "text", "x"]), inner),
)


@given(st.text())
def test_escaped_text_calls_nobody(text: str) -> None:
    check_mentions(escape(text), None, allow_broadcast=False)


@given(JSON, st.sampled_from([{"type": "broadcast"}, {"type": "usergroup"}, "<!here>", "see <!subteam^S1|@team>"]))
def test_a_broadcast_is_found_wherever_it_stands(around: Any, broadcast: Any) -> None:
    check_mentions("x", [{"type": ["odd"]}], allow_broadcast=False)
    blocks = [{"type": "section", "text": around, "more": [around, [broadcast]]}]
    with pytest.raises(InvalidInputError, match="allow_broadcast"):
        check_mentions("x", blocks, allow_broadcast=False)
    check_mentions("x", blocks, allow_broadcast=True)


@pytest.mark.parametrize("text", ["<!here|here>", "<! channel>", "<!Everyone>", "<!group>", "a<!subteam ^S1>"])
def test_all_ways_of_calling_a_channel_are_known(text: str) -> None:
    with pytest.raises(InvalidInputError, match="allow_broadcast"):
        check_mentions(text, None, allow_broadcast=False)


@pytest.mark.parametrize("text", ["<@U1>", "<#C1>", "@here", "<!date^1^{date}|now>", "&lt;!here&gt;", "<!hero>"])
def test_who_is_called_alone_is_called_freely(text: str) -> None:
    check_mentions(text, None, allow_broadcast=False)


def test_deep_blocks_are_looked_through_without_recursion() -> None:
    blocks: list[Any] = [{"type": "broadcast"}]
    for _ in range(5_000):
        blocks = [blocks]
    with pytest.raises(InvalidInputError):
        check_mentions("x", blocks, allow_broadcast=False)


def test_only_a_reply_can_be_shown_in_the_channel_too() -> None:
    check_reply_broadcast("1700000000.000100", is_broadcast=True)
    check_reply_broadcast(None, is_broadcast=False)
    with pytest.raises(InvalidInputError, match="needs a thread_ts"):
        check_reply_broadcast(None, is_broadcast=True)
