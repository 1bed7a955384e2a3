from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from store_samples import make_turn
from toolbox import ACME, ANN, GENERAL, GLOBEX, Toolbox, open_toolbox

from slack_mcp.core.ids import ChannelId, ConnectionId, EventId, Ts, UserId
from slack_mcp.core.model import ConnectionSettings, ToolPolicy
from slack_mcp.tools.threads import TOOLS

pytestmark = pytest.mark.anyio

INFO, HISTORY, RESET = "SLACK_GET_THREAD_INFO", "SLACK_GET_THREAD_HISTORY", "SLACK_RESET_THREAD"
ROOT = "1700000000.000100"
THREAD = {"channel": "#general", "thread_identifier": ROOT}


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


async def remember(box: Toolbox, question: str, answer: str, *, tenant: ConnectionId = ACME, second: int = 0) -> None:
    turn = make_turn(
        tenant,
        channel_id=ChannelId(GENERAL),
        thread_ts=Ts(ROOT),
        message_ts=Ts(f"17000000{second:02}.000100"),
        answer_ts=Ts(f"17000000{second:02}.500000"),
        event_id=EventId(f"Ev{second}"),
        user_id=UserId(ANN),
        question=question,
    )
    await box.turns.begin_turn(replace(turn, answer=answer))


async def test_thread_that_the_bot_took_no_part_in_is_not_known(box: Toolbox) -> None:
    assert await box.ok(INFO, THREAD) == {}
    assert await box.ok(HISTORY, THREAD) == {"messages": []}
    assert await box.text(HISTORY, THREAD) == "Nothing is remembered of this thread."


async def test_what_is_remembered_is_told_without_asking_slack(box: Toolbox) -> None:
    await remember(box, "What is it?", "It is\nthis.")
    await remember(box, "Other", "Theirs", tenant=GLOBEX)
    info = (await box.ok(INFO, THREAD | {"channel": GENERAL}))["thread"]
    assert abs(info.pop("last_activity") - 1_000 * box.services.clock.now_s()) < 60_000
    assert info == {"thread_id": f"{GENERAL}:{ROOT}", "message_count": 2, "is_active": True, "resets": 0}
    history = await box.ok(HISTORY, THREAD | {"channel": GENERAL})
    assert history["messages"] == [
        {"role": "user", "content": "What is it?", "timestamp": 1_700_000_000_000, "user_id": ANN},
        {"role": "assistant", "content": "It is\nthis.", "timestamp": 1_700_000_000_500},
    ]
    text = await box.text(HISTORY, THREAD | {"channel": GENERAL})
    assert text == f"- user {ANN}: What is it?\n- assistant: It is\n  this."
    assert box.methods() == []


async def test_the_last_messages_are_told_as_far_as_count_and_tokens_go(box: Toolbox) -> None:
    for number in range(3):
        await remember(box, f"question {number} {'x' * 400}", f"answer {number} {'x' * 400}", second=number)
    for arguments, expected in (
        ({"count": 3}, ["answer 1", "question 2", "answer 2"]),
        ({"count": 100, "max_tokens": 250}, ["question 2", "answer 2"]),
        ({"count": 1}, ["answer 2"]),
    ):
        messages = (await box.ok(HISTORY, THREAD | arguments))["messages"]
        assert [each["content"][: each["content"].index(" x")] for each in messages] == expected


async def test_an_old_thread_is_not_active(box: Toolbox) -> None:
    await remember(box, "q", "a")
    await box.change(settings=ConnectionSettings(thread_timeout_min=0))
    assert (await box.ok(INFO, THREAD))["thread"]["is_active"] is False


async def test_reset_forgets_and_is_audited_and_leaves_the_other_tenant_alone(box: Toolbox) -> None:
    for tenant in (ACME, GLOBEX):
        await remember(box, "q", "a", tenant=tenant)
    done = await box.ok(RESET, THREAD)
    assert f"{GENERAL}:{ROOT}" in done["message"]
    assert await box.ok(HISTORY, THREAD) == {"messages": []}
    info = (await box.ok(INFO, THREAD))["thread"]
    assert (info["message_count"], info["is_active"], info["resets"]) == (0, False, 1)
    assert (await box.audited())[0].target == f"{GENERAL}/{ROOT}"
    assert len((await box.ok(HISTORY, THREAD, connection_id=GLOBEX))["messages"]) == 2


async def test_reset_keeps_to_the_policy(box: Toolbox) -> None:
    await remember(box, "q", "a")
    await box.set_policy(ToolPolicy(denied_write_channels=(ChannelId(GENERAL),)))
    assert "policy does not let" in await box.error(RESET, THREAD)
    assert len((await box.ok(HISTORY, THREAD))["messages"]) == 2


BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    (INFO, {"channel": GENERAL}, "thread_identifier is required"),
    (INFO, THREAD | {"thread_identifier": "latest"}, "thread_identifier: "),
    (HISTORY, THREAD | {"count": 0}, "count: "),
    (HISTORY, THREAD | {"count": "10"}, "count: "),
    (RESET, THREAD | {"channel": "#nowhere"}, "SLACK_LIST_CHANNELS"),
    (RESET, THREAD | {"thread_ts": ROOT}, "thread_ts is not an argument"),
]


async def test_bad_input_is_refused_with_what_to_do(box: Toolbox) -> None:
    for name, arguments, said in BAD_INPUT:
        assert said in await box.error(name, arguments), (name, arguments)
