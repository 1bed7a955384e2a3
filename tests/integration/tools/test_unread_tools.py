"""The tools for what the person of the user token has not read, against a simulated Slack."""

from collections.abc import AsyncIterator

import pytest
from people_box import open_people_box
from toolbox import ACME, ANN, BEN, CAT, GENERAL, GLOBEX, RANDOM, SECRET_CHANNEL, USER_TOKENS, Toolbox

from slack_mcp.core.ids import ChannelId
from slack_mcp.core.model import Access, ToolPolicy
from slack_mcp.core.secret import Secret
from slack_mcp.simulator import Fault

pytestmark = pytest.mark.anyio


@pytest.fixture
async def box(anyio_backend: str) -> AsyncIterator[Toolbox]:
    async with open_people_box() as (box, _):
        yield box


def open_dm(box: Toolbox) -> str:
    """Return Ann's direct message with Ben."""
    return box.workspace().add_channel("D0ANNBEN", kind="im", members={ANN, BEN}).channel_id


async def test_unread_conversations_are_counted_as_the_person(box: Toolbox) -> None:
    workspace = box.workspace()
    for number in range(17):
        workspace.say(BEN, GENERAL, f"news {number}")
    first = workspace.say(BEN, RANDOM, "one").message
    workspace.say(BEN, RANDOM, "two")
    workspace.channels[RANDOM].last_read[ANN] = first.ts
    dm = open_dm(box)
    workspace.say(BEN, dm, "lunch?")
    unreads = await box.ok("SLACK_GET_UNREADS")
    assert unreads == {
        "unreads": [
            {
                "channel": GENERAL,
                "name": "#general",
                "unread_count": 15,
                "has_more": True,
                "last_read": "0000000000.000000",
            },
            {"channel": RANDOM, "name": "#random", "unread_count": 1, "last_read": first.ts},
            {"channel": dm, "name": "@ben", "unread_count": 1, "last_read": "0000000000.000000"},
        ],
        "checked": 4,
        "not_checked": [SECRET_CHANNEL],
    }
    assert f"- #random ({RANDOM}): 1 unread, since {first.ts}" in await box.text("SLACK_GET_UNREADS")
    slack_calls = [call for call in box.simulator.calls.select() if call.method.startswith(("conv", "users.conv"))]
    assert {call.token for call in slack_calls} == {USER_TOKENS[ACME]}


async def test_what_was_read_is_not_listed(box: Toolbox) -> None:
    workspace = box.workspace()
    ts = workspace.say(BEN, GENERAL, "news").message.ts
    assert await box.ok("SLACK_MARK_READ", {"channel": "#general"}) == {"channel": GENERAL, "ts": ts}
    assert workspace.channels[GENERAL].last_read == {ANN: ts}
    assert (await box.ok("SLACK_GET_UNREADS"))["unreads"] == []
    assert await box.text("SLACK_GET_UNREADS", {"types": "public_channel"}) == "No unreads."
    earlier = "1700000000.000100"
    await box.ok("SLACK_MARK_READ", {"channel": GENERAL, "ts": earlier})
    assert workspace.channels[GENERAL].last_read == {ANN: earlier}
    assert [each.target for each in await box.audited()] == [f"{GENERAL}/{earlier}", f"{GENERAL}/{ts}"]


async def test_direct_message_of_the_person_is_meant_not_the_bots(box: Toolbox) -> None:
    answer = await box.ok("SLACK_MARK_READ", {"channel": "@ben", "ts": "1700000000.000100"})
    assert box.workspace().channels[answer["channel"]].members == {ANN, BEN}


async def test_list_goes_on_where_it_stopped(box: Toolbox) -> None:
    for channel in (GENERAL, RANDOM):
        box.workspace().say(BEN, channel, "news")
    seen: list[str] = []
    arguments: dict[str, object] | None = {"limit": 1}
    while arguments is not None:
        page = await box.ok("SLACK_GET_UNREADS", arguments)
        assert page["checked"] == 1
        seen += [each["channel"] for each in page["unreads"]]
        arguments = {"limit": 1, "cursor": page["next_cursor"]} if "next_cursor" in page else None
    assert seen == [GENERAL, RANDOM]


async def test_rate_limit_in_the_middle_keeps_what_was_found(box: Toolbox) -> None:
    for channel in (GENERAL, RANDOM):
        box.workspace().say(BEN, channel, "news")
    fault = Fault(
        method="conversations.info", status=429, retry_after_s=20, when=lambda call: call.args["channel"] == RANDOM
    )
    box.simulator.faults.add(fault)
    page = await box.ok("SLACK_GET_UNREADS")
    assert ([each["channel"] for each in page["unreads"]], page["checked"]) == ([GENERAL], 1)
    rest = await box.ok("SLACK_GET_UNREADS", {"cursor": page["next_cursor"]})
    assert [each["channel"] for each in rest["unreads"]] == [RANDOM]
    box.simulator.faults.add(Fault(method="conversations.info", status=429, retry_after_s=20, times=None))
    assert "20 s" in await box.error("SLACK_GET_UNREADS")


async def test_number_of_calls_is_bounded(box: Toolbox) -> None:
    for number in range(100):
        box.workspace().add_channel(f"C0TEAM{number:03}", f"team-{number}", members={ANN, CAT})
    page = await box.ok("SLACK_GET_UNREADS", {"limit": 40})
    assert page["checked"] == 40
    assert "next_cursor" in page
    assert await box.text("SLACK_GET_UNREADS", {"limit": 40}) == (
        f"Nothing yet; the rest of the list was not looked through.\nnext_cursor: {page['next_cursor']}"
    )
    assert len(box.methods()) <= 2 * (1 + 2 * 40)
    assert "limit:" in await box.error("SLACK_GET_UNREADS", {"limit": 41})


async def test_without_a_user_token_it_says_which_is_needed(box: Toolbox) -> None:
    await box.change(user_token=None)
    assert not {"SLACK_GET_UNREADS", "SLACK_MARK_READ"} & set(await box.list_names())
    for tool, arguments in (("SLACK_GET_UNREADS", {}), ("SLACK_MARK_READ", {"channel": GENERAL})):
        assert "user token" in await box.error(tool, arguments)
    await box.change(user_token=Secret("xoxp-canary"), user_scopes=frozenset({"search:read"}))
    assert "channels:read or groups:read" in await box.error("SLACK_GET_UNREADS")
    assert box.methods() == box.methods(GLOBEX) == []


async def test_mark_is_a_write(box: Toolbox) -> None:
    arguments = {"channel": GENERAL, "ts": "1700000000.000100"}
    assert "write access" in await box.error("SLACK_MARK_READ", arguments, access=Access.READ)
    for policy, said in (
        (ToolPolicy(is_read_only=True), "read-only"),
        (ToolPolicy(denied_write_channels=(ChannelId(GENERAL),)), f"the channel {GENERAL}"),
    ):
        await box.set_policy(policy)
        assert said in await box.error("SLACK_MARK_READ", arguments)
    assert box.methods() == []
    await box.set_policy(ToolPolicy())
    for wrong, said in (({"ts": "yesterday"}, "ts:"), ({"ts": 1.5}, "ts:"), ({"channel": "#nowhere"}, "no channel")):
        assert said in await box.error("SLACK_MARK_READ", arguments | wrong)
    assert "no message" in await box.error("SLACK_MARK_READ", {"channel": RANDOM})
    assert "no such channel" in await box.error("SLACK_MARK_READ", arguments | {"channel": "C0NOWHERE"})
