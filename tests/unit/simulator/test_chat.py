import pytest
from simulator_client import SimulatorClient
from stepping_clock import SteppingClock

from slack_mcp.simulator import Workspace

pytestmark = pytest.mark.anyio
DAY_S = 24 * 3600


async def test_what_was_asked_of_a_message_can_be_read_back(bot: SimulatorClient, workspace: Workspace) -> None:
    attachments = [{"text": "more"}]
    posted = await bot.call(
        "chat.postMessage", channel="C1", text="x", attachments=attachments, unfurl_links=False, unfurl_media=True
    )
    message = workspace.channels["C1"].messages[posted["ts"]]
    assert (message.unfurl_links, message.unfurl_media, message.attachments) == (False, True, attachments)
    shown = (await bot.call("conversations.history", channel="C1"))["messages"][0]
    assert shown["attachments"] == attachments
    plain = await bot.call("chat.postMessage", channel="C1", markdown_text="**x**")
    assert workspace.channels["C1"].messages[plain["ts"]].unfurl_links is None
    assert plain["message"]["text"] == "**x**"


async def test_attachments_alone_are_a_message_and_can_be_replaced(bot: SimulatorClient) -> None:
    posted = await bot.call("chat.postMessage", channel="C1", attachments=[{"text": "a"}])
    changed = await bot.call("chat.update", channel="C1", ts=posted["ts"], text="b", attachments=[{"text": "b"}])
    assert changed["message"]["attachments"] == [{"text": "b"}]


async def test_invalid_blocks_are_named(bot: SimulatorClient) -> None:
    answer = await bot.answer("chat.postMessage", channel="C1", blocks=[{"type": "divider"}, {"type": "none"}])
    assert answer["error"] == "invalid_blocks"
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] unsupported type: none [json-pointer:/blocks/1/type]",
    ]


async def test_permalinks_lead_into_threads(bot: SimulatorClient, workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "root").message
    reply = workspace.say("UANN1", "C1", "reply", root.ts).message
    link = f"https://simulated.slack.com/archives/C1/p{root.ts.replace('.', '')}"
    assert (await bot.call("chat.getPermalink", channel="C1", message_ts=root.ts))["permalink"] == link
    answer = await bot.call("chat.getPermalink", channel="C1", message_ts=reply.ts)
    assert answer["permalink"].endswith(f"?thread_ts={root.ts}&cid=C1")


async def test_reply_to_a_deleted_root_that_has_replies_is_taken(bot: SimulatorClient, workspace: Workspace) -> None:
    root = workspace.say("UANN1", "C1", "root").message
    workspace.say("UANN1", "C1", "reply", root.ts)
    workspace.delete(root)
    await bot.call("chat.postMessage", channel="C1", text="x", thread_ts=root.ts)


async def test_a_scheduled_message_is_listed_and_posted_when_its_time_comes(
    bot: SimulatorClient, ann: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    post_at = int(clock.time_s) + 3600
    made = await bot.call("chat.scheduleMessage", channel="C1", text="later", post_at=post_at, unfurl_links=False)
    assert (made["channel"], made["post_at"], made["message"]["text"]) == ("C1", post_at, "later")
    listed = (await bot.call("chat.scheduledMessages.list"))["scheduled_messages"]
    assert listed == [
        {
            "id": made["scheduled_message_id"],
            "channel_id": "C1",
            "post_at": post_at,
            "date_created": int(clock.time_s),
            "text": "later",
        }
    ]
    assert (await ann.call("chat.scheduledMessages.list"))["scheduled_messages"] == []
    assert workspace.post_due() == []
    clock.time_s += 3600
    (posted,) = workspace.post_due()
    assert (posted.message.text, posted.message.unfurl_links, posted.message.user_id) == ("later", False, "UBOT1")
    assert workspace.scheduled == {}
    await bot.call("chat.scheduleMessage", channel="C1", text="due", post_at=post_at + 60)
    await ann.call("chat.scheduleMessage", channel="C1", text="not yet", post_at=post_at + 7200)
    clock.time_s += 60
    listed = (await ann.call("chat.scheduledMessages.list"))["scheduled_messages"]
    assert ([each["text"] for each in listed], workspace.channels["C1"].top[-1].text) == (["not yet"], "due")
    await bot.call("chat.scheduleMessage", channel="C1", text="never", post_at=post_at + 3600)
    workspace.delete_channel("C1")
    clock.time_s += 3600
    assert workspace.post_due() == []


async def test_scheduled_messages_are_chosen_by_channel_and_time_in_pages(
    bot: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    workspace.add_channel("C9")
    start = int(clock.time_s)
    for hours in (3, 1, 2):
        await bot.call("chat.scheduleMessage", channel="C1", text=str(hours), post_at=start + hours * 3600)
    await bot.call("chat.scheduleMessage", channel="C9", text="other", post_at=start + 3600)
    first = await bot.call("chat.scheduledMessages.list", channel="C1", limit=2)
    rest = await bot.call(
        "chat.scheduledMessages.list", channel="C1", limit=2, cursor=first["response_metadata"]["next_cursor"]
    )
    texts = [each["text"] for page in (first, rest) for each in page["scheduled_messages"]]
    assert texts == ["1", "2", "3"]
    within = await bot.call("chat.scheduledMessages.list", oldest=start + 7000, latest=start + 7500)
    assert [each["text"] for each in within["scheduled_messages"]] == ["2"]
    assert await bot.refusal("chat.scheduledMessages.list", channel="C404") == "invalid_channel"


@pytest.mark.parametrize(
    ("delay_s", "error"), [(0, "time_in_past"), (-5, "time_in_past"), (120 * DAY_S + 1, "time_too_far")]
)
async def test_the_time_is_in_the_next_120_days(
    bot: SimulatorClient, clock: SteppingClock, delay_s: int, error: str
) -> None:
    post_at = int(clock.time_s) + delay_s
    assert await bot.refusal("chat.scheduleMessage", channel="C1", text="x", post_at=post_at) == error


async def test_a_time_is_a_number(bot: SimulatorClient) -> None:
    assert await bot.refusal("chat.scheduleMessage", channel="C1", text="x", post_at="tomorrow") == "invalid_time"
    assert await bot.refusal("chat.scheduleMessage", channel="C1", text="x" * 40_001, post_at=1) == "msg_too_long"


async def test_thirty_messages_in_five_minutes_are_the_most(bot: SimulatorClient, clock: SteppingClock) -> None:
    post_at = int(clock.time_s) + 3600
    for number in range(30):
        await bot.call("chat.scheduleMessage", channel="C1", text="x", post_at=post_at + number)
    again = {"channel": "C1", "text": "x"}
    assert await bot.refusal("chat.scheduleMessage", post_at=post_at, **again) == "restricted_too_many"
    await bot.call("chat.scheduleMessage", post_at=post_at + 600, **again)


async def test_a_scheduled_message_is_deleted_by_who_made_it_until_the_last_minute(
    bot: SimulatorClient, ann: SimulatorClient, clock: SteppingClock
) -> None:
    post_at = int(clock.time_s) + 3600
    ids = [
        (await bot.call("chat.scheduleMessage", channel="C1", text="x", post_at=post_at))["scheduled_message_id"]
        for _ in range(2)
    ]
    method, error = "chat.deleteScheduledMessage", "invalid_scheduled_message_id"
    assert await ann.refusal(method, channel="C1", scheduled_message_id=ids[0]) == error
    assert await bot.refusal(method, channel="C1", scheduled_message_id="Q404") == error
    await bot.call(method, channel="C1", scheduled_message_id=ids[0])
    assert await bot.refusal(method, channel="C1", scheduled_message_id=ids[0]) == error
    clock.time_s += 3550
    assert await bot.refusal(method, channel="C1", scheduled_message_id=ids[1]) == error


async def test_a_thread_has_a_status_a_title_and_prompts(bot: SimulatorClient, workspace: Workspace) -> None:
    where = {"channel_id": "C1", "thread_ts": "1.2"}
    prompts = [{"title": "Help", "message": "Help me"}]
    await bot.call("assistant.threads.setTitle", title="Questions", **where)
    await bot.call("assistant.threads.setSuggestedPrompts", prompts=prompts, **where)
    assert workspace.thread_titles == {("C1", "1.2"): "Questions"}
    assert workspace.thread_prompts == {("C1", "1.2"): prompts}
    for wrong in ([], prompts * 5, [{"title": "x"}], ["x"]):
        assert await bot.refusal("assistant.threads.setSuggestedPrompts", prompts=wrong, **where) == "invalid_arguments"
    assert await bot.refusal("assistant.threads.setTitle", title="x" * 201, **where) == "invalid_arguments"


async def test_a_status_has_short_messages_that_take_turns_and_ends_after_two_minutes(
    bot: SimulatorClient, workspace: Workspace, clock: SteppingClock
) -> None:
    method, where = "assistant.threads.setStatus", {"channel_id": "C1", "thread_ts": "1.2"}
    for wrong in (["x"] * 11, ["x" * 51], [""], [1], "{}"):
        refusal = await bot.refusal(method, status="is thinking…", loading_messages=wrong, **where)
        assert refusal == "invalid_arguments"
    assert await bot.refusal(method, channel_id="C1", thread_ts="never", status="x") == "invalid_thread_ts"
    await bot.call(method, status="is thinking…", loading_messages=["Reading…", "Writing…"], **where)
    clock.time_s += 119
    assert workspace.statuses == {("C1", "1.2"): "is thinking…"}
    assert workspace.loading_messages("C1", "1.2") == ("Reading…", "Writing…")
    clock.time_s += 1
    assert workspace.statuses == {}
    assert workspace.loading_messages("C1", "1.2") == ()
    await bot.call(method, status="is back", **where)
    await bot.call(method, status="", **where)
    assert workspace.statuses == {}


async def test_a_session_has_a_status_and_a_title(bot: SimulatorClient, workspace: Workspace) -> None:
    method, where = "agents.sessions.setStatus", {"channel_id": "C1", "thread_ts": "1.2"}
    made = await bot.call(method, status="processing", title="Trip", initiator_user_id="UANN1", **where)
    assert (made["status"], made["agent_status"], made["title"]) == ("processing", "processing", "Trip")
    kept = await bot.call(method, status="suspended", title="Other", **where)
    assert (kept["status"], kept["title"]) == ("suspended", "Trip")
    assert (await bot.call("agents.sessions.rename", title="Journey", **where))["title"] == "Journey"
    assert workspace.sessions["C1", "1.2"].user_id == "UANN1"
    for args, error in (
        (where | {"status": "over"}, "invalid_status"),
        (where, "invalid_status"),
        ({"channel_id": "C1", "status": "active"}, "thread_ts_required"),
        (where | {"status": "active", "title": "x" * 201}, "invalid_arguments"),
        (where | {"status": "active", "initiator_user_id": "UNOBODY"}, "user_not_found"),
    ):
        assert await bot.refusal(method, **args) == error
    workspace.add_channel("C2", members=["UANN1"])
    assert await bot.refusal(method, channel_id="C2", thread_ts="1.2", status="active") == "not_authorized"
    for args, error in (
        ({"channel_id": "C1", "title": "x"}, "thread_ts_required"),
        ({"channel_id": "C1", "thread_ts": "9.9", "title": "x"}, "session_not_found"),
        (where, "invalid_arguments"),
    ):
        assert await bot.refusal("agents.sessions.rename", **args) == error


async def test_an_edit_is_limited_by_its_text_alone(bot: SimulatorClient) -> None:
    ts = (await bot.call("chat.postMessage", channel="C1", text="x" * 4_001))["ts"]
    where = {"channel": "C1", "ts": ts}
    shown = [{"type": "markdown", "text": "y" * 12_000}]
    assert await bot.refusal("chat.update", text="x" * 4_001, blocks=shown, **where) == "msg_too_long"
    await bot.call("chat.update", text="x" * 4_000, blocks=shown, **where)
    await bot.call("chat.update", blocks=shown, **where)
    await bot.call("chat.update", markdown_text="z" * 12_000, **where)
    assert await bot.refusal("chat.update", markdown_text="z" * 12_001, **where) == "msg_too_long"
    assert await bot.refusal("chat.update", markdown_text="z", blocks=shown, **where) == "markdown_text_conflict"


async def test_markdown_blocks_hold_twelve_thousand_characters_together(bot: SimulatorClient) -> None:
    halves = [{"type": "markdown", "text": "x" * 6_000}, {"type": "markdown", "text": "x" * 6_000}]
    await bot.call("chat.postMessage", channel="C1", blocks=halves)
    more = [*halves, {"type": "markdown", "text": "x"}]
    assert await bot.refusal("chat.postMessage", channel="C1", blocks=more) == "msg_blocks_too_long"
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 1_201}}
    assert await bot.refusal("chat.postMessage", channel="C1", blocks=[*halves, section]) == "msg_blocks_too_long"
