from dataclasses import replace
from typing import Any

import pytest
from directory_fake import make_connection
from hypothesis import given
from hypothesis import strategies as st
from identity_fakes import make_principal
from tool_fakes import FakeWeb, make_services

from slack_mcp.core.errors import InvalidInputError
from slack_mcp.core.ids import ChannelId
from slack_mcp.protocol.mrkdwn import escape
from slack_mcp.tools.call import Call
from slack_mcp.tools.caller import Caller
from slack_mcp.tools.posting import check_actions, check_mentions, check_reply_broadcast, find_posted
from slack_mcp.tools.registry import TOOLS

YES, IN_WORDS = "slack_mcp_answer_0", "slack_mcp_answer_form"
TS = "1700000000.000100"

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


@pytest.mark.anyio
async def test_a_repeat_is_looked_for_among_the_latest_messages() -> None:
    web, services = FakeWeb(), make_services()
    send = next(tool for tool in TOOLS if tool.name == "SLACK_SEND_MESSAGE")
    identity = (make_principal(), make_connection("conn_a"))
    call = Call(
        services=replace(services, slack=web), caller=Caller(), tool=send.name, access=send.access, identity=identity
    )
    assert await find_posted(call, ChannelId("C1"), None, "r1") is None
    ((method, asked),) = web.calls
    assert method == "conversations.history"
    now_s = services.clock.now_s()
    # With `oldest` alone Slack gives those that are closest to it.
    assert float(asked["oldest"]) < now_s < float(asked["latest"])


@given(JSON, st.sampled_from([YES, IN_WORDS]))
def test_no_button_of_a_message_passes_for_one_of_a_question(around: Any, action_id: str) -> None:
    check_actions([{"type": "actions", "elements": [around, {"type": "button", "action_id": "mine"}]}])
    with pytest.raises(ValueError, match="SLACK_ASK_HUMAN"):
        check_actions([{"type": "actions", "elements": [around, [{"type": "button", "action_id": action_id}]]}])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SLACK_SEND_MESSAGE", {"channel": "C1", "text": "x"}),
        ("SLACK_REPLY_IN_THREAD", {"channel": "C1", "text": "x", "thread_ts": TS}),
        ("SLACK_EDIT_MESSAGE", {"channel": "C1", "text": "x", "ts": TS}),
        ("SLACK_SEND_EPHEMERAL", {"channel": "C1", "text": "x", "user": "U1"}),
        ("SLACK_SCHEDULE_MESSAGE", {"channel": "C1", "text": "x", "post_at": 1_800_000_000}),
        ("SLACK_PUBLISH_HOME", {"user_id": "U1"}),
    ],
)
def test_every_tool_that_takes_blocks_looks_at_their_buttons(name: str, arguments: dict[str, Any]) -> None:
    tool = next(tool for tool in TOOLS if tool.name == name)
    button = {"type": "button", "action_id": YES, "value": "Q1"}
    with pytest.raises(InvalidInputError, match="blocks: an action_id that begins with slack_mcp_answer_"):
        tool.parse(arguments | {"blocks": [{"type": "section", "accessory": button}]})
