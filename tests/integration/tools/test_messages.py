from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from toolbox import ACME, ANN, BEN, BOT, GENERAL, GLOBEX, RANDOM, SECRET_CHANNEL, Toolbox, open_toolbox

from slack_mcp.simulator.faults import Fault
from slack_mcp.simulator.model import Message
from slack_mcp.tools.messages import TOOLS

pytestmark = pytest.mark.anyio

SEND, REPLY, EDIT = "SLACK_SEND_MESSAGE", "SLACK_REPLY_IN_THREAD", "SLACK_EDIT_MESSAGE"
DELETE, EPHEMERAL = "SLACK_DELETE_MESSAGE", "SLACK_SEND_EPHEMERAL"


@pytest.fixture
async def box() -> AsyncIterator[Toolbox]:
    async with open_toolbox(TOOLS) as toolbox:
        yield toolbox


def find(box: Toolbox, ts: str, channel: str = GENERAL) -> Message:
    return box.workspace().find_message(channel, ts)


def count(box: Toolbox) -> int:
    return sum(len(each.messages) for team in box.simulator.workspaces.values() for each in team.channels.values())


async def test_message_is_sent_as_it_was_written_and_nothing_unfurls(box: Toolbox) -> None:
    text = "Hello <@U0ANN00>, *see* <https://x.example|this> @here &amp; <#C0RANDOM>"
    sent = await box.ok(SEND, {"channel": "#general", "text": text})
    message = find(box, sent["ts"])
    assert (sent["channel"], message.text, message.user_id) == (GENERAL, text, BOT)
    assert (message.unfurl_links, message.unfurl_media, message.metadata) == (False, False, None)
    (call,) = box.simulator.calls.select("chat.postMessage")
    assert call.args["link_names"] is False
    assert "parse" not in call.args
    assert not box.workspace(GLOBEX).channels[GENERAL].messages


async def test_links_unfurl_when_the_caller_says_so(box: Toolbox) -> None:
    sent = await box.ok(SEND, {"channel": GENERAL, "text": "x", "unfurl_links": True, "unfurl_media": True})
    message = find(box, sent["ts"])
    assert (message.unfurl_links, message.unfurl_media) == (True, True)


async def test_message_to_a_person_is_a_direct_message(box: Toolbox) -> None:
    for channel in (ANN, "@ann", f"<@{ANN}>"):
        sent = await box.ok(SEND, {"channel": channel, "text": "psst"})
        assert box.workspace().channels[sent["channel"]].kind == "im"
        assert find(box, sent["ts"], sent["channel"]).text == "psst"


async def test_replies_stand_in_the_thread_and_in_the_channel_when_broadcast(box: Toolbox) -> None:
    root = box.workspace().say(ANN, GENERAL, "question").message
    by_send = await box.ok(SEND, {"channel": GENERAL, "text": "one", "thread_ts": root.ts})
    by_reply = await box.ok(
        REPLY, {"channel": GENERAL, "text": "two", "thread_ts": root.ts, "reply_broadcast": True, "blocks": [DIVIDER]}
    )
    assert [each.text for each in box.workspace().thread(GENERAL, root.ts)] == ["question", "one", "two"]
    assert not find(box, by_send["ts"]).is_broadcast
    assert find(box, by_reply["ts"]).is_broadcast
    assert find(box, by_reply["ts"]).blocks == [DIVIDER]


DIVIDER = {"type": "divider"}
BROADCASTS: list[dict[str, Any]] = [
    {"text": "<!here> hi"},
    {"text": "<!channel|everybody>"},
    {"text": "<!EVERYONE>"},
    {"text": "<!subteam^S123|@team>"},
    {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "<!here>"}}]},
    {"text": "x", "blocks": [{"type": "rich_text", "elements": [{"type": "broadcast", "range": "here"}]}]},
    {"text": "x", "blocks": [{"type": "rich_text", "elements": [{"type": "usergroup", "usergroup_id": "S1"}]}]},
]


async def test_nobody_calls_a_whole_channel_without_saying_so(box: Toolbox) -> None:
    own = await box.ok(SEND, {"channel": GENERAL, "text": "mine"})
    before = count(box)
    places: list[tuple[str, dict[str, Any]]] = [
        (SEND, {"channel": GENERAL}),
        (REPLY, {"channel": GENERAL, "thread_ts": own["ts"]}),
        (EDIT, {"channel": GENERAL, "ts": own["ts"]}),
        (EPHEMERAL, {"channel": GENERAL, "user": "@ann"}),
    ]
    for name, place in places:
        for content in BROADCASTS:
            assert "allow_broadcast" in await box.error(name, place | content), (name, content)
    assert count(box) == before
    assert not box.workspace().ephemerals


async def test_a_whole_channel_is_called_when_the_caller_says_so(box: Toolbox) -> None:
    sent = await box.ok(SEND, {"channel": GENERAL, "text": "<!here>", "allow_broadcast": True})
    assert find(box, sent["ts"]).text == "<!here>"


async def test_odd_blocks_are_left_to_slack(box: Toolbox) -> None:
    text = await box.error(SEND, {"channel": GENERAL, "text": "x", "blocks": [{"type": "odd", "n": [None, 1, [2]]}]})
    assert "invalid_blocks" in text
    text = await box.error(SEND, {"channel": GENERAL, "text": "x", "blocks": [{"type": "section"}]})
    assert "missing required field: text or fields" in text
    assert "/blocks/0" in text
    assert "SLACK_VALIDATE_BLOCKS" in text


async def test_own_message_is_edited_and_its_blocks_are_taken_away(box: Toolbox) -> None:
    sent = await box.ok(SEND, {"channel": GENERAL, "text": "old", "blocks": [DIVIDER]})
    edited = await box.ok(EDIT, {"channel": "#general", "ts": sent["ts"], "text": "new"})
    message = find(box, sent["ts"])
    assert edited == {"channel": GENERAL, "ts": sent["ts"]}
    assert (message.text, message.blocks) == ("new", None)
    await box.ok(EDIT, {"channel": GENERAL, "ts": sent["ts"], "text": "newer", "blocks": [DIVIDER]})
    assert find(box, sent["ts"]).blocks == [DIVIDER]


async def test_own_message_is_deleted_once(box: Toolbox) -> None:
    sent = await box.ok(SEND, {"channel": GENERAL, "text": "gone soon"})
    assert await box.ok(DELETE, {"channel": GENERAL, "ts": sent["ts"]}) == {"channel": GENERAL, "ts": sent["ts"]}
    assert sent["ts"] not in box.workspace().channels[GENERAL].messages
    assert "message_not_found" in await box.error(DELETE, {"channel": GENERAL, "ts": sent["ts"]})


async def test_messages_of_others_are_neither_edited_nor_deleted(box: Toolbox) -> None:
    ts = box.workspace().say(ANN, GENERAL, "mine").message.ts
    assert "only edit its own" in await box.error(EDIT, {"channel": GENERAL, "ts": ts, "text": "x"})
    assert "only delete its own" in await box.error(DELETE, {"channel": GENERAL, "ts": ts})
    assert find(box, ts).text == "mine"


async def test_ephemeral_message_is_shown_to_one_member(box: Toolbox) -> None:
    shown = await box.ok(EPHEMERAL, {"channel": "#general", "user": "@ann", "text": "only you", "blocks": [DIVIDER]})
    (note,) = box.workspace().ephemerals
    assert (note.channel_id, note.user_id, note.text, note.ts) == (GENERAL, ANN, "only you", shown["ts"])
    assert note.blocks == [DIVIDER]
    box.workspace().channels[RANDOM].members.discard(BEN)
    assert "SLACK_INVITE_TO_CHANNEL" in await box.error(EPHEMERAL, {"channel": RANDOM, "user": BEN, "text": "x"})


# A send whose answer was lost


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_request_that_is_repeated_sends_once(box: Toolbox, in_thread: bool) -> None:
    root = box.workspace().say(ANN, GENERAL, "root").message
    arguments = {"channel": GENERAL, "text": "once", "request_id": "r-1"}
    arguments |= {"thread_ts": root.ts} if in_thread else {}
    box.simulator.faults.add(Fault(method="chat.postMessage", status=503, is_late=True))
    assert "look before you repeat" in await box.error(SEND, arguments)
    again = await box.ok(SEND, arguments)
    assert again["is_duplicate"] is True
    own = [each for each in box.workspace().channels[GENERAL].messages.values() if each.user_id == BOT]
    assert [(each.ts, each.text) for each in own] == [(again["ts"], "once")]
    assert (await box.ok(SEND, arguments | {"request_id": "r-2"})).get("is_duplicate") is None


async def test_a_request_is_one_place_of_one_tenants_own_bot(box: Toolbox) -> None:
    mark = {"event_type": "slack_mcp_tool", "event_payload": {"request_id": "r-1"}}
    forged = box.workspace().say(ANN, GENERAL, "forged").message
    forged.metadata = mark
    arguments = {"channel": GENERAL, "text": "x", "request_id": "r-1"}
    first = await box.ok(SEND, arguments)
    assert "is_duplicate" not in first
    for elsewhere in ({"channel": RANDOM}, {"thread_ts": first["ts"]}):
        assert "is_duplicate" not in await box.ok(SEND, arguments | elsewhere)
    broadcast = await box.ok(SEND, arguments | {"thread_ts": forged.ts, "reply_broadcast": True})
    assert "is_duplicate" not in broadcast
    assert (await box.ok(SEND, arguments))["ts"] == first["ts"]
    assert "is_duplicate" not in await box.ok(SEND, arguments, connection_id=GLOBEX)


async def test_a_request_is_refused_where_the_bot_cannot_look(box: Toolbox) -> None:
    box.workspace().channels[RANDOM].members.discard(BOT)
    text = await box.error(SEND, {"channel": RANDOM, "text": "x", "request_id": "r-1"})
    assert "leave request_id out" in text
    assert "chat.postMessage" not in box.methods()
    box.simulator.faults.add(Fault(method="conversations.history", error="is_archived"))
    assert "is_archived" in await box.error(SEND, {"channel": GENERAL, "text": "x", "request_id": "r-1"})


# Bad input


BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    (SEND, {"channel": GENERAL}, "text is required"),
    (SEND, {"channel": GENERAL, "text": ""}, "text: "),
    (SEND, {"channel": GENERAL, "text": 5}, "text: "),
    (SEND, {"channel": "", "text": "x"}, "channel: "),
    (SEND, {"channel": GENERAL, "text": "x" * 40_001}, "SLACK_UPLOAD_FILE"),
    (SEND, {"channel": GENERAL, "text": "x", "as_user": True}, "as_user is not an argument"),
    (SEND, {"channel": GENERAL, "text": "x", "unfurl_links": "true"}, "unfurl_links: "),
    (SEND, {"channel": GENERAL, "text": "x", "thread_ts": "1700000000"}, "thread_ts: "),
    (SEND, {"channel": GENERAL, "text": "x", "thread_ts": 1700000000.0001}, "thread_ts: "),
    (SEND, {"channel": GENERAL, "text": "x", "reply_broadcast": True}, "needs a thread_ts"),
    (SEND, {"channel": GENERAL, "text": "x", "blocks": []}, "blocks: "),
    (SEND, {"channel": GENERAL, "text": "x", "blocks": [DIVIDER] * 51}, "blocks: "),
    (SEND, {"channel": GENERAL, "text": "x", "request_id": "a b"}, "request_id: "),
    (SEND, {"channel": "#nowhere", "text": "x"}, "SLACK_LIST_CHANNELS"),
    (SEND, {"channel": "@nobody", "text": "x"}, "SLACK_SEARCH_USERS"),
    (SEND, {"channel": "C0OTHERTEAM", "text": "x"}, "channel_not_found"),
    (SEND, {"channel": SECRET_CHANNEL, "text": "x"}, "the bot was invited"),
    (SEND, {"channel": GENERAL, "text": "x", "thread_ts": "1600000000.000100"}, "SLACK_GET_CHANNEL_HISTORY"),
    (REPLY, {"channel": GENERAL, "text": "x"}, "thread_ts is required"),
    (EDIT, {"channel": GENERAL, "ts": "1600000000.000100", "text": "x" * 4_001}, "at most 4000 characters"),
    (EDIT, {"channel": GENERAL, "ts": "1600000000.000100", "text": "x"}, "message_not_found"),
    (DELETE, {"channel": GENERAL, "ts": "latest"}, "ts: "),
    (EPHEMERAL, {"channel": GENERAL, "text": "x"}, "user is required"),
    (EPHEMERAL, {"channel": GENERAL, "user": "@nobody", "text": "x"}, "nobody"),
]


async def test_bad_input_is_refused_with_what_to_do(box: Toolbox) -> None:
    before = count(box)
    for name, arguments, said in BAD_INPUT:
        assert said in await box.error(name, arguments), (name, arguments)
    assert count(box) == before


REFUSALS = [
    ("not_in_channel", "SLACK_JOIN_CHANNEL"),
    ("is_archived", "SLACK_UNARCHIVE_CHANNEL"),
    ("restricted_action", "admins"),
    ("ratelimited", "wait"),
    ("invalid_auth", "Reinstall"),
    ("some_new_word", "The same call fails again"),
]


async def test_refusals_of_slack_say_what_to_do(box: Toolbox) -> None:
    for error, said in REFUSALS:
        box.simulator.faults.add(Fault(method="chat.postMessage", error=error))
        assert said in await box.error(SEND, {"channel": GENERAL, "text": "canary-text"})
        assert (await box.audited())[0].target == GENERAL


async def test_channel_of_another_workspace_cannot_be_written_to(box: Toolbox) -> None:
    box.workspace(GLOBEX).add_channel("C0GLOBEX", "globex-only")
    assert "channel_not_found" in await box.error(SEND, {"channel": "C0GLOBEX", "text": "x"})
    assert "no channel" in await box.error(SEND, {"channel": "#globex-only", "text": "x"})
    assert not box.workspace(GLOBEX).channels["C0GLOBEX"].messages


async def test_two_tenants_write_at_once_and_never_to_one_another(box: Toolbox) -> None:
    async def write(tenant: Any, number: int) -> None:
        await box.ok(SEND, {"channel": "#general", "text": f"{tenant} {number}"}, connection_id=tenant)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                for tenant in (ACME, GLOBEX):
                    tasks.start_soon(write, tenant, number)
    for tenant in (ACME, GLOBEX):
        texts = {each.text for each in box.workspace(tenant).channels[GENERAL].messages.values()}
        assert texts == {f"{tenant} {number}" for number in range(10)}
    for call in box.simulator.calls.select("chat.postMessage"):
        assert call.team_id == f"T_{call.args['text'].split()[0]}"
