from dataclasses import asdict
from typing import Any

import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace
from slack_mcp.simulator.args import Args
from slack_mcp.simulator.limits import StreamRules
from slack_mcp.simulator.model import Message, Task
from slack_mcp.simulator.render import render_message
from slack_mcp.simulator.streams import append_stream, start_stream, stop_stream
from slack_mcp.simulator.voices import speak

pytestmark = pytest.mark.anyio
RECIPIENT = {"recipient_user_id": "UANN1", "recipient_team_id": "T1"}
FEEDBACK = {
    "type": "context_actions",
    "elements": [
        {
            "type": "feedback_buttons",
            "action_id": "rate",
            "positive_button": {"text": {"type": "plain_text", "text": "Good"}, "value": "up"},
            "negative_button": {"text": {"type": "plain_text", "text": "Bad"}, "value": "down"},
        }
    ],
}
METADATA = {"event_type": "turn", "event_payload": {"part": 1}}


def say(text: str) -> dict[str, str]:
    return {"type": "markdown_text", "text": text}


def task(task_id: str, title: str, status: str, **more: Any) -> dict[str, Any]:
    return {"type": "task_update", "id": task_id, "title": title, "status": status} | more


@pytest.fixture
def root(workspace: Workspace) -> str:
    return workspace.say("UANN1", "C1", "<@UBOT1> hello").message.ts


async def start(bot: SimulatorClient, root: str, **args: Any) -> str:
    answer = await bot.call("chat.startStream", channel="C1", thread_ts=root, **(RECIPIENT | args))
    assert answer["channel"] == "C1"
    return str(answer["ts"])


def find(workspace: Workspace, ts: str) -> Message:
    return workspace.find_message("C1", ts)


async def test_a_streamed_message_shows_all_that_was_written_so_far(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    ts = await start(bot, root, chunks=[say("one ")])
    await bot.call("chat.appendStream", channel="C1", ts=ts, chunks=[say("two "), say("**three**")])
    message = find(workspace, ts)
    assert (message.text, message.thread_ts, message.is_streaming) == ("one two **three**", root, True)
    stopped = await bot.call(
        "chat.stopStream", channel="C1", ts=ts, chunks=[say(" four")], blocks=[FEEDBACK], metadata=METADATA
    )
    assert (stopped["channel"], stopped["ts"]) == ("C1", ts)
    shown = stopped["message"]
    assert (shown["text"], shown["blocks"], shown["streaming_state"]) == (
        "one two **three** four",
        [FEEDBACK],
        "completed",
    )
    assert shown["metadata"] == METADATA
    assert [each.text for each in message.revisions] == ["one ", "one two **three**", "one two **three** four"]
    assert not message.is_streaming


async def test_whoever_waits_for_answers_may_wait_until_they_are_whole(bot: SimulatorClient, root: str) -> None:
    wanted = {"team_id": "T1", "channel": "C1", "thread_ts": root}
    ts = await start(bot, root, markdown_text="x")
    (message,) = (await bot.control("wait", **wanted))["messages"]
    assert message["stream"]["state"] == "in_progress"
    await bot.call("chat.stopStream", channel="C1", ts=ts)
    (message,) = (await bot.control("wait", **wanted, is_whole=True))["messages"]
    assert message["stream"]["state"] == "completed"


async def test_a_stream_may_begin_with_nothing_but_an_append_may_not_be_empty(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    ts = await start(bot, root)
    assert find(workspace, ts).text == ""
    assert await bot.refusal("chat.appendStream", channel="C1", ts=ts) == "no_text"
    assert await bot.refusal("chat.appendStream", channel="C1", ts=ts, chunks=[]) == "no_text"
    await bot.call("chat.stopStream", channel="C1", ts=ts)


async def test_streams_outside_of_direct_messages_name_a_thread_and_a_recipient(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    place: dict[str, Any] = {"channel": "C1", "thread_ts": root}
    assert await bot.refusal("chat.startStream", channel="C1", **RECIPIENT) == "invalid_arguments"
    assert await bot.refusal("chat.startStream", channel="C1", thread_ts="1.2", **RECIPIENT) == "thread_not_found"
    assert await bot.refusal("chat.startStream", **place) == "missing_recipient_team_id"
    assert await bot.refusal("chat.startStream", **place, recipient_team_id="T1") == "missing_recipient_user_id"
    nobody = RECIPIENT | {"recipient_user_id": "UNOBODY"}
    assert await bot.refusal("chat.startStream", **place, **nobody) == "user_not_found"
    odd = await bot.refusal("chat.startStream", **place, **RECIPIENT, task_display_mode="cloud")
    assert odd == "invalid_arguments"
    direct = workspace.open_im("UANN1").channel_id
    asked = workspace.say("UANN1", direct, "hello").message.ts
    await bot.call("chat.startStream", channel=direct, thread_ts=asked)


async def test_only_the_bot_streams_and_only_with_its_scope(
    bot: SimulatorClient, ann: SimulatorClient, workspace: Workspace, root: str
) -> None:
    place = {"channel": "C1", "thread_ts": root} | RECIPIENT
    assert await ann.refusal("chat.startStream", **place) == "not_allowed_token_type"
    workspace.scopes = "channels:history"
    assert await bot.refusal("chat.startStream", **place) == "missing_scope"


async def test_nothing_is_appended_to_a_message_that_does_not_stream(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    posted = (await bot.call("chat.postMessage", channel="C1", text="x"))["ts"]
    ended = await start(bot, root, markdown_text="x")
    await bot.call("chat.stopStream", channel="C1", ts=ended)
    other = workspace.add_app("AOTHER", "BOTHER", "UOTHER", "other")
    foreign = speak(workspace, other.bot_id, "C1", "x").message.ts
    for method in ("chat.appendStream", "chat.stopStream"):
        for ts, error in (
            (posted, "message_not_in_streaming_state"),
            (ended, "message_not_in_streaming_state"),
            (root, "message_not_owned_by_app"),
            (foreign, "message_not_owned_by_app"),
            ("1.2", "message_not_found"),
            ("", "message_not_found"),
        ):
            assert await bot.refusal(method, channel="C1", ts=ts, markdown_text="y") == error


async def test_a_streaming_message_is_not_edited_but_deleted_and_afterwards_edited(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    ts = await start(bot, root, chunks=[say("x"), task("t", "Look", "complete")])
    assert await bot.refusal("chat.update", channel="C1", ts=ts, text="y") == "streaming_state_conflict"
    await bot.call("chat.stopStream", channel="C1", ts=ts)
    await bot.call("chat.update", channel="C1", ts=ts, text="y")
    message = find(workspace, ts)
    assert (message.text, message.tasks) == ("y", ())
    again = await start(bot, root, markdown_text="x")
    await bot.call("chat.delete", channel="C1", ts=again)
    assert await bot.refusal("chat.appendStream", channel="C1", ts=again, markdown_text="y") == "message_not_found"


@pytest.mark.parametrize(
    ("rules", "waits_s"),
    [(StreamRules(), (200.0, 100.0)), (StreamRules(max_age_s=10), (10.0,)), (StreamRules(max_idle_s=5), (4.0, 5.0))],
)
async def test_a_stream_dies_of_age_or_of_silence_and_keeps_its_text(
    bot: SimulatorClient, clock: SteppingClock, root: str, rules: StreamRules, waits_s: tuple[float, ...]
) -> None:
    await bot.control("workspace", team_id="T1", stream_rules=asdict(rules))
    ts = await start(bot, root, markdown_text="kept")
    for wait_s in waits_s[:-1]:
        clock.time_s += wait_s
        await bot.call("chat.appendStream", channel="C1", ts=ts, markdown_text=".")
    clock.time_s += waits_s[-1]
    refusal = await bot.refusal("chat.appendStream", channel="C1", ts=ts, markdown_text="lost")
    assert refusal == "message_not_in_streaming_state"
    assert await bot.refusal("chat.stopStream", channel="C1", ts=ts) == "message_not_in_streaming_state"
    shown = (await bot.call("conversations.replies", channel="C1", ts=root))["messages"][1]
    assert shown["text"].rstrip(".") == "kept"
    assert shown["streaming_state"] == "errored"
    await bot.call("chat.update", channel="C1", ts=ts, text="the rest")


async def test_content_comes_either_as_text_or_as_chunks(bot: SimulatorClient, root: str) -> None:
    both: dict[str, Any] = {"markdown_text": "x", "chunks": [say("x")]}
    place: dict[str, Any] = {"channel": "C1", "thread_ts": root} | RECIPIENT
    code = "cannot_provide_both_markdown_text_and_chunks"
    assert await bot.refusal("chat.startStream", **place, **both) == code
    text, chunks = await start(bot, root, markdown_text="x"), await start(bot, root, chunks=[say("x")])
    for method in ("chat.appendStream", "chat.stopStream"):
        assert await bot.refusal(method, channel="C1", ts=text, **both) == code
        assert await bot.refusal(method, channel="C1", ts=text, chunks=[say("y")]) == "streaming_mode_mismatch"
        assert await bot.refusal(method, channel="C1", ts=chunks, markdown_text="y") == "streaming_mode_mismatch"


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        ("text", "invalid_chunks"),
        ({"type": "none"}, "invalid_chunks"),
        ({"type": "markdown_text"}, "invalid_chunks"),
        (say("x" * 12_001), "msg_too_long"),
        (task("", "Look", "pending"), "invalid_chunks"),
        (task("t", "", "pending"), "invalid_chunks"),
        (task("t", "Look", "done"), "invalid_chunks"),
        (task("t", "x" * 257, "pending"), "invalid_chunks"),
        (task("t", "Look", "pending", details="x" * 257), "invalid_chunks"),
        (task("t", "Look", "pending", sources="x"), "invalid_chunks"),
        ({"type": "plan_update", "title": "x" * 257}, "invalid_chunks"),
        ({"type": "blocks"}, "invalid_chunks"),
        ({"type": "blocks", "blocks": [{"type": "none"}]}, "invalid_blocks"),
        ({"type": "blocks", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
    ],
)
async def test_chunks_that_slack_does_not_take_are_refused(
    bot: SimulatorClient, workspace: Workspace, root: str, chunk: Any, error: str
) -> None:
    ts = await start(bot, root, chunks=[say("x")])
    assert await bot.refusal("chat.appendStream", channel="C1", ts=ts, chunks=[say("y"), chunk]) == error
    assert find(workspace, ts).text == "x"


async def test_chunks_must_be_a_list(bot: SimulatorClient, root: str) -> None:
    ts = await start(bot, root)
    assert await bot.refusal("chat.appendStream", channel="C1", ts=ts, chunks="{}") == "invalid_chunks"


async def test_a_message_holds_so_many_bytes_and_refuses_the_rest_whole(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    ts = await start(bot, root, chunks=[say("ü" * 5_600)])
    await bot.call("chat.appendStream", channel="C1", ts=ts, chunks=[say("x" * 100)])
    update = [task("t", "Look", "pending"), say("x")]
    assert await bot.refusal("chat.appendStream", channel="C1", ts=ts, chunks=update) == "msg_too_long"
    message = find(workspace, ts)
    assert len(message.text.encode()) == 11_300
    assert message.tasks == ()
    await bot.call("chat.appendStream", channel="C1", ts=ts, chunks=[task("t", "Look", "pending")])
    long = await bot.refusal("chat.startStream", channel="C1", thread_ts=root, **RECIPIENT, markdown_text="x" * 11_301)
    assert long == "msg_too_long"


async def test_tasks_are_replaced_by_their_id_and_shown_as_cards(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    source = {"type": "url", "url": "https://example.com", "text": "example"}
    ts = await start(bot, root, chunks=[task("a", "Look", "in_progress", details="one"), task("b", "Wait", "pending")])
    update = task("a", "Looked", "complete", details=", two", output="found", sources=[source])
    await bot.call("chat.appendStream", channel="C1", ts=ts, chunks=[update, say("answer")])
    message = find(workspace, ts)
    looked = Task(task_id="a", title="Looked", status="complete", details="one, two", output="found", sources=(source,))
    assert message.tasks == (looked, Task(task_id="b", title="Wait", status="pending"))
    assert [each.tasks[0].status for each in message.revisions] == ["in_progress", "complete"]
    await bot.call("chat.stopStream", channel="C1", ts=ts, blocks=[FEEDBACK])
    first, second, last = render_message(message, workspace.install)["blocks"]
    assert first["details"]["elements"][0]["elements"] == [{"type": "text", "text": "one, two"}]
    assert (first["type"], first["task_id"], first["sources"]) == ("task_card", "a", [source])
    assert second == {"type": "task_card", "task_id": "b", "title": "Wait", "status": "pending"}
    assert last == FEEDBACK


async def test_a_plan_shows_its_tasks_below_one_title(bot: SimulatorClient, workspace: Workspace, root: str) -> None:
    plan = [{"type": "plan_update", "title": "Work"}, task("a", "Look", "pending")]
    ts = await start(bot, root, chunks=plan, task_display_mode="plan")
    card = {"type": "task_card", "task_id": "a", "title": "Look", "status": "pending"}
    shown = render_message(find(workspace, ts), workspace.install)
    assert shown["blocks"] == [{"type": "plan", "title": "Work", "tasks": [card]}]
    assert shown["streaming_state"] == "in_progress"
    bare = await start(bot, root, task_display_mode="plan")
    assert "blocks" not in render_message(find(workspace, bare), workspace.install)


async def test_blocks_of_chunks_stand_above_those_of_the_end(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    ts = await start(bot, root, chunks=[{"type": "blocks", "blocks": [{"type": "divider"}]}])
    bad = await bot.refusal("chat.stopStream", channel="C1", ts=ts, blocks=[{"type": "divider"}] * 51)
    assert bad == "invalid_blocks"
    odd = await bot.refusal("chat.stopStream", channel="C1", ts=ts, metadata={"event_type": 1})
    assert odd == "invalid_metadata_format"
    odd = await bot.refusal("chat.stopStream", channel="C1", ts=ts, metadata={"event_type": 1})
    assert odd == "invalid_metadata_format"
    await bot.call("chat.stopStream", channel="C1", ts=ts, blocks=[FEEDBACK])
    assert find(workspace, ts).blocks == [{"type": "divider"}, FEEDBACK]


async def test_a_stream_clears_the_status_and_puts_its_session_to_work(
    bot: SimulatorClient, workspace: Workspace, root: str
) -> None:
    await bot.call("assistant.threads.setStatus", channel_id="C1", thread_ts=root, status="is thinking…")
    ts = await start(bot, root)
    assert workspace.statuses == {}
    session = workspace.sessions["C1", root]
    assert (session.status, session.user_id) == ("processing", "UANN1")
    assert await bot.refusal("chat.stopStream", channel="C1", ts=ts, session_status="over") == "invalid_arguments"
    await bot.call("chat.stopStream", channel="C1", ts=ts, session_status="suspended")
    assert workspace.sessions["C1", root].status == "suspended"
    second = await start(bot, root)
    await bot.call("chat.stopStream", channel="C1", ts=second)
    assert workspace.sessions["C1", root].status == "active"


async def test_a_stream_is_told_of_when_it_starts_and_when_it_stops(workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "hello").message.ts
    started = start_stream(workspace, Args({"channel": "C1", "thread_ts": root, "markdown_text": "a"} | RECIPIENT))
    (first,) = started.envelopes
    assert first["event"]["type"] == "message"
    assert (first["event"]["bot_id"], first["event"]["text"], first["event"]["streaming_state"]) == (
        workspace.install.bot_id,
        "a",
        "in_progress",
    )
    where = {"channel": "C1", "ts": started.body["ts"]}
    assert append_stream(workspace, Args(where | {"markdown_text": "b"})).envelopes == []
    (last,) = stop_stream(workspace, Args(where)).envelopes
    assert last["event"]["subtype"] == "message_changed"
    assert last["event"]["message"]["text"] == "ab"
    assert "edited" not in last["event"]["message"]
    assert last["event"]["previous_message"]["streaming_state"] == "in_progress"
