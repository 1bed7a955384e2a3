from collections.abc import AsyncIterator
from typing import Any

import pytest
from toolbox import ANN, GENERAL, GLOBEX, RANDOM, Toolbox, open_toolbox

from slack_mcp.simulator.faults import Fault
from slack_mcp.tools.scheduled import TOOLS

pytestmark = pytest.mark.anyio

SCHEDULE, LIST, DELETE = "SLACK_SCHEDULE_MESSAGE", "SLACK_LIST_SCHEDULED_MESSAGES", "SLACK_DELETE_SCHEDULED_MESSAGE"
HOUR_S = 3_600


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


def soon(box: Toolbox, hours: int = 1) -> int:
    return int(box.services.clock.now_s()) + hours * HOUR_S


async def test_message_is_scheduled_and_keeps_what_it_was_given(box: Toolbox) -> None:
    root = box.workspace().say(ANN, GENERAL, "root").message.ts
    made = await box.ok(
        SCHEDULE,
        {"channel": "#general", "text": "later", "post_at": soon(box), "thread_ts": root, "reply_broadcast": True},
    )
    kept = box.workspace().scheduled[made["scheduled_message_id"]]
    assert (made["channel"], kept.channel_id, kept.text, kept.post_at) == (GENERAL, GENERAL, "later", made["post_at"])
    assert kept.content["thread_ts"] == root
    assert kept.content["is_broadcast"] is True
    assert (kept.content["unfurl_links"], kept.content["unfurl_media"]) == (False, False)
    assert not box.workspace(GLOBEX).scheduled


async def test_scheduled_messages_are_listed_page_by_page_and_by_channel(box: Toolbox) -> None:
    made = [
        (await box.ok(SCHEDULE, {"channel": channel, "text": f"<@{ANN}>", "post_at": soon(box, hours)}))
        for hours, channel in ((1, GENERAL), (2, RANDOM), (3, GENERAL))
    ]
    seen: list[Any] = []
    arguments: dict[str, Any] = {"limit": 2}
    for _ in range(5):
        page = await box.ok(LIST, arguments)
        seen += page["scheduled_messages"]
        if "next_cursor" not in page:
            break
        arguments["cursor"] = page["next_cursor"]
    assert [each["id"] for each in seen] == [each["scheduled_message_id"] for each in made]
    expected = {"id": made[0]["scheduled_message_id"], "channel": GENERAL, "channel_name": "general", "text": "@ann"}
    assert seen[0] == expected | {"post_at": made[0]["post_at"]}
    in_random = await box.text(LIST, {"channel": "#random"})
    assert in_random.startswith(f"- {made[1]['scheduled_message_id']} at {made[1]['post_at']} ")
    assert in_random.endswith(f"in #random ({RANDOM}): @ann")
    late = await box.ok(LIST, {"oldest": str(soon(box, 2) + 60)})
    assert len(late["scheduled_messages"]) == 1
    assert await box.text(LIST, connection_id=GLOBEX) == "No scheduled messages."


async def test_scheduled_message_is_taken_back_once(box: Toolbox) -> None:
    made = await box.ok(SCHEDULE, {"channel": GENERAL, "text": "later", "post_at": soon(box)})
    given = {"channel": "#general", "scheduled_message_id": made["scheduled_message_id"]}
    assert "SLACK_LIST_SCHEDULED_MESSAGES" in await box.error(DELETE, given, connection_id=GLOBEX)
    assert await box.ok(DELETE, given) == {"channel": GENERAL, "scheduled_message_id": made["scheduled_message_id"]}
    assert not box.workspace().scheduled
    assert "SLACK_LIST_SCHEDULED_MESSAGES" in await box.error(DELETE, given)


async def test_bad_input_is_refused_with_what_to_do(box: Toolbox) -> None:
    good = {"channel": GENERAL, "text": "later", "post_at": soon(box)}
    cases: list[tuple[str, dict[str, Any], str]] = [
        (SCHEDULE, good | {"post_at": 1_600_000_000}, "give a time after now, which is 1"),
        (SCHEDULE, good | {"post_at": soon(box, 121 * 24)}, "120 days ahead"),
        (SCHEDULE, good | {"post_at": float(soon(box))}, "post_at: "),
        (SCHEDULE, good | {"post_at": "tomorrow"}, "post_at: "),
        (SCHEDULE, good | {"text": "<!channel>"}, "allow_broadcast"),
        (SCHEDULE, good | {"text": "x" * 40_001}, "SLACK_UPLOAD_FILE"),
        (SCHEDULE, good | {"reply_broadcast": True}, "needs a thread_ts"),
        (SCHEDULE, good | {"channel": "#nowhere"}, "SLACK_LIST_CHANNELS"),
        (SCHEDULE, good | {"thread_ts": "1600000000.000100"}, "thread_not_found"),
        (LIST, {"oldest": "soon"}, "oldest: give a ts"),
        (LIST, {"cursor": "nonsense"}, "cursor: "),
        (DELETE, {"channel": GENERAL}, "scheduled_message_id is required"),
        (DELETE, {"channel": GENERAL, "scheduled_message_id": "Q1/../x"}, "scheduled_message_id: "),
        (DELETE, {"channel": GENERAL, "scheduled_message_id": "Q123"}, "within a minute"),
    ]
    for name, arguments, said in cases:
        assert said in await box.error(name, arguments), (name, arguments)
    assert not box.workspace().scheduled


async def test_refusals_of_slack_say_what_to_do(box: Toolbox) -> None:
    good = {"channel": GENERAL, "text": "later", "post_at": soon(box)}
    for error, said in (
        ("restricted_too_many", "30 messages"),
        ("time_in_past", "in the future"),
        ("time_too_far", "120 days"),
        ("not_in_channel", "SLACK_JOIN_CHANNEL"),
    ):
        box.simulator.faults.add(Fault(method="chat.scheduleMessage", error=error))
        assert said in await box.error(SCHEDULE, good)
